// Previews as text that terminals show.
#include <gtest/gtest.h>

#include "cli/preview_output.h"
#include "cli/terminal_picture.h"

namespace tintype::cli {
namespace {

Image image_of(int width, int height, const std::vector<uint8_t>& rgb) {
  return {.width_px = width, .height_px = height, .rgb = rgb};
}

TEST(TerminalPicture, HalfBlocksPairTheRows) {
  const Image image = image_of(1, 2, {255, 0, 0, 0, 0, 255});
  EXPECT_EQ(half_blocks(image, true), "\x1B[38;2;255;0;0m\x1B[48;2;0;0;255m\u2580\x1B[0m\n");
  EXPECT_EQ(half_blocks(image, false), "\x1B[38;5;196m\x1B[48;5;21m\u2580\x1B[0m\n");
}

TEST(TerminalPicture, AnOddLastRowHasNothingBehindIt) {
  const Image image = image_of(1, 3, std::vector<uint8_t>(9, 0));
  const std::string text = half_blocks(image, true);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_EQ(text.find("48;2", text.find('\n')), std::string::npos);
}

TEST(TerminalPicture, SixelsAreColumnsOfSixRows) {
  // Red above blue, seven rows: the last one is a band of its own.
  std::vector<uint8_t> rgb;
  for (int y = 0; y < 7; ++y)
    for (const uint8_t value : {uint8_t(y < 3 ? 255 : 0), uint8_t{0}, uint8_t(y < 3 ? 0 : 255)})
      rgb.push_back(value);
  EXPECT_EQ(sixel(image_of(1, 7, rgb)),
            "\x1BPq\"1;1;1;7"
            "#5;2;0;0;100#5w$"       // rows 3 to 5: 0b111000 + 63
            "#180;2;100;0;0#180F$-"  // rows 0 to 2: 0b000111 + 63
            "#5@$-\x1B\\");
}

TEST(TerminalPicture, SixelRunsAreShortened) {
  const std::string text = sixel(image_of(9, 1, std::vector<uint8_t>(27, 255)));
  EXPECT_NE(text.find("#215!9@$"), std::string::npos) << text;
}

TEST(TerminalPicture, ShrinkingIsTheMean) {
  const Image image = image_of(
      4, 2, {0, 0, 0, 100, 0, 0, 10, 0, 0, 10, 0, 0, 50, 0, 0, 50, 0, 0, 20, 0, 0, 20, 0, 0});
  EXPECT_EQ(shrunk(image, 2, 1).rgb, (std::vector<uint8_t>{50, 0, 0, 15, 0, 0}));
  EXPECT_EQ(shrunk(image, 4, 2).rgb, image.rgb);
  EXPECT_EQ(shrunk(image, 100, 0).height_px, 1);
  EXPECT_EQ(shrunk(image, 100, 0).width_px, 4);
}

TEST(TerminalPicture, SixelIsAttributeFourOfTheAnswer) {
  EXPECT_TRUE(answer_names_sixel("\x1B[?62;4;6;9c"));
  EXPECT_TRUE(answer_names_sixel("x\x1B[?63;1;4c"));
  EXPECT_FALSE(answer_names_sixel("\x1B[?4;6c")) << "a class of terminal";
  EXPECT_FALSE(answer_names_sixel("\x1B[?62;14;44c"));
  EXPECT_FALSE(answer_names_sixel("\x1B[?62;4"));
  EXPECT_FALSE(answer_names_sixel(""));
}

TEST(PreviewOutput, FilesAreNumberedByPictureAndStep) {
  EXPECT_EQ(preview_file_name(0, 7), "preview-1-007.png");
  EXPECT_EQ(preview_file_name(11, 1000), "preview-12-1000.png");
}

}  // namespace
}  // namespace tintype::cli
