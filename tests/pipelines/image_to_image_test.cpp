// Pictures from pictures against the reference pipelines': image to image and inpainting, each case
// of tests/fixtures/image_to_image, may differ by half a level of 255 on average.
#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "models/fixture_files.h"
#include "pipelines/image_to_image.h"
#include "pipelines/inpaint.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/picture_difference.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

DiffusionModel load(const std::filesystem::path& folder) {
  return DiffusionModel::load(CheckpointLayout::read(folder), Device::kCpu, RunContext());
}

std::shared_ptr<const Image> image_of(const Tensor& pixels) {
  const auto bytes = pixels.span<uint8_t>();
  return std::make_shared<Image>(Image{static_cast<int>(pixels.dim(1)),
                                       static_cast<int>(pixels.dim(0)),
                                       {bytes.begin(), bytes.end()}});
}

std::shared_ptr<const Mask> mask_of(const Tensor& pixels) {
  const auto bytes = pixels.span<uint8_t>();
  return std::make_shared<Mask>(Mask{static_cast<int>(pixels.dim(1)),
                                     static_cast<int>(pixels.dim(0)),
                                     {bytes.begin(), bytes.end()}});
}

TextToImageRequest drawing_of(const JsonObject& c) {
  TextToImageRequest drawing{.prompt = c.text("prompt"),
                             .negative_prompt = c.text("negative_prompt"),
                             .steps = static_cast<int>(c.integer("steps", 1, 1000)),
                             .guidance_scale = static_cast<float>(c.number("guidance", 0, 100)),
                             .sampler = c.text("sampler"),
                             .scheduler = c.text("scheduler"),
                             .seed = static_cast<uint64_t>(c.integer("seed", 0, 1000))};
  if (c.has("width")) {
    drawing.width_px = static_cast<int>(c.integer("width", 1, 4096));
    drawing.height_px = static_cast<int>(c.integer("height", 1, 4096));
  }
  return drawing;
}

Image image_to_image(const DiffusionModel& model, const ImageToImageRequest& request) {
  return image_to_images(model, resolve_settings(model, request), request.image, RunContext())
      .front()
      .image;
}

Image inpaint(const DiffusionModel& model, const InpaintRequest& request) {
  return inpaint_images(model, resolve_settings(model, request), request.picture.image,
                        request.mask, RunContext())
      .front()
      .image;
}

class ImagePictures : public ::testing::TestWithParam<std::string> {};

