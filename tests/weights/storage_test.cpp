/// Storage types that are widened when they are read, against the reference's values: all 256 codes
/// of torch's 8-bit floats and the gguf package's dequantised blocks
/// (tools/reference/export_storage).
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tensor/float16.h"
#include "weights/find_by_name.h"
#include "weights/gguf.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

std::string fixture(const std::string& file) {
  return std::string(TT_FIXTURES) + "/weights/" + file;
}

Tensor read(const TensorSource& source, const std::string& name) {
  const auto* entry = find_by_name(source.entries(), name);
  if (entry == nullptr) throw std::runtime_error("no " + name);
  return source.read(*entry);
}

float element(const Tensor& x, int64_t i) {
  if (x.dtype() == DType::kF32) return x.data<float>()[i];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(x.bytes())[i];
  return x.dtype() == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

TEST(Storage, Float8CodesAreExactInF16) {
  const auto source = open_safetensors(fixture("float8.safetensors"));
  for (const std::string name : {"f8_e4m3", "f8_e5m2"}) {
    const auto* entry = find_by_name(source->entries(), name);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->dtype, DType::kF16);
    EXPECT_EQ(entry->stored, name);
    EXPECT_EQ(entry->stored_bytes, 256u);
    const Tensor got = source->read(*entry), wanted = read(*source, name + ".expected");
    EXPECT_EQ(got.shape(), (Shape{16, 16}));
    for (int64_t i = 0; i < 256; ++i) {
      const float value = element(got, i), expected = element(wanted, i);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(value)) << name << " code " << i;
      } else {
        EXPECT_EQ(value, expected) << name << " code " << i;
        EXPECT_EQ(std::signbit(value), std::signbit(expected)) << name << " code " << i;
      }
    }
  }
  EXPECT_EQ(summarize(*source).bytes, 2u * 256 + 2u * 256 * 4);
  EXPECT_NE(summarize(*source).storage.find("f8_e4m3"), std::string::npos);
}

TEST(Storage, GgufBlocksHaveTheReferencesValues) {
  const auto source = open_gguf(fixture("storage.gguf"));
  const auto halves = open_gguf(fixture("storage.gguf"), {.widened = DType::kF16});
  const auto expected = open_safetensors(fixture("storage.expected.safetensors"));
  ASSERT_EQ(source->entries().size(), expected->entries().size());
  ASSERT_EQ(source->unreadable().size(), 1u);
  int widened = 0;
  for (const auto& entry : expected->entries()) {
    const Tensor got = read(*source, entry.name), wanted = expected->read(entry);
    const Tensor half = read(*halves, entry.name);
    ASSERT_EQ(got.shape(), entry.shape) << entry.name;
    const bool quantised = !find_by_name(source->entries(), entry.name)->stored.empty();
    widened += quantised ? 1 : 0;
    double largest = 0;
    for (int64_t i = 0; i < wanted.numel(); ++i)
      largest = std::max(largest, std::fabs(static_cast<double>(element(wanted, i))));
    ASSERT_GT(largest, 0) << entry.name;
    for (int64_t i = 0; i < wanted.numel(); ++i) {
      // The product of a scale and a run's scale may be rounded in another order: two roundings.
      const double tolerance = quantised ? largest * 0x1p-22 : 0;
      ASSERT_NEAR(element(got, i), element(wanted, i), tolerance) << entry.name << " at " << i;
      ASSERT_EQ(element(half, i),
                quantised ? f16_to_f32(f32_to_f16(element(got, i))) : element(got, i))
          << entry.name << " at " << i;
    }
  }
  EXPECT_EQ(widened, 10);
}

}  // namespace
}  // namespace tintype
