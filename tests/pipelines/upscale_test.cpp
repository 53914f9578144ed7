// Upscalers of the ESRGAN family beside PyTorch, in each naming of their files.
#include <gtest/gtest.h>

#include <cmath>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "image/resize.h"
#include "models/fixture_files.h"
#include "models/upscaler.h"
#include "ops/ops.h"
#include "pipelines/upscale.h"
#include "weights/safetensors.h"

namespace tintype::testing {
namespace {

std::filesystem::path file_of(const std::string& name) {
  return fixtures() / "upscalers" / (name + ".safetensors");
}

struct Case {
  std::unique_ptr<UpscalingNetwork> network;
  Image picture;
  Tensor expected;  ///< [H,W,3]
};

Case load_case(const std::string& name) {
  const Dump stored(file_of(name + "-picture"));
  const Tensor picture = stored.raw("picture");
  Case c{.network = load_upscaler(file_of(name), Device::kCpu),
         .picture = {.width_px = static_cast<int>(picture.dim(1)),
                     .height_px = static_cast<int>(picture.dim(0)),
                     .rgb = {}},
         .expected = stored.raw("expected")};
  const auto bytes = picture.span<uint8_t>();
  c.picture.rgb.assign(bytes.begin(), bytes.end());
  return c;
}

Tensor as_input(const Image& image) {
  Tensor x = ops::empty(Shape{1, image.height_px, image.width_px, 3}, DType::kF32, Device::kCpu);
  for (size_t i = 0; i < image.rgb.size(); ++i)
    x.mutable_span<float>()[i] = static_cast<float>(image.rgb[i]) / 255.0f;
  return x;
}

TEST(RrdbNet, AnswersAsPyTorchInEveryNaming) {
  for (const char* name :
       {"x4", "x4-trunk", "x4-sequence", "x2-sequence", "x2-unshuffled", "x1-unshuffled"}) {
    const Case c = load_case(name);
    const Tensor out = c.network->forward(as_input(c.picture), nullptr);
    ASSERT_EQ(out.numel(), c.expected.numel()) << name;
    EXPECT_EQ(out.dim(1), c.expected.dim(0)) << name;
    EXPECT_EQ(out.dim(1), c.picture.height_px * c.network->traits().scale) << name;
    float most = 0;
    for (size_t i = 0; i < out.span<float>().size(); ++i)
      most = std::max(most, std::fabs(out.span<float>()[i] - c.expected.span<float>()[i]));
    EXPECT_LT(most, 2e-5f) << name;
  }
}

TEST(RrdbNet, CountsItsParameters) {
  const auto source = open_safetensors(file_of("x4"));
  EXPECT_EQ(load_upscaler(source, Device::kCpu)->traits().parameters,
            summarize(*source).parameters);
}

TEST(RrdbNet, BandsOfTheHeadShowNowhere) {
  // Taller than a band: the rows at a band's edge must be those of a picture that ends elsewhere.
  const Case c = load_case("x4");
  Image tall{.width_px = 5, .height_px = 150, .rgb = {}};
  for (int i = 0; i < 5 * 150 * 3; ++i) tall.rgb.push_back(static_cast<uint8_t>(i * 37 % 251));
  const Tensor whole = c.network->forward(as_input(tall), nullptr);
  const int64_t reach = c.network->traits().receptive_field;
  Image part{.width_px = 5, .height_px = 100, .rgb = {}};
  part.rgb.assign(tall.rgb.begin(), tall.rgb.begin() + 5 * 100 * 3);
  const Tensor upper = c.network->forward(as_input(part), nullptr);
  ASSERT_LT(reach, 60);
  for (int64_t i = 0; i < (100 - reach) * 4 * 20 * 3; ++i)
    ASSERT_EQ(whole.data<float>()[i], upper.data<float>()[i]) << i;
}

TEST(Upscale, TilesThatSeeEnoughGiveTheWholePictureBitForBit) {
  for (const char* name : {"x4", "x2-unshuffled", "x1-unshuffled"}) {
    const Case c = load_case(name);
    Image wide{.width_px = 110, .height_px = 18, .rgb = {}};
    for (int i = 0; i < 110 * 18 * 3; ++i) wide.rgb.push_back(static_cast<uint8_t>(i * 41 % 253));
    const int reach = static_cast<int>(c.network->traits().receptive_field);
    const auto run = [&](const UpscaleOptions& options) {
      return upscale(*c.network, Device::kCpu, wide, options, RunContext()).rgb;
    };
    const auto whole = run({.tile_px = 0});
    const int scale = static_cast<int>(c.network->traits().scale);
    EXPECT_EQ(whole.size(), static_cast<size_t>(110 * 18 * 3 * scale * scale)) << name;
    EXPECT_EQ(run({.tile_px = 16, .overlap_px = reach}), whole) << name;
    EXPECT_NE(run({.tile_px = 16, .overlap_px = 0}), whole) << name << ": the test sees seams";
  }
}

TEST(Upscale, TilesCoverEveryPixelOnce) {
  for (const int size : {1, 15, 16, 17, 500, 513, 1025})
    for (const int multiple : {1, 2, 4}) {
      const auto spans = tile_spans(size, multiple, {.tile_px = 64, .overlap_px = 9});
      int covered = 0;
      for (const TileSpan& span : spans) {
        EXPECT_EQ(span.begin, covered);
        EXPECT_GT(span.end, span.begin);
        EXPECT_LE(span.end - span.begin, 64 + multiple);
        EXPECT_EQ(span.from % multiple, 0);
        EXPECT_EQ((span.to - span.from) % multiple, 0);
        covered = span.end;
      }
      EXPECT_GE(covered, size);
      EXPECT_LT(covered, size + multiple);
    }
}

// On the backend that only counts, the same code in every form of the network.
TEST(Upscale, MemoryIsPredicted) {
  for (const char* name : {"x4", "x2-unshuffled", "x1-unshuffled"}) {
    const MetaUpscaler meta = load_meta_upscaler(file_of(name));
    EXPECT_GT(meta.weight_bytes, 4 * meta.network->traits().parameters) << name;
    const auto bytes = [&](int side_px, int tile_px) {
      return predict_upscale(*meta.network, side_px, side_px, {.tile_px = tile_px});
    };
    EXPECT_GT(bytes(512, 0), 2 * bytes(512, 128)) << name;
    EXPECT_EQ(bytes(512, 0), bytes(512, 512)) << name;
    const auto scale = static_cast<uint64_t>(meta.network->traits().scale);
    EXPECT_EQ(bytes(1024, 64) - bytes(512, 64), 3u * (1024 * 1024 - 512 * 512) * scale * scale)
        << name << ": the result";
  }
}

TEST(Upscale, BadRequestsAreRefused) {
  const Case c = load_case("x4");
  const auto run = [&](const Image& image, const UpscaleOptions& options) {
    upscale(*c.network, Device::kCpu, image, options, RunContext());
  };
  expect_error(ErrorKind::kInvalidArgument, {"tile_px"}, [&] { run(c.picture, {.tile_px = 3}); });
  expect_error(ErrorKind::kInvalidArgument, {"overlap_px"},
               [&] { run(c.picture, {.overlap_px = -1}); });
  expect_error(ErrorKind::kInvalidArgument, {"pixels"}, [&] { run({}, {}); });
  expect_error(ErrorKind::kInvalidArgument, {"at most"}, [&] {
    run({.width_px = 9000, .height_px = 1, .rgb = std::vector<uint8_t>(27000)}, {});
  });
  RunContext cancelled;
  cancelled.cancel();
  expect_error(ErrorKind::kCancelled, {"cancelled"},
               [&] { upscale(*c.network, Device::kCpu, c.picture, {}, cancelled); });
}

TEST(Upscale, OtherFilesAreRefusedByName) {
  expect_error(ErrorKind::kUnsupported, {"ESRGAN", "body.0.rdb1"}, [&] {
    load_upscaler(
        fixtures() / "models" / "four-level" / "vae" / "diffusion_pytorch_model.safetensors",
        Device::kCpu);
  });
  expect_error(ErrorKind::kNotFound, {"nothing"},
               [&] { load_upscaler(file_of("nothing"), Device::kCpu); });
  const TemporaryFolder folder;
  const auto pickled = folder.write("old.pth", "PK\x03\x04 archive/data.pkl and more of it");
  expect_error(ErrorKind::kUnsupported, {"old.pth"}, [&] { load_upscaler(pickled, Device::kCpu); });
}

TEST(Upscale, AnotherScaleIsTheNetworksResultResized) {
  const Case c = load_case("x4");
  const Image own = upscale(*c.network, Device::kCpu, c.picture, {}, {});
  const Image twice = upscale(*c.network, Device::kCpu, c.picture, {.scale = 2}, {});
  EXPECT_EQ(twice.width_px, 2 * c.picture.width_px);
  EXPECT_EQ(twice.height_px, 2 * c.picture.height_px);
  EXPECT_EQ(twice.rgb, fit_image(std::make_shared<const Image>(own), twice.width_px,
                                 twice.height_px, ResizeMode::kFit)
                           ->rgb);
  EXPECT_EQ(upscale(*c.network, Device::kCpu, c.picture, {.scale = 4}, {}).rgb, own.rgb);
  for (const double scale : {0.5, 8.5, -1.0})
    expect_error(ErrorKind::kInvalidArgument, {"[scale]"},
                 [&] { upscale(*c.network, Device::kCpu, c.picture, {.scale = scale}, {}); });
}

}  // namespace
}  // namespace tintype::testing
