#include "worker/resident_models.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/text.h"
#include "tintype/presets.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;

CatalogueOptions without_models(CatalogueOptions options) {
  options.models.clear();
  options.model_folders.clear();
  return options;
}

}  // namespace

ResidentModels::ResidentModels(const Engine& engine, const CatalogueOptions& catalogue,
                               uint64_t budget_bytes)
    : engine_(engine),
      options_(catalogue),
      files_(without_models(catalogue)),
      budget_bytes_(budget_bytes) {}

ResidentModels::Wanted ResidentModels::wanted(const std::string& name,
                                              const std::string& preset) const {
  std::vector<std::string> names;
  for (const ModelEntry& entry : options_.models) {
    names.push_back(entry.name);
    if (entry.name != name) continue;
    Wanted out{.key = "", .entry = entry};
    TextToImageRequest unused;
    if (!preset.empty()) apply_preset(find_preset(preset), unused, out.entry.load);
    const LoadOptions& load = out.entry.load;
    out.key = cat(name, '\n', load.profile, '\n', load.offload, '\n', load.timestep_spacing);
    return out;
  }
  fail(ErrorKind::kNotFound, "model", unknown_name(name, names));
}

bool ResidentModels::has_model(const std::string& name, const std::string& preset) const {
  const std::string key = wanted(name, preset).key;
  const std::scoped_lock lock(mutex_);
  for (const Entry& entry : entries_)
    if (entry.key == key) return true;
  return false;
}

bool ResidentModels::find_or_begin(const std::string& key, const RunContext& context,
                                   Entry& found) {
  std::unique_lock lock(mutex_);
  while (true) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it)
      if (it->key == key) {
        entries_.splice(entries_.begin(), entries_, it);
        found = entries_.front();
        return true;
      }
    if (!loading_) break;
    // One at a time: two side by side would need room for both at once.
    loaded_.wait_for(lock, std::chrono::milliseconds(50));
    context.check();
  }
  loading_ = true;
  return false;
}

void ResidentModels::end_loading() {
  {
    const std::scoped_lock lock(mutex_);
    loading_ = false;
  }
  loaded_.notify_all();
}

void ResidentModels::make_room(uint64_t bytes) {
  std::list<Entry> given_up;  // destroyed without the lock
  {
    const std::scoped_lock lock(mutex_);
    while (!entries_.empty() && counters_.weight_bytes + bytes > budget_bytes_) {
      counters_.weight_bytes -= entries_.back().bytes;
      ++counters_.evictions;
      given_up.splice(given_up.begin(), entries_, std::prev(entries_.end()));
    }
  }
  if (given_up.empty()) return;
  given_up.clear();
  ::malloc_trim(0);
}

template <typename Load>
ResidentModels::Entry ResidentModels::load(const std::string& key, const std::string& name,
                                           const RunContext& context, Load load_into) {
  struct Guard {
    ResidentModels& models;
    ~Guard() { models.end_loading(); }
  } const guard{*this};
  const Clock::time_point start = Clock::now();
  context.report(Stage::kLoad, 0, 1);
  Entry entry{.key = key, .name = name};
  load_into(entry);
  make_room(entry.bytes);
  const std::scoped_lock lock(mutex_);
  entries_.push_front(entry);
  counters_.weight_bytes += entry.bytes;
  ++counters_.loads;
  counters_.load_s += std::chrono::duration<double>(Clock::now() - start).count();
  return entry;
}

std::shared_ptr<const Model> ResidentModels::model(const std::string& name,
                                                   const std::string& preset,
                                                   const RunContext& context) {
  const Wanted wanted = this->wanted(name, preset);
  Entry found;
  if (find_or_begin(wanted.key, context, found)) return found.model;
  return load(wanted.key, name, context,
              [&](Entry& entry) {
                // From headers alone: room is made before the weights come.
                make_room(inspect(wanted.entry.path, wanted.entry.load).weight_bytes);
                entry.model = engine_.load(wanted.entry.path, context, wanted.entry.load);
                entry.bytes = entry.model->info().weight_bytes;
              })
      .model;
}

std::shared_ptr<const Upscaler> ResidentModels::upscaler(const std::string& name,
                                                         const RunContext& context) {
  const std::string key = "\n" + name;  // no model's
  Entry found;
  if (find_or_begin(key, context, found)) return found.upscaler;
  return load(key, name, context,
              [&](Entry& entry) {
                entry.upscaler = engine_.load_upscaler(files_.upscaler(name));
                entry.bytes = entry.upscaler->info().parameters * sizeof(float);
              })
      .upscaler;
}

ResidentModels::Counters ResidentModels::counters() const {
  const std::scoped_lock lock(mutex_);
  Counters out = counters_;
  for (const Entry& entry : entries_) {
    if (!entry.model) continue;
    const CacheCounters one = entry.model->adapter_cache();
    out.adapters.hits += one.hits;
    out.adapters.misses += one.misses;
    out.adapters.evictions += one.evictions;
    out.adapters.entries += one.entries;
    out.adapters.bytes += one.bytes;
  }
  return out;
}

std::vector<std::string> ResidentModels::names() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> names;
  for (const Entry& entry : entries_)
    if (std::find(names.begin(), names.end(), entry.name) == names.end())
      names.push_back(entry.name);
  return names;
}

}  // namespace tintype
