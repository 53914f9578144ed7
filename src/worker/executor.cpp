#include "worker/executor.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/json.h"
#include "base/process_memory.h"
#include "worker/job_progress.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kModelShare = 0.6;
constexpr int kMaxConcurrent = 64;
constexpr int kPreviewQuality = 80;
/// More than the eye follows; encoding them stays below one part in a hundred.
constexpr auto kBetweenPreviews = std::chrono::milliseconds(100);
constexpr auto kBetweenReports = std::chrono::milliseconds(20);
/// Before a step's record: which picture of the job it belongs to.
constexpr size_t kPictureBytes = 4;

uint64_t model_budget(const WorkerSettings& settings) {
  if (settings.model_memory_bytes) return settings.model_memory_bytes;
  const uint64_t all =
      settings.memory_limit_bytes ? settings.memory_limit_bytes : physical_memory_bytes();
  return all ? static_cast<uint64_t>(static_cast<double>(all) * kModelShare) : UINT64_MAX / 2;
}

EngineOptions engine_options(const WorkerSettings& settings) {
  return {.threads = settings.threads,
          .device = settings.device,
          .memory_limit_bytes = settings.memory_limit_bytes};
}

SharedBlob blob_of(ImageFormat format, const std::vector<uint8_t>& bytes) {
  return std::make_shared<const Blob>(
      Blob{std::string(media_type_of(format)),
           std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())});
}

SharedBlob tagged_record(uint32_t picture, const std::string& record) {
  std::string bytes(kPictureBytes, '\0');
  for (size_t i = 0; i < kPictureBytes; ++i) bytes[i] = static_cast<char>(picture >> (8 * i));
  return std::make_shared<const Blob>(Blob{"application/octet-stream", bytes + record});
}

/// The records of one picture, in order.
std::vector<std::string> records_of(uint32_t picture, const std::vector<SharedBlob>& saved) {
  std::vector<std::string> records;
  for (const SharedBlob& one : saved) {
    if (!one || one->bytes.size() < kPictureBytes) continue;
    uint32_t owner = 0;
    for (size_t i = 0; i < kPictureBytes; ++i)
      owner |= uint32_t{static_cast<uint8_t>(one->bytes[i])} << (8 * i);
    if (owner == picture) records.push_back(one->bytes.substr(kPictureBytes));
  }
  return records;
}

void add_result(JobResult& result, const Image& image, const JobRequest& job, const PngText& text) {
  SharedBlob file =
      blob_of(job.format, encode_image(image, job.format, text, {.quality = job.quality}));
  ResultInfo info{.media_type = file->media_type,
                  .bytes = file->bytes.size(),
                  .width_px = image.width_px,
                  .height_px = image.height_px};
  result.files.emplace_back(std::move(info), std::move(file));
}

Json timings_json(const StageTimings& timings) {
  return {{"encode_prompt_s", timings.encode_prompt_s},
          {"encode_image_s", timings.encode_image_s},
          {"denoise_s", timings.denoise_s},
          {"decode_s", timings.decode_s},
          {"total_s", timings.total_s},
          {"step_s", timings.step_s}};
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

/// A job on its way, with all that belongs to its thread.
struct Executor::Task {
  Assignment assignment;
  RunContext context;
  std::optional<JobProgressMap> progress = {};
  Clock::time_point last_report = {}, last_preview = {};
  std::string last_stage = {};
  uint32_t picture = 0;
  std::vector<SharedBlob> previews = {};
};

Executor::Executor(const WorkerSettings& settings, const CatalogueOptions& catalogue,
                   JobReports reports)
    : settings_(settings),
      catalogue_(catalogue),
      reports_(std::move(reports)),
      paths_(catalogue),
      engine_(engine_options(settings)),
      models_(engine_, catalogue_, model_budget(settings)) {
  TT_REQUIRE(settings.max_concurrent >= 1 && settings.max_concurrent <= kMaxConcurrent,
             "max_concurrent", "must be in 1..", kMaxConcurrent, ", got ", settings.max_concurrent);
  for (int i = 0; i < settings.max_concurrent; ++i) threads_.emplace_back([this] { work(); });
}

Executor::~Executor() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    for (const auto& task : running_) task->context.cancel();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Executor::warm_up() {
  for (const std::string& name : settings_.warm_up) {
    try {
      const RunContext context;
      const auto model = models_.model(name, "", context);
      // A first step packs nothing and allocates everything that later ones find again.
      if (!model->info().takes_mask)
        engine_.text_to_image(*model, {.steps = 1, .seed = 0}, context);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "tintype worker: warm-up of %s: %s\n", name.c_str(), error.what());
    }
  }
}

