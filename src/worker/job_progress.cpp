#include "worker/job_progress.h"

#include <algorithm>

namespace tintype {
namespace {

// Weights of stages in units of one network call without guidance over as many pixels: seen on
// SD 1.5 at 512 x 512. Where they are wrong the bar moves unevenly and nothing else.
constexpr double kEncodePrompt = 0.5, kEncodeImage = 1.5, kDecode = 3, kUpscale = 10, kSave = 0.1;
/// Of loading, in parts of the rest: what it really takes lies anywhere.
constexpr double kLoad = 0.2;
/// Share of the latest stretch in the pace.
constexpr double kLatest = 0.3;
constexpr int kUsualSteps = 20;

}  // namespace

JobProgressMap::JobProgressMap(const JobRequest& request, bool loads) {
  phases_.push_back({Stage::kLoad, 0});
  for (int i = 0; i < std::max(request.count, 1); ++i) add_picture(request);
  for (const Phase& phase : phases_) total_ += phase.weight;
  if (loads) phases_.front().weight = kLoad * total_;
  total_ += phases_.front().weight;
}

void JobProgressMap::add_picture(const JobRequest& request) {
  picture_starts_.push_back(phases_.size());
  const TextToImageRequest* drawing = request.drawing();
  if (!drawing) {
    phases_.insert(phases_.end(), {{Stage::kUpscale, 1}, {Stage::kSave, 0.1}});
    return;
  }
  const int steps = drawing->steps.value_or(kUsualSteps);
  const double rows = drawing->guidance_scale.value_or(2.0f) > 1 ? 2 : 1;
  double size = 1;  // of the pass, in first passes
  const auto denoise = [&](double strength) {
    phases_.push_back({Stage::kDenoise, std::max(1.0, steps * strength) * rows * size});
  };
  phases_.push_back({Stage::kEncodePrompt, kEncodePrompt});
  if (const auto* from = std::get_if<ImageToImageRequest>(&request.request)) {
    phases_.push_back({Stage::kEncodeImage, kEncodeImage});
    denoise(from->strength);
  } else if (const auto* inpaint = std::get_if<InpaintRequest>(&request.request)) {
    phases_.push_back({Stage::kEncodeImage, kEncodeImage});
    denoise(inpaint->picture.strength);
  } else {
    denoise(1);
  }
  if (const auto* hires = std::get_if<HiresRequest>(&request.request)) {
    const bool latent = hires->method.starts_with("latent");
    if (!latent) phases_.push_back({Stage::kDecode, kDecode});
    if (hires->method == "network") phases_.push_back({Stage::kUpscale, kUpscale});
    size = hires->scale * hires->scale;
    if (!latent) phases_.push_back({Stage::kEncodeImage, kEncodeImage * size});
    denoise(hires->strength);
  }
  phases_.push_back({Stage::kDecode, kDecode * size});
  phases_.push_back({Stage::kSave, kSave * size});
}

void JobProgressMap::next_picture() {
  if (++picture_ >= picture_starts_.size()) return;
  while (phase_ < picture_starts_[picture_]) before_ += phases_[phase_++].weight;
  step_ = 0;
}

/// The phase of the report: the present one, or the next of its stage among this picture's. A stage
/// that begins again is another phase.
void JobProgressMap::advance_to(const Progress& report) {
  const bool begins_again = report.step < step_;
  if (phases_[phase_].stage == report.stage && !begins_again) {
    step_ = report.step;
    return;
  }
  const size_t end =
      picture_ + 1 < picture_starts_.size() ? picture_starts_[picture_ + 1] : phases_.size();
  for (size_t next = phase_ + 1; next < end; ++next) {
    if (phases_[next].stage != report.stage) continue;
    while (phase_ < next) before_ += phases_[phase_++].weight;
    step_ = report.step;
    return;
  }
}

void JobProgressMap::update_pace(double fraction, Clock::time_point now) {
  if (last_time_ && fraction > last_fraction_) {
    const double seconds = std::chrono::duration<double>(now - *last_time_).count();
    const double pace = seconds / (fraction - last_fraction_);
    // Long stretches tell more than short ones.
    const double weight = std::min(1.0, kLatest + 2 * (fraction - last_fraction_));
    seconds_per_job_ =
        seconds_per_job_ ? *seconds_per_job_ + weight * (pace - *seconds_per_job_) : pace;
  }
  if (!last_time_ || fraction > last_fraction_) {
    last_time_ = now;
    last_fraction_ = fraction;
  }
}

JobProgress JobProgressMap::at(const Progress& report, Clock::time_point now) {
  advance_to(report);
  const Phase& phase = phases_[phase_];
  if (phase.stage == report.stage && total_ > 0) {
    const double part = report.steps > 0
                            ? std::clamp(static_cast<double>(report.step) / report.steps, 0.0, 1.0)
                            : 0.0;
    fraction_ = std::max(fraction_, std::min(1.0, (before_ + part * phase.weight) / total_));
  }
  // Loading says nothing about the pace of drawing.
  if (report.stage != Stage::kLoad) update_pace(fraction_, now);
  JobProgress out{.stage = std::string(to_string(report.stage)),
                  .step = report.step,
                  .steps = report.steps,
                  .fraction = fraction_,
                  .seconds_left = std::nullopt};
  if (seconds_per_job_) out.seconds_left = *seconds_per_job_ * (1 - fraction_);
  return out;
}

}  // namespace tintype
