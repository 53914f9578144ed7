/// Scaled 8-bit files: the factors are applied, and what cannot be applied is named.
#include "weights/weight_scales.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "tensor/float16.h"
#include "weights/find_by_name.h"
#include "weights/gguf.h"
#include "weights/safetensors.h"
#include "weights/safetensors_writer.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::f32_tensor;
using testing::TensorToWrite;

/// e4m3 codes: 0x38 is 1, 0x40 is 2, 0xC4 is -3, 0x7E is 448.
TensorToWrite codes(std::string name, std::string dtype = "F8_E4M3") {
  return {std::move(name), std::move(dtype), {2, 2}, "\x38\x40\xC4\x7E"};
}

std::shared_ptr<const TensorSource> source_of(const std::vector<TensorToWrite>& tensors) {
  static std::vector<std::string> kept;  // the source borrows its bytes
  kept.push_back(testing::safetensors_file(tensors));
  return apply_weight_scales(
      open_safetensors_bytes(std::as_bytes(std::span(kept.back())), "scaled.safetensors"));
}

std::vector<float> values(const TensorSource& source, const std::string& name) {
  const auto* entry = find_by_name(source.entries(), name);
  if (entry == nullptr) throw std::runtime_error("no " + name);
  const Tensor tensor = source.read(*entry);
  std::vector<float> out;
  for (int64_t i = 0; i < tensor.numel(); ++i)
    out.push_back(f16_to_f32(reinterpret_cast<const uint16_t*>(tensor.bytes())[i]));
  return out;
}

std::vector<std::string> names_of(const TensorSource& source) {
  std::vector<std::string> names;
  for (const auto& entry : source.entries()) names.push_back(entry.name);
  return names;
}

TEST(WeightScales, FactorsAreAppliedAndDescriptionsLeftOut) {
  const auto source = source_of({codes("net.a.weight"),
                                 f32_tensor("net.a.scale_weight", {}, {0.25f}),
                                 f32_tensor("net.a.scale_input", {}, {7.0f}),
                                 codes("net.b.weight"),
                                 {"net.b.weight_scale", "F16", {1}, std::string("\0\x42", 2)},  // 3
                                 {"net.b.comfy_quant", "U8", {2}, "{}"},
                                 codes("net.c.weight"),
                                 {"net.scaled_fp8", "F8_E4M3", {2}, std::string(2, '\0')}});
  EXPECT_EQ(names_of(*source),
            (std::vector<std::string>{"net.a.weight", "net.b.weight", "net.c.weight"}));
  EXPECT_EQ(values(*source, "net.a.weight"), (std::vector<float>{0.25f, 0.5f, -0.75f, 112}));
  EXPECT_EQ(values(*source, "net.b.weight"), (std::vector<float>{3, 6, -9, 1344}));
  EXPECT_EQ(values(*source, "net.c.weight"), (std::vector<float>{1, 2, -3, 448}));
}

TEST(WeightScales, OrdinaryFilesStayTheSameSource) {
  const std::string bytes = testing::safetensors_file({codes("a.weight")});
  const auto source = open_safetensors_bytes(std::as_bytes(std::span(bytes)), "plain");
  EXPECT_EQ(apply_weight_scales(source), source);
}

TEST(WeightScales, FilesAreReadThroughThem) {
  const testing::TemporaryFolder folder;
  const auto file = folder.write(
      "scaled.safetensors",
      testing::safetensors_file({codes("a.weight"), f32_tensor("a.scale_weight", {1}, {2.0f})}));
  EXPECT_EQ(values(*open_weights_file(file), "a.weight"), (std::vector<float>{2, 4, -6, 896}));
}

TEST(WeightScales, WhatCannotBeAppliedIsNamed) {
  const auto factor = [](std::vector<int64_t> shape, const std::vector<float>& numbers) {
    return f32_tensor("a.scale_weight", std::move(shape), numbers);
  };
  expect_error(ErrorKind::kCorruptFile, {"a.scale_weight", "a.weight", "not there"},
               [&] { source_of({factor({}, {1})}); });
  expect_error(ErrorKind::kUnsupported, {"a.scale_weight", "[2,1]"}, [&] {
    source_of({codes("a.weight"), factor({2, 1}, {1, 2})});
  });
  expect_error(ErrorKind::kUnsupported, {"a.scale_weight", "8-bit floats", "i8"}, [&] {
    source_of({codes("a.weight", "I8"), factor({}, {1})});
  });
  expect_error(ErrorKind::kCorruptFile, {"a.weight", "two"}, [&] {
    source_of({codes("a.weight"), factor({}, {1}), f32_tensor("a.weight_scale", {}, {1})});
  });
  expect_error(ErrorKind::kUnsupported, {"a.weight", "a.scale_weight", "65504"}, [&] {
    values(*source_of({codes("a.weight"), factor({}, {1000.0f})}), "a.weight");
  });
  expect_error(ErrorKind::kCorruptFile, {"a.scale_weight", "nan"}, [&] {
    values(*source_of({codes("a.weight"), factor({}, {std::numeric_limits<float>::quiet_NaN()})}),
           "a.weight");
  });
}

}  // namespace
}  // namespace tintype
