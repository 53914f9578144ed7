#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "samplers/diffusion/sampler.h"

// One line a sampler: name (its factory is make_<name>), what it does with schedulers, the
// diffusers class whose rule it is, the label of A1111 and galleries, and further names by which
// ComfyUI, A1111 and diffusers know it, separated by |. Order is what lists show; of two lines with
// one class, the first is the class's.
#define TT_DIFFUSION_SAMPLERS(ROW)                                                         \
  ROW(ddim, kOwnSpacing, "DDIMScheduler", "DDIM", "")                                      \
  ROW(ddpm, kOwnSpacing, "DDPMScheduler", "DDPM", "")                                      \
  ROW(pndm, kOwnSpacing, "PNDMScheduler", "PLMS", "PNDM")                                  \
  ROW(lms, kFileOrRequest, "LMSDiscreteScheduler", "LMS", "k_lms")                         \
  ROW(euler, kFileOrRequest, "EulerDiscreteScheduler", "Euler", "k_euler")                 \
  ROW(euler_a, kRequestOnly, "EulerAncestralDiscreteScheduler", "Euler a",                 \
      "euler_ancestral|Euler ancestral|k_euler_a|k_euler_ancestral")                       \
  ROW(heun, kFileOrRequest, "HeunDiscreteScheduler", "Heun", "k_heun")                     \
  ROW(dpm2, kFileOrRequest, "KDPM2DiscreteScheduler", "DPM2", "dpm_2|k_dpm_2")             \
  ROW(dpm2_a, kFileOrRequest, "KDPM2AncestralDiscreteScheduler", "DPM2 a",                 \
      "dpm_2_ancestral|k_dpm_2_a|k_dpm_2_ancestral")                                       \
  ROW(dpmpp_2m, kFileOrRequest, "DPMSolverMultistepScheduler", "DPM++ 2M", "k_dpmpp_2m")   \
  ROW(dpmpp_2m_sde, kFileOrRequest, "DPMSolverMultistepScheduler", "DPM++ 2M SDE",         \
      "dpmpp_2m_sde_gpu|k_dpmpp_2m_sde")                                                   \
  ROW(dpmpp_3m_sde, kFileOrRequest, "", "DPM++ 3M SDE", "dpmpp_3m_sde_gpu|k_dpmpp_3m_sde") \
  ROW(dpmpp_sde, kFileOrRequest, "DPMSolverSDEScheduler", "DPM++ SDE",                     \
      "dpmpp_sde_gpu|k_dpmpp_sde")                                                         \
  ROW(dpmpp_2s_a, kFileOrRequest, "", "DPM++ 2S a",                                        \
      "dpmpp_2s_ancestral|DPM++ 2S ancestral|k_dpmpp_2s_a")                                \
  ROW(unipc, kFileOrRequest, "UniPCMultistepScheduler", "UniPC", "uni_pc|uni_pc_bh2")      \
  ROW(deis, kFileOrRequest, "DEISMultistepScheduler", "DEIS", "")                          \
  ROW(lcm, kOwnSpacing, "LCMScheduler", "LCM", "")                                         \
  ROW(tcd, kOwnSpacing, "TCDScheduler", "TCD", "")                                         \
  ROW(restart, kFileOrRequest, "", "Restart", "")

