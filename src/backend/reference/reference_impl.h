/// Declarations shared by the two source files of the reference backend. Internal.
#pragma once

#include "backend/backend.h"

namespace tintype::reference {

double activate(double x, Activation activation);

/// The weight as f32 in the checkpoint's own order; of an 8-bit one the values that its bytes stand
/// for.
class PlainWeight final : public PackedWeight {
 public:
  PlainWeight(Tensor values, WeightFormat format)
      : PackedWeight(values.shape(), values.nbytes()),
        values_(std::move(values)),
        format_(format) {}
  const float* values() const { return values_.data<float>(); }
  WeightFormat format() const { return format_; }

 private:
  Tensor values_;
  WeightFormat format_;
};

/// Rounds each row [channels] to the nearest of 127 steps either side of zero.
void round_weight_rows(float* values, int64_t rows, int64_t channels);

void linear(const Tensor& x, const PlainWeight& weight, const Epilogue& epilogue, Tensor& out);
void conv2d(const Tensor& x, const PlainWeight& weight, const Conv2dGeometry& geometry,
            const Epilogue& epilogue, Tensor& out);
void attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
               Tensor& out);

}  // namespace tintype::reference