void Executor::run(Assignment assignment) {
  const auto task = std::make_shared<Task>();
  task->assignment = std::move(assignment);
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(task);
  }
  wake_.notify_one();
}

void Executor::cancel(const JobId& id) {
  const std::scoped_lock lock(mutex_);
  // One that waits is taken up by its thread, which then finds it cancelled.
  for (const auto& task : waiting_)
    if (task->assignment.id == id) task->context.cancel();
  for (const auto& task : running_)
    if (task->assignment.id == id) task->context.cancel();
}

void Executor::work() {
  while (true) {
    std::shared_ptr<Task> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      task = waiting_.front();
      waiting_.pop_front();
      running_.push_back(task);
    }
    run_task(*task);
    const std::scoped_lock lock(mutex_);
    std::erase(running_, task);
  }
}

/// One of the places that handle errors: whatever goes wrong with a job ends that job alone.
void Executor::run_task(Task& task) {
  const JobId id = task.assignment.id;
  std::optional<JobError> error;
  try {
    JobResult result = carry_out(task);
    {
      const std::scoped_lock lock(mutex_);
      ++jobs_done_;
    }
    report_status();  // before the end, so that whoever waits for that finds the counters
    reports_.succeeded(id, std::move(result));
    return;
  } catch (const Error& caught) {
    error = JobError{caught.kind(), paths_.scrubbed(caught.what())};
  } catch (const std::bad_alloc&) {
    error = JobError{ErrorKind::kOutOfMemory,
                     "[memory] must hold the model and the picture, got no more; try a smaller "
                     "size"};
  } catch (const std::exception& caught) {
    error =
        JobError{ErrorKind::kInternal, "[worker] unexpected: " + paths_.scrubbed(caught.what())};
  }
  {
    const std::scoped_lock lock(mutex_);
    ++jobs_failed_;
  }
  report_status();
  reports_.failed(id, std::move(*error));
}

JobResult Executor::carry_out(Task& task) {
  const JobId id = task.assignment.id;
  task.context.check();
  JobRequest job = parse_canonical(task.assignment.request, task.assignment.inputs, catalogue_);
  task.assignment.inputs.clear();  // decoded by now
  task.progress.emplace(job, !job.model.empty() && !models_.has_model(job.model, job.preset));
  task.context.on_progress = [this, &task, id](const Progress& report) {
    const Clock::time_point now = Clock::now();
    JobProgress progress = task.progress->at(report, now);
    const bool due = now - task.last_report >= kBetweenReports || report.step == report.steps ||
                     progress.stage != task.last_stage;
    if (!due) return;
    task.last_report = now;
    task.last_stage = progress.stage;
    reports_.progress(id, progress);
  };
  JobResult result;
  if (job.drawing())
    draw(task, job, result);
  else
    upscale(task, job, result);
  return result;
}

void Executor::draw(Task& task, JobRequest& job, JobResult& result) {
  const JobId id = task.assignment.id;
  const Clock::time_point start = Clock::now();
  const auto model = models_.model(job.model, job.preset, task.context);
  const auto refiner = job.refiner.empty() ? nullptr : models_.model(job.refiner, "", task.context);
  if (auto* hires = std::get_if<HiresRequest>(&job.request); hires && !job.upscaler.empty())
    hires->upscaler = models_.upscaler(job.upscaler, task.context);
  const double load_s = std::chrono::duration<double>(Clock::now() - start).count();
  report_status();

  if (job.preview_every > 0) {
    task.context.preview_every = job.preview_every;
    task.context.preview_size_px = job.preview_size_px;
    task.context.on_preview = [this, &task, id](const Preview& preview) {
      const Clock::time_point now = Clock::now();
      if (now - task.last_preview < kBetweenPreviews) return;
      task.last_preview = now;
      task.previews.resize(task.picture + 1);
      task.previews.back() = blob_of(
          ImageFormat::kJpeg,
          encode_image(preview.image, ImageFormat::kJpeg, {}, {.quality = kPreviewQuality}));
      std::vector<SharedBlob> shown;
      for (const SharedBlob& one : task.previews)
        if (one) shown.push_back(one);
      reports_.preview(id, preview.step, std::move(shown));
    };
  }
  task.context.on_step_saved = [this, &task, id](std::string record) {
    reports_.step_saved(id, tagged_record(task.picture, record));
  };

  Json info = Json::array();
  // One after the other: side by side they are no faster where one fills the cores, and take more
  // memory.
  const TextToImageRequest first = *job.drawing();
  for (int i = 0; i < job.count; ++i) {
    task.picture = static_cast<uint32_t>(i);
    if (i > 0) task.progress->next_picture();
    *job.drawing() = first;
    count_up(*job.drawing(), static_cast<uint64_t>(i));
    task.context.saved_steps = records_of(task.picture, task.assignment.saved_steps);
    {
      const std::scoped_lock lock(mutex_);
      steps_replayed_ += task.context.saved_steps.size();
    }
    for (TextToImageResult& drawn : draw_one(task, job, *model, refiner.get())) {
      task.context.report(Stage::kSave, 0, 1);
      const std::string settings = settings_json(drawn.settings);
      add_result(result, drawn.image, job,
                 {{"parameters", parameters_text(drawn.settings)}, {"tintype", settings}});
      Json& one = info.emplace_back(parse_json(settings, "settings"));
      one["timings"] = timings_json(drawn.timings);
      one["timings"]["load_s"] = load_s;
      for (const std::string& reason : drawn.settings.skipped_embeddings)
        one["skipped_embeddings"].push_back(paths_.scrubbed(reason));
      task.context.report(Stage::kSave, 1, 1);
    }
  }
  result.info = dumped(info);
}