TEST_P(ImagePictures, AgreeWithTheReference) {
  const auto folder = fixtures() / "image_to_image" / GetParam();
  const Json index = read_json_file(folder / "pictures.json");
  const Dump pictures(folder / "pictures.safetensors");
  const DiffusionModel model =
      load(std::filesystem::path(TT_SOURCE_DIR) / index.at("model").get<std::string>());
  ASSERT_GE(index["pictures"].size(), 8u);
  for (const Json& entry : index["pictures"]) {
    const JsonObject c(entry, "pictures.json");
    const std::string name = c.text("name");
    const ImageToImageRequest picture{.drawing = drawing_of(c),
                                      .image = image_of(pictures.raw(c.text("source", "source"))),
                                      .strength = c.number("strength", 0, 1)};
    Image image;
    if (c.text("kind") == "inpaint") {
      InpaintRequest request{.picture = picture, .mask = mask_of(pictures.raw("mask"))};
      request.options.blur_px = 0;
      request.options.only_masked = c.has("padding_mask_crop");
      request.options.composite = request.options.only_masked;
      request.options.only_masked_padding_px =
          static_cast<int>(c.integer("padding_mask_crop", 0, 100, 0));
      image = inpaint(model, request);
    } else {
      image = image_to_image(model, picture);
    }
    const Tensor expected = pictures.raw(name);
    ASSERT_EQ(Shape({image.height_px, image.width_px, 3}), expected.shape()) << name;
    const auto [mean, largest] = difference_of(image, expected);
    EXPECT_LE(mean, kMeanTolerance) << name << ", largest difference " << largest;
    RecordProperty(name, cat("mean ", mean, " max ", largest));
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ImagePictures,
                         ::testing::ValuesIn(fixture_names("image_to_image")), test_name);

/// What the tests below share: a small model, a picture and a mask.
class FromPicture : public ::testing::TestWithParam<std::string> {
 protected:
  FromPicture()
      : pictures_(fixtures() / "image_to_image" / GetParam() / "pictures.safetensors"),
        model_(load(fixtures() / "models" / GetParam())) {
    request_.picture.image = image_of(pictures_.raw("source"));
    request_.picture.drawing = {
        .prompt = "red apple", .steps = 3, .guidance_scale = 2.0f, .seed = 5};
    request_.mask = mask_of(pictures_.raw("mask"));
  }
  const Image& source() const { return *request_.picture.image; }

  const Dump pictures_;
  const DiffusionModel model_;
  InpaintRequest request_;
};

TEST_P(FromPicture, PixelsOutsideTheMaskAreTheirOwn) {
  for (const bool only_masked : {false, true}) {
    for (const MaskFill fill : {MaskFill::kOriginal, MaskFill::kNoise, MaskFill::kBlur}) {
      for (const double strength : {0.6, 1.0}) {
        request_.picture.strength = strength;
        request_.options = {.only_masked = only_masked, .only_masked_padding_px = 3, .fill = fill};
        const Image image = inpaint(model_, request_);
        ASSERT_EQ(image.rgb.size(), source().rgb.size());
        size_t changed = 0;
        for (size_t i = 0; i < image.rgb.size(); ++i) {
          if (!request_.mask->grey[i / 3]) {
            ASSERT_EQ(image.rgb[i], source().rgb[i]) << "byte " << i;
          } else {
            changed += image.rgb[i] != source().rgb[i];
          }
        }
        EXPECT_GT(changed, 100u);
      }
    }
  }
}

TEST_P(FromPicture, FillsDifferBelowFullStrength) {
  request_.picture.strength = 0.4;
  request_.options.fill = MaskFill::kOriginal;
  const auto original = inpaint(model_, request_).rgb;
  request_.options.fill = MaskFill::kNoise;
  const auto noise = inpaint(model_, request_).rgb;
  request_.options.fill = MaskFill::kBlur;
  const auto blur = inpaint(model_, request_).rgb;
  EXPECT_NE(original, noise);
  EXPECT_NE(original, blur);
  EXPECT_NE(noise, blur);
}

TEST_P(FromPicture, APictureOfAnotherSizeKeepsItsOwn) {
  // Neither side is a multiple of what the model takes.
  const auto odd = image_of(pictures_.raw("odd"));
  Mask mask{odd->width_px, odd->height_px, {}};
  for (int i = 0; i < odd->width_px * odd->height_px; ++i)
    mask.grey.push_back(i % odd->width_px > 30 ? 255 : 0);
  request_.picture.image = odd;
  request_.mask = std::make_shared<Mask>(mask);
  const Image image = inpaint(model_, request_);
  ASSERT_EQ(image.width_px, odd->width_px);
  ASSERT_EQ(image.height_px, odd->height_px);
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    if (!mask.grey[i / 3]) {
      ASSERT_EQ(image.rgb[i], odd->rgb[i]);
    }
  }
  request_.options.composite = false;
  EXPECT_LT(inpaint(model_, request_).width_px, odd->width_px);
}

TEST_P(FromPicture, OutpaintingKeepsThePictureInTheMiddle) {
  request_.mask = nullptr;
  request_.options.padding = {.left = 8, .top = 0, .right = 16, .bottom = 8};
  const Image image = inpaint(model_, request_);
  ASSERT_EQ(image.width_px, source().width_px + 24);
  ASSERT_EQ(image.height_px, source().height_px + 8);
  for (int y = 0; y < source().height_px; ++y)
    for (int x = 0; x < source().width_px * 3; ++x)
      ASSERT_EQ(image.rgb[static_cast<size_t>(y * image.width_px * 3 + 24 + x)],
                source().rgb[static_cast<size_t>(y * source().width_px * 3 + x)]);
}

TEST_P(FromPicture, PicturesOfABatchAreThoseDrawnAlone) {
  request_.picture.strength = 0.7;
  request_.picture.drawing.batch_size = 2;
  request_.picture.drawing.sampler = "euler_a";
  const auto batch = inpaint_images(model_, resolve_settings(model_, request_),
                                    request_.picture.image, request_.mask, RunContext());
  ASSERT_EQ(batch.size(), 2u);
  request_.picture.drawing.batch_size = 1;
  EXPECT_EQ(inpaint(model_, request_).rgb, batch[0].image.rgb);
  request_.picture.drawing.seed = 6;
  EXPECT_EQ(inpaint(model_, request_).rgb, batch[1].image.rgb);
}

