// Matching adapters to a model: what does not fit is one error, files are hostile, names stay in
// their folder.
#include "adapters/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "adapters/adapter_registry.h"
#include "base/expect_error.h"
#include "base/json.h"
#include "base/temporary_folder.h"
#include "models/fixture_files.h"
#include "models/unet_2d_condition/keys.h"
#include "pipelines/request_adapters.h"

namespace tintype::testing {
namespace {

/// A safetensors file under construction; every tensor f32 and filled with one value.
class FileWriter {
 public:
  FileWriter& add(const std::string& name, std::vector<int64_t> shape, float value = 0.1f) {
    size_t count = 1;
    for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
    const size_t begin = data_.size();
    for (size_t i = 0; i < count; ++i) data_.append(reinterpret_cast<const char*>(&value), 4);
    header_[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data_.size()}}};
    return *this;
  }
  FileWriter& lora(const std::string& module, int64_t out, int64_t in, int64_t rank = 2) {
    add(module + ".lora_down.weight", {rank, in});
    return add(module + ".lora_up.weight", {out, rank});
  }
  std::string bytes() const {
    const std::string header = header_.dump();
    const uint64_t length = header.size();
    std::string out(reinterpret_cast<const char*>(&length), 8);
    return out + header + data_;
  }

 private:
  Json header_ = Json::object();
  std::string data_;
};

class AdapterMatching : public ::testing::Test {
 protected:
  static constexpr size_t kBudget = 64 << 20;
  const CheckpointLayout layout_ = CheckpointLayout::read(fixtures() / "models" / "four-level");
  const DiffusionModel model_ = DiffusionModel::load(layout_, Device::kCpu, RunContext());
  const std::shared_ptr<AdapterRegistry> registry_ =
      make_adapter_registry(model_, layout_, kBudget);
  const TemporaryFolder folder_;

  std::shared_ptr<const Adapter> read(const FileWriter& file) {
    return registry_->get(folder_.write("adapter.safetensors", file.bytes()));
  }
  /// The first linear layer of the network that is called so.
  const WeightSlot& slot(std::string_view end) const {
    for (const WeightSlot& one : model_.network->slots())
      if (one.path.ends_with(end)) return one;
    throw std::runtime_error("no such slot");
  }
  static std::string kohya(const std::string& path) { return "lora_unet_" + module_key(path); }
};

TEST_F(AdapterMatching, WhatDoesNotFitIsOneErrorWithNearestNames) {
  const WeightSlot& to_q = slot("attn1.to_q");
  FileWriter file;
  file.lora(kohya(to_q.path), to_q.shape[0], to_q.shape[1]);
  file.lora("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_qq", 4, 4);
  file.lora("lora_te_text_model_encoder_layers_0_mlp_fc1", 3, 3);
  file.add("something.else", {2});
  expect_error(ErrorKind::kUnsupported,
               {"1 layers that it lacks", "1 of other shapes", "1 tensors of no known meaning",
                "to_qq", "nearest: down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
                "fc1", "must be", "something.else", "1 layers fit"},
               [&] { read(file); });
}

TEST_F(AdapterMatching, TheListIsBounded) {
  FileWriter file;
  for (int i = 0; i < 300; ++i) file.lora(cat("lora_unet_double_blocks_", i, "_img_attn"), 4, 4);
  try {
    read(file);
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("and 280 more"), std::string::npos) << message;
    EXPECT_NE(message.find("FLUX"), std::string::npos) << message;
    EXPECT_LT(message.size(), 8000u);
  }
}

TEST_F(AdapterMatching, AnotherFamilyIsNamed) {
  const WeightSlot& to_k = slot("attn2.to_k");
  expect_error(ErrorKind::kUnsupported, {"it looks like one for SDXL", "2048"},
               [&] { read(FileWriter().lora(kohya(to_k.path), to_k.shape[0], 2048)); });
}

TEST_F(AdapterMatching, NumbersThatAreNoneAreRefused) {
  const WeightSlot& to_q = slot("attn1.to_q");
  for (const float value : {NAN, INFINITY, -INFINITY}) {
    FileWriter file;
    file.add(kohya(to_q.path) + ".lora_down.weight", {2, to_q.shape[1]}, value);
    file.add(kohya(to_q.path) + ".lora_up.weight", {to_q.shape[0], 2});
    expect_error(ErrorKind::kCorruptFile, {"NaN or infinity", "lora_down"}, [&] { read(file); });
  }
}

TEST_F(AdapterMatching, HalfALayerAndMixedKindsAreRefused) {
  const WeightSlot& to_q = slot("attn1.to_q");
  const std::string name = kohya(to_q.path);
  expect_error(ErrorKind::kUnsupported, {"has no down"}, [&] {
    read(FileWriter().add(name + ".lora_up.weight", {to_q.shape[0], 2}));
  });
  expect_error(ErrorKind::kUnsupported, {"has no product"},
               [&] { read(FileWriter().add(name + ".alpha", {})); });
  expect_error(ErrorKind::kUnsupported, {"several kinds"}, [&] {
    read(FileWriter()
             .lora(name, to_q.shape[0], to_q.shape[1])
             .add(name + ".diff", {to_q.shape[0], to_q.shape[1]}));
  });
  expect_error(ErrorKind::kUnsupported, {"for the inputs"}, [&] {
    read(FileWriter()
             .lora(name, to_q.shape[0], to_q.shape[1])
             .add(name + ".dora_scale", {1, to_q.shape[1]}));
  });
  expect_error(ErrorKind::kUnsupported, {"no tensor"}, [&] { read(FileWriter()); });
}