namespace tintype {

using SamplerFactory = std::unique_ptr<Sampler>(const NoiseScheduleConfig& config,
                                                const SamplerOptions& options);

#define TT_DECLARE_FACTORY(name, schedulers, class_name, label, aliases) SamplerFactory make_##name;
TT_DIFFUSION_SAMPLERS(TT_DECLARE_FACTORY)
#undef TT_DECLARE_FACTORY

namespace {

/// Which spacings of noise levels a sampler runs on.
enum class Schedulers {
  kOwnSpacing,     ///< the checkpoint's timesteps only
  kRequestOnly,    ///< any scheduler by name; its class ignores the file's use_*_sigmas
  kFileOrRequest,  ///< any scheduler by name, or as the file's use_*_sigmas say
};

struct SamplerEntry {
  std::string_view name;
  Schedulers schedulers;
  std::string_view class_name, label, aliases;
  SamplerFactory* make;
};

#define TT_ENTRY(name, schedulers, class_name, label, aliases) \
  {#name, Schedulers::schedulers, class_name, label, aliases, make_##name},
constexpr SamplerEntry kSamplers[] = {TT_DIFFUSION_SAMPLERS(TT_ENTRY)};
#undef TT_ENTRY

struct SchedulerEntry {
  std::string_view name, label, aliases;
};
constexpr SchedulerEntry kSchedulers[] = {
    {"karras", "Karras", "use_karras_sigmas"},
    {"exponential", "Exponential", "use_exponential_sigmas"},
    {"polyexponential", "Polyexponential", ""},
    {"normal", "Normal", ""},
    {"simple", "Simple", ""},
    {"sgm_uniform", "SGM Uniform", "sgmuniform"},
    {"beta", "Beta", "use_beta_sigmas"},
    {"ays", "Align Your Steps", "align_your_steps|AlignYourStepsScheduler"},
};
// The checkpoint's own spacing.
constexpr std::string_view kOwnNames[] = {"automatic", "default", "model"};

/// Classes of diffusers for Stable Diffusion whose rule is not here, and what comes near: the same
/// equation in other steps.
constexpr std::pair<std::string_view, std::string_view> kNearestToClass[] = {
    {"DPMSolverSinglestepScheduler", "dpmpp_2m (multistep) and dpmpp_2s_a (ancestral)"},
    {"SASolverScheduler", "dpmpp_2m_sde and unipc"},
    {"IPNDMScheduler", "pndm and lms"}};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t bar = std::min(text.find('|'), text.size());
    parts.push_back(text.substr(0, bar));
    text.remove_prefix(std::min(bar + 1, text.size()));
  }
  return parts;
}

/// Letters and digits in lower case, "++" as "pp": equal for every way to write one name.
std::string folded(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z')
      result += static_cast<char>(c - 'A' + 'a');
    else if (c == '+')
      result += 'p';
    else if (c != ' ' && c != '_' && c != '-')
      result += c;
  }
  return result;
}

bool is_one_of(std::string_view wanted, std::string_view name, std::string_view label,
               std::string_view class_name, std::string_view aliases) {
  const auto same = [&](std::string_view candidate) {
    return !candidate.empty() && folded(candidate) == wanted;
  };
  const std::vector<std::string_view> others = split(aliases);
  return same(name) || same(label) || same(class_name) ||
         std::any_of(others.begin(), others.end(), same);
}

using Spellings = std::vector<std::pair<std::string, std::string>>;

/// `spellings`: every name that would have been accepted, with the canonical one it stands for.
[[noreturn]] void fail_unknown(std::string_view what, std::string_view name,
                               const std::vector<std::string>& names, const Spellings& spellings) {
  std::vector<std::string> candidates;
  for (const auto& [spelling, canonical] : spellings) candidates.push_back(spelling);
  const std::string nearest = nearest_name(folded(name), candidates);
  std::string proposal;
  for (const auto& [spelling, canonical] : spellings)
    if (!nearest.empty() && spelling == nearest) proposal = canonical;
  fail(ErrorKind::kInvalidArgument, what, what, " must be one of ", joined(names), ", got \"",
       printable(name, 80), "\"", proposal.empty() ? "" : "; did you mean " + proposal + "?");
}

/// `wanted` is folded; null: no such sampler.
const SamplerEntry* find_entry(std::string_view wanted) {
  // Names before classes: two samplers may share a class, whose first line it means.
  for (const SamplerEntry& e : kSamplers)
    if (is_one_of(wanted, e.name, e.label, "", e.aliases)) return &e;
  for (const SamplerEntry& e : kSamplers)
    if (is_one_of(wanted, "", "", e.class_name, "")) return &e;
  return nullptr;
}

