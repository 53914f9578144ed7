/// One safetensors file: good ones of every element type, and every way a file can lie.
#include "weights/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "weights/safetensors_writer.h"

namespace tintype {
namespace {

using testing::bytes_of;
using testing::expect_error;
using testing::f32_tensor;
using testing::safetensors_bytes;
using testing::safetensors_file;
using testing::TemporaryFolder;

std::shared_ptr<const TensorSource> open_bytes(const std::string& bytes) {
  return open_safetensors_bytes(std::as_bytes(std::span(bytes)), "weights");
}

/// Opens a file made of `header` and `data_bytes` zeros.
void open_header(std::string_view header, size_t data_bytes = 0) {
  const std::string bytes = safetensors_bytes(header, std::string(data_bytes, '\0'));
  open_bytes(bytes);
}

/// A header with one tensor "a".
std::string one_tensor(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return "{\"a\":{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":" + std::string(shape) +
         ",\"data_offsets\":" + std::string(offsets) + "}}";
}

const TensorSource::Entry& entry(const TensorSource& source, std::string_view name) {
  for (const auto& candidate : source.entries()) {
    if (candidate.name == name) return candidate;
  }
  throw std::runtime_error("no such entry");
}

TEST(Safetensors, ReadsEveryElementTypeInPlace) {
  const std::vector<float> floats = {1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, -0.0f};
  const std::vector<uint16_t> halves = {0x3c00, 0xc000};
  const std::vector<int32_t> ints = {-1, 2147483647};
  const TemporaryFolder folder;
  const auto file = folder.write(
      "model.safetensors", safetensors_file({f32_tensor("z.f32", {2, 3}, floats),
                                             {"i32", "I32", {2}, bytes_of(ints)},
                                             {"f16", "F16", {2, 1}, bytes_of(halves)},
                                             {"bf16", "BF16", {2}, bytes_of(halves)},
                                             {"i8", "I8", {3}, bytes_of<int8_t>({-128, 0, 127})},
                                             {"u8", "U8", {1}, bytes_of<uint8_t>({255})}}));
  const auto source = open_safetensors(file);
  ASSERT_EQ(source->entries().size(), 6u);
  EXPECT_TRUE(std::is_sorted(source->entries().begin(), source->entries().end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));

  const Tensor f32 = source->read(entry(*source, "z.f32"));
  EXPECT_EQ(f32.shape(), (Shape{2, 3}));
  EXPECT_TRUE(std::ranges::equal(f32.span<float>(), floats));
  const Tensor i32 = source->read(entry(*source, "i32"));
  EXPECT_TRUE(std::ranges::equal(i32.span<int32_t>(), ints));
  for (const auto& [name, dtype] : {std::pair("f16", DType::kF16), {"bf16", DType::kBF16}}) {
    const Tensor half = source->read(entry(*source, name));
    EXPECT_EQ(half.dtype(), dtype);
    EXPECT_EQ(std::memcmp(half.bytes(), halves.data(), half.nbytes()), 0);
  }
  EXPECT_EQ(source->read(entry(*source, "f16")).shape(), (Shape{2, 1}));
  EXPECT_EQ(source->read(entry(*source, "i8")).span<int8_t>()[0], -128);
  EXPECT_EQ(source->read(entry(*source, "u8")).span<uint8_t>()[0], 255);
}

TEST(Safetensors, TensorsOutliveTheirSource) {
  const TemporaryFolder folder;
  const auto file =
      folder.write("m.safetensors", safetensors_file({f32_tensor("a", {3}, {1, 2, 3})}));
  auto source = open_safetensors(file);
  const Tensor tensor = source->read(source->entries()[0]);
  source.reset();
  EXPECT_EQ(tensor.span<float>()[2], 3.0f);
}

TEST(Safetensors, ReadsATensorAgainAfterItsPagesWereGivenBack) {
  // Several pages, so that release() has whole ones to drop.
  std::vector<float> values(64 * 1024);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const TemporaryFolder folder;
  const auto file = folder.write(
      "m.safetensors",
      safetensors_file({f32_tensor("a", {1}, {-1}), f32_tensor("b", {64, 1024}, values)}));
  const auto source = open_safetensors(file);
  for (int round = 0; round < 2; ++round) {
    const Tensor tensor = source->read(entry(*source, "b"));
    EXPECT_TRUE(std::ranges::equal(tensor.span<float>(), values));
  }
}

TEST(Safetensors, CopiesTensorsThatLieUnaligned) {
  // One byte before the floats, and a header of odd length: nothing lies on a multiple of four.
  const std::vector<float> values = {1.25f, -7.5f};
  const std::string bytes = safetensors_file(
      {{"byte", "U8", {1}, "x"}, f32_tensor("floats", {2}, values)}, {.align_header_to = 1});
  for (size_t shift = 0; shift < 4; ++shift) {
    const std::string moved = std::string(shift, ' ') + bytes;
    const auto source =
        open_safetensors_bytes(std::as_bytes(std::span(moved)).subspan(shift), "weights");
    const Tensor tensor = source->read(entry(*source, "floats"));
    EXPECT_EQ(std::bit_cast<uintptr_t>(tensor.bytes()) % alignof(float), 0u);
    EXPECT_TRUE(std::ranges::equal(tensor.span<float>(), values));
  }
}

TEST(Safetensors, ReadsScalarsAndEmptyTensors) {
  const std::string bytes = safetensors_file(
      {f32_tensor("empty", {0, 7}, {}), f32_tensor("scalar", {}, {42}), f32_tensor("z", {0}, {})});
  const auto source = open_bytes(bytes);
  EXPECT_EQ(source->read(entry(*source, "scalar")).shape().rank(), 0);
  EXPECT_EQ(source->read(entry(*source, "scalar")).span<float>()[0], 42.0f);
  EXPECT_EQ(source->read(entry(*source, "empty")).shape(), (Shape{0, 7}));
  EXPECT_EQ(source->read(entry(*source, "z")).numel(), 0);
}

TEST(Safetensors, AcceptsAFileWithoutTensorsOrMetadata) {
  const std::string bytes = safetensors_bytes("{}");
  EXPECT_TRUE(open_bytes(bytes)->entries().empty());
}

TEST(Safetensors, ListsUnsupportedElementTypesWithoutFailing) {
  const std::string bytes =
      safetensors_file({f32_tensor("a", {1}, {1}),
                        {"position_ids", "I64", {1, 2}, std::string(16, '\0')},
                        {"flags", "BOOL", {3}, std::string(3, '\0')},
                        {"scaled", "F8_E8M0", {2}, "xy"},
                        {"packed", "F4", {6}, "abc"}});
  const auto source = open_bytes(bytes);
  EXPECT_EQ(source->entries().size(), 1u);
  ASSERT_EQ(source->unreadable().size(), 4u);
  EXPECT_EQ(source->unreadable()[0].name, "flags");
  EXPECT_EQ(source->unreadable()[2].dtype, "I64");
}

TEST(Safetensors, SummaryComesFromTheHeader) {
  const std::string bytes = safetensors_file({f32_tensor("norm", {4}, {1, 2, 3, 4}),
                                              {"w", "F16", {3, 5}, std::string(30, '\0')},
                                              {"ids", "I64", {1}, std::string(8, '\0')}});
  const SourceSummary summary = summarize(*open_bytes(bytes));
  EXPECT_EQ(summary.parameters, 19u);
  EXPECT_EQ(summary.bytes, 46u);
  EXPECT_EQ(summary.storage, "f16+f32");
  EXPECT_EQ(summarize(*open_bytes(safetensors_bytes("{}"))).storage, "");
}

TEST(Safetensors, RefusesEntriesOfAnotherSource) {
  const std::string bytes = safetensors_file({f32_tensor("a", {1}, {1})});
  expect_error(ErrorKind::kInternal, {"entries()", "'b'"}, [&] {
    open_bytes(bytes)->read({"b", DType::kF32, Shape{1}});
  });
}

TEST(Safetensors, ReadTrustsTheHeaderNotTheEntryHandedIn) {
  const std::string bytes = safetensors_file({f32_tensor("a", {1}, {1})});
  const Tensor tensor = open_bytes(bytes)->read({"a", DType::kF32, Shape{1000000}});
  EXPECT_EQ(tensor.shape(), Shape{1});
}

// --- files that are not there or not files ---

TEST(SafetensorsFile, MissingFileIsNotFound) {
  expect_error(ErrorKind::kNotFound, {"absent.safetensors", "No such file"},
               [] { open_safetensors("absent.safetensors"); });
}

TEST(SafetensorsFile, FolderPipeAndEmptyFileAreRefused) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::kCorruptFile, {"regular file", "a folder"},
               [&] { open_safetensors(folder.path()); });
  const auto empty = folder.write("empty.safetensors", "");
  expect_error(ErrorKind::kCorruptFile, {"must hold data", "empty"},
               [&] { open_safetensors(empty); });
  expect_error(ErrorKind::kCorruptFile, {"regular file", "device"},
               [] { open_safetensors("/dev/zero"); });
}

