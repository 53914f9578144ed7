#include <gtest/gtest.h>

#include "cli/progress_bar.h"

namespace tintype::cli {
namespace {

TEST(ProgressLine, ShowsStepBarRateAndTimeLeft) {
  EXPECT_EQ(progress_line({Stage::kDenoise, 10, 20}, 5.0, 100),
            "drawing 10/20 [===============>              ]  2.00 it/s  5.0 s left");
}

TEST(ProgressLine, AnAnnouncedStageHasNoRateYet) {
  EXPECT_EQ(progress_line({Stage::kDecode, 0, 1}, 0.0, 100),
            "decoding 0/1 [>                             ]");
}

TEST(ProgressLine, AFinishedStageFillsTheBar) {
  EXPECT_EQ(progress_line({Stage::kDenoise, 4, 4}, 8.0, 100),
            "drawing 4/4 [==============================]  2.00 s/it  0.0 s left");
}

TEST(ProgressLine, NeverWiderThanTheTerminal) {
  for (int columns = 0; columns <= 120; ++columns) {
    const std::string line = progress_line({Stage::kEncodePrompt, 999, 1000}, 12345.6, columns);
    EXPECT_LE(line.size(), static_cast<size_t>(columns));
  }
}

TEST(ProgressLine, OddNumbersDoNotBreakIt) {
  for (const Progress& progress : {Progress{Stage::kLoad, 0, 0},
                                   {Stage::kLoad, 5, 0},
                                   {Stage::kLoad, -1, 3},
                                   {Stage::kLoad, 9, 3}})
    EXPECT_FALSE(progress_line(progress, 1.0, 80).empty());
}

}  // namespace
}  // namespace tintype::cli