std::vector<TextToImageResult> Executor::draw_one(Task& task, const JobRequest& job,
                                                  const Model& model, const Model* refiner) {
  if (const auto* r = std::get_if<TextToImageRequest>(&job.request))
    return engine_.text_to_images(model, *r, task.context, refiner);
  if (const auto* r = std::get_if<ImageToImageRequest>(&job.request))
    return engine_.image_to_images(model, *r, task.context, refiner);
  if (const auto* r = std::get_if<InpaintRequest>(&job.request))
    return engine_.inpaint(model, *r, task.context, refiner);
  if (const auto* r = std::get_if<HiresRequest>(&job.request))
    return engine_.hires_images(model, *r, task.context, refiner);
  fail(ErrorKind::kInternal, "worker", "a request that draws nothing");
}

void Executor::upscale(Task& task, JobRequest& job, JobResult& result) {
  const Clock::time_point start = Clock::now();
  const UpscaleRequest& request = std::get<UpscaleRequest>(job.request);
  const auto upscaler = models_.upscaler(job.upscaler, task.context);
  report_status();
  const Image image = engine_.upscale(*upscaler, *request.image, request.options, task.context);
  task.context.report(Stage::kSave, 0, 1);
  add_result(result, image, job, {});
  const double total_s = std::chrono::duration<double>(Clock::now() - start).count();
  result.info = dumped(Json::array({{{"upscaler", job.upscaler},
                                     {"scale", upscaler->info().scale},
                                     {"tile", request.options.tile_px},
                                     {"overlap", request.options.overlap_px},
                                     {"timings", {{"total_s", total_s}}}}}));
}

void Executor::report_status() {
  std::vector<std::pair<std::string, double>> counters;
  const auto add = [&counters](std::string name, auto value) {
    counters.emplace_back(std::move(name), static_cast<double>(value));
  };
  const ResidentModels::Counters models = models_.counters();
  add("model_loads", models.loads);
  add("model_evictions", models.evictions);
  add("model_load_seconds", models.load_s);
  add("model_weight_bytes", models.weight_bytes);
  add("adapter_hits", models.adapters.hits);
  add("adapter_misses", models.adapters.misses);
  add("adapter_evictions", models.adapters.evictions);
  add("adapters_resident", models.adapters.entries);
  add("adapter_bytes", models.adapters.bytes);
  for (const CacheCounters& cache : engine_.caches()) {
    add(cache.name + "_hits", cache.hits);
    add(cache.name + "_misses", cache.misses);
    add(cache.name + "_evictions", cache.evictions);
    add(cache.name + "_entries", cache.entries);
    add(cache.name + "_bytes", cache.bytes);
  }
  {
    const std::scoped_lock lock(mutex_);
    add("jobs_succeeded", jobs_done_);
    add("jobs_failed", jobs_failed_);
    add("steps_replayed", steps_replayed_);
  }
  add("peak_memory_bytes", peak_memory_bytes());
  reports_.status(models_.names(), resident_bytes(), std::move(counters));
}

}  // namespace tintype
