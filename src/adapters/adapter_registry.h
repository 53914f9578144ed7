/// The adapters that one model keeps in memory: read once, given out as handles, the least recently
/// used forgotten first when a byte budget is exceeded. A handle keeps its adapter alive.
/// Thread-safe: guarded by one mutex, which is not held while a file is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "adapters/adapter.h"

namespace tintype {

struct AdapterRegistryCounters {
  uint64_t hits = 0, misses = 0, evictions = 0;
  uint64_t resident = 0, resident_bytes = 0, budget_bytes = 0;
};

class AdapterRegistry {
 public:
  using Load = std::function<std::shared_ptr<const Adapter>(const std::filesystem::path& file)>;
  /// `load` reads and matches a file; it may run for several files at once.
  AdapterRegistry(size_t budget_bytes, Load load);

  /// The adapter in `file`, read only where no resident one came from the same file, size and time
  /// of change. One that exceeds the budget alone is not kept. throws as `load`; kNotFound
  std::shared_ptr<const Adapter> get(const std::filesystem::path& file);
  AdapterRegistryCounters counters() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Adapter> adapter;
  };
  void insert(const std::string& key, const std::shared_ptr<const Adapter>& adapter);

  const size_t budget_;
  const Load load_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  ///< most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
  AdapterRegistryCounters counters_;
};

/// Adapter files by name: finds names in a folder's listing (folders inside included) and never
/// joins one into a path, so no name leads out of it. A name is the file's without its suffix, or
/// that with its folders ("styles/ink"). throws kNotFound with the nearest name, kInvalidArgument:
/// several files of that name, kIo; kUnsupported: more than 10,000 files
std::filesystem::path find_adapter(const std::filesystem::path& folder, const std::string& name);

}  // namespace tintype