[[noreturn]] void fail_unknown_sampler(std::string_view name) {
  Spellings spellings;
  for (const SamplerEntry& e : kSamplers) {
    spellings.emplace_back(folded(e.name), e.name);
    for (const std::string_view alias : split(e.aliases))
      spellings.emplace_back(folded(alias), e.name);
    if (!e.class_name.empty()) spellings.emplace_back(folded(e.class_name), e.name);
  }
  fail_unknown("sampler", name, diffusion_sampler_names(), spellings);
}

const SamplerEntry& entry_named(std::string_view name) {
  if (const SamplerEntry* entry = find_entry(folded(name))) return *entry;
  fail_unknown_sampler(name);
}

/// What a combined name may end in, folded, with the scheduler it stands for.
Spellings scheduler_endings() {
  Spellings endings = {{"ka", "karras"}, {"exp", "exponential"}};  // A1111's "k_dpmpp_2m_ka"
  for (const SchedulerEntry& e : kSchedulers) {
    endings.emplace_back(folded(e.name), e.name);
    endings.emplace_back(folded(e.label), e.name);
  }
  return endings;
}

void require_scheduler(const SamplerEntry& entry, const std::string& scheduler) {
  if (scheduler.empty() || entry.schedulers != Schedulers::kOwnSpacing) return;
  std::vector<std::string> able;
  for (const SamplerEntry& e : kSamplers)
    if (e.schedulers != Schedulers::kOwnSpacing) able.emplace_back(e.name);
  fail(ErrorKind::kInvalidArgument, "scheduler", scheduler, " goes with the samplers ",
       joined(able), ", got ", entry.name, ", which has its own spacing only");
}

/// The config with exactly the use_*_sigmas that this run follows.
NoiseScheduleConfig with_spacing(NoiseScheduleConfig config, const SamplerEntry& entry,
                                 std::string_view scheduler) {
  if (scheduler.empty() && entry.schedulers == Schedulers::kFileOrRequest) return config;
  config.use_karras_sigmas = scheduler == "karras";
  config.use_exponential_sigmas = scheduler == "exponential";
  config.use_beta_sigmas = scheduler == "beta";
  return config;
}

}  // namespace

std::unique_ptr<Sampler> make_sampler(const NoiseScheduleConfig& config,
                                      const SamplerOptions& options) {
  const SamplerEntry& entry = entry_named(options.name);
  SamplerOptions canonical = options;
  canonical.name = entry.name;
  canonical.scheduler = canonical_scheduler(options.scheduler);
  require_scheduler(entry, canonical.scheduler);
  TT_REQUIRE(options.steps >= 1 && options.steps <= config.num_train_timesteps, "steps",
             "steps must be 1..", config.num_train_timesteps,
             " (the checkpoint's training timesteps), got ", options.steps);
  TT_REQUIRE(options.eta >= 0 && options.eta <= 1, "eta", "must be in 0..1, got ", options.eta);
  TT_REQUIRE(options.eta == 0 || entry.name == "tcd", "eta", "goes with the sampler tcd, got ",
             options.eta, " for ", entry.name);
  return entry.make(with_spacing(config, entry, canonical.scheduler), canonical);
}

std::string canonical_sampler(std::string_view name) { return std::string(entry_named(name).name); }

SamplerChoice split_sampler_name(std::string_view sampler, std::string_view scheduler) {
  if (sampler.empty()) return {"", canonical_scheduler(scheduler)};
  const std::string wanted = folded(sampler);
  if (const SamplerEntry* entry = find_entry(wanted))
    return {std::string(entry->name), canonical_scheduler(scheduler)};
  // The parts of a name that is not known as a whole, for a proposal.
  std::string first_part, last_part;
  for (const auto& [ending, named] : scheduler_endings()) {
    if (!wanted.ends_with(ending) || wanted.size() == ending.size()) continue;
    const std::string rest = wanted.substr(0, wanted.size() - ending.size());
    const SamplerEntry* entry = find_entry(rest);
    if (entry == nullptr) {
      if (ending.size() > last_part.size()) {
        first_part = rest;
        last_part = ending;
      }
      continue;
    }
    if (!scheduler.empty() && canonical_scheduler(scheduler) != named)
      fail(ErrorKind::kInvalidArgument, "scheduler", "the sampler \"", printable(sampler, 80),
           "\" already names the scheduler ", named, ", got \"", printable(scheduler, 80),
           "\" beside it; name one of the two");
    return {std::string(entry->name), named};
  }
  fail_unknown_sampler(first_part.empty() ? sampler : std::string_view(first_part));
}

