#include <cmath>

#include "ops/checks.h"
#include "ops/ops.h"

namespace tintype::ops {
namespace {

void check_affine(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  const char* op) {
  require_f32(x, op, "x");
  TT_REQUIRE(x.rank() >= 2 && x.dim(-1) >= 1, op, "x must be [...,C] with C >= 1, got ", x.shape());
  require_operand(x, weight, Shape{x.dim(-1)}, op, "weight");
  require_operand(x, bias, Shape{x.dim(-1)}, op, "bias");
  TT_REQUIRE(eps > 0 && std::isfinite(eps), op, "eps must be positive, got ", eps);
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  check_affine(x, weight, bias, eps, "layer_norm");
  Tensor out = empty_like(x, x.shape());
  backend_for(x.device()).layer_norm(x, weight, bias, eps, out);
  return out;
}

Tensor group_norm(const Tensor& x, int groups, const Tensor& weight, const Tensor& bias, float eps,
                  Activation activation) {
  check_affine(x, weight, bias, eps, "group_norm");
  TT_REQUIRE(groups >= 1 && x.dim(-1) % groups == 0, "group_norm",
             "groups must divide C=", x.dim(-1), ", got ", groups);
  Tensor out = empty_like(x, x.shape());
  backend_for(x.device()).group_norm(x, groups, weight, bias, eps, activation, out);
  return out;
}

Tensor activation(const Tensor& x, Activation kind) {
  require_f32(x, "activation", "x");
  Tensor out = empty_like(x, x.shape());
  backend_for(x.device()).activation(x, kind, out);
  return out;
}

Tensor geglu(const Tensor& x) {
  require_f32(x, "geglu", "x");
  TT_REQUIRE(x.rank() >= 1 && x.dim(-1) % 2 == 0, "geglu", "x must be [...,2C], got ", x.shape());
  Tensor out = empty_like(x, x.shape().with(-1, x.dim(-1) / 2));
  backend_for(x.device()).geglu(x, out);
  return out;
}

}  // namespace tintype::ops
