// Packed models: the same pictures bit for bit as the checkpoint that they were made from, and
// clear refusals of what cannot be drawn from.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "backend/registry.h"
#include "base/expect_error.h"
#include "base/json.h"
#include "base/temporary_folder.h"
#include "models/precision.h"
#include "ops/ops.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/packed_layout.h"
#include "pipelines/text_to_image.h"
#include "tensor/allocator.h"
#include "tintype/engine.h"
#include "tintype/prompt.h"
#include "weights/packed_format.h"

namespace tintype::testing {
namespace {

namespace fs = std::filesystem;

/// A checkpoint below tests/fixtures. Single files take a tokenizer and an autoencoder from others.
struct Checkpoint {
  std::string path;

  CheckpointLayout layout(const std::string& profile = "exact") const {
    const fs::path fixtures(TT_FIXTURES);
    LoadOptions options;
    options.profile = profile;
    if (path.starts_with("single_files")) {
      options.tokenizers = {fixtures / "models/shallow/tokenizer"};
      options.vae = fixtures / "single_files/sd1.safetensors";
    }
    if (path.find("sd2") != std::string::npos && !options.vae.empty())
      options.prediction_type = "v_prediction";
    return CheckpointLayout::read(fixtures / path, options);
  }
};

void PrintTo(const Checkpoint& checkpoint, std::ostream* out) { *out << checkpoint.path; }

DiffusionModel load(const CheckpointLayout& layout) {
  return DiffusionModel::load(layout, Device::kCpu, RunContext());
}

std::vector<uint8_t> draw(const DiffusionModel& model) {
  const TextToImageRequest request{
      .prompt = "red apple! sun", .steps = 3, .guidance_scale = 4.0f, .seed = 11};
  return text_to_images(model, resolve_settings(model, request), RunContext(), nullptr)
      .front()
      .image.rgb;
}

fs::path write(const CheckpointLayout& layout, const TemporaryFolder& folder) {
  const fs::path file = folder.path() / "packed.tintype";
  const uint64_t size = write_packed(layout, file, RunContext());
  EXPECT_EQ(size, fs::file_size(file));
  return file;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Packed : public ::testing::TestWithParam<Checkpoint> {};

TEST_P(Packed, DrawsTheSameBitsInEveryProfile) {
  std::vector<std::vector<uint8_t>> pictures;
  for (const char* profile : {"exact", "balanced"}) {
    const CheckpointLayout layout = GetParam().layout(profile);
    const TemporaryFolder folder;
    const fs::path file = write(layout, folder);
    const CheckpointLayout packed = CheckpointLayout::read(file);
    EXPECT_EQ(packed.kind, "packed");
    EXPECT_NE(packed.note.find(profile), std::string::npos) << packed.note;
    pictures.push_back(draw(load(layout)));
    EXPECT_EQ(draw(load(packed)), pictures.back()) << profile;
    // The same file again: nothing in it depends on the time or the thread count.
    const std::string first = bytes_of(file);
    backend_for(Device::kCpu).use_threads(3);
    EXPECT_EQ(bytes_of(write(layout, folder)), first) << profile;
  }
  EXPECT_NE(pictures.front(), pictures.back()) << "profiles should differ, or this tests nothing";
}

TEST_P(Packed, PredictsTheSameMemoryAndTellsTheSameModel) {
  const CheckpointLayout layout = GetParam().layout();
  const TemporaryFolder folder;
  const CheckpointLayout packed = CheckpointLayout::read(write(layout, folder));
  const MetaModel from_checkpoint = load_meta_model(layout), from_packed = load_meta_model(packed);
  const auto close = static_cast<double>(from_checkpoint.weight_bytes);
  EXPECT_NEAR(static_cast<double>(from_packed.weight_bytes), close, 0.02 * close);
  EXPECT_EQ(packed.traits.class_name, layout.traits.class_name);
  EXPECT_EQ(packed.traits.zero_absent_negative, layout.traits.zero_absent_negative);
  EXPECT_EQ(packed.schedule.class_name, layout.schedule.class_name);
  EXPECT_EQ(packed.schedule.prediction_type, layout.schedule.prediction_type);
  EXPECT_EQ(packed.schedule.timestep_spacing, layout.schedule.timestep_spacing);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Packed,
                         ::testing::Values(Checkpoint{"models/four-level"},
                                           Checkpoint{"models/sd2-zero-snr"},
                                           Checkpoint{"models/sdxl"},
                                           Checkpoint{"models/sdxl-distilled"},
                                           Checkpoint{"single_files/sd1.safetensors"},
                                           Checkpoint{"single_files/sd1-q8_0.gguf"},
                                           Checkpoint{"single_files/sd2-v.safetensors"},
                                           Checkpoint{"single_files/sdxl.safetensors"}));

const Checkpoint kSmall{"models/shallow"};

TEST(PackedModel, WeightsLieInTheMapOfTheFile) {
  const TemporaryFolder folder;
  const auto file = PackedFile::open(write(kSmall.layout(), folder));
  const auto source = file->components()[1].source();
  for (const auto& entry : source->entries()) {
    if (!entry.packed) continue;
    const PackedParts parts = source->read_packed(entry);
    const auto weight = ops::adopt(parts, Device::kCpu);
    EXPECT_EQ(ops::packed_parts(*weight, Device::kCpu).parts[0].bytes(), parts.parts[0].bytes());
    return;
  }
  ADD_FAILURE() << "no weight is packed";
}

TEST(PackedModel, TruncatedFilesAreRefused) {
  const TemporaryFolder folder;
  const fs::path file = write(kSmall.layout("balanced"), folder);
  const uint64_t whole = fs::file_size(file);
  for (uint64_t length = whole - 1; length > 0; length = length * 9 / 10) {
    fs::resize_file(file, length);
    const auto attempt = [&] { load(CheckpointLayout::read(file)); };
    if (length >= 64)
      expect_error(ErrorKind::kCorruptFile, {"packed.tintype"}, attempt);
    else
      EXPECT_THROW(attempt(), Error) << length;
  }
}

TEST(PackedModel, DamagedWeightsAreRefusedBeforeUse) {
  const TemporaryFolder folder;
  const fs::path file = write(kSmall.layout("balanced"), folder);
  std::string bytes = bytes_of(file);
  bytes[bytes.size() / 3] = static_cast<char>(bytes[bytes.size() / 3] ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  const CheckpointLayout layout = CheckpointLayout::read(file);
  expect_error(ErrorKind::kCorruptFile, {"checksum", "damaged"}, [&] { load(layout); });
}

/// The file with every "panels of <this machine>" changed into those of another one.
void use_other_panels(const fs::path& file) {
  std::string bytes = bytes_of(file);
  PackedHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::string index = bytes.substr(header.index_offset);
  const std::string from = "cpu f16 panels of ", to = "cpu f16 panels of 9";
  for (size_t at = index.find(from); at != std::string::npos; at = index.find(from, at + 1))
    index.replace(at, to.size(), to);
  header.index_checksum = checksum64(std::as_bytes(std::span(index)));
  header.header_checksum = header.checksum();
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::ofstream(file, std::ios::binary) << bytes.substr(0, header.index_offset) << index;
}

TEST(PackedModel, PanelsOfAnotherMachineAreRefusedByName) {
  const TemporaryFolder folder;
  const fs::path file = write(kSmall.layout(), folder);
  if (PackedFile::open(file)->layouts().front().starts_with("cpu f32"))
    GTEST_SKIP() << "the fixture has no f16 weights";
  use_other_panels(file);
  const CheckpointLayout layout = CheckpointLayout::read(file);
  expect_error(ErrorKind::kUnsupported, {"cpu f16 panels of 9", "this machine", "pack the model"},
               [&] { load(layout); });
}

TEST(PackedModel, OtherDevicesSayWhatTheyNeed) {
  const TemporaryFolder folder;
  const CheckpointLayout layout = CheckpointLayout::read(write(kSmall.layout(), folder));
  expect_error(ErrorKind::kUnsupported, {"reference", "not packed"},
               [&] { DiffusionModel::load(layout, Device::kReference, RunContext()); });
}

TEST(PackedModel, PackingTwiceAndWrongOptionsAreRefused) {
  const TemporaryFolder folder;
  const fs::path file = write(kSmall.layout(), folder);
  expect_error(ErrorKind::kInvalidArgument, {"packed already"}, [&] {
    write_packed(CheckpointLayout::read(file), folder.path() / "again", RunContext());
  });
  LoadOptions options;
  options.profile = "balanced";
  expect_error(ErrorKind::kInvalidArgument, {"packed as exact", "balanced"},
               [&] { CheckpointLayout::read(file, options); });
  options.profile = "exact";
  options.vae = file;
  expect_error(ErrorKind::kInvalidArgument, {"vae", "packed model"},
               [&] { CheckpointLayout::read(file, options); });
  EXPECT_FALSE(fs::exists(folder.path() / "again"));
}

TEST(PackedModel, ACancelledPackLeavesNothing) {
  const TemporaryFolder folder;
  RunContext context;
  context.on_progress = [&](const Progress& progress) {
    if (progress.step == 2) context.cancel();
  };
  expect_error(ErrorKind::kCancelled, {},
               [&] { write_packed(kSmall.layout(), folder.path() / "packed", context); });
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(PackedModel, KeepsTheSpacingThatItWasPackedWith) {
  const TemporaryFolder folder;
  LoadOptions options;
  options.timestep_spacing = "trailing";
  const CheckpointLayout layout =
      CheckpointLayout::read(fs::path(TT_FIXTURES) / kSmall.path, options);
  EXPECT_EQ(CheckpointLayout::read(write(layout, folder)).schedule.timestep_spacing,
            TimestepSpacing::kTrailing);
}

TEST(PackedModel, TokensAreTheSame) {
  const TemporaryFolder folder;
  for (const Checkpoint& checkpoint :
       {Checkpoint{"models/sdxl"}, Checkpoint{"models/four-level"}}) {
    const fs::path file = write(checkpoint.layout(), folder);
    const auto plain = describe_prompt(fs::path(TT_FIXTURES) / checkpoint.path, "(red:1.2) apple!");
    const auto packed = describe_prompt(file, "(red:1.2) apple!");
    const auto& a = plain.prompts[0].windows[0].tokens;
    const auto& b = packed.prompts[0].windows[0].tokens;
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].id, b[i].id);
      EXPECT_EQ(a[i].text, b[i].text);
    }
  }
}

}  // namespace
}  // namespace tintype::testing
