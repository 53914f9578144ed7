/// The adapters that one model keeps in memory: read once, given out as handles, the least recently
/// used forgotten first when a byte budget is exceeded. A handle keeps its adapter alive.
/// Thread-safe: the cache guards itself and holds no lock while a file is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "adapters/adapter.h"
#include "caches/lru_cache.h"

namespace tintype {

class AdapterRegistry {
 public:
  using Load = std::function<std::shared_ptr<const Adapter>(const std::filesystem::path& file)>;
  /// `load` reads and matches a file; it may run for several files at once.
  AdapterRegistry(size_t budget_bytes, Load load);

  /// The adapter in `file`, read only where no resident one came from the same file, size and time
  /// of change. One that exceeds the budget alone is not kept. throws as `load`; kNotFound
  std::shared_ptr<const Adapter> get(const std::filesystem::path& file);
  CacheCounters counters() const { return cache_.counters(); }

 private:
  const Load load_;
  LruCache<std::string, std::shared_ptr<const Adapter>> cache_;
};

/// Adapter files by name: finds names in a folder's listing (folders inside included) and never
/// joins one into a path, so no name leads out of it. A name is the file's without its suffix, or
/// that with its folders ("styles/ink"). throws kNotFound with the nearest name, kInvalidArgument:
/// several files of that name, kIo; kUnsupported: more than 10,000 files
std::filesystem::path find_adapter(const std::filesystem::path& folder, const std::string& name);

}  // namespace tintype
