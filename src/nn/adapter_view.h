/// What a request's adapters add to the layers of one network: resolved to the layers' slots,
/// passed down a forward pass as a value. Layers stay const, weights are never written. Parsing and
/// matching adapters is src/adapters' business. Immutable after construction; thread-safe.
/// paper  Hu et al. 2021, arXiv:2106.09685 (LoRA)
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "tensor/tensor.h"

namespace tintype::nn {

/// What decomposing a weight into magnitude and direction needs, one number for each output. The
/// layer's weight becomes magnitude * (W + s D) / |W + s D|, with the norms of its rows.
/// paper  Liu et al. 2024, arXiv:2402.09353 (DoRA)
struct MagnitudeChange {
  std::vector<float> magnitude = {};
  /// |W|^2, W . D and |D|^2, so that the norms for any s cost one pass over the outputs.
  std::vector<double> weight_squares = {}, products = {}, change_squares = {};
};

/// A change D of one layer's weight, as products: D x = scale * up(mid(down(x))).
struct LayerDelta {
  /// [R,I/blocks], or [R,I,kh,kw] of a convolution; without `up` it is the whole change [N,...].
  /// In 8 bits beside a layer in 8 bits, whose rounded inputs it then shares.
  std::unique_ptr<PackedWeight> down;
  std::unique_ptr<PackedWeight> mid;  ///< [R',R,kh,kw] behind a 1x1 `down`; null: none
  std::unique_ptr<PackedWeight> up;   ///< [N,R]
  float scale = 1;                    ///< alpha / rank
  /// Linear layers: runs of channels, each of which meets `down`; R numbers of each are the middle.
  int64_t blocks = 1;
  std::optional<MagnitudeChange> magnitude = {};
  size_t bytes() const;
};

/// A delta in use, for images first_image..last_image-1 of a batch.
struct AppliedDelta {
  std::shared_ptr<const LayerDelta> delta = nullptr;
  float scale = 1;  ///< the request's weight times the delta's scale
  /// What the layer's outputs are multiplied with (MagnitudeChange); empty: nothing.
  std::vector<float> gain = {};
  int64_t first_image = 0, last_image = std::numeric_limits<int64_t>::max();
};

/// Of a delta at a request's weight.
AppliedDelta apply(std::shared_ptr<const LayerDelta> delta, float weight);

/// What the input of a layer is best made for: what its weight and every delta multiply in, where
/// that is the same.
WeightFormat joint_format(std::span<const AppliedDelta> deltas, const PackedWeight& weight);

class AdapterView {
 public:
  struct Entry {
    int64_t slot;
    AppliedDelta delta;
  };
  explicit AdapterView(std::vector<Entry> entries);

  /// In the order given to the constructor; empty for most slots of most adapters.
  std::span<const AppliedDelta> at(int64_t slot) const;
  bool empty() const { return deltas_.empty(); }
  /// All that have something added are below.
  int64_t slots() const { return first_.empty() ? 0 : static_cast<int64_t>(first_.size()) - 1; }
  /// True when images of a batch differ in what is added to them.
  bool mixed() const { return mixed_; }

 private:
  std::vector<AppliedDelta> deltas_;  ///< by slot
  std::vector<uint32_t> first_;       ///< of slot i; one more at the end
  bool mixed_ = false;
};

/// Of a batch whose image i has what `of_image[i]` adds to a whole batch; null: nothing. Null when
/// all are.
std::shared_ptr<const AdapterView> side_by_side(std::span<const AdapterView* const> of_image);

/// The low-rank terms of one product, with all that they point to. Lives as long as the product.
class LowRankTerms {
 public:
  /// x [B,...,I] as the layer gets it; `geometry` of a convolution, null for a linear layer.
  LowRankTerms(std::span<const AppliedDelta> deltas, const Tensor& x, int64_t outputs,
               const Conv2dGeometry* geometry);
  LowRankTerms(const LowRankTerms&) = delete;
  LowRankTerms& operator=(const LowRankTerms&) = delete;
  void add_to(Epilogue& epilogue) const;

 private:
  std::vector<Tensor> tensors_;  ///< never grows beyond what is reserved: terms point into it
  std::vector<LowRankTerm> terms_;
  const Tensor* image_gain_ = nullptr;
};

}  // namespace tintype::nn
