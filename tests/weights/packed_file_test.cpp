#include "weights/packed_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "tensor/allocator.h"
#include "weights/find_by_name.h"
#include "weights/packed_format.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

std::string bytes_at(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::shared_ptr<const PackedFile> open_text(const std::string& text) {
  return PackedFile::open_bytes(std::as_bytes(std::span(text)), "packed");
}

Tensor floats(const Shape& shape, float first) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<float>(i);
  return host_tensor(shape, std::span<const float>(values));
}

/// A file of two components: a packed weight of two parts, a plain one, an empty one.
std::string example() {
  const TemporaryFolder folder;
  PackedWriter writer(folder.path() / "model");
  PackedSink& unet = writer.component("unet", "UNet", {{"width", 3}});
  unet.add({.name = "b.weight",
            .shape = Shape{3, 5},
            .layout = "some panels of 4",
            .element = "int8",
            .parts = {floats(Shape{17}, 0), floats(Shape{3}, 50)}});
  unet.add({.name = "a.bias",
            .shape = Shape{3},
            .layout = {},
            .element = "f32",
            .parts = {floats(Shape{3}, 7)}});
  PackedSink& vae = writer.component("vae", "Codec", Json::object());
  vae.add({.name = "empty",
           .shape = Shape{0, 4},
           .layout = {},
           .element = "f32",
           .parts = {floats(Shape{0, 4}, 0)}});
  const uint64_t size = writer.finish({{"profile", "exact"}});
  const std::string bytes = bytes_at(folder.path() / "model");
  EXPECT_EQ(bytes.size(), size);
  return bytes;
}

/// The example with its index rewritten by `change` and everything that guards it made right again.
std::string with_index(const std::function<void(Json&)>& change) {
  const std::string bytes = example();
  PackedHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  Json index = Json::parse(bytes.substr(header.index_offset));
  change(index);
  const std::string text = index.dump();
  header.index_bytes = text.size();
  header.index_checksum = checksum64(std::as_bytes(std::span(text)));
  header.file_bytes = header.index_offset + text.size();
  header.header_checksum = header.checksum();
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) +
         bytes.substr(sizeof(header), header.index_offset - sizeof(header)) + text;
}

TEST(PackedFile, GivesBackWhatWasWritten) {
  const std::string bytes = example();
  const auto file = open_text(bytes);
  EXPECT_NO_THROW(file->verify());
  EXPECT_EQ(file->model(), Json({{"profile", "exact"}}));
  EXPECT_EQ(file->layouts(), std::vector<std::string>{"some panels of 4"});
  ASSERT_EQ(file->components().size(), 2u);
  const auto& unet = file->components()[0];
  EXPECT_EQ(unet.name, "unet");
  EXPECT_EQ(unet.class_name, "UNet");
  EXPECT_EQ(unet.config, Json({{"width", 3}}));
  const auto source = unet.source();
  EXPECT_TRUE(source->stays_mapped());
  ASSERT_EQ(source->entries().size(), 2u);
  const auto& plain = source->entries()[0];
  EXPECT_EQ(plain.name, "a.bias");
  EXPECT_FALSE(plain.packed);
  EXPECT_EQ(source->read(plain).span<float>()[2], 9);
  const auto& packed = source->entries()[1];
  EXPECT_EQ(packed.name, "b.weight");
  EXPECT_TRUE(packed.packed);
  const PackedParts parts = source->read_packed(packed);
  EXPECT_EQ(parts.shape, (Shape{3, 5}));
  EXPECT_EQ(parts.layout, "some panels of 4");
  ASSERT_EQ(parts.parts.size(), 2u);
  EXPECT_EQ(parts.parts[0].span<float>()[16], 16);
  EXPECT_EQ(parts.parts[1].span<float>()[2], 52);
  expect_error(ErrorKind::kInternal, {"b.weight"}, [&] { source->read(packed); });
  expect_error(ErrorKind::kInternal, {"a.bias"}, [&] { source->read_packed(plain); });

  const SourceSummary summary = summarize(*source);
  EXPECT_EQ(summary.parameters, 18u);
  EXPECT_EQ(summary.bytes, 23 * sizeof(float));
  EXPECT_EQ(summary.storage, "int8+f32");
}

