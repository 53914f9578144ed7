#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "backend/registry.h"
#include "ops/op_cases.h"
#include "ops/ops.h"

namespace tintype::testing {
namespace {

class OpCases : public ::testing::TestWithParam<size_t> {};

std::string case_name(const ::testing::TestParamInfo<size_t>& param) {
  std::string name = cat(param.index, "_", op_cases()[param.param].op);
  return name;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         (a.nbytes() == 0 || std::memcmp(a.bytes(), b.bytes(), a.nbytes()) == 0);
}

TEST_P(OpCases, EveryBackendMatchesTheReference) {
  const OpCase& c = op_cases()[GetParam()];
  const Tensor expected = ops::to_host(c.run(Device::kReference));
  for (const Device device : available_devices()) {
    if (device == Device::kReference) continue;
    const Tensor actual = ops::to_host(c.run(device));
    ASSERT_EQ(actual.shape(), expected.shape()) << c.op << " " << c.name << " on " << device;
    double scale = 0, worst = 0;
    for (const float value : expected.span<float>())
      scale = std::max<double>(scale, std::fabs(value));
    for (int64_t i = 0; i < expected.numel(); ++i) {
      const double error = std::fabs(actual.data<float>()[i] - expected.data<float>()[i]);
      ASSERT_FALSE(std::isnan(error)) << c.op << " " << c.name << " element " << i;
      worst = std::max(worst, error);
    }
    EXPECT_LE(worst, c.error > 0 ? c.error * scale : tolerance(c.reduction, scale))
        << c.op << " " << c.name << " on " << device << "; rerun with --gtest_filter=*"
        << case_name({GetParam(), GetParam()});
  }
}

TEST_P(OpCases, SecondRunAndOtherThreadCountsGiveTheSameBits) {
  const OpCase& c = op_cases()[GetParam()];
  const Backend& cpu = backend_for(Device::kCpu);
  cpu.use_threads(1);
  const Tensor one = c.run(Device::kCpu);
  EXPECT_TRUE(same_bits(one, c.run(Device::kCpu))) << c.op << " " << c.name << " second run";
  for (const int threads : {2, 3}) {
    cpu.use_threads(threads);
    EXPECT_TRUE(same_bits(one, c.run(Device::kCpu)))
        << c.op << " " << c.name << " threads " << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, OpCases, ::testing::Range<size_t>(0, op_cases().size()), case_name);

TEST(Ops, AnImageHasTheSameBitsAloneAndInABatch) {
  const Tensor batch = random_tensor(Shape{3, 9, 11, 48}, 1);
  const auto weight = ops::pack(random_tensor(Shape{40, 48, 3, 3}, 2), Device::kCpu);
  const Tensor scale = random_tensor(Shape{40}, 3), shift = random_tensor(Shape{40}, 4);
  const auto run = [&](const Tensor& x) {
    const Tensor h =
        ops::conv2d(x, *weight, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1});
    const Tensor n =
        ops::group_norm(h, {.groups = 8, .activation = Activation::kSilu}, scale, shift);
    const Tensor tokens = n.reshape(Shape{n.dim(0), n.dim(1) * n.dim(2), n.dim(3)});
    return ops::attention(tokens, tokens, tokens, {.heads = 4, .scale = 0.3f});
  };
  const Tensor together = run(batch);
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_TRUE(same_bits(together.slice(i, i + 1), run(batch.slice(i, i + 1)))) << "image " << i;
}

TEST(Ops, RowsWithoutAnAdapterKeepTheirBitsBesideRowsThatHaveOne) {
  const Tensor x = random_tensor(Shape{3, 31, 48}, 1), bias = random_tensor(Shape{70}, 2);
  const auto up = ops::pack(random_tensor(Shape{70, 6}, 3), Device::kCpu);
  const Tensor middle = random_tensor(Shape{1, 31, 6}, 4);
  const LowRankTerm term{.middle = &middle, .up = up.get(), .first_image = 1};
  for (const WeightFormat format : {WeightFormat::kStored, WeightFormat::kInt8}) {
    const auto weight = ops::pack(random_tensor(Shape{70, 48}, 5), Device::kCpu, format);
    const Tensor plain = ops::linear(x, *weight, {.bias = &bias});
    const Tensor mixed = ops::linear(x, *weight, {.low_rank = std::span(&term, 1), .bias = &bias});
    EXPECT_TRUE(same_bits(plain.slice(0, 1), mixed.slice(0, 1))) << format;
    EXPECT_FALSE(same_bits(plain.slice(1, 2), mixed.slice(1, 2))) << format;
    EXPECT_TRUE(same_bits(plain.slice(2, 3), mixed.slice(2, 3))) << format;
    // And rows with one are the same alone and in a batch.
    LowRankTerm alone = term;
    alone.first_image = 0;
    EXPECT_TRUE(same_bits(
        mixed.slice(1, 2),
        ops::linear(x.slice(1, 2), *weight, {.low_rank = std::span(&alone, 1), .bias = &bias})))
        << format;
  }
}

TEST(Ops, HalfWidthWeightsTakeHalfTheMemoryAndGiveTheSameBits) {
  const Tensor x = random_tensor(Shape{70, 640}, 1);
  for (const DType storage : {DType::kF16, DType::kBF16}) {
    const Tensor narrow = ops::cast(random_tensor(Shape{48, 640}, 2), storage);
    const auto packed = ops::pack(narrow, Device::kCpu);
    const auto wide = ops::pack(ops::cast(narrow, DType::kF32), Device::kCpu);
    EXPECT_EQ(2 * packed->bytes(), wide->bytes()) << storage;
    EXPECT_TRUE(same_bits(ops::linear(x, *packed), ops::linear(x, *wide))) << storage;
  }
}

TEST(Ops, HalfWidthEmbeddingsGiveTheBitsOfTheirWidenedTable) {
  const int32_t rows[] = {3, 0, 8};
  const Tensor ids = host_tensor(Shape{3}, std::span<const int32_t>(rows));
  for (const DType storage : {DType::kF16, DType::kBF16}) {
    const Tensor narrow = ops::cast(random_tensor(Shape{9, 33}, 1), storage);
    EXPECT_TRUE(
        same_bits(ops::embedding(narrow, ids), ops::embedding(ops::cast(narrow, DType::kF32), ids)))
        << storage;
  }
}

TEST(Ops, NormsThatRoundAtOnceGiveProductsTheSameBits) {
  constexpr WeightFormat kInt8 = WeightFormat::kInt8;
  for (const int64_t c : {5, 31, 64, 100}) {
    const Tensor x = random_tensor(Shape{2, 7, 2 * c}, 1), weight = random_tensor(Shape{2 * c}, 2),
                 bias = random_tensor(Shape{2 * c}, 3);
    const auto wide = ops::pack(random_tensor(Shape{33, 2 * c}, 4), Device::kCpu, kInt8);
    const auto narrow = ops::pack(random_tensor(Shape{33, c}, 5), Device::kCpu, kInt8);
    const Tensor rounded = ops::layer_norm(x, weight, bias, 1e-5f, kInt8);
    EXPECT_EQ(rounded.dtype(), DType::kInt8Rows);
    EXPECT_EQ(rounded.nbytes(), static_cast<size_t>(14 * (8 + (2 * c + 3) / 4 * 4)));
    EXPECT_TRUE(same_bits(ops::linear(ops::layer_norm(x, weight, bias, 1e-5f), *wide),
                          ops::linear(rounded, *wide)));
    const auto norm = [&](WeightFormat consumer) {
      return ops::group_norm(
          x, {.groups = 2, .activation = Activation::kSilu, .consumer = consumer}, weight, bias);
    };
    EXPECT_TRUE(same_bits(ops::linear(norm(WeightFormat::kStored), *wide),
                          ops::linear(norm(kInt8), *wide)));
    EXPECT_TRUE(
        same_bits(ops::linear(ops::geglu(x), *narrow), ops::linear(ops::geglu(x, kInt8), *narrow)));
  }
}

TEST(Ops, RowsRoundedBeforehandGiveProductsTheSameBits) {
  constexpr WeightFormat kInt8 = WeightFormat::kInt8;
  const Tensor x = random_tensor(Shape{2, 27, 50}, 1);
  const Tensor rounded = ops::as_input(x, kInt8);
  EXPECT_EQ(rounded.dtype(), DType::kInt8Rows);
  EXPECT_EQ(ops::as_input(rounded, kInt8).bytes(), rounded.bytes());
  EXPECT_EQ(ops::as_input(x, WeightFormat::kStored).bytes(), x.bytes());
  EXPECT_EQ(ops::as_input(random_tensor(Shape{0, 3, 5}, 1), kInt8).nbytes(), 0u);
  for (const int64_t columns : {1, 15, 16, 17, 40}) {
    const auto weight = ops::pack(random_tensor(Shape{columns, 50}, 2), Device::kCpu, kInt8);
    EXPECT_TRUE(same_bits(ops::linear(x, *weight), ops::linear(rounded, *weight))) << columns;
  }
}

/// The first products of adapters are as narrow; kernels may take them by a way of their own.
TEST(Ops, AColumnOf8BitWeightsHasTheSameBitsWhateverStandsBesideIt) {
  constexpr WeightFormat kInt8 = WeightFormat::kInt8;
  const Tensor x = random_tensor(Shape{1, 7, 8, 30}, 1),
               all = random_tensor(Shape{48, 30, 3, 3}, 2);
  const Conv2dGeometry geometry = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
  const Tensor wide = ops::conv2d(x, *ops::pack(all, Device::kCpu, kInt8), geometry);
  for (const int64_t columns : {1, 8, 16, 17, 32, 40}) {
    const Tensor narrow =
        ops::conv2d(x, *ops::pack(all.slice(0, columns), Device::kCpu, kInt8), geometry);
    for (int64_t row = 0; row < 7 * 8; ++row)
      for (int64_t n = 0; n < columns; ++n)
        ASSERT_EQ(narrow.data<float>()[row * columns + n], wide.data<float>()[row * 48 + n])
            << columns << " columns, row " << row << ", column " << n;
  }
}

TEST(Ops, RowsRoundedForOneProductServeAnotherWithoutRounding) {
  const std::vector<float> one(64, 1.0f), zero(64, 0.0f);
  const Tensor x = random_tensor(Shape{3, 64}, 1);
  const Tensor ones = host_tensor(Shape{64}, std::span(one)),
               zeros = host_tensor(Shape{64}, std::span(zero));
  const auto weight = ops::pack(random_tensor(Shape{9, 64}, 2), Device::kCpu);
  const Tensor exact = ops::linear(ops::layer_norm(x, ones, zeros, 1e-5f), *weight);
  const Tensor near =
      ops::linear(ops::layer_norm(x, ones, zeros, 1e-5f, WeightFormat::kInt8), *weight);
  for (int64_t i = 0; i < exact.numel(); ++i)
    EXPECT_NEAR(near.data<float>()[i], exact.data<float>()[i], 0.1f);
}

TEST(Ops, Int8RowsStayWhole) {
  const Tensor x = random_tensor(Shape{2, 6, 8}, 1), weight = random_tensor(Shape{8}, 2);
  const Tensor rows = ops::layer_norm(x, weight, weight, 1e-5f, WeightFormat::kInt8);
  EXPECT_EQ(rows.reshape(Shape{12, 8}).nbytes(), rows.nbytes());
  EXPECT_EQ(rows.slice(1, 2).nbytes(), rows.nbytes() / 2);
  EXPECT_THROW(rows.reshape(Shape{2, 48}), Error);
}

TEST(Ops, GroupNormKeepsItsDigitsFarFromZero) {
  // Mean 1000, spread 1: one pass in single precision would lose the variance altogether.
  const Tensor x = random_tensor(Shape{1, 64, 64, 8}, 1);
  Tensor shifted = empty_host(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i)
    shifted.mutable_data<float>()[i] = 1000.0f + x.data<float>()[i];
  const std::vector<float> ones(8, 1.0f), zeros(8, 0.0f);
  const Tensor weight = host_tensor(Shape{8}, std::span(ones)),
               bias = host_tensor(Shape{8}, std::span(zeros));
  const Tensor y = ops::group_norm(shifted, {.groups = 2, .eps = 1e-6f}, weight, bias);
  const auto on_reference = [](const Tensor& t) { return ops::to_device(t, Device::kReference); };
  const Tensor expected =
      ops::to_host(ops::group_norm(on_reference(shifted), {.groups = 2, .eps = 1e-6f},
                                   on_reference(weight), on_reference(bias)));
  for (int64_t i = 0; i < y.numel(); ++i)
    ASSERT_NEAR(y.data<float>()[i], expected.data<float>()[i], 1e-3) << i;
}

/// docs/ops.md as the case table has it.
std::string ops_page() {
  std::map<std::string, int> counts;
  for (const OpCase& c : op_cases()) ++counts[c.op];
  std::string page =
      "# Ops and backends\n\nGenerated from the case table in `tests/ops/op_cases.cpp` by "
      "`ops_test` "
      "(`TT_UPDATE_DOCS=1 build/cpu/tests/ops/ops_test`).\nEvery case runs on every backend and is "
      "compared with the reference.\n\n| op | cases |";
  for (const Device device : available_devices()) page += cat(" ", device, " |");
  page += "\n|---|---|";
  for (size_t i = 0; i < available_devices().size(); ++i) page += "---|";
  for (const auto& [op, count] : counts) {
    page += cat("\n| ", op, " | ", count, " |");
    for (size_t i = 0; i < available_devices().size(); ++i) page += " yes |";
  }
  return page + "\n";
}

TEST(Ops, TheSupportPageIsUpToDate) {
  const std::filesystem::path file = std::filesystem::path(TT_SOURCE_DIR) / "docs" / "ops.md";
  if (std::getenv("TT_UPDATE_DOCS")) std::ofstream(file) << ops_page();
  std::ifstream in(file);
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(page, ops_page()) << "run with TT_UPDATE_DOCS=1";
}

template <typename Call>
void expect_refused(const char* op, const char* words, const Call& call) {
  try {
    call();
    ADD_FAILURE() << op << " accepted what it must refuse";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find(op), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(Ops, RefuseWrongArguments) {
  const Tensor x = random_tensor(Shape{2, 4}, 1), y = random_tensor(Shape{2, 5}, 1);
  const auto weight = ops::pack(random_tensor(Shape{3, 4}, 2), Device::kCpu);
  const Tensor far = random_tensor(Shape{2, 4}, 1, Device::kReference);
  const int32_t big[] = {4};
  const Tensor id = host_tensor(Shape{1}, std::span<const int32_t>(big));
  expect_refused("linear", "[...,4]", [&] { ops::linear(y, *weight); });
  expect_refused("linear", "bias", [&] { ops::linear(x, *weight, {.bias = &x}); });
  expect_refused("conv2d", "packed from [O,I,kh,kw]", [&] { ops::conv2d(x, *weight, {}); });
  expect_refused("weighted_sum", "[2,4]", [&] { ops::add(x, y); });
  expect_refused("weighted_sum", "must be on cpu", [&] { ops::add(x, far); });
  expect_refused("embedding", "0..1", [&] { ops::embedding(x, id); });
  expect_refused("embedding", "f32, f16 or bf16", [&] {
    ops::embedding(id.reshape(Shape{1, 1}), id);
  });
  expect_refused("geglu", "[...,2C]", [&] { ops::geglu(y); });
  expect_refused("group_norm", "divide", [&] {
    ops::group_norm(x, {.groups = 3}, x.slice(0, 1).reshape(Shape{4}),
                    x.slice(0, 1).reshape(Shape{4}));
  });
  expect_refused("attention", "head count", [&] {
    const Tensor t = random_tensor(Shape{1, 2, 5}, 1);
    ops::attention(t, t, t, {.heads = 2});
  });
  expect_refused("layer_norm", "eps", [&] {
    const Tensor w = random_tensor(Shape{4}, 1);
    ops::layer_norm(x, w, w, 0.0f);
  });
  expect_refused("linear", "undefined", [&] { ops::linear(Tensor(), *weight); });
}

}  // namespace
}  // namespace tintype::testing
