// Restart sampling: Heun's method, which near the end adds noise back up to sigma 2 and comes down
// again, once from 20 steps on and twice from 36 on; Karras spacing then. With fewer steps there is
// nothing to restart and this is Heun. The number of steps counts those of the restarts too.
// source  Xu et al. 2023, arXiv:2306.14878; segments as A1111 chooses them
#include <algorithm>
#include <cmath>

#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "restart";
constexpr float kRestartLow = 0.1f, kRestartHigh = 2.0f;

struct Segment {
  float from, to;
};

size_t nearest(const std::vector<float>& sigmas, float wanted) {
  const auto closer = [wanted](float a, float b) {
    return std::abs(a - wanted) < std::abs(b - wanted);
  };
  return static_cast<size_t>(std::min_element(sigmas.begin(), sigmas.end(), closer) -
                             sigmas.begin());
}

/// `count` levels of Karras spacing as float32, its ends exactly those given: a restart must come
/// back to the level it left.
std::vector<float> karras_levels(float max, float min, int count) {
  const std::vector<double> spaced = karras_sigmas({max, min}, count);
  std::vector<float> levels(spaced.begin(), spaced.end());
  if (count > 1) levels.back() = min;
  levels.front() = max;
  return levels;
}

std::vector<Segment> restart_segments(const std::vector<float>& planned) {
  const int steps = static_cast<int>(planned.size()) - 1;
  std::vector<float> sigmas = planned;
  const int times = steps >= 36 ? 2 : steps >= 20 ? 1 : 0;
  const int restart_steps = steps >= 36 ? steps / 4 : 9;
  size_t low = sigmas.size(), high = sigmas.size();  // no restart
  if (times > 0) {
    sigmas =
        karras_levels(planned.front(), planned[planned.size() - 2], steps - restart_steps * times);
    sigmas.push_back(0);
    low = nearest(sigmas, kRestartLow);
    high = nearest(sigmas, kRestartHigh);
  }
  std::vector<Segment> segments;
  for (size_t k = 0; k + 1 < sigmas.size(); ++k) {
    segments.push_back({sigmas[k], sigmas[k + 1]});
    if (k + 1 != low || high >= low) continue;
    const std::vector<float> again = karras_levels(sigmas[high], sigmas[low], restart_steps + 1);
    for (int time = 0; time < times; ++time)
      for (size_t j = 0; j + 1 < again.size(); ++j) segments.push_back({again[j], again[j + 1]});
  }
  return segments;
}

class Restart final : public SigmaSampler {
 public:
  Restart(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(config,
                     sigma_plan(config, {.sampler = kName, .table = {.keep_last_positive = true}},
                                options)) {
    const std::vector<Segment> segments = restart_segments(plan_.sigmas);
    for (size_t k = 0; k < segments.size(); ++k) {
      const Segment& segment = segments[k];
      firsts_.push_back(static_cast<int>(calls_.size()));
      float up = 0;  // deviation of the noise that follows this segment
      if (k + 1 < segments.size() && segments[k + 1].from > segment.to)
        up = std::sqrt(segments[k + 1].from * segments[k + 1].from - segment.to * segment.to);
      add_call(plan_.timestep_of(segment.from), segment.from);
      calls_.push_back({segment, false, segment.to > 0 ? 0 : up});
      if (segment.to == 0) continue;  // Euler's, to 0, from where a short run may restart too
      add_call(plan_.timestep_of(segment.to), segment.to);
      calls_.push_back({segment, true, up});
    }
  }

  int first_call(int step) const override {
    return firsts_[std::min(static_cast<size_t>(step), firsts_.size() - 1)];
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const Call& call = calls_[static_cast<size_t>(i)];
    const auto [from, to] = call.segment;
    const Tensor picture = picture_at_call(i, x, model_output);
    const Tensor offset = ops::weighted_sum({{1, &x}, {-1, &picture}});
    std::vector<WeightedTerm> terms;
    if (call.second) {
      const float half = (to - from) * 0.5f;
      terms = {{1, &start_}, {half / from, &start_offset_}, {half / to, &offset}};
    } else {
      start_ = x;
      start_offset_ = offset;
      terms = {{1, &x}, {(to - from) / from, &offset}};
    }
    if (call.up == 0) return ops::weighted_sum(terms);
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    terms.push_back({call.up, &fresh});
    return ops::weighted_sum(terms);
  }

 private:
  struct Call {
    Segment segment;
    bool second;  // at the segment's end
    float up;     // deviation of the noise added after it
  };
  std::vector<Call> calls_;
  std::vector<int> firsts_;      // of each segment: its first call
  Tensor start_, start_offset_;  // of the segment in progress
};

}  // namespace

std::unique_ptr<Sampler> make_restart(const NoiseScheduleConfig& config,
                                      const SamplerOptions& options) {
  return std::make_unique<Restart>(config, options);
}

}  // namespace tintype
