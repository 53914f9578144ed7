#include "pipelines/network_calls.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "base/checksum.h"
#include "ops/ops.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/stages.h"

namespace tintype {
namespace {

/// The positive half of a guided image's rows.
Conditioning positive(const Conditioning& both) {
  const auto last = [](const Tensor& rows) {
    return rows.defined() ? rows.slice(rows.dim(0) / 2, rows.dim(0)) : Tensor();
  };
  return {.context = last(both.context),
          .pooled = last(both.pooled),
          .time_ids = last(both.time_ids),
          .adapters = both.adapters};
}

/// What a network call depends on, but for the network.
uint64_t question_of(const Tensor& latents, float timestep,
                     const std::vector<const Conditioning*>& conditioning) {
  std::vector<uint64_t> sums = {std::bit_cast<uint32_t>(timestep)};
  const auto add = [&](const Tensor& part) {
    const Tensor host = part.defined() ? ops::to_host(part) : Tensor();
    sums.push_back(host.defined() ? checksum64({host.bytes(), host.nbytes()}) : 0);
  };
  add(latents);
  for (const Conditioning* one : conditioning) {
    add(one->context);
    add(one->pooled);
    add(one->time_ids);
  }
  return checksum64(std::as_bytes(std::span(sums)));
}

}  // namespace

float sigma_at(const std::vector<float>& signal, float timestep) {
  const auto sigma = [&](size_t i) {
    const double a = signal[i];
    return std::sqrt((1 - a) / a);
  };
  const double t = std::clamp<double>(timestep, 0, static_cast<double>(signal.size() - 1));
  const auto below = static_cast<size_t>(t);
  const double weight = t - static_cast<double>(below);
  if (weight == 0) return static_cast<float>(sigma(below));
  // Between two levels as k-diffusion's t_to_sigma.
  return static_cast<float>(
      std::exp((1 - weight) * std::log(sigma(below)) + weight * std::log(sigma(below + 1))));
}

NetworkCalls::NetworkCalls(const DiffusionModel& model, const TextToImageSettings& settings,
                           StepJournal* journal)
    : model_(model),
      journal_(journal),
      scale_(settings.guidance_scale),
      rescale_(settings.guidance_rescale),
      interval_(settings.guidance_interval),
      reused_(static_cast<size_t>(settings.batch_size), 0) {
  if (!interval_.everywhere()) signal_ = alphas_cumprod(model.schedule, {});
  if (settings.reuse_threshold > 0)
    reuse_.resize(reused_.size(), {.threshold = settings.reuse_threshold});
}

bool NetworkCalls::guided_at(float timestep) const {
  if (signal_.empty()) return true;
  const float sigma = sigma_at(signal_, timestep);
  return sigma > interval_.low && sigma <= interval_.high;
}

Tensor NetworkCalls::predict(const Tensor& latents, float timestep,
                             const std::vector<const Conditioning*>& conditioning) {
  const bool guidance = conditioning[0]->context.dim(0) == 2;
  const bool left_out = guidance && !guided_at(timestep);
  unguided_ += left_out;
  replayed_ = false;
  if (!journal_ || !journal_->active()) return compute(latents, timestep, conditioning, left_out);

  SavedCall call{.question = question_of(latents, timestep, conditioning)};
  if (auto saved = journal_->replay(call.question)) {
    replayed_ = true;
    for (size_t i = 0; i < saved->reused.size(); ++i) reused_[i] += saved->reused[i];
    return ops::to_device(saved->prediction, latents.device());
  }
  const Tensor prediction = compute(latents, timestep, conditioning, left_out);
  for (const StepReuse& reuse : reuse_) call.reused.push_back(reuse.reused);
  call.prediction = ops::to_host(prediction);
  journal_->record(call);
  return prediction;
}

Tensor NetworkCalls::compute(const Tensor& latents, float timestep,
                             const std::vector<const Conditioning*>& conditioning, bool left_out) {
  const Guidance how{.scale = scale_, .rescale = rescale_};
  const int64_t images = latents.dim(0);
  if (conditioning_ != conditioning)  // prompt editing: the kept features answer to other words
    for (StepReuse& reuse : reuse_) reuse = {.threshold = reuse.threshold};
  if (conditioning_ != conditioning || left_out != left_out_) {
    rows_.clear();
    for (const Conditioning* one : conditioning) rows_.push_back(left_out ? positive(*one) : *one);
    if (reuse_.empty())
      rows_ = {rows_.size() == 1 ? for_batch(rows_[0], images) : side_by_side(rows_)};
    for (Conditioning& rows : rows_) rows.projections = std::make_shared<ContextProjections>();
  }
  conditioning_ = conditioning;
  left_out_ = left_out;
  if (reuse_.empty()) return tintype::predict(model_, latents, timestep, rows_[0], how);

  std::vector<Tensor> predictions;
  for (int64_t i = 0; i < images; ++i) {
    const auto image = static_cast<size_t>(i);
    predictions.push_back(tintype::predict(model_, latents.slice(i, i + 1), timestep,
                                           rows_[rows_.size() == 1 ? 0 : image], how,
                                           &reuse_[image]));
    reused_[image] += reuse_[image].reused;
  }
  return predictions.size() == 1 ? predictions[0] : ops::concat_first(predictions);
}

}  // namespace tintype
