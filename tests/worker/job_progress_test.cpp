#include "worker/job_progress.h"

#include <gtest/gtest.h>

namespace tintype {
namespace {

using std::chrono::seconds;

JobRequest txt2img(int steps) {
  JobRequest job;
  job.model = "m";
  job.request =
      TextToImageRequest{.width_px = 512, .height_px = 512, .steps = steps, .guidance_scale = 7};
  return job;
}

/// Reports every step of a stage and checks that the fraction never falls.
struct Reporter {
  JobProgressMap map;
  JobProgressMap::Clock::time_point now = {};
  JobProgress last = {};

  void stage(Stage stage, int steps, seconds each = seconds(1)) {
    for (int step = 0; step <= steps; ++step) {
      if (step > 0) now += each;
      const double before = last.fraction;
      last = map.at({stage, step, steps}, now);
      EXPECT_GE(last.fraction, before) << last.stage << " " << step;
      EXPECT_LE(last.fraction, 1.0);
    }
  }
};

TEST(JobProgress, RisesThroughEveryStageToOne) {
  Reporter run{JobProgressMap(txt2img(20), true)};
  run.stage(Stage::kLoad, 10);
  const double loaded = run.last.fraction;
  EXPECT_GT(loaded, 0.1);
  EXPECT_FALSE(run.last.seconds_left);
  run.stage(Stage::kEncodePrompt, 1);
  run.stage(Stage::kDenoise, 20);
  EXPECT_GT(run.last.fraction, 0.85);
  EXPECT_LT(run.last.fraction, 1.0);
  run.stage(Stage::kDecode, 1);
  run.stage(Stage::kSave, 1);
  EXPECT_DOUBLE_EQ(run.last.fraction, 1.0);
  EXPECT_EQ(run.last.stage, "save");
}

TEST(JobProgress, TellsTheTimeLeftByThePace) {
  Reporter run{JobProgressMap(txt2img(40), false)};
  run.stage(Stage::kEncodePrompt, 1);
  for (int step = 0; step <= 20; ++step) {
    run.now += seconds(2);
    run.last = run.map.at({Stage::kDenoise, step, 40}, run.now);
  }
  ASSERT_TRUE(run.last.seconds_left);
  // 20 steps of 2 s and the decoder's guessed share.
  EXPECT_GT(*run.last.seconds_left, 38);
  EXPECT_LT(*run.last.seconds_left, 46);
}

TEST(JobProgress, CountsTheSecondPassOfHires) {
  JobRequest job = txt2img(20);
  job.request = HiresRequest{.drawing = std::get<TextToImageRequest>(job.request), .scale = 2};
  Reporter run{JobProgressMap(job, false)};
  run.stage(Stage::kEncodePrompt, 1);
  run.stage(Stage::kDenoise, 20);
  EXPECT_LT(run.last.fraction, 0.4);  // four times the pixels are still to come
  run.stage(Stage::kDenoise, 12);
  EXPECT_GT(run.last.fraction, 0.8);
  run.stage(Stage::kDecode, 1);
  run.stage(Stage::kSave, 1);
  EXPECT_DOUBLE_EQ(run.last.fraction, 1.0);
}

TEST(JobProgress, SharesTheJobAmongItsPictures) {
  JobRequest job = txt2img(10);
  job.count = 4;
  Reporter run{JobProgressMap(job, false)};
  for (int picture = 0; picture < 4; ++picture) {
    if (picture > 0) run.map.next_picture();
    run.stage(Stage::kEncodePrompt, 1);
    run.stage(Stage::kDenoise, 10);
    run.stage(Stage::kDecode, 1);
    run.stage(Stage::kSave, 1);
    EXPECT_NEAR(run.last.fraction, (picture + 1) / 4.0, 1e-9);
  }
}

TEST(JobProgress, SurvivesStagesThatItDoesNotExpect) {
  Reporter run{JobProgressMap(txt2img(10), false)};
  run.stage(Stage::kUpscale, 3);
  run.stage(Stage::kDecode, 1);
  run.stage(Stage::kDenoise, 10);
  run.stage(Stage::kLoad, 0);
  EXPECT_LE(run.last.fraction, 1.0);
}

}  // namespace
}  // namespace tintype