std::string canonical_scheduler(std::string_view name) {
  const std::string wanted = folded(name);
  if (wanted.empty()) return "";
  for (const std::string_view own : kOwnNames)
    if (wanted == own) return "";
  for (const SchedulerEntry& e : kSchedulers)
    if (is_one_of(wanted, e.name, e.label, "", e.aliases)) return std::string(e.name);
  std::vector<std::pair<std::string, std::string>> spellings;
  for (const SchedulerEntry& e : kSchedulers) {
    spellings.emplace_back(folded(e.name), e.name);
    spellings.emplace_back(folded(e.label), e.name);
  }
  fail_unknown("scheduler", name, diffusion_scheduler_names(), spellings);
}

bool has_sampler_for_class(std::string_view class_name) {
  return std::any_of(std::begin(kSamplers), std::end(kSamplers), [&](const SamplerEntry& e) {
    return !class_name.empty() && e.class_name == class_name;
  });
}

std::string sampler_for_class(std::string_view class_name) {
  std::vector<std::string> classes;
  for (const SamplerEntry& e : kSamplers) {
    if (e.class_name.empty()) continue;
    if (e.class_name == class_name) return std::string(e.name);
    if (std::find(classes.begin(), classes.end(), e.class_name) == classes.end())
      classes.emplace_back(e.class_name);
  }
  std::string advice = "choose a sampler by name to run this checkpoint anyway";
  for (const auto& [known, nearest] : kNearestToClass)
    if (known == class_name) advice += cat(", the nearest are ", nearest);
  fail(ErrorKind::kUnsupported, "scheduler", "_class_name must be one of ", joined(classes),
       ", got \"", printable(class_name, 80), "\"; ", advice);
}

std::vector<SamplerInfo> diffusion_samplers() {
  std::vector<SamplerInfo> result;
  for (const SamplerEntry& e : kSamplers)
    result.push_back(
        {e.name, e.label, e.class_name, split(e.aliases), e.schedulers != Schedulers::kOwnSpacing});
  return result;
}

std::vector<SamplerInfo> diffusion_schedulers() {
  std::vector<SamplerInfo> result;
  for (const SchedulerEntry& e : kSchedulers)
    result.push_back({e.name, e.label, "", split(e.aliases), false});
  return result;
}

std::vector<std::string> diffusion_sampler_names() {
  std::vector<std::string> names;
  for (const SamplerEntry& entry : kSamplers) names.emplace_back(entry.name);
  return names;
}

std::vector<std::string> diffusion_scheduler_names() {
  std::vector<std::string> names;
  for (const SchedulerEntry& entry : kSchedulers) names.emplace_back(entry.name);
  return names;
}

NoiseScheduleConfig stable_diffusion_config(NoiseScheduleConfig config,
                                            std::string_view sampler_name) {
  const bool own_class = entry_named(sampler_name).class_name == config.class_name;
  if (config.steps_offset || own_class) config.steps_offset = 1;
  if (config.clip_sample || own_class) config.clip_sample = false;
  return config;
}

NoiseScheduleConfig stable_diffusion_inpaint_config(NoiseScheduleConfig config,
                                                    std::string_view sampler_name) {
  if (config.steps_offset || entry_named(sampler_name).class_name == config.class_name)
    config.steps_offset = 1;
  if (config.class_name == "PNDMScheduler") config.skip_prk_steps = true;
  return config;
}

}  // namespace tintype
