#include <gtest/gtest.h>
#include <png.h>

#include <numeric>

#include "image/png_reader.h"
#include "image/test_folder.h"
#include "tintype/error.h"
#include "tintype/image.h"

namespace tintype {
namespace {

Image gradient(int width, int height) {
  Image image{width, height, {}};
  image.rgb.resize(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 31 + i / 7);
  return image;
}

ErrorKind kind_of_save(const std::filesystem::path& path, const Image& image,
                       const PngText& text = {}) {
  try {
    save_png(path, image, text);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::kInternal;  // nothing was thrown; no test below expects this kind
}

TEST(Png, PicturesComeBackBitForBit) {
  const TestFolder folder;
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 9}, {7, 3}, {128, 128}, {257, 64}}) {
    const Image image = gradient(width, height);
    save_png(folder / "a.png", image);
    const Image back = read_png(folder / "a.png");
    EXPECT_EQ(back.width_px, width);
    EXPECT_EQ(back.height_px, height);
    EXPECT_EQ(back.rgb, image.rgb);
  }
}

TEST(Png, SavingTwiceGivesTheSameBytes) {
  const TestFolder folder;
  save_png(folder / "a.png", gradient(33, 20), {{"parameters", "x"}});
  save_png(folder / "b.png", gradient(33, 20), {{"parameters", "x"}});
  EXPECT_EQ(read_file(folder / "a.png"), read_file(folder / "b.png"));
}

TEST(Png, TextComesBackInOrder) {
  const TestFolder folder;
  const PngText text = {{"parameters", "ein Gruß\nSteps: 20, Seed: 7"},
                        {"tintype", R"({"prompt":"苹果 🍎"})"},
                        {"empty", ""},
                        {"long", std::string(100000, 'x')}};
  save_png(folder / "a.png", gradient(4, 4), text);
  PngText back;
  read_png(folder / "a.png", &back);
  EXPECT_EQ(back, text);
}

TEST(Png, Latin1TextIsATExtChunkAndOtherTextAnITXtChunk) {
  const TestFolder folder;
  save_png(folder / "latin1.png", gradient(4, 4), {{"parameters", "Gruß"}});
  const std::string latin1 = read_file(folder / "latin1.png");
  EXPECT_NE(latin1.find(std::string("tEXtparameters\0Gru\xDF", 19)), std::string::npos);
  EXPECT_EQ(latin1.find("iTXt"), std::string::npos);
  save_png(folder / "utf8.png", gradient(4, 4), {{"parameters", "苹果"}});
  const std::string utf8 = read_file(folder / "utf8.png");
  EXPECT_NE(utf8.find(std::string("iTXtparameters\0\0\0\0\0", 19) + "苹果"), std::string::npos);
  EXPECT_EQ(utf8.find("tEXt"), std::string::npos);
}

TEST(Png, BrokenUtf8AndNulInTextAreReplacedNotRefused) {
  const TestFolder folder;
  save_png(folder / "a.png", gradient(4, 4), {{"parameters", std::string("a\xFF\0b", 4)}});
  PngText back;
  read_png(folder / "a.png", &back);
  EXPECT_EQ(back, (PngText{{"parameters",
                            "a\xEF\xBF\xBD\xEF\xBF\xBD"
                            "b"}}));
}

TEST(Png, PicturesThatContradictTheirSizeAreRefusedAndLeaveTheOldFile) {
  const TestFolder folder;
  write_file(folder / "a.png", "old");
  Image image = gradient(4, 4);
  image.rgb.pop_back();
  EXPECT_EQ(kind_of_save(folder / "a.png", image), ErrorKind::kInvalidArgument);
  for (const auto& [width, height] :
       {std::pair{0, 4}, {4, 0}, {-4, -4}, {65536, 1}, {65535, 65535}})
    EXPECT_EQ(kind_of_save(folder / "a.png", {width, height, {}}), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of_save(folder / "a.png", gradient(4, 4), {{"", "text"}}),
            ErrorKind::kInvalidArgument);
  EXPECT_EQ(read_file(folder / "a.png"), "old");
  EXPECT_EQ(folder.names().size(), 1u);
}

/// Writes a 2 x 2 file of any PNG type with libpng's simplified interface.
void write_as(const std::filesystem::path& path, png_uint_32 format, const void* pixels,
              const void* colormap = nullptr, png_uint_32 colormap_entries = 0) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = 2;
  image.format = format;
  image.colormap_entries = colormap_entries;
  ASSERT_TRUE(png_image_write_to_file(&image, path.c_str(), 0, pixels, 0, colormap))
      << image.message;
}

TEST(Png, EveryPixelFormatBecomesRgb) {
  const TestFolder folder;
  const uint8_t grey[] = {0, 50, 100, 255};
  write_as(folder / "grey.png", PNG_FORMAT_GRAY, grey);
  EXPECT_EQ(read_png(folder / "grey.png").rgb,
            (std::vector<uint8_t>{0, 0, 0, 50, 50, 50, 100, 100, 100, 255, 255, 255}));

  const uint8_t rgba[] = {1, 2, 3, 255, 4, 5, 6, 0, 7, 8, 9, 128, 10, 11, 12, 1};
  write_as(folder / "rgba.png", PNG_FORMAT_RGBA, rgba);
  EXPECT_EQ(read_png(folder / "rgba.png").rgb,
            (std::vector<uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));

  const uint8_t indices[] = {0, 1, 1, 0}, palette[] = {9, 8, 7, 200, 100, 50};
  write_as(folder / "palette.png", PNG_FORMAT_RGB_COLORMAP, indices, palette, 2);
  EXPECT_EQ(read_png(folder / "palette.png").rgb,
            (std::vector<uint8_t>{9, 8, 7, 200, 100, 50, 200, 100, 50, 9, 8, 7}));

  const uint16_t linear[12] = {0, 65535, 0, 65535, 0, 65535, 0, 0, 0, 65535, 65535, 65535};
  write_as(folder / "deep.png", PNG_FORMAT_LINEAR_RGB, linear);  // a 16-bit file
  EXPECT_EQ(read_png(folder / "deep.png").rgb,
            (std::vector<uint8_t>{0, 255, 0, 255, 0, 255, 0, 0, 0, 255, 255, 255}));
}

}  // namespace
}  // namespace tintype
