/// Declarations shared by the two source files of the reference backend. Internal.
#pragma once

#include "backend/backend.h"

namespace tintype::reference {

double activate(double x, Activation activation);

/// The weight as f32 in the checkpoint's own order.
class PlainWeight final : public PackedWeight {
 public:
  explicit PlainWeight(Tensor values)
      : PackedWeight(values.shape(), values.nbytes()), values_(std::move(values)) {}
  const float* values() const { return values_.data<float>(); }

 private:
  Tensor values_;
};

void linear(const Tensor& x, const PlainWeight& weight, const Epilogue& epilogue, Tensor& out);
void conv2d(const Tensor& x, const PlainWeight& weight, const Conv2dGeometry& geometry,
            const Epilogue& epilogue, Tensor& out);
void attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
               Tensor& out);

}  // namespace tintype::reference
