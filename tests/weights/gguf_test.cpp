/// GGUF files: honest ones, and every way a file can lie.
#include "weights/gguf.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "weights/gguf_writer.h"
#include "weights/safetensors_writer.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::gguf_file;
using testing::gguf_text;
using testing::GgufStart;
using testing::GgufTensor;
using testing::little_endian;
using testing::TemporaryFolder;

constexpr uint32_t kF32 = 0, kF16 = 1, kQ4_0 = 2, kIq4Xs = 23, kI64 = 27;

std::shared_ptr<const TensorSource> open_bytes(const std::string& bytes) {
  return open_gguf_bytes(std::as_bytes(std::span(bytes)), "model.gguf");
}

void refuse(const std::string& bytes, std::initializer_list<std::string_view> parts,
            ErrorKind kind = ErrorKind::kCorruptFile) {
  expect_error(kind, parts, [&] { open_bytes(bytes); });
}

TEST(Gguf, DimensionsAreTurnedRound) {
  const std::string bytes = gguf_file({{"w", {3, 2}, kF32, 0}, {"s", {}, kF32, 32}},
                                      testing::bytes_of<float>({0, 1, 2, 3, 4, 5, 0, 0, 7}));
  for (const uint32_t version : {2u, 3u}) {
    std::string copy = bytes;
    copy[4] = static_cast<char>(version);
    const auto source = open_bytes(copy);
    ASSERT_EQ(source->entries().size(), 2u);
    EXPECT_EQ(source->entries()[1].shape, (Shape{2, 3}));
    EXPECT_EQ(source->read(source->entries()[1]).span<float>()[4], 4.0f);
    EXPECT_EQ(source->read(source->entries()[0]).span<float>()[0], 7.0f);
  }
}

TEST(Gguf, SettingsArePassedOverAndTheAlignmentIsHeard) {
  const std::string settings = gguf_text("general.alignment") + little_endian<uint32_t>(4) +
                               little_endian<uint32_t>(128) + gguf_text("list") +
                               little_endian<uint32_t>(9) + little_endian<uint32_t>(8) +
                               little_endian<uint64_t>(2) + gguf_text("a") + gguf_text("") +  //
                               gguf_text("flag") + little_endian<uint32_t>(7) + '\1';
  const std::string bytes = gguf_file({{"w", {1}, kF32, 0}}, testing::bytes_of<float>({3}),
                                      {.setting_count = 3, .settings = settings, .alignment = 128});
  const auto source = open_bytes(bytes);
  EXPECT_EQ(source->read(source->entries()[0]).span<float>()[0], 3.0f);
}

TEST(Gguf, HoldsNothingOrOnlyEmptyTensors) {
  EXPECT_TRUE(open_bytes(gguf_file({}, ""))->entries().empty());
  const auto bytes = gguf_file({{"a", {0, 5}, kF32, 0}, {"b", {0}, kQ4_0, 0}}, "");
  const auto source = open_bytes(bytes);
  EXPECT_EQ(source->read(source->entries()[0]).shape(), (Shape{5, 0}));
  EXPECT_EQ(source->read(source->entries()[1]).numel(), 0);
}

TEST(Gguf, EitherFormatIsToldByItsContent) {
  const TemporaryFolder folder;
  const auto gguf = folder.write("a.safetensors", gguf_file({{"g", {1}, kF32, 0}}, "abcd"));
  const auto plain =
      folder.write("b.gguf", testing::safetensors_file({testing::f32_tensor("s", {1}, {1})}));
  EXPECT_EQ(open_weights_file(gguf)->entries()[0].name, "g");
  EXPECT_EQ(open_weights_file(plain)->entries()[0].name, "s");
  const auto pickle = folder.write("c.ckpt", "PK\x03\x04 and more");
  expect_error(ErrorKind::kUnsupported, {"pickled"}, [&] { open_weights_file(pickle); });
}

TEST(Gguf, TypesThatNothingReadsAreNamedWithTheirTensor) {
  refuse(gguf_file({{"blk.w", {256}, kIq4Xs, 0}}, std::string(136, 'x')), {"'blk.w'", "iq4_xs"},
         ErrorKind::kUnsupported);
  refuse(gguf_file({{"blk.w", {256}, 4242, 0}}, ""), {"'blk.w'", "type 4242"},
         ErrorKind::kUnsupported);
  const std::string bytes = gguf_file({{"ids", {1}, kI64, 0}}, std::string(8, '\0'));
  EXPECT_EQ(open_bytes(bytes)->unreadable()[0].dtype, "i64");
}

