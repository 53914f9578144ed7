// Pictures from pictures through the program: formats, sizes, masks, refusals, copies.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "image/test_folder.h"
#include "tintype/image.h"

namespace tintype {
namespace {

using Json = nlohmann::json;

Image stripes(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (const int value : {x * 2, y * 2, 128})
        image.rgb.push_back(static_cast<uint8_t>(value % 256));
  return image;
}

/// White in the right half.
Image half_mask(int width, int height) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i)
    image.rgb.insert(image.rgb.end(), 3, i % width >= width / 2 ? 255 : 0);
  return image;
}

class ImageCommands : public ::testing::Test {
 protected:
  ImageCommands() {
    save_image(folder_ / "in.png", stripes(128, 128));
    save_image(folder_ / "in.jpg", stripes(128, 128));
    save_image(folder_ / "odd.webp", stripes(131, 117), {}, {.quality = 100});
    save_image(folder_ / "mask.png", half_mask(128, 128));
    save_image(folder_ / "odd-mask.png", half_mask(131, 117));
  }
  RunResult run(const char* command, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {command,     "-m",         TT_MODEL, "-p",
                                          "red apple", "-s",         "7",      "--steps",
                                          "4",         "--guidance", "1",      "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cli(arguments, {folder_.path(), "", {}});
  }

  TestFolder folder_;
};

TEST_F(ImageCommands, ImageToImageTakesAndWritesEveryFormat) {
  for (const char* in : {"in.png", "in.jpg", "odd.webp"}) {
    for (const char* out : {"out.png", "out.jpg", "out.webp"}) {
      const RunResult result = run("img2img", {"-i", in, "--strength", "0.5", "-o", out});
      ASSERT_EQ(result.code, 0) << result.err;
      const Json json = Json::parse(result.out);
      EXPECT_EQ(json.at("settings").at("strength"), 0.5);
      EXPECT_EQ(json.at("timings").at("step_s").size(), 2u) << "half of four steps";
      const Image image = load_image(folder_ / out);
      EXPECT_EQ(image.width_px, 128);
      EXPECT_EQ(image.height_px, std::string(in) == "odd.webp" ? 112 : 128);
    }
  }
}

TEST_F(ImageCommands, ResizeModesGiveTheSizeAskedFor) {
  std::vector<std::vector<uint8_t>> pictures;
  for (const char* mode : {"fit", "crop", "pad"}) {
    ASSERT_EQ(run("img2img", {"-i", "odd.webp", "--resize", mode, "-W", "64", "-H", "128", "-o",
                              "out.png", "--strength", "0.3"})
                  .code,
              0);
    const Image image = load_image(folder_ / "out.png");
    EXPECT_EQ(image.width_px, 64);
    EXPECT_EQ(image.height_px, 128);
    pictures.push_back(image.rgb);
  }
  EXPECT_NE(pictures[0], pictures[1]);
  EXPECT_NE(pictures[1], pictures[2]);
}

TEST_F(ImageCommands, InpaintingLeavesTheRestAlone) {
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{}, {"--only-masked"}, {"--strength", "0.7"}}) {
    std::vector<std::string> flags = {"-i", "odd.webp", "--mask", "odd-mask.png", "-o", "out.png"};
    flags.insert(flags.end(), more.begin(), more.end());
    const RunResult result = run("inpaint", flags);
    ASSERT_EQ(result.code, 0) << result.err;
    const Image image = load_image(folder_ / "out.png"), source = stripes(131, 117);
    ASSERT_EQ(image.width_px, 131);
    ASSERT_EQ(image.height_px, 117);
    size_t changed = 0;
    for (size_t i = 0; i < image.rgb.size(); ++i) {
      if (i / 3 % 131 < 131 / 2) {
        ASSERT_EQ(image.rgb[i], source.rgb[i]);
      } else {
        changed += image.rgb[i] != source.rgb[i];
      }
    }
    EXPECT_GT(changed, 1000u);
  }
}

TEST_F(ImageCommands, OutpaintingGrowsThePicture) {
  const RunResult result = run("inpaint", {"-i", "in.png", "--pad", "0,0,64,0", "-o", "out.png"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Image image = load_image(folder_ / "out.png"), source = stripes(128, 128);
  ASSERT_EQ(image.width_px, 192);
  for (int y = 0; y < 128; ++y)
    for (int x = 0; x < 128 * 3; ++x)
      ASSERT_EQ(image.rgb[static_cast<size_t>(y * 192 * 3 + x)],
                source.rgb[static_cast<size_t>(y * 128 * 3 + x)]);
}

TEST_F(ImageCommands, RefusalsNameTheFlagAndLeaveNothing) {
  write_file(folder_ / "cut.jpg", read_file(folder_ / "in.jpg").substr(0, 900));
  const size_t before = folder_.names().size();
  struct Refusal {
    const char* command;
    std::vector<std::string> flags;
    int code;
    const char* words;
  };
  for (const Refusal& refusal : std::vector<Refusal>{
           {"img2img", {"-i", "none.png"}, 3, "none.png"},
           {"img2img", {"-i", "cut.jpg"}, 4, "cut.jpg"},
           {"img2img", {"-i", "in.png", "--strength", "1.5"}, 2, "--strength"},
           {"img2img", {"-i", "in.png", "--strength", "0.1"}, 2, "strength"},
           {"img2img", {"-i", "in.png", "--resize", "squash"}, 2, "--resize"},
           {"img2img", {"-i", "in.png", "-o", "out.gif"}, 5, "out.gif"},
           {"inpaint", {"-i", "in.png"}, 2, "--mask"},
           {"inpaint", {"-i", "in.png", "--mask", "odd-mask.png"}, 2, "mask"},
           {"inpaint", {"-i", "in.png", "--mask", "mask.png", "--fill", "red"}, 2, "--fill"},
           {"inpaint", {"-i", "in.png", "--pad", "1,2"}, 2, "--pad"},
           {"inpaint", {"-i", "in.png", "--pad", "-8"}, 2, "--pad"}}) {
    const RunResult result = run(refusal.command, refusal.flags);
    EXPECT_EQ(result.code, refusal.code) << refusal.words << ": " << result.err;
    EXPECT_NE(result.err.find(refusal.words), std::string::npos) << result.err;
  }
  EXPECT_EQ(folder_.names().size(), before);
}

}  // namespace
}  // namespace tintype
