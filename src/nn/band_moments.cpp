#include "nn/band_moments.h"

#include "ops/ops.h"

namespace tintype::nn {

void BandMoments::begin_band(int64_t rows, int64_t first_own, int64_t last_own) {
  rows_ = rows;
  first_own_ = first_own;
  last_own_ = last_own;
  norm_ = 0;
}

Tensor BandMoments::next(const Tensor& x, int groups) {
  if (norm_ < known_.size()) return ops::to_device(known_[norm_++], x.device());
  const int64_t scale = x.dim(1) / rows_;
  const Tensor own =
      x.reshape(Shape{x.dim(1), x.dim(2), x.dim(3)}).slice(first_own_ * scale, last_own_ * scale);
  const Tensor moments =
      ops::group_moments(own.reshape(Shape{1, own.dim(0), own.dim(1), own.dim(2)}), groups);
  if (norm_++ > known_.size()) return moments;  // past what this pass learns: any would do
  const Tensor host = ops::to_host(moments);
  const double count = static_cast<double>(own.numel() / groups);
  count_ += count;
  sums_.resize(static_cast<size_t>(2 * groups));
  for (size_t g = 0; g < sums_.size(); g += 2) {
    const double mean = host.data<float>()[g], variance = host.data<float>()[g + 1];
    sums_[g] += mean * count;
    sums_[g + 1] += (variance + mean * mean) * count;
  }
  return moments;
}

bool BandMoments::end_pass() {
  if (sums_.empty()) return false;
  std::vector<float> moments(sums_.size());
  for (size_t g = 0; g < moments.size(); g += 2) {
    const double mean = sums_[g] / count_;
    moments[g] = static_cast<float>(mean);
    moments[g + 1] = static_cast<float>(sums_[g + 1] / count_ - mean * mean);
  }
  known_.push_back(host_tensor(Shape{1, static_cast<int64_t>(moments.size()) / 2, 2},
                               std::span<const float>(moments)));
  count_ = 0;
  sums_.clear();
  return true;
}

}  // namespace tintype::nn