TEST_P(FromPicture, EverySamplerDrawsFromTheMiddle) {
  request_.picture.strength = 0.5;
  request_.picture.drawing.steps = 24;  // enough for restarts
  request_.picture.drawing.guidance_scale = 1;
  for (const std::string& name : sampler_names()) {
    request_.picture.drawing.sampler = name;
    const TextToImageSettings settings = resolve_settings(model_, request_);
    const auto result =
        inpaint_images(model_, settings, request_.picture.image, request_.mask, RunContext())
            .front();
    EXPECT_GE(result.settings.network_calls, 12) << name;
    EXPECT_LE(result.settings.network_calls, 24) << name;
  }
}

TEST_P(FromPicture, WrongRequestsAreRefusedBeforeAnyWork) {
  const auto expect_refused = [&](const char* field, auto change) {
    InpaintRequest request = request_;
    change(request);
    try {
      inpaint(model_, request);
      ADD_FAILURE() << "accepted a wrong " << field;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument) << error.what();
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  };
  expect_refused("strength", [](auto& r) { r.picture.strength = 1.5; });
  expect_refused("strength", [](auto& r) { r.picture.strength = std::nan(""); });
  expect_refused("strength", [](auto& r) { r.picture.strength = 0.1; });  // of 3 steps: none
  expect_refused("image", [](auto& r) { r.picture.image = nullptr; });
  expect_refused("mask", [](auto& r) { r.mask = nullptr; });
  expect_refused("mask", [](auto& r) {
    r.mask = std::make_shared<Mask>(Mask{8, 8, std::vector<uint8_t>(64, 255)});
  });
  expect_refused("mask", [](auto& r) {
    r.mask = std::make_shared<Mask>(
        Mask{r.mask->width_px, r.mask->height_px, std::vector<uint8_t>(r.mask->grey.size(), 0)});
  });
  expect_refused("mask_blur", [](auto& r) { r.options.blur_px = -1; });
  expect_refused("mask_grow", [](auto& r) { r.options.grow_px = 100000; });
  expect_refused("pad", [](auto& r) { r.options.padding.left = -8; });
  expect_refused("only_masked_padding", [](auto& r) { r.options.only_masked_padding_px = -1; });
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FromPicture, ::testing::Values("four-level", "inpainting"),
                         test_name);

TEST(ImageToImage, StrengthSkipsStepsAsTheReferenceCountsThem) {
  TextToImageSettings s;
  const auto skipped = [&](int steps, double strength) {
    s.steps = steps;
    s.strength = strength;
    return skipped_steps(s);
  };
  EXPECT_EQ(skipped(50, 0.8), 10);
  EXPECT_EQ(skipped(10, 0.3), 7);
  EXPECT_EQ(skipped(100, 0.29), 72);  // 0.29 * 100 is 28.999...
  EXPECT_EQ(skipped(20, 1.0), 0);
  s.strength.reset();
  EXPECT_EQ(skipped_steps(s), 0);
}

TEST(ImageToImage, ANetworkForMasksIsRefusedByName) {
  const DiffusionModel model = load(fixtures() / "models" / "inpainting");
  const ImageToImageRequest request{
      .drawing = {.prompt = "a"},
      .image = std::make_shared<Image>(Image{64, 64, std::vector<uint8_t>(64 * 64 * 3)})};
  try {
    image_to_image(model, request);
    ADD_FAILURE() << "accepted a network with nine inputs";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("inpainting"), std::string::npos) << error.what();
  }
}

TEST(ImageToImage, MemoryPredictionKnowsTheEncoder) {
  const MetaModel meta =
      load_meta_model(CheckpointLayout::read(fixtures() / "models" / "four-level"));
  PictureSize size{.width_px = 256, .height_px = 256};
  EXPECT_EQ(predict_memory(meta.model, size).encode_bytes, 0u);
  size.encodes = true;
  const MemoryPrediction prediction = predict_memory(meta.model, size);
  EXPECT_GT(prediction.encode_bytes, 256u * 256 * 3 * 4);
  EXPECT_GE(prediction.peak_bytes(), prediction.encode_bytes);
}

}  // namespace
}  // namespace tintype::testing
