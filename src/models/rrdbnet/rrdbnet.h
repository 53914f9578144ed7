/// RRDBNet: residual-in-residual dense blocks, the network of ESRGAN, Real-ESRGAN and most
/// community upscalers. source  Wang et al. 2018, arXiv:1809.00219; Wang et al. 2021,
/// arXiv:2107.10833. Immutable after construction.
#pragma once

#include <vector>

#include "models/upscaler.h"
#include "nn/layers.h"

namespace tintype {

/// All found in the weights' shapes.
struct RrdbNetConfig {
  int64_t unshuffle = 1;  ///< blocks of so many pixels each way become channels first: 1, 2 or 4
  int64_t features = 64, growth = 32, blocks = 23;
  int64_t doublings = 2;  ///< result: 2^doublings / unshuffle times the picture
};

class RrdbNet final : public UpscalingNetwork {
 public:
  RrdbNet(const WeightScope& w, const RrdbNetConfig& config);
  const Traits& traits() const override { return traits_; }
  Tensor forward(const Tensor& x, const std::function<void()>& check) const override;

 private:
  /// x + 0.2 conv5(lrelu(conv4(...))), each convolution seeing all results before it
  struct DenseBlock {
    DenseBlock(const WeightScope& w, const RrdbNetConfig& config);
    Tensor forward(const Tensor& x) const;
    std::vector<nn::Conv2d> convs;
  };
  /// Three dense blocks, and x once more.
  struct Rrdb {
    Rrdb(const WeightScope& w, const RrdbNetConfig& config);
    Tensor forward(const Tensor& x) const;
    DenseBlock rdb1, rdb2, rdb3;
  };

  /// Features [1,h,w,F] of the whole picture to a band of the result: rows `begin`..`end`.
  Tensor head(const Tensor& features, int64_t begin, int64_t end) const;

  RrdbNetConfig config_;
  Traits traits_;
  nn::Conv2d conv_first_;
  std::vector<Rrdb> body_;
  nn::Conv2d conv_body_;
  std::vector<nn::Conv2d> conv_up_;
  nn::Conv2d conv_hr_, conv_last_;
};

/// The names that the network asks for (Real-ESRGAN's), whichever of its three namings the file
/// has, and its sizes. throws kUnsupported naming what is missing
struct RrdbNetFile {
  RrdbNetConfig config;
  std::shared_ptr<const TensorSource> source;
};
RrdbNetFile describe_rrdbnet(std::shared_ptr<const TensorSource> source);

}  // namespace tintype
