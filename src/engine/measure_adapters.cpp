/// What adapters cost, measured from outside: whole requests, watched by the progress that they
/// report and by the first op that they call.
#include <chrono>
#include <optional>

#include "base/check.h"
#include "ops/observer.h"
#include "tintype/engine.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Ends a request from within.
struct Enough {};

/// Notes when the first op after `arm()` begins, and ends the request there.
class FirstKernel final : public ops::OpObserver {
 public:
  void arm() { armed_ = true; }
  size_t begin(ops::OpCall) override {
    // Ops before belong to the prediction of memory, which computes shapes and no numbers.
    if (!armed_) return 0;
    at_ = Clock::now();
    throw Enough();
  }
  void end(size_t, double) noexcept override {}
  Clock::time_point at() const { return at_; }

 private:
  bool armed_ = false;
  Clock::time_point at_ = {};
};

/// A context that ends where `outer` does.
void follow(RunContext& inner, const RunContext& outer) { inner.deadline = outer.deadline; }

double time_to_first_kernel(const Engine& engine, const Model& model,
                            const TextToImageRequest& request, const RunContext& outer) {
  outer.check();
  FirstKernel observer;
  RunContext context;
  follow(context, outer);
  context.on_progress = [&](const Progress& progress) {
    if (progress.stage == Stage::kEncodePrompt) observer.arm();
  };
  const ops::ObserveOps watch(observer);
  const Clock::time_point start = Clock::now();
  try {
    engine.text_to_images(model, request, context);
  } catch (const Enough&) {
    return seconds_between(start, observer.at());
  }
  fail(ErrorKind::kInternal, "measure_adapters", "a request must call some op, it called none");
}

/// The last of a few steps of a request; decoding is left out.
double step_time(const Engine& engine, const Model& model, const TextToImageRequest& request,
                 const RunContext& outer) {
  outer.check();
  RunContext context;
  follow(context, outer);
  std::optional<Clock::time_point> before, after;
  context.on_progress = [&](const Progress& progress) {
    outer.check();
    if (progress.stage == Stage::kDenoise) {
      before = after;
      after = Clock::now();
    }
    if (progress.stage == Stage::kDecode) throw Enough();
  };
  try {
    engine.text_to_images(model, request, context);
  } catch (const Enough&) {
  }
  return seconds_between(before.value(), after.value());
}

}  // namespace

AdapterTimes Engine::measure_adapters(const Model& model, const AdapterMeasureRequest& request,
                                      const RunContext& context) const {
  TT_REQUIRE(request.files.size() >= 2, "files", "must be two adapters or more, got ",
             request.files.size());
  TT_REQUIRE(request.switches >= 1 && request.switches <= 100'000, "switches",
             "must be in 1..100000, got ", request.switches);
  TT_REQUIRE(request.repeat >= 1 && request.repeat <= 1000, "repeat", "must be in 1..1000, got ",
             request.repeat);
  TextToImageRequest plain{.prompt = "a lighthouse at dusk, painted in oil",
                           .negative_prompt = "blurry",
                           .steps = 2,
                           .seed = 1};
  if (request.width_px) plain.width_px = request.width_px;
  if (request.height_px) plain.height_px = request.height_px;
  const auto with = [&](size_t i) {
    TextToImageRequest adapted = plain;
    adapted.adapters.push_back({.file = request.files[i % request.files.size()]});
    return adapted;
  };

  AdapterTimes times{
      .width_px = request.width_px ? request.width_px : model.info().default_width_px,
      .height_px = request.height_px ? request.height_px : model.info().default_height_px};
  for (const std::filesystem::path& file : request.files) {
    context.check();
    const Clock::time_point start = Clock::now();
    times.adapters.push_back(load_adapter(model, file));
    times.read_s.push_back(seconds_between(start, Clock::now()));
  }
  TT_REQUIRE(model.adapter_cache().entries >= 2, "files",
             "must fit the memory for adapters together, only ", model.adapter_cache().entries,
             " stayed");
  time_to_first_kernel(*this, model, with(0), context);  // warms up
  for (int i = 0; i < request.switches; ++i) {
    times.switch_s.push_back(
        time_to_first_kernel(*this, model, with(static_cast<size_t>(i) + 1), context));
    times.plain_request_s.push_back(time_to_first_kernel(*this, model, plain, context));
  }
  step_time(*this, model, with(0), context);
  for (int i = 0; i < request.repeat; ++i) {
    times.plain_step_s.push_back(step_time(*this, model, plain, context));
    times.adapted_step_s.push_back(step_time(*this, model, with(0), context));
  }
  return times;
}

}  // namespace tintype