TEST(Gguf, RefusesOtherVersionsAndByteOrders) {
  refuse(gguf_file({}, "", {.version = 1}), {"version 1"}, ErrorKind::kUnsupported);
  refuse(gguf_file({}, "", {.version = 0x03000000}), {"big-endian"}, ErrorKind::kUnsupported);
  refuse("GGML" + std::string(40, '\0'), {"'GGML'"});
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string settings = gguf_text("k") + little_endian<uint32_t>(8) + gguf_text("value");
  const std::string bytes = gguf_file({{"w", {2, 2}, kF32, 0}}, std::string(16, 'x'),
                                      {.setting_count = 1, .settings = settings});
  open_bytes(bytes);
  for (size_t size = 0; size < bytes.size(); ++size)
    refuse(bytes.substr(0, size), {size < 4 ? "incomplete" : ""});
}

TEST(Gguf, RefusesCountsThatTheFileCannotHold) {
  refuse(gguf_file({}, "", {.extra_tensors = uint64_t{1} << 60}), {"must fit"});
  refuse(gguf_file({}, "", {.setting_count = ~uint64_t{0}}), {"must fit"});
  refuse(gguf_file({}, std::string(64, '\0'),
                   {.setting_count = 1, .settings = little_endian(~uint64_t{0})}),
         {"key", "at most"});
  const std::string list = gguf_text("k") + little_endian<uint32_t>(9) +
                           little_endian<uint32_t>(10) + little_endian(~uint64_t{0} / 8 + 2);
  refuse(gguf_file({}, "", {.setting_count = 1, .settings = list}), {"list", "must fit"});
}

TEST(Gguf, RefusesSettingsThatAreNone) {
  const auto with = [](const std::string& settings) {
    return gguf_file({}, std::string(32, '\0'), {.setting_count = 1, .settings = settings});
  };
  refuse(with(gguf_text("k") + little_endian<uint32_t>(13)), {"type", "13"});
  refuse(with(gguf_text("k") + little_endian<uint32_t>(9) + little_endian<uint32_t>(9) +
              little_endian<uint64_t>(1)),
         {"plain values"}, ErrorKind::kUnsupported);
  for (const uint32_t alignment : {0u, 3u, 1u << 30})
    refuse(with(gguf_text("general.alignment") + little_endian<uint32_t>(4) +
                little_endian(alignment)),
           {"power of two"});
  refuse(with(gguf_text("general.alignment") + little_endian<uint32_t>(8) + gguf_text("x")),
         {"32-bit"});
}

TEST(Gguf, RefusesTensorsThatDoNotFitTheirBytes) {
  const std::string data(128, 'x');
  const auto one = [&](const GgufTensor& tensor) { return gguf_file({tensor}, data); };
  refuse(one({"w", {33}, kF32, 0}), {"'w'", "must end within"});
  refuse(one({"w", {8}, kF32, 128}), {"'w'", "must end within"});
  refuse(one({"w", {8}, kF32, ~uint64_t{0} - 31}), {"'w'", "must end within"});
  refuse(one({"w", {8}, kF32, 16}), {"'w'", "multiple of 32"});
  refuse(one({"w", {1ull << 40, 1ull << 40}, kF16, 0}), {"'w'", "elements"});
  refuse(one({"w", {0, 1ull << 63, 4}, kF16, 0}), {"'w'", "elements"});
  refuse(one({"w", {16, 2}, kQ4_0, 0}), {"'w'", "whole blocks of 32"});
  refuse(one({"w", {}, kQ4_0, 0}), {"'w'", "whole blocks of 32"});
  refuse(one({"w", {1, 1, 1, 1, 1, 1, 1}, kF32, 0}), {"'w'", "dimensions"},
         ErrorKind::kUnsupported);
}

TEST(Gguf, RefusesSharedBytesAndDoubleNames) {
  const std::string data(128, 'x');
  refuse(gguf_file({{"a", {16}, kF32, 0}, {"b", {4}, kF32, 32}}, data), {"'a'", "'b'", "share"});
  refuse(gguf_file({{"a", {4}, kF32, 0}, {"b", {4}, kF32, 0}}, data), {"share"});
  refuse(gguf_file({{"a", {4}, kF32, 0}, {"a", {4}, kF32, 32}}, data), {"unique", "'a'"});
}

}  // namespace
}  // namespace tintype