TEST(PackedFile, PartsLieAlignedInTheMap) {
  const TemporaryFolder folder;
  const auto file = PackedFile::open(folder.write("model", example()));
  const auto source = file->components()[0].source();
  const PackedParts parts = source->read_packed(source->entries()[1]);
  for (const Tensor& part : parts.parts)
    EXPECT_EQ(reinterpret_cast<uintptr_t>(part.bytes()) % kPackedAlignment, 0u);
  // Where they lie, not copies: two reads give one address.
  EXPECT_EQ(parts.parts[0].bytes(), source->read_packed(source->entries()[1]).parts[0].bytes());
}

TEST(PackedFile, EveryTruncationIsRefused) {
  const std::string bytes = example();
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::string cut = bytes.substr(0, length);
    expect_error(ErrorKind::kCorruptFile, {}, [&] { open_text(cut); });
  }
  expect_error(ErrorKind::kCorruptFile, {"bytes"}, [&] { open_text(bytes + "x"); });
}

TEST(PackedFile, EveryDamagedByteOfIndexAndWeightsIsSeen) {
  const std::string bytes = example();
  // Weights of 17, 3 and 3 floats from 64, 192 and 256 on; between them only padding.
  const auto is_padding = [](size_t i) {
    return (i >= 64 + 68 && i < 192) || (i >= 192 + 12 && i < 256) || (i >= 256 + 12 && i < 320);
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (is_padding(i)) continue;
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    try {
      open_text(damaged)->verify();
      ADD_FAILURE() << "byte " << i << " of " << bytes.size();
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::kCorruptFile ||
                  error.kind() == ErrorKind::kUnsupported)
          << error.what();
    }
  }
  std::string damaged = bytes;
  damaged[200] = 'x';
  const auto file = open_text(damaged);  // the index is whole
  expect_error(ErrorKind::kCorruptFile, {"b.weight", "checksum"}, [&] { file->verify(); });
}