TEST_F(AdapterMatching, HostileShapesAreRefused) {
  const WeightSlot& to_q = slot("attn1.to_q");
  const std::string name = kohya(to_q.path);
  const int64_t n = to_q.shape[0], k = to_q.shape[1];
  const std::vector<FileWriter> files = {
      FileWriter().add(name + ".lora_down.weight", {0, k}).add(name + ".lora_up.weight", {n, 0}),
      FileWriter().add(name + ".lora_down.weight", {2}).add(name + ".lora_up.weight", {n}),
      FileWriter()
          .add(name + ".lora_down.weight", {2, k, 3, 3})
          .add(name + ".lora_up.weight", {n, 2}),
      FileWriter().add(name + ".hada_w1_a", {n, 2}).add(name + ".hada_w1_b", {3, k}),
      FileWriter().add(name + ".lokr_w1", {n, k}).add(name + ".lokr_w2", {2, 2}),
      FileWriter().add(name + ".lokr_w1", {0, 0}).add(name + ".lokr_w2", {2, 2}),
      FileWriter().add(name + ".lokr_w1", {1 << 8, 1 << 8}).add(name + ".lokr_w2_a", {1, 1 << 8}),
      FileWriter().add(name + ".diff", {n, k, 1})};
  for (const FileWriter& file : files)
    EXPECT_THROW(read(file), Error) << file.bytes().substr(8, 200);
}

TEST_F(AdapterMatching, DiffusersNameCountsWhereAFileHasBothLayouts) {
  const WeightSlot& slot = this->slot("attn1.to_q");
  ASSERT_FALSE(slot.original_path.empty());
  const std::string original = "lora_unet_" + module_key(slot.original_path);
  FileWriter file;
  file.lora(original, slot.shape[0], slot.shape[1], 3);
  EXPECT_EQ(read(file)->kind(), "LoRA of rank 3");
  file.lora(kohya(slot.path), slot.shape[0], slot.shape[1], 2);
  EXPECT_EQ(read(file)->kind(), "LoRA of rank 2");
}

TEST_F(AdapterMatching, AChangedFileIsReadAgain) {
  const WeightSlot& slot = this->slot("attn1.to_q");
  const auto one = read(FileWriter().lora(kohya(slot.path), slot.shape[0], slot.shape[1], 1));
  const auto two = read(FileWriter().lora(kohya(slot.path), slot.shape[0], slot.shape[1], 2));
  EXPECT_EQ(one->kind(), "LoRA of rank 1");
  EXPECT_EQ(two->kind(), "LoRA of rank 2");
}

TEST(AdapterNames, AreLookedUpInTheFolderAndNeverLeaveIt) {
  const TemporaryFolder folder;
  folder.write("secret.safetensors", "");
  const std::filesystem::path inside = folder.path() / "adapters";
  std::filesystem::create_directories(inside / "styles");
  for (const char* name : {"ink.safetensors", "styles/wash.safetensors", "styles/twin.safetensors",
                           "twin.safetensors", "notes.txt"})
    std::ofstream(inside / name) << "x";
  EXPECT_EQ(find_adapter(inside, "ink"), inside / "ink.safetensors");
  EXPECT_EQ(find_adapter(inside, "wash"), inside / "styles" / "wash.safetensors");
  EXPECT_EQ(find_adapter(inside, "styles/twin"), inside / "styles" / "twin.safetensors");
  EXPECT_EQ(find_adapter(inside, "twin"), inside / "twin.safetensors");
  for (const char* name :
       {"../secret", "../adapters/ink", "/etc/passwd", "notes", "", ".", "ink/"})
    expect_error(ErrorKind::kNotFound, {"must hold an adapter"},
                 [&] { find_adapter(inside, name); });
  expect_error(ErrorKind::kNotFound, {"did you mean ink?"}, [&] { find_adapter(inside, "inc"); });
  expect_error(ErrorKind::kNotFound, {"existing folder"},
               [&] { find_adapter(inside / "nothing", "ink"); });
}

// The two directions of the names of the original layout are one table and its inverse.
TEST(AdapterNames, OriginalPathsAreTheInverseOfTheKeyTables) {
  for (const char* name : {"four-level", "sdxl", "shallow"}) {
    const CheckpointLayout layout = CheckpointLayout::read(fixtures() / "models" / name);
    const DiffusionModel model = DiffusionModel::load(layout, Device::kMeta, RunContext());
    FileWriter file;
    std::map<std::string, std::string> expected;  // diffusers' name of each
    for (const WeightSlot& slot : model.network->slots()) {
      const std::vector<int64_t> shape(slot.shape.dims().begin(), slot.shape.dims().end());
      file.add(slot.original_path + ".weight", shape);
      expected[slot.original_path + ".weight"] = slot.path + ".weight";
    }
    const std::string bytes = file.bytes();
    const auto source = open_safetensors_bytes(std::as_bytes(std::span(bytes)), name);
    const NamedShapes shapes(*source);
    if (!is_original_unet(shapes)) continue;
    OriginalUnet unet;
    try {
      unet = describe_original_unet(shapes, {.heads = 2});
    } catch (const Error&) {
      continue;  // a structure that no released model has
    }
    const auto mapped = map_keys(source, unet.keys);
    for (const auto& entry : mapped->entries()) {
      const std::string& original = entry.file_name.empty() ? entry.name : entry.file_name;
      EXPECT_EQ(entry.name, expected[original]) << original;
    }
  }
}

}  // namespace
}  // namespace tintype::testing
