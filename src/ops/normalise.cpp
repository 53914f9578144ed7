#include <cmath>

#include "ops/checks.h"
#include "ops/observer.h"
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

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  WeightFormat consumer) {
  check_affine(x, weight, bias, eps, "layer_norm");
  Tensor out = empty_input(x, x.shape(), consumer);
  const OpTimer timer([&] { return describe_plain("layer_norm", {&x, &weight, &bias}, out); });
  backend_for(x.device()).layer_norm(x, weight, bias, eps, out);
  return out;
}

namespace {

void require_groups(const Tensor& x, int groups, const char* op) {
  TT_REQUIRE(groups >= 1 && x.dim(-1) % groups == 0, op, "groups must divide C=", x.dim(-1),
             ", got ", groups);
}

}  // namespace

Tensor group_moments(const Tensor& x, int groups) {
  require_f32(x, "group_moments", "x");
  TT_REQUIRE(x.rank() >= 2 && x.numel() > 0, "group_moments",
             "x must be [B,...,C] and not empty, got ", x.shape());
  require_groups(x, groups, "group_moments");
  Tensor out = empty_like(x, Shape{x.dim(0), groups, 2});
  const OpTimer timer([&] { return describe_plain("group_moments", {&x}, out); });
  backend_for(x.device()).group_moments(x, out);
  return out;
}

Tensor group_norm(const Tensor& x, const GroupNormOptions& options, const Tensor& weight,
                  const Tensor& bias) {
  check_affine(x, weight, bias, options.eps, "group_norm");
  require_groups(x, options.groups, "group_norm");
  if (options.moments)
    require_operand(x, *options.moments, Shape{x.dim(0), options.groups, 2}, "group_norm",
                    "moments");
  Tensor out = empty_input(x, x.shape(), options.consumer);
  const OpTimer timer([&] { return describe_plain("group_norm", {&x, &weight, &bias}, out); });
  backend_for(x.device()).group_norm(x, options, weight, bias, out);
  return out;
}

Tensor activation(const Tensor& x, Activation kind) {
  require_f32(x, "activation", "x");
  Tensor out = empty_like(x, x.shape());
  const OpTimer timer([&] { return describe_plain("activation", {&x}, out); });
  backend_for(x.device()).activation(x, kind, out);
  return out;
}

Tensor geglu(const Tensor& x, WeightFormat consumer) {
  require_f32(x, "geglu", "x");
  TT_REQUIRE(x.rank() >= 1 && x.dim(-1) % 2 == 0, "geglu", "x must be [...,2C], got ", x.shape());
  Tensor out = empty_input(x, x.shape().with(-1, x.dim(-1) / 2), consumer);
  const OpTimer timer([&] { return describe_plain("geglu", {&x}, out); });
  backend_for(x.device()).geglu(x, out);
  return out;
}

}  // namespace tintype::ops