TEST(PackedFile, AHalfWrittenFileIsNoneAndLeavesNothing) {
  const TemporaryFolder folder;
  {
    PackedWriter writer(folder.path() / "model");
    writer.component("unet", "UNet", Json::object())
        .add({.name = "a",
              .shape = Shape{3},
              .layout = {},
              .element = "f32",
              .parts = {floats(Shape{3}, 7)}});
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(PackedFile, AnotherVersionIsRefusedByName) {
  std::string bytes = example();
  bytes[8] = 9;
  expect_error(ErrorKind::kUnsupported, {"version 1", "got 9"}, [&] { open_text(bytes); });
  bytes = example();
  bytes[0] = 'X';
  expect_error(ErrorKind::kCorruptFile, {"another kind of file"}, [&] { open_text(bytes); });
}

TEST(PackedFile, IsToldByItsFirstBytes) {
  const TemporaryFolder folder;
  EXPECT_TRUE(is_packed_file(folder.write("a", example())));
  EXPECT_FALSE(is_packed_file(folder.write("b", "TTPACK")));
  EXPECT_FALSE(is_packed_file(folder.path() / "none"));
  EXPECT_FALSE(is_packed_file(folder.path()));
}

struct BadIndex {
  const char* message;
  std::function<void(Json&)> change;
};

TEST(PackedFile, IndexesThatContradictThemselvesAreRefused) {
  EXPECT_NO_THROW(open_text(with_index([](Json&) {}))->verify());
  const auto weight = [](Json& index, size_t i) -> Json& {
    return index["components"][0]["weights"][i];
  };
  for (const BadIndex& bad : std::vector<BadIndex>{
           {"model", [](Json& j) { j.erase("model"); }},
           {"components", [](Json& j) { j["components"] = 3; }},
           {"weights", [](Json& j) { j["components"][0].erase("weights"); }},
           {"config", [](Json& j) { j["components"][0]["config"] = nullptr; }},
           {"class", [](Json& j) { j["components"][1].erase("class"); }},
           {"must lie at offset", [&](Json& j) { weight(j, 0)["parts"][0]["offset"] = 128; }},
           {"offset", [&](Json& j) { weight(j, 0)["parts"][0]["offset"] = -64; }},
           {"must end within the data",
            [&](Json& j) { weight(j, 0)["parts"][0]["shape"] = {1000}; }},
           {"must end within the data",
            [&](Json& j) { weight(j, 0)["parts"][0]["shape"] = {int64_t{1} << 47}; }},
           {"elements",
            [&](Json& j) {
              weight(j, 0)["parts"][0]["shape"] = {int64_t{1} << 40, int64_t{1} << 40};
            }},
           {"elements",
            [&](Json& j) {
              weight(j, 0)["shape"] = {0, int64_t{1} << 40, int64_t{1} << 40};
            }},
           {"shape", [&](Json& j) { weight(j, 0)["shape"] = {1, 1, 1, 1, 1, 1, 1}; }},
           {"shape", [&](Json& j) { weight(j, 0)["shape"] = {-1}; }},
           {"dtype", [&](Json& j) { weight(j, 0)["parts"][0]["dtype"] = "f64"; }},
           {"checksum", [&](Json& j) { weight(j, 0)["parts"][0]["checksum"] = "xyz"; }},
           {"parts", [&](Json& j) { weight(j, 0)["parts"] = Json::array(); }},
           {"not packed", [&](Json& j) { weight(j, 0)["layout"] = ""; }},
           {"not packed", [&](Json& j) { weight(j, 1)["shape"] = {4}; }},
           {"names", [&](Json& j) { weight(j, 0)["name"] = ""; }},
           {"names", [&](Json& j) { weight(j, 0)["name"] = std::string(1000, 'x'); }},
           {"there twice", [&](Json& j) { weight(j, 1)["name"] = "b.weight"; }},
           {"must fill", [](Json& j) {
              j["components"].erase(1);
              j["components"][0]["weights"].erase(1);
            }}}) {
    const std::string bytes = with_index(bad.change);
    expect_error(ErrorKind::kCorruptFile, {bad.message}, [&] { open_text(bytes); });
  }
}

TEST(PackedFile, TheLoaderTakesEachWeightInItsForm) {
  const std::string bytes = example();
  const auto file = open_text(bytes);
  const auto source = file->components()[0].source();
  WeightLoader loader("unet", source, Device::kCpu);
  const WeightScope w = loader.root();
  EXPECT_TRUE((w / "b").packed("weight"));
  EXPECT_FALSE((w / "a").packed("bias"));
  EXPECT_TRUE((w / "b").take_packed("weight", Shape{3, 5}).has_value());
  EXPECT_TRUE((w / "a").take("bias", Shape{3}).defined());
  EXPECT_NO_THROW(loader.finish());

  WeightLoader strict("unet", source, Device::kCpu);
  EXPECT_FALSE((strict.root() / "b").take_packed("weight", Shape{3, 6}).has_value());
  expect_error(ErrorKind::kCorruptFile, {"b.weight must be [3,6], got [3,5]", "a.bias"},
               [&] { strict.finish(); });
  WeightLoader plain("unet", source, Device::kCpu);
  EXPECT_FALSE((plain.root() / "b").take("weight", Shape{3, 5}).defined());
  expect_error(ErrorKind::kCorruptFile, {"b.weight must be a plain tensor"},
               [&] { plain.finish(); });
}

}  // namespace
}  // namespace tintype
