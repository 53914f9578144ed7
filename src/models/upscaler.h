/// The role of a network that makes pictures larger, and finding out which one a file holds.
/// Immutable after load.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "tensor/tensor.h"
#include "weights/weights.h"

namespace tintype {

class UpscalingNetwork {
 public:
  struct Traits {
    int64_t scale = 4;            ///< result's sides by the picture's
    int64_t multiple = 1;         ///< pictures' sides must be multiples of this
    int64_t receptive_field = 0;  ///< pixels of the picture, each way, that a result's pixel sees
    uint64_t parameters = 0;
  };
  virtual ~UpscalingNetwork() = default;
  virtual const Traits& traits() const = 0;
  /// x [1,H,W,3] in 0..1 -> [1,scale*H,scale*W,3], about 0..1. `check` is called between blocks and
  /// may throw.
  virtual Tensor forward(const Tensor& x, const std::function<void()>& check) const = 0;
};

/// A safetensors file of the ESRGAN family (see models/rrdbnet).
/// throws kNotFound, kIo, kCorruptFile; kUnsupported: pickled weights, another family
std::unique_ptr<UpscalingNetwork> load_upscaler(const std::filesystem::path& file, Device device);
/// The same from any source.
std::unique_ptr<UpscalingNetwork> load_upscaler(std::shared_ptr<const TensorSource> source,
                                                Device device);

}  // namespace tintype
