/// Argument checks shared by the ops. Internal to src/ops.
#pragma once

#include "backend/registry.h"
#include "tensor/tensor.h"

namespace tintype::ops {

inline void require_defined(const Tensor& x, const char* op, const char* name) {
  TT_REQUIRE(x.defined(), op, name, " must be a tensor, got an undefined one");
}

inline void require_f32(const Tensor& x, const char* op, const char* name) {
  require_defined(x, op, name);
  TT_REQUIRE(x.dtype() == DType::kF32, op, name, " must be f32, got ", x.dtype());
}

inline void require_same_device(const Tensor& x, const Tensor& other, const char* op,
                                const char* name) {
  TT_REQUIRE(x.device() == other.device(), op, name, " must be on ", x.device(), ", is on ",
             other.device());
}

/// An f32 operand of exactly `shape` on x's device.
inline void require_operand(const Tensor& x, const Tensor& operand, const Shape& shape,
                            const char* op, const char* name) {
  require_f32(operand, op, name);
  require_same_device(x, operand, op, name);
  TT_REQUIRE(operand.shape() == shape, op, name, " must be ", shape, ", got ", operand.shape());
}

/// What products take: floats, or what norms made of them for products.
inline void require_product_input(const Tensor& x, const char* op, const char* name) {
  require_defined(x, op, name);
  TT_REQUIRE(x.dtype() == DType::kF32 || x.dtype() == DType::kInt8Rows, op, name,
             " must be f32 or int8 rows, got ", x.dtype());
}

inline Tensor empty_like(const Tensor& x, const Shape& shape, DType dtype = DType::kF32) {
  return tintype::empty(backend_for(x.device()).allocator(), shape, dtype);
}

/// For a result that products with weights of `consumer` take.
inline Tensor empty_input(const Tensor& x, const Shape& shape, WeightFormat consumer) {
  return empty_like(x, shape, backend_for(x.device()).input_type(consumer));
}

}  // namespace tintype::ops
