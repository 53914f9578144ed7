// Runs that were cut off and go on: the same pictures bit for bit, without the calls already made.
#include <gtest/gtest.h>

#include "models/fixture_files.h"
#include "pipelines/step_journal.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

using Records = std::vector<std::string>;

struct Outcome {
  std::vector<TextToImageResult> pictures;
  Records records;
};

TextToImageRequest request_of(const std::string& sampler = "ddim") {
  return {.prompt = "red apple", .steps = 6, .guidance_scale = 3.0f, .sampler = sampler, .seed = 5};
}

class StepJournalTest : public ::testing::Test {
 protected:
  static DiffusionModel load(const std::string& name = "shallow") {
    return DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu,
                                RunContext());
  }
  /// A run from `saved`; what it records itself comes back.
  static Outcome draw(const DiffusionModel& model, const TextToImageRequest& request,
                      Records saved = {}) {
    Outcome outcome;
    RunContext context;
    context.saved_steps = std::move(saved);
    context.on_step_saved = [&](std::string bytes) { outcome.records.push_back(std::move(bytes)); };
    outcome.pictures = text_to_images(model, resolve_settings(model, request), context);
    return outcome;
  }
  static Records first(const Records& records, size_t count) {
    return Records(records.begin(), records.begin() + static_cast<ptrdiff_t>(count));
  }
  static void expect_same(const Outcome& a, const Outcome& b, const std::string& what) {
    ASSERT_EQ(a.pictures.size(), b.pictures.size());
    for (size_t i = 0; i < a.pictures.size(); ++i) {
      EXPECT_EQ(a.pictures[i].image.rgb, b.pictures[i].image.rgb) << what;
      EXPECT_EQ(settings_json(a.pictures[i].settings), settings_json(b.pictures[i].settings))
          << what;
    }
  }
};

TEST_F(StepJournalTest, RecordsChangeNothingAndOneComesForEachCall) {
  const DiffusionModel model = load();
  const auto plain = text_to_images(model, resolve_settings(model, request_of()), RunContext());
  const Outcome recorded = draw(model, request_of());
  EXPECT_EQ(recorded.records.size(), 6u);
  EXPECT_EQ(recorded.pictures[0].image.rgb, plain[0].image.rgb);
}

// Samplers that remember earlier steps, that draw noise in each, that call twice a step.
TEST_F(StepJournalTest, EverySamplerGoesOnBitForBitFromAnyCall) {
  const DiffusionModel model = load();
  for (const std::string& sampler : sampler_names()) {
    const TextToImageRequest request = request_of(sampler);
    const Outcome whole = draw(model, request);
    for (size_t made = 0; made <= whole.records.size(); made += 2) {
      const Outcome rest = draw(model, request, first(whole.records, made));
      expect_same(rest, whole, cat(sampler, " after ", made));
      EXPECT_EQ(rest.records.size(), whole.records.size() - made) << sampler;
    }
  }
}

TEST_F(StepJournalTest, WhatTheSecondRunRecordsContinuesTheFirst) {
  const DiffusionModel model = load();
  const Outcome whole = draw(model, request_of("euler_a"));
  Records saved = first(whole.records, 2);
  for (const std::string& record : draw(model, request_of("euler_a"), saved).records)
    saved.push_back(record);
  EXPECT_EQ(saved, whole.records);
}

TEST_F(StepJournalTest, ReusedStepsGoOnFromTheLastWholeCall) {
  const DiffusionModel model = load();
  TextToImageRequest request = request_of();
  request.steps = 10;
  request.batch_size = 2;
  request.reuse_threshold = 0.5f;
  const Outcome whole = draw(model, request);
  ASSERT_GT(whole.pictures[0].settings.reused_calls, 0);
  for (size_t made = 0; made <= whole.records.size(); ++made)
    expect_same(draw(model, request, first(whole.records, made)), whole, cat("after ", made));
}

TEST_F(StepJournalTest, GuidanceIntervalsAreCountedAsBefore) {
  const DiffusionModel model = load();
  TextToImageRequest request = request_of();
  request.guidance_interval = {.low = 0.5f, .high = 5};
  const Outcome whole = draw(model, request);
  ASSERT_GT(whole.pictures[0].settings.unguided_calls, 0);
  expect_same(draw(model, request, first(whole.records, 4)), whole, "after 4");
}

TEST_F(StepJournalTest, DamagedAndForeignRecordsAreMadeAnew) {
  const DiffusionModel model = load();
  const Outcome whole = draw(model, request_of());
  for (const size_t at : {size_t{0}, size_t{9}, size_t{17}, size_t{25}, size_t{40}, size_t{200},
                          whole.records[1].size() - 1}) {
    Records damaged = whole.records;
    damaged[1][at] = static_cast<char>(damaged[1][at] ^ 1);
    const Outcome rest = draw(model, request_of(), damaged);
    expect_same(rest, whole, cat("byte ", at));
    EXPECT_EQ(rest.records.size(), 5u) << at;  // all but the one before the damage
  }
  Records cut = whole.records;
  cut[3].resize(cut[3].size() / 2);
  EXPECT_EQ(draw(model, request_of(), cut).records.size(), 3u);
  for (const std::string& nonsense : {std::string(), std::string("x"), std::string(1000, '\xff')})
    expect_same(draw(model, request_of(), {nonsense}), whole, "nonsense");

  TextToImageRequest other = request_of();
  other.prompt = "green pear";
  const Outcome fresh = draw(model, other);
  const Outcome mixed = draw(model, other, whole.records);
  expect_same(mixed, fresh, "another request's");
  EXPECT_EQ(mixed.records.size(), 6u);
}

// The network is asked other questions (here by other weights of the text encoder's features): the
// records' answers are not taken for theirs.
TEST_F(StepJournalTest, AnotherModelsAnswersAreNotTaken) {
  const Outcome one = draw(load("shallow"), request_of());
  DiffusionModel renamed = load("four-level");
  renamed.name = "shallow";
  const Outcome own = draw(renamed, request_of());
  expect_same(draw(renamed, request_of(), one.records), own, "another model's");
}

TEST_F(StepJournalTest, ReplayedCallsBringProgressAndNoPreviews) {
  const DiffusionModel model = load();
  const Outcome whole = draw(model, request_of());
  RunContext context;
  context.saved_steps = first(whole.records, 4);
  std::vector<int> steps, previews;
  context.on_progress = [&](const Progress& progress) {
    if (progress.stage == Stage::kDenoise) steps.push_back(progress.step);
  };
  context.on_preview = [&](const Preview& preview) { previews.push_back(preview.step); };
  text_to_images(model, resolve_settings(model, request_of()), context);
  EXPECT_EQ(steps, (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(previews, (std::vector<int>{5, 6}));
}

}  // namespace
}  // namespace tintype::testing
