#include "ops/op_cases.h"

#include <cmath>
#include <limits>
#include <memory>

#include "backend/registry.h"
#include "ops/ops.h"

namespace tintype::testing {
namespace {

using Run = std::function<Tensor(Device)>;

struct LinearCase {
  Shape x;
  int64_t out;
  Activation activation = Activation::kNone;
  bool bias = true, image_bias = false, residual = false;
  DType storage = DType::kF32;
  WeightFormat format = WeightFormat::kStored;
};

Run linear_run(const LinearCase& c) {
  return [c](Device d) {
    const Tensor x = random_tensor(c.x, 1, d);
    const Tensor host = ops::cast(random_tensor(Shape{c.out, c.x[-1]}, 2), c.storage);
    const auto weight = ops::pack(host, d, c.format);
    const Shape out = c.x.with(-1, c.out);
    const Tensor bias = random_tensor(Shape{c.out}, 3, d);
    const Tensor image_bias = random_tensor(Shape{c.x[0], c.out}, 4, d);
    const Tensor residual = random_tensor(out, 5, d);
    return ops::linear(x, *weight,
                       {.bias = c.bias ? &bias : nullptr,
                        .image_bias = c.image_bias ? &image_bias : nullptr,
                        .activation = c.activation,
                        .residual = c.residual ? &residual : nullptr});
  };
}

void add_linear(std::vector<OpCase>& cases) {
  const LinearCase table[] = {
      {.x = Shape{1, 1}, .out = 1},
      {.x = Shape{0, 7}, .out = 5},
      {.x = Shape{7, 1}, .out = 7, .bias = false},
      {.x = Shape{3, 64}, .out = 33, .activation = Activation::kSilu},
      {.x = Shape{2, 5, 31}, .out = 16, .activation = Activation::kGelu, .residual = true},
      {.x = Shape{2, 5, 40},
       .out = 17,
       .activation = Activation::kQuickGelu,
       .image_bias = true,
       .residual = true},
      {.x = Shape{13, 96}, .out = 100, .residual = true, .storage = DType::kF16},
      {.x = Shape{2, 77, 192}, .out = 768, .storage = DType::kBF16},
      {.x = Shape{2, 1280}, .out = 1280},
      {.x = Shape{2, 256, 320}, .out = 320, .residual = true},
      {.x = Shape{1, 1}, .out = 1, .format = WeightFormat::kInt8},
      {.x = Shape{7, 3}, .out = 33, .bias = false, .format = WeightFormat::kInt8},
      {.x = Shape{0, 7}, .out = 5, .format = WeightFormat::kInt8},
      {.x = Shape{2, 5, 40},
       .out = 17,
       .activation = Activation::kGelu,
       .image_bias = true,
       .residual = true,
       .storage = DType::kF16,
       .format = WeightFormat::kInt8},
      {.x = Shape{2, 77, 191}, .out = 768, .format = WeightFormat::kInt8},
      {.x = Shape{2, 256, 320}, .out = 320, .residual = true, .format = WeightFormat::kInt8}};
  for (const LinearCase& c : table)
    cases.push_back(
        {"linear",
         cat(c.x, " -> ", c.out, " ", to_string(c.activation), c.image_bias ? " image_bias" : "",
             c.residual ? " residual" : "", " ", c.storage, " ", c.format),
         linear_run(c), c.x[-1], 2.0 * static_cast<double>(c.x.numel() * c.out)});
}

struct ConvCase {
  Shape x;
  int64_t out, kernel;
  Conv2dGeometry geometry;
  bool image_bias = false, residual = false;
  Activation activation = Activation::kNone;
  DType storage = DType::kF32;
  WeightFormat format = WeightFormat::kStored;
};

Run conv_run(const ConvCase& c) {
  return [c](Device d) {
    const Tensor x = random_tensor(c.x, 1, d);
    const auto weight =
        ops::pack(ops::cast(random_tensor(Shape{c.out, c.x[3], c.kernel, c.kernel}, 2), c.storage),
                  d, c.format);
    const Tensor bias = random_tensor(Shape{c.out}, 3, d);
    const Tensor image_bias = random_tensor(Shape{c.x[0], c.out}, 4, d);
    const Tensor plain = ops::conv2d(x, *weight, c.geometry);
    const Tensor residual = random_tensor(plain.shape(), 5, d);
    return ops::conv2d(x, *weight, c.geometry,
                       {.bias = &bias,
                        .image_bias = c.image_bias ? &image_bias : nullptr,
                        .activation = c.activation,
                        .residual = c.residual ? &residual : nullptr});
  };
}

/// Products with what adapters add to them.
struct AdaptedCase {
  Shape x;  ///< of a linear layer [B,S,K], or of a 3x3 convolution [B,H,W,I]
  int64_t out;
  struct Term {
    int64_t rank;  ///< 0: the identity
    int64_t first_image = 0, images = 1;
    float scale = 1;
    bool gain = false;
    DType storage = DType::kF32;
  };
  std::vector<Term> terms;
  bool image_gain = false;
  Activation activation = Activation::kNone;
  bool residual = false;
  WeightFormat format = WeightFormat::kStored;
};

Run adapted_run(const AdaptedCase& c) {
  return [c](Device d) {
    const bool conv = c.x.rank() == 4;
    const Tensor x = random_tensor(c.x, 1, d);
    const Shape shape = conv ? Shape{c.out, c.x[-1], 3, 3} : Shape{c.out, c.x[-1]};
    const auto weight = ops::pack(random_tensor(shape, 2), d, c.format);
    const Shape out = c.x.with(-1, c.out);
    const Tensor bias = random_tensor(Shape{c.out}, 3, d), residual = random_tensor(out, 5, d),
                 image_gain = random_tensor(Shape{c.x[0], c.out}, 6, d),
                 gain = random_tensor(Shape{c.out}, 7, d);
    std::vector<Tensor> middles;
    std::vector<std::unique_ptr<PackedWeight>> ups;
    std::vector<LowRankTerm> terms;
    for (uint32_t i = 0; i < c.terms.size(); ++i) {
      const AdaptedCase::Term& term = c.terms[i];
      const int64_t width = term.rank ? term.rank : c.out;
      middles.push_back(random_tensor(out.with(0, term.images).with(-1, width), 20 + i, d));
      ups.push_back(nullptr);
      if (term.rank)
        ups.back() =
            ops::pack(ops::cast(random_tensor(Shape{c.out, term.rank}, 30 + i), term.storage), d);
    }
    for (size_t i = 0; i < c.terms.size(); ++i)
      terms.push_back({.middle = &middles[i],
                       .up = ups[i].get(),
                       .scale = c.terms[i].scale,
                       .gain = c.terms[i].gain ? &gain : nullptr,
                       .first_image = c.terms[i].first_image});
    const Epilogue epilogue{.image_gain = c.image_gain ? &image_gain : nullptr,
                            .low_rank = terms,
                            .bias = &bias,
                            .activation = c.activation,
                            .residual = c.residual ? &residual : nullptr};
    if (!conv) return ops::linear(x, *weight, epilogue);
    return ops::conv2d(x, *weight, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1},
                       epilogue);
  };
}

void add_adapted(std::vector<OpCase>& cases) {
  using Term = AdaptedCase::Term;
  const Term mixed{.rank = 5, .first_image = 1, .images = 2, .scale = 0.7f, .gain = true};
  const Term half{.rank = 16, .images = 3, .scale = -1.5f, .storage = DType::kF16};
  const Term whole{.rank = 0, .first_image = 2, .scale = 0.3f};
  for (const WeightFormat format : {WeightFormat::kStored, WeightFormat::kInt8}) {
    const AdaptedCase table[] = {
        {.x = Shape{1, 1, 1}, .out = 1, .terms = {{.rank = 1}}},
        {.x = Shape{0, 4, 7}, .out = 5, .terms = {{.rank = 3, .images = 0}}},
        {.x = Shape{3, 13, 40}, .out = 17, .terms = {mixed, half}, .residual = true},
        {.x = Shape{3, 13, 40},
         .out = 50,
         .terms = {half},
         .image_gain = true,
         .activation = Activation::kSilu},
        {.x = Shape{3, 29, 64}, .out = 100, .terms = {half, whole, mixed}, .image_gain = true},
        {.x = Shape{3, 6, 5, 20}, .out = 36, .terms = {mixed, whole}, .residual = true},
        {.x = Shape{2, 256, 320}, .out = 320, .terms = {{.rank = 16, .images = 2}}}};
    for (AdaptedCase c : table) {
      c.format = format;
      cases.push_back({c.x.rank() == 4 ? "conv2d" : "linear",
                       cat(c.x, " -> ", c.out, " with ", c.terms.size(), " low-rank terms",
                           c.image_gain ? " image_gain" : "", " ", format),
                       adapted_run(c), c.x[-1] * (c.x.rank() == 4 ? 9 : 1) + 21});
    }
  }
}

void add_conv2d(std::vector<OpCase>& cases) {
  const Conv2dGeometry same{.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
  const auto resized = [&](int64_t height, int64_t width) {
    Conv2dGeometry geometry = same;
    geometry.resize_height = height;
    geometry.resize_width = width;
    return geometry;
  };
  const Conv2dGeometry half{
      .stride = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
  const Conv2dGeometry corner{.stride = 2, .pad_bottom = 1, .pad_right = 1};
  const ConvCase table[] = {
      {Shape{1, 1, 1, 1}, 1, 1, {}},
      {Shape{1, 1, 1, 3}, 5, 3, same},
      {Shape{0, 4, 4, 3}, 5, 3, same},
      {Shape{2, 7, 5, 20}, 36, 3, same, true, true},
      {Shape{2, 7, 5, 20}, 36, 3, half},
      {Shape{1, 8, 6, 33}, 17, 3, corner},
      {Shape{1, 5, 9, 4}, 64, 5, {.pad_top = 2, .pad_left = 2, .pad_bottom = 2, .pad_right = 2}},
      {Shape{1, 12, 13, 64}, 4, 3, same, false, false, Activation::kSilu},
      {Shape{2, 16, 16, 96}, 192, 3, same, true, false},
      {Shape{1, 16, 16, 48}, 48, 1, {}, false, true},
      {Shape{1, 16, 16, 320}, 320, 3, same},
      {Shape{2, 3, 4, 5}, 6, 3, resized(6, 8)},
      {Shape{1, 3, 5, 7}, 9, 3, resized(5, 9)},
      {Shape{1, 1, 1, 3}, 4, 3, resized(2, 1)},
      {Shape{1, 8, 8, 33}, 20, 3, resized(15, 16), true, true},
      {.x = Shape{2, 7, 5, 20}, .out = 36, .kernel = 3, .geometry = same, .storage = DType::kF16},
      {.x = Shape{2, 7, 5, 20},
       .out = 36,
       .kernel = 3,
       .geometry = half,
       .image_bias = true,
       .format = WeightFormat::kInt8},
      {.x = Shape{1, 8, 8, 33},
       .out = 20,
       .kernel = 3,
       .geometry = resized(15, 16),
       .residual = true,
       .format = WeightFormat::kInt8},
      {.x = Shape{1, 6, 5, 1500},
       .out = 40,
       .kernel = 3,
       .geometry = same,
       .activation = Activation::kSilu,
       .storage = DType::kF16,
       .format = WeightFormat::kInt8},
      // Deep enough that the taps of a panel are multiplied in several blocks.
      {.x = Shape{1, 6, 5, 900},
       .out = 17,
       .kernel = 3,
       .geometry = same,
       .storage = DType::kBF16}};
  for (const ConvCase& c : table)
    cases.push_back(
        {"conv2d",
         cat(c.x, " -> ", c.out, " ", c.kernel, "x", c.kernel, " stride ", c.geometry.stride,
             " pad ", c.geometry.pad_top, c.geometry.pad_left, c.geometry.pad_bottom,
             c.geometry.pad_right,
             c.geometry.resize_height
                 ? cat(" of ", c.geometry.resize_height, "x", c.geometry.resize_width)
                 : "",
             c.image_bias ? " image_bias" : "", c.residual ? " residual" : "", " ", c.storage),
         conv_run(c), c.x[3] * c.kernel * c.kernel,
         2.0 * static_cast<double>(c.x.numel() * c.out * c.kernel * c.kernel) /
             (c.geometry.stride * c.geometry.stride)});
}

void add_attention(std::vector<OpCase>& cases) {
  struct Case {
    int64_t images, queries, keys, heads, width;
    bool causal;
    float scale;
  };
  const Case table[] = {{1, 1, 1, 1, 1, false, 1.0f},        {2, 77, 77, 4, 48, true, 0.15f},
                        {1, 7, 7, 1, 5, true, 3.0f},         {2, 100, 77, 8, 40, false, 0.16f},
                        {1, 300, 300, 2, 64, false, 0.125f}, {1, 260, 513, 3, 11, false, 2.0f},
                        {1, 64, 64, 1, 512, false, 0.044f},  {1, 49, 1, 2, 160, false, 1.0f},
                        {1, 600, 600, 2, 32, true, 1.0f},    {1, 520, 520, 8, 40, false, 0.16f},
                        {0, 5, 5, 1, 8, false, 1.0f}};
  // Of the greatest output: inputs and probabilities keep 7 to 8 bits; the errors of scores grow
  // with their scale.
  const auto int8_error = [](float scale) { return 0.02 + 0.02 * scale; };
  for (const Case& c : table) {
    for (const bool int8 : {false, true}) {
      const auto run = [c, int8](Device d) {
        const int64_t columns = c.heads * c.width;
        return ops::attention(random_tensor(Shape{c.images, c.queries, columns}, 1, d),
                              random_tensor(Shape{c.images, c.keys, columns}, 2, d),
                              random_tensor(Shape{c.images, c.keys, columns}, 3, d),
                              {.heads = static_cast<int>(c.heads),
                               .scale = c.scale,
                               .causal = c.causal,
                               .int8 = int8});
      };
      cases.push_back({"attention",
                       cat("B=", c.images, " S=", c.queries, " T=", c.keys, " H=", c.heads,
                           " D=", c.width, c.causal ? " causal" : "", int8 ? " int8" : ""),
                       run, c.keys + c.width,
                       4.0 * static_cast<double>(c.images * c.queries * c.keys * c.heads * c.width),
                       int8 ? int8_error(c.scale) : 0});
    }
  }
}

void add_normalisations(std::vector<OpCase>& cases) {
  for (const int64_t c : {1, 7, 16, 64, 320, 1023}) {
    cases.push_back({"layer_norm", cat("[2,3,", c, "]"),
                     [c](Device d) {
                       return ops::layer_norm(random_tensor(Shape{2, 3, c}, 1, d),
                                              random_tensor(Shape{c}, 2, d),
                                              random_tensor(Shape{c}, 3, d), 1e-5f);
                     },
                     c});
  }
  struct Case {
    Shape x;
    int groups;
    Activation activation;
  };
  for (const Case& c : {Case{Shape{1, 1, 1, 4}, 2, Activation::kNone},
                        Case{Shape{2, 5, 7, 36}, 4, Activation::kSilu},
                        Case{Shape{0, 5, 7, 36}, 4, Activation::kSilu},
                        Case{Shape{2, 33, 96}, 16, Activation::kNone},
                        Case{Shape{1, 64, 64, 320}, 32, Activation::kSilu},
                        Case{Shape{1, 9, 9, 31}, 31, Activation::kGelu}})
    for (const bool given : {false, true}) {
      const auto run = [c, given](Device d) {
        const Tensor x = random_tensor(c.x, 1, d);
        // Moments that are not x's: squares, since a variance is not negative.
        const Tensor moments = ops::group_moments(
            random_tensor(Shape{std::max<int64_t>(c.x[0], 1), 3, c.x[-1]}, 4, d), c.groups);
        const bool fits = given && c.x[0] > 0;
        return ops::group_norm(x,
                               {.groups = c.groups,
                                .eps = 1e-6f,
                                .activation = c.activation,
                                .moments = fits ? &moments : nullptr},
                               random_tensor(Shape{c.x[-1]}, 2, d),
                               random_tensor(Shape{c.x[-1]}, 3, d));
      };
      cases.push_back(
          {"group_norm",
           cat(c.x, " groups ", c.groups, " ", to_string(c.activation), given ? " moments" : ""),
           run, 64, 10.0 * static_cast<double>(c.x.numel())});
      if (!given && c.x[0] > 0)
        cases.push_back(
            {"group_moments", cat(c.x, " groups ", c.groups),
             [c](Device d) { return ops::group_moments(random_tensor(c.x, 1, d), c.groups); }, 64,
             4.0 * static_cast<double>(c.x.numel())});
    }
}

void add_elementwise(std::vector<OpCase>& cases) {
  for (const int64_t n : {0, 1, 7, 64, 1000, 40001}) {
    for (const Activation kind :
         {Activation::kSilu, Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu})
      cases.push_back({"activation", cat(to_string(kind), " [", n, "]"), [n, kind](Device d) {
                         const Tensor x = random_tensor(Shape{n}, 1, d);
                         // Twelve times wider than [-1,1): the tails matter as much as the middle.
                         return ops::activation(ops::weighted_sum({{12.0f, &x}}), kind);
                       }});
    cases.push_back({"weighted_sum", cat("three of [", n, "]"), [n](Device d) {
                       const Tensor a = random_tensor(Shape{n}, 1, d),
                                    b = random_tensor(Shape{n}, 2, d),
                                    c = random_tensor(Shape{n}, 3, d);
                       return ops::weighted_sum({{0.5f, &a}, {-1.25f, &b}, {3.0f, &c}});
                     }});
    cases.push_back({"cast", cat("f32 -> f16 -> f32 [", n, "]"), [n](Device d) {
                       return ops::cast(ops::cast(random_tensor(Shape{n}, 1, d), DType::kF16),
                                        DType::kF32);
                     }});
    cases.push_back({"cast", cat("f32 -> bf16 -> f32 [", n, "]"), [n](Device d) {
                       return ops::cast(ops::cast(random_tensor(Shape{n}, 1, d), DType::kBF16),
                                        DType::kF32);
                     }});
  }
  for (const int64_t c : {1, 5, 32, 100})
    cases.push_back({"geglu", cat("[3,7,", 2 * c, "]"), [c](Device d) {
                       return ops::geglu(random_tensor(Shape{3, 7, 2 * c}, 1, d));
                     }});
}

void add_movement(std::vector<OpCase>& cases) {
  cases.push_back({"concat_last", "[2,3,5] + [2,3,11]", [](Device d) {
                     return ops::concat_last(random_tensor(Shape{2, 3, 5}, 1, d),
                                             random_tensor(Shape{2, 3, 11}, 2, d));
                   }});
  cases.push_back({"concat_first", "[2,5] + [3,5]", [](Device d) {
                     return ops::concat_first(random_tensor(Shape{2, 5}, 1, d),
                                              random_tensor(Shape{3, 5}, 2, d));
                   }});
  for (const DType storage : {DType::kF32, DType::kF16, DType::kBF16})
    cases.push_back(
        {"embedding", cat("[11,7] of ", storage, " by [2,3]"), [storage](Device d) {
           const int32_t ids[] = {0, 10, 3, 3, 7, 1};
           const Tensor table = ops::cast(random_tensor(Shape{11, 7}, 1, d), storage);
           return ops::embedding(table, host_tensor(Shape{2, 3}, std::span<const int32_t>(ids)));
         }});
  cases.push_back({"linear", "rows 1..3 of a larger tensor (a view)",
                   [](Device d) {
                     const auto weight = ops::pack(random_tensor(Shape{9, 7}, 2), d);
                     return ops::linear(random_tensor(Shape{5, 7}, 1, d).slice(1, 4), *weight);
                   },
                   7});
}

std::vector<OpCase> build() {
  std::vector<OpCase> cases;
  add_linear(cases);
  add_conv2d(cases);
  add_adapted(cases);
  add_attention(cases);
  add_normalisations(cases);
  add_elementwise(cases);
  add_movement(cases);
  return cases;
}

}  // namespace

Tensor random_tensor(const Shape& shape, uint32_t seed, Device device) {
  Tensor host = empty_host(shape);
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (float& value : host.mutable_span<float>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
  }
  return ops::to_device(host, device);
}

double tolerance(int64_t reduction, double scale) {
  const double eps = std::numeric_limits<float>::epsilon();
  return eps * (4.0 + 2.0 * std::sqrt(static_cast<double>(reduction))) * std::max(scale, 1.0);
}

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = build();
  return cases;
}

}  // namespace tintype::testing
