#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "samplers/diffusion/sampler.h"

// One line a sampler: name (its factory is make_<name>, in the sampler's own file), the diffusers
// class whose rule it is, and whether that class has use_karras_sigmas. Order is what lists show.
#define TT_DIFFUSION_SAMPLERS(ROW)                       \
  ROW(ddim, "DDIMScheduler", false)                      \
  ROW(euler, "EulerDiscreteScheduler", true)             \
  ROW(euler_a, "EulerAncestralDiscreteScheduler", false) \
  ROW(pndm, "PNDMScheduler", false)                      \
  ROW(dpmpp_2m, "DPMSolverMultistepScheduler", true)

namespace tintype {

/// Builds a run of `steps` steps; the config's use_karras_sigmas says whether Karras spacing is on.
using SamplerFactory = std::unique_ptr<Sampler>(const NoiseScheduleConfig& config, int steps);

#define TT_DECLARE_FACTORY(name, class_name, has_karras) SamplerFactory make_##name;
TT_DIFFUSION_SAMPLERS(TT_DECLARE_FACTORY)
#undef TT_DECLARE_FACTORY

namespace {

constexpr std::string_view kKarras = "karras";

struct SamplerEntry {
  std::string_view name;
  std::string_view class_name;
  bool has_karras;
  SamplerFactory* make;
};

#define TT_ENTRY(name, class_name, has_karras) {#name, class_name, has_karras, make_##name},
constexpr SamplerEntry kSamplers[] = {TT_DIFFUSION_SAMPLERS(TT_ENTRY)};
#undef TT_ENTRY

template <typename Predicate>
const SamplerEntry* find_entry(Predicate predicate) {
  const auto* found = std::find_if(std::begin(kSamplers), std::end(kSamplers), predicate);
  return found == std::end(kSamplers) ? nullptr : found;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

[[noreturn]] void fail_unknown(std::string_view what, std::string_view name,
                               const std::vector<std::string>& names) {
  const std::string nearest = nearest_name(name, names);
  fail(ErrorKind::kInvalidArgument, what, what, " must be one of ", joined(names), ", got \"",
       printable(name, 80), "\"", nearest.empty() ? "" : "; did you mean " + nearest + "?");
}

const SamplerEntry& entry_named(std::string_view name) {
  const SamplerEntry* entry = find_entry([&](const SamplerEntry& e) { return e.name == name; });
  if (entry == nullptr) fail_unknown("sampler", name, diffusion_sampler_names());
  return *entry;
}

void require_scheduler(const SamplerEntry& entry, const std::string& scheduler) {
  if (scheduler.empty()) return;
  if (scheduler != kKarras) fail_unknown("scheduler", scheduler, diffusion_scheduler_names());
  if (entry.has_karras) return;
  std::vector<std::string> able;
  for (const SamplerEntry& e : kSamplers)
    if (e.has_karras) able.emplace_back(e.name);
  fail(ErrorKind::kInvalidArgument, "scheduler", "karras goes with the samplers ", joined(able),
       ", got ", entry.name, ", which has its own spacing only");
}

}  // namespace

std::unique_ptr<Sampler> make_sampler(const NoiseScheduleConfig& config,
                                      const SamplerOptions& options) {
  const SamplerEntry& entry = entry_named(options.name);
  require_scheduler(entry, options.scheduler);
  TT_REQUIRE(options.steps >= 1 && options.steps <= config.num_train_timesteps, "steps",
             "steps must be 1..", config.num_train_timesteps,
             " (the checkpoint's training timesteps), got ", options.steps);
  NoiseScheduleConfig effective = config;
  if (options.scheduler == kKarras) effective.use_karras_sigmas = true;
  return entry.make(effective, options.steps);
}

bool has_sampler_for_class(std::string_view class_name) {
  return find_entry([&](const SamplerEntry& e) { return e.class_name == class_name; }) != nullptr;
}

std::string sampler_for_class(std::string_view class_name) {
  const SamplerEntry* entry =
      find_entry([&](const SamplerEntry& e) { return e.class_name == class_name; });
  if (entry != nullptr) return std::string(entry->name);
  std::string classes;
  for (const SamplerEntry& e : kSamplers) {
    classes += classes.empty() ? "" : ", ";
    classes += e.class_name;
  }
  fail(ErrorKind::kUnsupported, "scheduler", "_class_name must be one of ", classes, ", got \"",
       printable(class_name, 80), "\"; choose a sampler by name to run this checkpoint anyway");
}

std::vector<std::string> diffusion_sampler_names() {
  std::vector<std::string> names;
  for (const SamplerEntry& entry : kSamplers) names.emplace_back(entry.name);
  return names;
}

std::vector<std::string> diffusion_scheduler_names() { return {std::string(kKarras)}; }

NoiseScheduleConfig stable_diffusion_config(NoiseScheduleConfig config,
                                            std::string_view sampler_name) {
  const bool own_class = entry_named(sampler_name).class_name == config.class_name;
  if (config.steps_offset || own_class) config.steps_offset = 1;
  if (config.clip_sample || own_class) config.clip_sample = false;
  return config;
}

}  // namespace tintype
