#include "models/rrdbnet/rrdbnet.h"

#include <algorithm>

#include "base/check.h"

namespace tintype {
namespace {

constexpr int kDenseConvs = 5;
constexpr float kResidualScale = 0.2f;
// The head's tensors are up to 16 times the picture's area; a band of this many rows of features
// keeps them below the trunk's.
constexpr int64_t kBandRows = 64;

nn::Conv2d conv3x3(const WeightScope& w, int64_t in, int64_t out) {
  return {w, in, out, 3, nn::same_padding(1)};
}

const nn::Fused kLeaky{.activation = Activation::kLeakyRelu};

Tensor scaled_onto(const Tensor& x, const Tensor& change) {
  return ops::weighted_sum({{kResidualScale, &change}, {1.0f, &x}});
}

/// [1,H,W,C] -> [1,H/s,W/s,C*s*s], channels as torch.pixel_unshuffle orders them.
Tensor unshuffled(const Tensor& x, int64_t s) {
  if (s == 1) return x;
  if (x.device() == Device::kMeta)
    return ops::empty(Shape{1, x.dim(1) / s, x.dim(2) / s, x.dim(3) * s * s}, DType::kF32,
                      Device::kMeta);
  const Tensor host = ops::to_host(x);
  const int64_t h = x.dim(1) / s, w = x.dim(2) / s, channels = x.dim(3);
  Tensor out = ops::empty(Shape{1, h, w, channels * s * s}, DType::kF32, Device::kCpu);
  float* to = out.mutable_data<float>();
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x0 = 0; x0 < w; ++x0)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t v = 0; v < s; ++v)
          for (int64_t u = 0; u < s; ++u)
            *to++ = host.data<float>()[((y * s + v) * w * s + x0 * s + u) * channels + c];
  return ops::to_device(out, x.device());
}

/// Rows of the one picture x [1,H,W,C].
Tensor rows_of(const Tensor& x, int64_t begin, int64_t end) {
  return x.reshape(Shape{x.dim(1), x.dim(2), x.dim(3)})
      .slice(begin, end)
      .reshape(Shape{1, end - begin, x.dim(2), x.dim(3)});
}

uint64_t conv_parameters(int64_t in, int64_t out) {
  return static_cast<uint64_t>(in * 9 + 1) * static_cast<uint64_t>(out);
}

UpscalingNetwork::Traits traits_of(const RrdbNetConfig& c) {
  uint64_t dense = 0;
  for (int64_t i = 0; i < kDenseConvs; ++i)
    dense +=
        conv_parameters(c.features + i * c.growth, i + 1 < kDenseConvs ? c.growth : c.features);
  // Trunk: one pixel a convolution, of blocks of `unshuffle` pixels; the head sees three at most.
  const int64_t reach = 1 + c.blocks * 3 * kDenseConvs + 1 + 3;
  return {.scale = (int64_t{1} << c.doublings) / c.unshuffle,
          .multiple = c.unshuffle,
          .receptive_field = reach * c.unshuffle,
          .parameters =
              conv_parameters(3 * c.unshuffle * c.unshuffle, c.features) +
              static_cast<uint64_t>(c.blocks) * 3 * dense +
              static_cast<uint64_t>(c.doublings + 2) * conv_parameters(c.features, c.features) +
              conv_parameters(c.features, 3)};
}

}  // namespace

RrdbNet::DenseBlock::DenseBlock(const WeightScope& w, const RrdbNetConfig& c) {
  for (int64_t i = 0; i < kDenseConvs; ++i)
    convs.push_back(conv3x3(w / cat("conv", i + 1), c.features + i * c.growth,
                            i + 1 < kDenseConvs ? c.growth : c.features));
}

Tensor RrdbNet::DenseBlock::forward(const Tensor& x) const {
  Tensor all = x;
  for (int i = 0; i + 1 < kDenseConvs; ++i)
    all = ops::concat_last(all, convs[static_cast<size_t>(i)].forward(all, kLeaky));
  return scaled_onto(x, convs.back().forward(all));
}

RrdbNet::Rrdb::Rrdb(const WeightScope& w, const RrdbNetConfig& c)
    : rdb1(w / "rdb1", c), rdb2(w / "rdb2", c), rdb3(w / "rdb3", c) {}

Tensor RrdbNet::Rrdb::forward(const Tensor& x) const {
  return scaled_onto(x, rdb3.forward(rdb2.forward(rdb1.forward(x))));
}

RrdbNet::RrdbNet(const WeightScope& w, const RrdbNetConfig& c)
    : config_(c),
      traits_(traits_of(c)),
      conv_first_(conv3x3(w / "conv_first", 3 * c.unshuffle * c.unshuffle, c.features)),
      conv_body_(conv3x3(w / "conv_body", c.features, c.features)),
      conv_hr_(conv3x3(w / "conv_hr", c.features, c.features)),
      conv_last_(conv3x3(w / "conv_last", c.features, 3)) {
  for (int64_t i = 0; i < c.blocks; ++i) body_.emplace_back(w / "body" / i, c);
  for (int64_t i = 0; i < c.doublings; ++i)
    conv_up_.push_back(conv3x3(w / cat("conv_up", i + 1), c.features, c.features));
}

Tensor RrdbNet::head(const Tensor& features, int64_t begin, int64_t end) const {
  // conv_hr and conv_last see two pixels of the result, conv_up two more at worst: with a doubling
  // before each, three rows of features cover them all.
  const int64_t halo = 4;
  const int64_t top = std::max<int64_t>(begin - halo, 0);
  const int64_t bottom = std::min(end + halo, features.dim(1));
  Tensor h = rows_of(features, top, bottom);
  for (const nn::Conv2d& up : conv_up_)
    h = up.forward_resized(h, 2 * h.dim(1), 2 * h.dim(2), kLeaky);
  h = conv_last_.forward(conv_hr_.forward(h, kLeaky));
  const int64_t pixels = int64_t{1} << config_.doublings;
  return rows_of(h, (begin - top) * pixels, (end - top) * pixels);
}

Tensor RrdbNet::forward(const Tensor& x, const std::function<void()>& check) const {
  TT_REQUIRE(x.rank() == 4 && x.dim(0) == 1 && x.dim(3) == 3 && x.dim(1) % config_.unshuffle == 0 &&
                 x.dim(2) % config_.unshuffle == 0,
             "upscaler", "the picture must be [1,H,W,3] with H and W multiples of ",
             config_.unshuffle, ", got ", x.shape());
  const Tensor first = conv_first_.forward(unshuffled(x, config_.unshuffle));
  Tensor trunk = first;
  for (const Rrdb& block : body_) {
    trunk = block.forward(trunk);
    if (check) check();
  }
  const Tensor features = conv_body_.forward(trunk, {.residual = &first});
  std::vector<Tensor> bands;
  for (int64_t row = 0; row < features.dim(1); row += kBandRows) {
    const Tensor band = head(features, row, std::min(row + kBandRows, features.dim(1)));
    bands.push_back(band.reshape(Shape{band.dim(1), band.dim(2), band.dim(3)}));
    if (check) check();
  }
  const Tensor all = ops::concat_first(bands);
  return all.reshape(Shape{1, all.dim(0), all.dim(1), all.dim(2)});
}

}  // namespace tintype
