/// Shards and component folders: what the index may say, and which file is chosen.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "weights/safetensors.h"
#include "weights/safetensors_writer.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::f32_tensor;
using testing::safetensors_file;
using testing::TemporaryFolder;

constexpr const char* kIndex = "model.safetensors.index.json";

/// Two shards, "a" and "ids" in the first, "b" in the second, and an index with `weight_map`.
class Shards : public ::testing::Test {
 protected:
  Shards() {
    folder_.write("s1.safetensors", safetensors_file({f32_tensor("a", {1}, {1}),
                                                      {"ids", "I64", {1}, std::string(8, '\0')}}));
    folder_.write("s2.safetensors", safetensors_file({f32_tensor("b", {2}, {2, 3})}));
  }
  std::shared_ptr<const TensorSource> open(const std::string& weight_map) {
    return open_sharded_safetensors(
        folder_.write(kIndex, R"({"metadata":{"total_size":20},"weight_map":)" + weight_map + "}"));
  }
  void refuse(ErrorKind kind, std::initializer_list<std::string_view> parts,
              const std::string& weight_map) {
    SCOPED_TRACE(weight_map);
    expect_error(kind, parts, [&] { open(weight_map); });
  }
  TemporaryFolder folder_;
};

constexpr const char* kGoodMap =
    R"({"b":"s2.safetensors","ids":"s1.safetensors","a":"s1.safetensors"})";

TEST_F(Shards, AreReadAsOneSource) {
  const auto source = open(kGoodMap);
  ASSERT_EQ(source->entries().size(), 2u);
  EXPECT_EQ(source->entries()[0].name, "a");
  EXPECT_EQ(source->read(source->entries()[0]).span<float>()[0], 1.0f);
  EXPECT_EQ(source->read(source->entries()[1]).span<float>()[1], 3.0f);
  ASSERT_EQ(source->unreadable().size(), 1u);
  EXPECT_EQ(source->unreadable()[0].name, "ids");
  EXPECT_EQ(summarize(*source).parameters, 3u);
  EXPECT_NE(source->origin().find(kIndex), std::string::npos);
}

TEST_F(Shards, MissingShardIsNotFound) {
  refuse(ErrorKind::kNotFound, {"all 2 shards", "'s3.safetensors' does not", "incomplete"},
         R"({"a":"s1.safetensors","b":"s3.safetensors"})");
}

TEST_F(Shards, ShardMustHoldWhatTheIndexPromises) {
  refuse(ErrorKind::kCorruptFile, {"'s2.safetensors' must hold", "lacks 'c'"},
         R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors"})");
}

TEST_F(Shards, TensorInTwoShards) {
  folder_.write("s3.safetensors",
                safetensors_file({f32_tensor("b", {1}, {0}), f32_tensor("c", {1}, {0})}));
  refuse(ErrorKind::kCorruptFile, {"one shard", "'b' in"},
         R"({"b":"s2.safetensors","c":"s3.safetensors"})");
}

TEST_F(Shards, IndexMustListEveryTensor) {
  refuse(ErrorKind::kCorruptFile, {"list every tensor", "lacks 'a'"},
         R"({"ids":"s1.safetensors","b":"s2.safetensors"})");
  refuse(ErrorKind::kCorruptFile, {"list every tensor", "lacks 'ids'"},
         R"({"a":"s1.safetensors","b":"s2.safetensors"})");
}

TEST_F(Shards, NamesStayBesideTheIndex) {
  folder_.write("sub/s1.safetensors", safetensors_file({f32_tensor("a", {1}, {1})}));
  for (const char* name :
       {"sub/s1.safetensors", "../s1.safetensors", "/s1.safetensors", "..\\\\s1.safetensors", "..",
        "", ".safetensors", "s1.safetensors\\u0000.safetensors", "model.safetensors.index.json",
        "s1.bin"}) {
    refuse(ErrorKind::kCorruptFile, {"beside the index, got"},
           "{\"a\":\"" + std::string(name) + "\"}");
  }
}

