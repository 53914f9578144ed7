/// The key-mapping engine with small tables of its own: names, transforms on real numbers, what
/// stays over, and what it refuses.
#include "weights/key_map.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/expect_error.h"
#include "weights/safetensors.h"
#include "weights/safetensors_writer.h"

namespace tintype {
namespace {

using testing::bytes_of;
using testing::expect_error;
using testing::f32_tensor;
using testing::safetensors_file;
using testing::TensorToWrite;

/// A source whose bytes live as long as the test.
class KeyMapTest : public ::testing::Test {
 protected:
  std::shared_ptr<const TensorSource> source_of(const std::vector<TensorToWrite>& tensors) {
    bytes_.push_back(std::make_unique<std::string>(safetensors_file(tensors)));
    return open_safetensors_bytes(std::as_bytes(std::span(*bytes_.back())), "file");
  }
  /// Tensors of one element each.
  std::shared_ptr<const TensorSource> named(const std::vector<std::string>& names) {
    std::vector<TensorToWrite> tensors;
    for (const std::string& name : names) tensors.push_back(f32_tensor(name, {1}, {1}));
    return source_of(tensors);
  }

 private:
  std::vector<std::unique_ptr<std::string>> bytes_;
};

std::vector<std::string> names_of(const TensorSource& source) {
  std::vector<std::string> names;
  for (const auto& entry : source.entries()) names.push_back(entry.name);
  return names;
}

std::vector<float> values(const TensorSource& source, std::string_view name) {
  for (const auto& entry : source.entries()) {
    if (entry.name != name) continue;
    const Tensor tensor = source.read(entry);
    EXPECT_EQ(tensor.shape(), entry.shape);
    const auto span = tensor.span<float>();
    return {span.begin(), span.end()};
  }
  ADD_FAILURE() << "no " << name;
  return {};
}

using Strings = std::vector<std::string>;

TEST_F(KeyMapTest, IndicesAreReckonedFromCapturesAndVariables) {
  constexpr std::array rules = {KeyRule{"in.0.0.{*}", "conv_in.{*}"},
                                KeyRule{"in.{i}.0.op.{*}", "down.{(i-1)/n}.sample.{*}"},
                                KeyRule{"in.{i}.0.{*}", "down.{(i-1)/n}.res.{(i-1)%n}.{*}"},
                                KeyRule{"up.{l}.{b}.w", "up.{levels-1-l}.{b*2+1}.w"}};
  const auto mapped = map_keys(
      named({"in.0.0.weight", "in.1.0.a.b", "in.3.0.op.weight", "in.5.0.weight", "up.0.3.w"}),
      {.prefix = "", .rules = rules, .variables = {{"n", 3}, {"levels", 4}}});
  EXPECT_EQ(names_of(*mapped),
            (Strings{"conv_in.weight", "down.0.res.0.a.b", "down.0.sample.weight",
                     "down.1.res.1.weight", "up.3.7.w"}));
}

TEST_F(KeyMapTest, OnlyThePrefixIsShownAndStrangersKeepTheirNames) {
  constexpr std::array rules = {KeyRule{"a.w", "A.w"}, KeyRule{"ema.{*}", ""}};
  const auto mapped = map_keys(named({"m.a.w", "m.ema.x.y", "m.stranger", "m.", "other.a.w"}),
                               {.prefix = "m.", .rules = rules});
  EXPECT_EQ(names_of(*mapped), (Strings{"A.w", "stranger"}));
  WeightLoader loader("part", mapped, Device::kCpu);
  loader.root().take("A.w", Shape{1});
  expect_error(ErrorKind::kCorruptFile, {"stranger", "in the file m.stranger"},
               [&] { loader.finish(); });
}

TEST_F(KeyMapTest, NumbersAreWholeSegmentsWithoutLeadingZeros) {
  constexpr std::array rules = {KeyRule{"b.{i}.w", "B.{i}.w"}, KeyRule{"c.{i}.w", "C.{i-1}.w"}};
  const auto mapped = map_keys(named({"b.0.w", "b.12.w", "b.01.w", "b.x.w", "b.-1.w", "b.1.w.w",
                                      "b..w", "b.99999999999999999999.w", "c.0.w"}),
                               {.prefix = "", .rules = rules});
  // Also an index that would come out negative is none that the table means.
  EXPECT_EQ(names_of(*mapped), (Strings{"B.0.w", "B.12.w", "b.-1.w", "b..w", "b.01.w", "b.1.w.w",
                                        "b.99999999999999999999.w", "b.x.w", "c.0.w"}));
}

TEST_F(KeyMapTest, ACaptureNamedLikeAVariableMustHaveItsValue) {
  constexpr std::array rules = {KeyRule{"b.{last}.{*}", ""}, KeyRule{"b.{i}.{*}", "B.{i}.{*}"}};
  const auto mapped = map_keys(named({"b.0.w", "b.7.w"}),
                               {.prefix = "", .rules = rules, .variables = {{"last", 7}}});
  EXPECT_EQ(names_of(*mapped), Strings{"B.0.w"});
}

TEST_F(KeyMapTest, TransformsMoveTheNumbers) {
  constexpr std::array rules = {
      KeyRule{"attn.in_proj", "{qkv}_proj", KeyTransform::kRowThirds},
      KeyRule{"projection", "projection.weight", KeyTransform::kTranspose},
      KeyRule{"conv", "matrix", KeyTransform::kMatrix}};
  const auto source =
      source_of({f32_tensor("attn.in_proj", {6, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}),
                 f32_tensor("projection", {2, 3}, {1, 2, 3, 4, 5, 6}),
                 f32_tensor("conv", {2, 2, 1, 1}, {1, 2, 3, 4})});
  const auto mapped = map_keys(source, {.prefix = "", .rules = rules});
  EXPECT_EQ(names_of(*mapped),
            (Strings{"k_proj", "matrix", "projection.weight", "q_proj", "v_proj"}));
  EXPECT_EQ(values(*mapped, "q_proj"), (std::vector<float>{0, 1, 2, 3}));
  EXPECT_EQ(values(*mapped, "k_proj"), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(values(*mapped, "v_proj"), (std::vector<float>{8, 9, 10, 11}));
  EXPECT_EQ(values(*mapped, "projection.weight"), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(mapped->entries()[2].shape, (Shape{3, 2}));
  EXPECT_EQ(mapped->entries()[1].shape, (Shape{2, 2}));
}

TEST_F(KeyMapTest, HalvesAreTransposedToo) {
  constexpr std::array rules = {KeyRule{"p", "t", KeyTransform::kTranspose}};
  const auto source = source_of({{"p", "F16", {1, 3}, bytes_of<uint16_t>({1, 2, 3})}});
  const auto mapped = map_keys(source, {.prefix = "", .rules = rules});
  const Tensor t = mapped->read(mapped->entries()[0]);
  EXPECT_EQ(t.shape(), (Shape{3, 1}));
  EXPECT_EQ(std::memcmp(t.bytes(), bytes_of<uint16_t>({1, 2, 3}).data(), 6), 0);
}

TEST_F(KeyMapTest, TensorsOfUnreadableTypesAreMappedAndDroppedAlike) {
  constexpr std::array rules = {KeyRule{"ids", ""}, KeyRule{"w", "W"}};
  const auto source = source_of(
      {{"m.ids", "I64", {1}, std::string(8, '\0')}, {"m.w", "F64", {1}, std::string(8, '\0')}});
  const auto mapped = map_keys(source, {.prefix = "m.", .rules = rules});
  ASSERT_EQ(mapped->unreadable().size(), 1u);
  EXPECT_EQ(mapped->unreadable()[0].name, "W");
  EXPECT_EQ(mapped->unreadable()[0].file_name, "m.w");
}

TEST_F(KeyMapTest, RefusesTwoTensorsForOneName) {
  constexpr std::array rules = {KeyRule{"x.{*}", "{*}"}};
  expect_error(ErrorKind::kCorruptFile, {"each weight must be there once", "'a'", "'x.a'"}, [&] {
    map_keys(named({"a", "x.a"}), {.prefix = "", .rules = rules});
  });
}

TEST_F(KeyMapTest, RefusesShapesThatATransformCannotTake) {
  const auto refuse = [&](KeyTransform transform, const std::vector<int64_t>& shape, size_t count,
                          std::string_view what) {
    const std::array rules = {KeyRule{"w", "W{qkv}", transform}};
    const auto source = source_of({f32_tensor("w", shape, std::vector<float>(count))});
    expect_error(ErrorKind::kCorruptFile, {"'w'", what},
                 [&] { map_keys(source, {.prefix = "", .rules = rules}); });
  };
  refuse(KeyTransform::kRowThirds, {4, 2}, 8, "thirds");
  refuse(KeyTransform::kRowThirds, {}, 1, "thirds");
  refuse(KeyTransform::kTranspose, {4}, 4, "matrix");
  refuse(KeyTransform::kMatrix, {2, 2, 3, 1}, 12, "1x1");
}

TEST_F(KeyMapTest, FaultyTablesAreTheProgrammersFault) {
  for (const char* form : {"{i", "{(i}", "{i/0}", "{unknown}", "{i+}", "{i i}", "{}"}) {
    const std::array rules = {KeyRule{"{i}.w", form}};
    expect_error(ErrorKind::kInternal, {"key_map"},
                 [&] { map_keys(named({"1.w"}), {.prefix = "", .rules = rules}); });
  }
}

}  // namespace
}  // namespace tintype
