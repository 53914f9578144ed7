/// The models and upscalers that a worker keeps in memory: loaded on demand, the least recently
/// used given up first when a budget of weights is exceeded. Handles keep their model alive, so one
/// that is given up while it draws goes when that is done. Thread-safe.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "requests/catalogue.h"
#include "tintype/engine.h"

namespace tintype {

class ResidentModels {
 public:
  /// `catalogue` names every model (Catalogue::resolved). Borrows the engine.
  ResidentModels(const Engine& engine, const CatalogueOptions& catalogue, uint64_t budget_bytes);

  /// The model with its preset's options of loading ("": none), loaded where it is not resident; a
  /// caller waits while another loads. Loading is reported to `context` as stage load.
  /// throws kNotFound, kInvalidArgument: names; as Engine::load
  std::shared_ptr<const Model> model(const std::string& name, const std::string& preset,
                                     const RunContext& context);
  std::shared_ptr<const Upscaler> upscaler(const std::string& name, const RunContext& context);
  bool has_model(const std::string& name, const std::string& preset) const;

  struct Counters {
    uint64_t loads = 0, evictions = 0, weight_bytes = 0;
    double load_s = 0;       ///< of all loads
    CacheCounters adapters;  ///< of all models together
  };
  Counters counters() const;
  std::vector<std::string> names() const;  ///< the most recently used first

 private:
  struct Entry {
    std::string key, name;
    uint64_t bytes = 0;
    std::shared_ptr<const Model> model = {};
    std::shared_ptr<const Upscaler> upscaler = {};
  };
  struct Wanted {
    std::string key;
    ModelEntry entry;
  };
  Wanted wanted(const std::string& name, const std::string& preset) const;
  /// The entry, or none once the caller is the one who loads. Blocks while somebody else does.
  bool find_or_begin(const std::string& key, const RunContext& context, Entry& found);
  void end_loading();
  void make_room(uint64_t bytes);
  template <typename Load>
  Entry load(const std::string& key, const std::string& name, const RunContext& context,
             Load load_into);

  const Engine& engine_;
  const CatalogueOptions options_;
  const Catalogue files_;  ///< of adapters and upscalers; no models
  const uint64_t budget_bytes_;

  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable loaded_;
  bool loading_ = false;
  std::list<Entry> entries_;  ///< the most recently used first
  Counters counters_;
};

}  // namespace tintype
