// Engine::submit: jobs of the public API beside the caller's own work.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>

#include "tintype/tintype.h"

namespace tintype {
namespace {

std::shared_ptr<const Model> load(const Engine& engine) {
  return engine.load(std::filesystem::path(TT_SOURCE_DIR) / "models" / "tintype-emoji-128");
}

TextToImageRequest apple(int steps = 2) {
  return {.prompt = "red apple", .steps = steps, .seed = 7};
}

ErrorKind error_of(const Job& job) {
  try {
    job.get();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorKind::kInternal;
}

/// A job that waits inside its first report until it is let go.
struct Gate {
  std::promise<void> entered, open;
  std::atomic<bool> first{true};
  JobOptions options() {
    return {.on_progress = [this](const Progress&) {
      if (!first.exchange(false)) return;
      entered.set_value();
      open.get_future().wait();
    }};
  }
};

TEST(Submit, DrawsThePictureOfTheDirectCall) {
  const Engine engine;
  const auto model = load(engine);
  const Job job = engine.submit(model, apple());
  const auto direct = engine.text_to_image(*model, apple());
  EXPECT_EQ(job.get().front().image.rgb, direct.image.rgb);
  EXPECT_EQ(job.state(), SubmittedState::kSucceeded);
}

TEST(Submit, TakesEveryKindOfRequest) {
  const Engine engine;
  const auto model = load(engine);
  const auto image =
      std::make_shared<const Image>(engine.submit(model, apple()).get().front().image);
  const ImageToImageRequest from{.drawing = apple(), .image = image, .strength = 0.5};
  const Job redrawn = engine.submit(model, from);
  InpaintRequest part{.picture = from};
  part.options.padding.left = 16;
  const Job grown = engine.submit(model, part);
  const Job larger = engine.submit(model, HiresRequest{.drawing = apple(), .scale = 1.5});
  EXPECT_EQ(redrawn.get().front().image.rgb,
            engine.image_to_images(*model, from).front().image.rgb);
  EXPECT_EQ(grown.get().front().image.width_px, 144);
  EXPECT_EQ(larger.get().front().image.width_px, 192);
}

TEST(Submit, RunsTheHigherPriorityFirstAndElseInOrder) {
  const Engine engine;
  const auto model = load(engine);
  Gate gate;
  const Job first = engine.submit(model, apple(), gate.options());
  gate.entered.get_future().wait();
  std::mutex mutex;
  std::string order;
  std::vector<Job> jobs;
  for (const auto& [name, priority] : {std::pair{'a', 0}, {'b', 0}, {'c', 5}, {'d', -5}}) {
    const auto noted = std::make_shared<std::atomic<bool>>(false);
    jobs.push_back(engine.submit(model, apple(1),
                                 {.on_progress =
                                      [&, name = name, noted](const Progress&) {
                                        if (noted->exchange(true)) return;
                                        const std::scoped_lock lock(mutex);
                                        order += name;
                                      },
                                  .priority = priority}));
  }
  gate.open.set_value();
  for (const Job& job : jobs) job.get();
  EXPECT_EQ(order, "cabd");
}

TEST(Submit, RefusesMoreThanMayWait) {
  const Engine engine({.max_queued_jobs = 2});
  const auto model = load(engine);
  Gate gate;
  const Job running = engine.submit(model, apple(), gate.options());
  gate.entered.get_future().wait();
  const Job a = engine.submit(model, apple()), b = engine.submit(model, apple());
  try {
    engine.submit(model, apple());
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kQueueFull);
  }
  a.cancel();  // at once, and leaves its place to another
  EXPECT_EQ(error_of(a), ErrorKind::kCancelled);
  EXPECT_EQ(a.state(), SubmittedState::kCancelled);
  const Job c = engine.submit(model, apple());
  gate.open.set_value();
  EXPECT_EQ(c.get().size(), 1u);
}

TEST(Submit, CancelsARunningJobWithinAStep) {
  const Engine engine;
  const auto model = load(engine);
  std::promise<void> drawing;
  std::atomic<int> steps{0};
  const Job job = engine.submit(model, apple(500), {.on_progress = [&](const Progress& progress) {
                                  if (progress.stage != Stage::kDenoise) return;
                                  if (++steps == 3) drawing.set_value();
                                }});
  drawing.get_future().wait();
  job.cancel();
  EXPECT_EQ(error_of(job), ErrorKind::kCancelled);
  EXPECT_EQ(job.state(), SubmittedState::kCancelled);
  EXPECT_LT(steps, 100);
}

TEST(Submit, EndsWithTheEngine) {
  std::vector<Job> jobs;
  {
    const Engine engine;
    const auto model = load(engine);
    for (int i = 0; i < 3; ++i) jobs.push_back(engine.submit(model, apple(500)));
  }
  for (const Job& job : jobs) EXPECT_EQ(error_of(job), ErrorKind::kCancelled);
}

TEST(Submit, JobsEndWithTheErrorOfTheirRequest) {
  const Engine engine;
  const auto model = load(engine);
  EXPECT_EQ(error_of(engine.submit(model, {.prompt = "", .steps = 0})),
            ErrorKind::kInvalidArgument);
  EXPECT_EQ(
      error_of(engine.submit(model, apple(500), {.time_limit = std::chrono::milliseconds(50)})),
      ErrorKind::kDeadlineExceeded);
  const Job thrown = engine.submit(
      model, apple(), {.on_progress = [](const Progress&) { throw std::runtime_error("mine"); }});
  EXPECT_THROW(thrown.get(), std::runtime_error);
  EXPECT_EQ(thrown.state(), SubmittedState::kFailed);
  EXPECT_THROW(engine.submit(nullptr, apple()), Error);
}

}  // namespace
}  // namespace tintype