TEST_F(Shards, IndexMustBeWellFormed) {
  refuse(ErrorKind::kCorruptFile, {"names tensors", "an empty one"}, "{}");
  refuse(ErrorKind::kCorruptFile, {"names tensors", "array"}, "[]");
  refuse(ErrorKind::kCorruptFile, {"names to file names", "number for 'a'"}, R"({"a":1})");
  refuse(ErrorKind::kCorruptFile, {"each key once", "\"a\" twice"},
         R"({"a":"s1.safetensors","a":"s2.safetensors"})");
  expect_error(ErrorKind::kCorruptFile, {"weight_map", "none"},
               [&] { open_sharded_safetensors(folder_.write(kIndex, "{}")); });
  expect_error(ErrorKind::kCorruptFile, {"JSON object", "a list"},
               [&] { open_sharded_safetensors(folder_.write(kIndex, "[]")); });
  expect_error(ErrorKind::kNotFound, {"absent.json"},
               [] { open_sharded_safetensors("absent.json"); });
}

TEST_F(Shards, CorruptShardNamesTheShard) {
  folder_.write("s2.safetensors", "garbage garbage garbage");
  refuse(ErrorKind::kCorruptFile, {"s2.safetensors", "header length"}, kGoodMap);
}

// --- choosing a file ---

/// Which file a folder's component was read from.
std::string chosen(const TemporaryFolder& folder, std::string_view stem = "model") {
  return std::filesystem::path(open_component(folder.path(), stem)->origin()).filename().string();
}

const std::string kFile = safetensors_file({f32_tensor("a", {1}, {1})});

TEST(Component, PlainFileBeatsIndexBeatsVariants) {
  const TemporaryFolder folder;
  folder.write("model.fp16.safetensors", kFile);
  EXPECT_EQ(chosen(folder), "model.fp16.safetensors");
  folder.write("model-00001-of-00001.safetensors", kFile);
  folder.write(kIndex, R"({"weight_map":{"a":"model-00001-of-00001.safetensors"}})");
  EXPECT_EQ(chosen(folder), kIndex);
  folder.write("model.safetensors", kFile);
  EXPECT_EQ(chosen(folder), "model.safetensors");
}

TEST(Component, ShardedVariantIsFound) {
  const TemporaryFolder folder;
  folder.write("model.fp16-00001-of-00001.safetensors", kFile);
  folder.write("model.safetensors.index.fp16.json",
               R"({"weight_map":{"a":"model.fp16-00001-of-00001.safetensors"}})");
  EXPECT_EQ(chosen(folder), "model.safetensors.index.fp16.json");
}

TEST(Component, SeveralVariantsAreListed) {
  const TemporaryFolder folder;
  folder.write("model.fp16.safetensors", kFile);
  folder.write("model.non_ema.safetensors", kFile);
  expect_error(ErrorKind::kUnsupported,
               {"model.safetensors or a single variant", "model.fp16.safetensors",
                "model.non_ema.safetensors"},
               [&] { open_component(folder.path(), "model"); });
}

TEST(Component, PickledWeightsAreRefusedOnlyWhenNothingElseIsThere) {
  const TemporaryFolder folder;
  folder.write("pytorch_model.bin", "PK");
  expect_error(ErrorKind::kUnsupported, {"pytorch_model.bin", "pickled", "save_pretrained"},
               [&] { open_component(folder.path(), "model"); });
  folder.write("model.safetensors", kFile);
  EXPECT_EQ(chosen(folder), "model.safetensors");
}

TEST(Component, MissingWeightsSayWhatIsThere) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::kNotFound, {"must hold model.safetensors", "an empty folder"},
               [&] { open_component(folder.path(), "model"); });
  folder.write("config.json", "{}");
  folder.write("other.safetensors", kFile);
  expect_error(ErrorKind::kNotFound, {"must hold model.safetensors", "config.json, other"},
               [&] { open_component(folder.path(), "model"); });
  expect_error(ErrorKind::kNotFound, {"existing folder", "nothing there"},
               [&] { open_component(folder.path() / "absent", "model"); });
  expect_error(ErrorKind::kNotFound, {"existing folder", "a file"},
               [&] { open_component(folder.path() / "config.json", "model"); });
}

}  // namespace
}  // namespace tintype
