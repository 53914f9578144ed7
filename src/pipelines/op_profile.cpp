#include "pipelines/op_profile.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <numeric>
#include <tuple>

#include "ops/observer.h"
#include "ops/ops.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/text_to_image.h"

namespace tintype {
namespace {

constexpr int kMostPasses = 1000;
constexpr float kTimestep = 501.0f;

class Recorder final : public ops::OpObserver {
 public:
  struct Record {
    ops::OpCall call;
    double seconds = 0;
  };
  size_t begin(ops::OpCall call) override {
    records_.push_back({std::move(call), 0});
    return records_.size() - 1;
  }
  void end(size_t token, double seconds) noexcept override { records_[token].seconds = seconds; }
  const std::vector<Record>& records() const { return records_; }

 private:
  std::vector<Record> records_;
};

struct Pass {
  double seconds = 0;
  Recorder recorder;
};

Pass time_pass(const std::function<void()>& run) {
  Pass pass;
  const ops::ObserveOps watching(pass.recorder);
  const auto start = std::chrono::steady_clock::now();
  run();
  const auto elapsed = std::chrono::steady_clock::now() - start;
  pass.seconds = std::chrono::duration<double>(elapsed).count();
  return pass;
}

std::vector<OpTime> grouped(const Recorder& recorder, bool by_shape) {
  std::map<std::tuple<std::string, std::string, std::string>, OpTime> groups;
  for (const Recorder::Record& record : recorder.records()) {
    const ops::OpCall& call = record.call;
    const std::string shape = by_shape ? call.shape : "";
    OpTime& group = groups[{call.op, call.arithmetic, shape}];
    group.op = call.op;
    group.shape = shape;
    group.arithmetic = call.arithmetic;
    ++group.calls;
    group.seconds += record.seconds;
    group.operations += static_cast<double>(call.operations);
    group.bytes += static_cast<double>(call.bytes);
  }
  std::vector<OpTime> ops;
  for (auto& [key, group] : groups) ops.push_back(std::move(group));
  std::stable_sort(ops.begin(), ops.end(),
                   [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return ops;
}

/// Values in -1.7..1.7, about the spread of noise.
Tensor pattern(const Shape& shape, Device device) {
  Tensor x = empty_host(shape);
  uint32_t state = 1;
  for (float& value : x.mutable_span<float>()) {
    state = state * 1664525u + 1013904223u;
    value = 1.7f * (static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
  return ops::to_device(x, device);
}

TextToImageSettings settings_of(const DiffusionModel& model, const MeasureRequest& request) {
  TextToImageRequest picture{.prompt = "a photograph of an astronaut riding a horse on the moon",
                             .negative_prompt = "blurry, low quality"};
  if (request.width_px) picture.width_px = request.width_px;
  if (request.height_px) picture.height_px = request.height_px;
  picture.batch_size = request.batch_size;
  picture.guidance_scale = request.guidance ? 7.5f : 1.0f;
  picture.seed = 0;
  return resolve_settings(model, picture);
}

const char* name_of(ModelPart part) {
  switch (part) {
    case ModelPart::kEncode:
      return "encode";
    case ModelPart::kStep:
      return "step";
    case ModelPart::kDecode:
      return "decode";
  }
  return "?";
}

}  // namespace

PartTimes profile_part(const DiffusionModel& model, const MeasureRequest& request,
                       const RunContext& context) {
  TT_REQUIRE(request.repeat >= 1 && request.repeat <= kMostPasses, "repeat", "must be in 1..",
             kMostPasses, ", got ", request.repeat);
  const TextToImageSettings settings = settings_of(model, request);
  const int64_t height = settings.height_px / model.codec->traits().factor,
                width = settings.width_px / model.codec->traits().factor;
  PartTimes times{.part = name_of(request.part),
                  .rows = settings.guidance_scale > 1.0f ? 2 : 1,
                  .width_px = settings.width_px,
                  .height_px = settings.height_px};
  std::function<void()> run;
  Conditioning conditioning;
  Tensor latents;
  switch (request.part) {
    case ModelPart::kEncode:
      run = [&] {
        if (model.caches) model.caches->prompts.clear();
        encode_prompts(model, settings);
      };
      break;
    case ModelPart::kStep:
      conditioning =
          for_batch(encode_prompts(model, settings).variants.front(), settings.batch_size);
      conditioning.projections = std::make_shared<ContextProjections>();
      latents =
          pattern(Shape{settings.batch_size, height, width, model.network->traits().in_channels},
                  model.device);
      times.rows *= settings.batch_size;
      run = [&] {
        predict(model, latents, kTimestep, conditioning, {.scale = settings.guidance_scale});
      };
      break;
    case ModelPart::kDecode:  // the pictures of a batch are decoded one by one
      times.rows = 1;
      latents =
          pattern(Shape{1, height, width, model.codec->traits().latent_channels}, model.device);
      run = [&] { decode_latents(model, latents); };
      break;
  }
  run();
  std::vector<Pass> passes;
  for (int i = 0; i < request.repeat; ++i) {
    context.check();
    passes.push_back(time_pass(run));
    times.all_seconds.push_back(passes.back().seconds);
  }
  const auto middle = passes.begin() + static_cast<std::ptrdiff_t>((passes.size() - 1) / 2);
  std::nth_element(passes.begin(), middle, passes.end(),
                   [](const Pass& a, const Pass& b) { return a.seconds < b.seconds; });
  times.seconds = middle->seconds;
  times.ops = grouped(middle->recorder, request.by_shape);
  return times;
}

}  // namespace tintype