TEST(SafetensorsFile, TruncationAfterOpeningIsAnError) {
  const TemporaryFolder folder;
  const std::string bytes = safetensors_file({f32_tensor("a", {2}, {1, 2})});
  const auto file = folder.write("m.safetensors", bytes);
  const auto source = open_safetensors(file);
  std::filesystem::resize_file(file, bytes.size() - 4);
  expect_error(ErrorKind::kIo, {"must stay", std::to_string(bytes.size() - 4)},
               [&] { source->read(source->entries()[0]); });
}

TEST(SafetensorsFile, EveryTruncationIsRefused) {
  const std::string bytes =
      safetensors_file({f32_tensor("a", {2}, {1, 2}), {"b", "U8", {3}, "xyz"}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    expect_error(ErrorKind::kCorruptFile, {"must"}, [&] { open_bytes(cut); });
  }
}

TEST(SafetensorsFile, PickledFilesAreRefusedWithAHint) {
  const TemporaryFolder folder;
  const std::string good = safetensors_file({f32_tensor("a", {1}, {1})});
  for (const char* name : {"model.bin", "model.ckpt", "model.pt", "model.PTH"}) {
    const auto file = folder.write(name, good);
    expect_error(ErrorKind::kUnsupported, {name, ".safetensors file", "pickled", "save_file"},
                 [&] { open_safetensors(file); });
  }
  // Suffix changed, content betrayed: a zip as torch.save writes it, and bare pickles.
  const auto zip = folder.write("zip.safetensors", std::string("PK\x03\x04\0\0\x08\x08", 8) + good);
  const auto torch = folder.write("torch.safetensors",
                                  "\x80\x02\x8a\x0al\xfc\x9c"
                                  "F\xf9 j\xa8P");
  const auto pickle =
      folder.write("p4.safetensors", std::string("\x80\x04\x95\x10\0\0\0\0\0\0\0}", 12));
  for (const auto& file : {zip, torch, pickle}) {
    expect_error(ErrorKind::kUnsupported, {"pickled", "safe_serialization"},
                 [&] { open_safetensors(file); });
  }
}

TEST(SafetensorsFile, AHeaderLengthThatLooksLikeAPickleIsNoPickle) {
  // 0x0280 bytes of header start the file with 80 02, the mark of pickle protocol 2.
  std::string header = one_tensor("F32", "[1]", "[0,4]");
  header.resize(0x280, ' ');
  const TemporaryFolder folder;
  const auto file = folder.write("m.safetensors", safetensors_bytes(header, "1234"));
  EXPECT_EQ(open_safetensors(file)->entries().size(), 1u);
}

TEST(SafetensorsFile, GitLfsPointerSaysWhatToDo) {
  const TemporaryFolder folder;
  const auto file = folder.write("m.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  expect_error(ErrorKind::kCorruptFile, {"Git LFS pointer", "git lfs pull"},
               [&] { open_safetensors(file); });
}

// --- the length field ---

TEST(SafetensorsHeaderLength, MustFitFileAndLimit) {
  std::string bytes = safetensors_bytes("{}");
  bytes[0] = 3;
  expect_error(ErrorKind::kCorruptFile, {"at most the 2 bytes", "got 3"},
               [&] { open_bytes(bytes); });
  bytes.replace(0, 8, 8, '\xff');
  expect_error(ErrorKind::kCorruptFile, {"at most 100000000", "18446744073709551615"},
               [&] { open_bytes(bytes); });
}

TEST(SafetensorsHeaderLength, ShortFilesAndEmptyHeaders) {
  const std::string seven = "1234567";
  expect_error(ErrorKind::kCorruptFile, {"8-byte header length", "7 bytes"},
               [&] { open_bytes(seven); });
  expect_error(ErrorKind::kCorruptFile, {"start with '{'", "an empty header"},
               [] { open_header(""); });
  expect_error(ErrorKind::kCorruptFile, {"start with '{'", "'['"}, [] { open_header("[]"); });
}

// --- the header's JSON ---

TEST(SafetensorsJson, MustBeJsonOfTheFormat) {
  const auto corrupt = [](std::initializer_list<std::string_view> parts, std::string_view header) {
    SCOPED_TRACE(header);
    expect_error(ErrorKind::kCorruptFile, parts, [&] { open_header(header, 4); });
  };
  corrupt({"valid JSON", "at its byte"}, "{");
  corrupt({"valid JSON"}, "{}x");
  corrupt({"must be text", "NUL at its byte 2"}, std::string_view("{}\0", 3));
  corrupt({"valid JSON"}, "{\"a\":NaN}");
  corrupt({"valid JSON"}, "{\"\xff\":{}}");
  corrupt({"'a' must be an object", "1"}, R"({"a":1})");
  corrupt({"'a' must be an object", "null"}, R"({"a":null})");
  corrupt({"'a' must be an object", "a list"}, R"({"a":[[[[]]]]})");
  corrupt({"'a' must have dtype", "none for dtype"}, R"({"a":{}})");
  corrupt({"none for shape"}, R"({"a":{"dtype":"F32","data_offsets":[0,4]}})");
  corrupt({"none for data_offsets"}, R"({"a":{"dtype":"F32","shape":[1]}})");
  corrupt({"dtype, shape and data_offsets only", "'stride'"}, R"({"a":{"stride":[1]}})");
  corrupt({"dtype must be given once", "two"}, R"({"a":{"dtype":"F32","dtype":"F32"}})");
  corrupt({"dtype must be a text", "32"}, R"({"a":{"dtype":32}})");
  corrupt({"dtype of the format", "'F31'"}, one_tensor("F31", "[1]", "[0,4]"));
}

TEST(SafetensorsJson, MetadataMapsTextToText) {
  open_header(R"({"__metadata__":{"a":"b","c":"d"}})");
  const auto corrupt = [](std::initializer_list<std::string_view> parts, std::string_view header) {
    SCOPED_TRACE(header);
    expect_error(ErrorKind::kCorruptFile, parts, [&] { open_header(header); });
  };
  corrupt({"texts to texts", "the number 1"}, R"({"__metadata__":{"a":1}})");
  corrupt({"texts to texts", "an object"}, R"({"__metadata__":{"a":{}}})");
  corrupt({"object of texts", "a list"}, R"({"__metadata__":[]})");
  corrupt({"__metadata__ once"}, R"({"__metadata__":{},"__metadata__":{}})");
}

TEST(SafetensorsJson, NamesAreUniqueAndPrintedSafely) {
  const std::string tensor = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_error(ErrorKind::kCorruptFile, {"unique", "'a' twice"},
               [&] { open_header("{\"a\":" + tensor + ",\"a\":" + tensor + "}", 1); });
  expect_error(ErrorKind::kCorruptFile, {"\\x1b[2J"}, [] { open_header("{\"\\u001b[2J\":1}"); });
}

TEST(SafetensorsJson, DeepNestingIsRefusedAtOnce) {
  std::string header = "{\"a\":" + std::string(1'000'000, '[');
  expect_error(ErrorKind::kCorruptFile, {"'a' must be an object"}, [&] { open_header(header); });
}

// --- shapes and offsets ---

TEST(SafetensorsShape, ExtentsAreWholeNumbersThatFit) {
  const auto refuse = [](ErrorKind kind, std::initializer_list<std::string_view> parts,
                         std::string_view shape) {
    SCOPED_TRACE(shape);
    const std::string header = one_tensor("F32", shape, "[0,4]");
    expect_error(kind, parts, [&] { open_header(header, 4); });
  };
  refuse(ErrorKind::kCorruptFile, {"whole numbers", "-1"}, "[-1]");
  refuse(ErrorKind::kCorruptFile, {"whole numbers", "1.0"}, "[1.0]");
  refuse(ErrorKind::kCorruptFile, {"whole numbers", "99999999999999999999"},
         "[99999999999999999999]");
  refuse(ErrorKind::kCorruptFile, {"whole numbers", "null"}, "[null]");
  refuse(ErrorKind::kCorruptFile, {"whole numbers", "a list"}, "[[1]]");
  refuse(ErrorKind::kCorruptFile, {"whole numbers", "the number 1"}, "1");
  refuse(ErrorKind::kCorruptFile, {"63 bits", "18446744073709551615"}, "[18446744073709551615]");
  refuse(ErrorKind::kCorruptFile, {"at most 72057594037927936 elements", "dimension 1"},
         "[4294967296,4294967296]");
  refuse(ErrorKind::kCorruptFile, {"elements", "dimension 2"}, "[0,4294967296,4294967296]");
  refuse(ErrorKind::kCorruptFile, {"elements", "dimension 0"}, "[72057594037927937]");
  refuse(ErrorKind::kCorruptFile, {"must take 288230376151711744 bytes", "got 4"},
         "[72057594037927936]");
  refuse(ErrorKind::kUnsupported, {"at most 6 dimensions", "got more"}, "[1,1,1,1,1,1,1]");
}

TEST(SafetensorsShape, SubByteTypesMustFillWholeBytes) {
  expect_error(ErrorKind::kCorruptFile, {"whole bytes", "12 bits for F4 [3]"},
               [] { open_header(one_tensor("F4", "[3]", "[0,2]"), 2); });
}

TEST(SafetensorsOffsets, StayInsideTheDataAndFitTheShape) {
  const auto refuse = [](std::initializer_list<std::string_view> parts, std::string_view offsets) {
    SCOPED_TRACE(offsets);
    const std::string header = one_tensor("F32", "[2]", offsets);
    expect_error(ErrorKind::kCorruptFile, parts, [&] { open_header(header, 8); });
  };
  refuse({"must take 8 bytes for F32 [2]", "got 4"}, "[0,4]");
  refuse({"within the 8 bytes", "end 12", "incomplete download"}, "[4,12]");
  refuse({"within the 8 bytes", "18446744073709551615"}, "[0,18446744073709551615]");
  refuse({"must not decrease", "[8, 0]"}, "[8,0]");
  refuse({"two numbers", "got 1"}, "[0]");
  refuse({"two numbers", "more"}, "[0,4,8]");
  refuse({"two numbers", "got 0"}, "[]");
  refuse({"two whole numbers", "-4"}, "[-4,4]");
  refuse({"two whole numbers", "an object"}, "{}");
}

TEST(SafetensorsOffsets, TensorsTileTheData) {
  const auto two = [](std::string_view first, std::string_view second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(first) +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(second) + "}}";
  };
  open_header(two("[4,8]", "[0,4]"), 8);  // any order in the header
  expect_error(ErrorKind::kCorruptFile, {"'b' and 'a' must not share", "[2, 6] and [0, 4]"},
               [&] { open_header(two("[0,4]", "[2,6]"), 6); });
  expect_error(ErrorKind::kCorruptFile, {"must not share", "[0, 4] and [0, 4]"},
               [&] { open_header(two("[0,4]", "[0,4]"), 4); });
  expect_error(ErrorKind::kCorruptFile, {"without a gap", "2 unused bytes before 'b'"},
               [&] { open_header(two("[0,4]", "[6,10]"), 10); });
  expect_error(ErrorKind::kCorruptFile, {"without a gap", "1 unused bytes before 'a'"},
               [&] { open_header(two("[1,5]", "[5,9]"), 9); });
  expect_error(ErrorKind::kCorruptFile, {"end with the last tensor at byte 8", "3 more bytes"},
               [&] { open_header(two("[0,4]", "[4,8]"), 11); });
  expect_error(ErrorKind::kCorruptFile, {"end with the last tensor at byte 0", "1 more"},
               [] { open_header("{}", 1); });
}

}  // namespace
}  // namespace tintype
