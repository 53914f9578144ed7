// The worker command in a process of its own, with the demo model: what the server relies on.
#include "serving/worker_process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>

#include "base/base64.h"
#include "cli/worker_command.h"
#include "image/test_folder.h"
#include "requests/job_request.h"
#include "tintype/image.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{120};

CatalogueOptions options() {
  const std::filesystem::path models = TT_MODELS;
  return {.models = {{.name = "demo", .path = models / "tintype-emoji-128"},
                     {.name = "gone", .path = models / "gone"}},
          .model_folders = {},
          .adapter_folder = models / "adapters"};
}

const Catalogue& catalogue() {
  static const Catalogue one([] {
    CatalogueOptions only = options();
    only.models.pop_back();
    return only;
  }());
  return one;
}

/// What a worker told of one job.
struct Told {
  std::vector<JobProgress> progress;
  std::vector<int> preview_steps;
  SharedBlob preview;
  std::vector<SharedBlob> steps;
  std::optional<JobResult> result;
  std::optional<JobError> error;
  std::string lost;
  bool ended() const { return result || error || !lost.empty(); }
};

/// A worker of this program and what it tells.
class RunningWorker {
 public:
  explicit RunningWorker(WorkerSettings settings = {.threads = 2},
                         const CatalogueOptions& named = options())
      : process_([&] {
          WorkerProcessOptions process{
              .name = "cpu0", .command = {}, .capacity = settings.max_concurrent};
          process.command = {TT_CLI};
          for (std::string& one : cli::worker_arguments(named, settings))
            process.command.push_back(std::move(one));
          return process;
        }()) {
    const auto on = [this](const JobId& id, auto change) {
      {
        const std::scoped_lock lock(mutex_);
        change(told_[id]);
      }
      changed_.notify_all();
    };
    process_.start(
        {.on_progress =
             [on](const JobId& id, const JobProgress& p) {
               on(id, [&](Told& told) { told.progress.push_back(p); });
             },
         .on_preview =
             [on](const JobId& id, int step, std::vector<SharedBlob> previews) {
               on(id, [&](Told& told) {
                 told.preview_steps.push_back(step);
                 told.preview = previews.at(0);
               });
             },
         .on_step_saved =
             [on](const JobId& id, SharedBlob bytes) {
               on(id, [&](Told& told) { told.steps.push_back(bytes); });
             },
         .on_success =
             [on](const JobId& id, JobResult result) {
               on(id, [&](Told& told) { told.result = std::move(result); });
             },
         .on_failure = [on](const JobId& id,
                            JobError error) { on(id, [&](Told& told) { told.error = error; }); },
         .on_lost = [on](const JobId& id,
                         std::string reason) { on(id, [&](Told& told) { told.lost = reason; }); },
         .on_change = [this] { changed_.notify_all(); }});
    wait([this](auto&) { return process_.status().alive; });
  }
  ~RunningWorker() { process_.stop(); }

  JobId run(const Json& request, std::vector<SharedBlob> saved = {}) {
    JobSpec spec = make_job(request, catalogue(), {.max_steps = 1000});
    return run_canonical(spec.request, spec.inputs, std::move(saved));
  }
  JobId run_canonical(const std::string& request, std::vector<SharedBlob> inputs = {},
                      std::vector<SharedBlob> saved = {}) {
    const JobId id = JobId::make();
    process_.run({.id = id,
                  .attempt = 1,
                  .request = request,
                  .inputs = std::move(inputs),
                  .saved_steps = std::move(saved)});
    return id;
  }
  void cancel(const JobId& id) { process_.cancel(id); }
  WorkerStatus status() const { return process_.status(); }
  double counter(const std::string& wanted) const {
    for (const auto& [name, value] : status().counters)
      if (name == wanted) return value;
    return -1;
  }

  /// Waits until `holds` of what was told; fails the test after two minutes.
  void wait(const std::function<bool(std::map<JobId, Told>&)>& holds) {
    std::unique_lock lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!holds(told_)) {
      if (std::chrono::steady_clock::now() > until) {
        ADD_FAILURE() << "waited in vain";
        return;
      }
      changed_.wait_for(lock, milliseconds(50));
    }
  }
  Told end_of(const JobId& id) {
    wait([&](auto& told) { return told[id].ended(); });
    const std::scoped_lock lock(mutex_);
    return told_[id];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<JobId, Told> told_;
  WorkerProcess process_;
};

const Json kApple = {{"type", "txt2img"}, {"prompt", "red apple"}, {"steps", 6}, {"seed", 7}};

std::string bytes_of(const Told& told, size_t index = 0) {
  return told.result && index < told.result->files.size() ? told.result->files[index].second->bytes
                                                          : "";
}

TEST(WorkerProcess, DrawsTheFileThatTheCommandLineWrites) {
  TestFolder folder;
  const std::string file = (folder / "apple.png").string();
  const std::string command = std::string(TT_CLI) + " txt2img -m " + TT_MODELS +
                              "/tintype-emoji-128 -p 'red apple' --steps 6 -s 7 -o " + file +
                              " > /dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  RunningWorker worker;
  const Told told = worker.end_of(worker.run(kApple));
  ASSERT_TRUE(told.result) << (told.error ? told.error->message : told.lost);
  ASSERT_EQ(told.result->files.size(), 1u);
  EXPECT_TRUE(bytes_of(told) == read_file(file)) << "another picture or other settings";
  EXPECT_EQ(told.result->files[0].first.media_type, "image/png");
  EXPECT_EQ(told.result->files[0].first.width_px, 128);
  const Json info = Json::parse(told.result->info);
  ASSERT_EQ(info.size(), 1u);
  EXPECT_EQ(info[0]["seed"], 7);
  EXPECT_EQ(info[0]["prompt"], "red apple");
  EXPECT_EQ(info[0]["timings"]["step_s"].size(), 6u);

  double before = 0;
  std::vector<std::string> stages;
  for (const JobProgress& progress : told.progress) {
    EXPECT_GE(progress.fraction, before);
    before = progress.fraction;
    if (stages.empty() || stages.back() != progress.stage) stages.push_back(progress.stage);
  }
  EXPECT_EQ(stages,
            (std::vector<std::string>{"load", "encode_prompt", "denoise", "decode", "save"}));
  EXPECT_DOUBLE_EQ(before, 1.0);
  ASSERT_TRUE(told.preview);
  EXPECT_EQ(told.preview->media_type, "image/jpeg");
  const Image preview = decode_image(
      {reinterpret_cast<const uint8_t*>(told.preview->bytes.data()), told.preview->bytes.size()});
  EXPECT_EQ(preview.width_px, 256);
  EXPECT_EQ(told.steps.size(), 6u);
  EXPECT_EQ(worker.status().models, std::vector<std::string>{"demo"});
  EXPECT_GT(worker.status().resident_bytes, 1'000'000u);
}

TEST(WorkerProcess, GoesOnFromSavedStepsToTheSamePictures) {
  Json request = kApple;
  request["count"] = 2;
  RunningWorker worker;
  const Told whole = worker.end_of(worker.run(request));
  ASSERT_TRUE(whole.result) << (whole.error ? whole.error->message : whole.lost);
  ASSERT_EQ(whole.steps.size(), 12u);
  // Cut off in the second picture: the first is not drawn again, nor are its first three steps.
  std::vector<SharedBlob> saved(whole.steps.begin(), whole.steps.begin() + 9);
  const Told resumed = worker.end_of(worker.run(request, saved));
  ASSERT_TRUE(resumed.result) << (resumed.error ? resumed.error->message : resumed.lost);
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(bytes_of(whole, i) == bytes_of(resumed, i)) << i;
  EXPECT_EQ(Json::parse(resumed.result->info)[1]["seed"], 8);
  EXPECT_EQ(worker.counter("steps_replayed"), 9);
}

TEST(WorkerProcess, CancelsWithinAStep) {
  RunningWorker worker;
  Json slow = kApple;
  slow["steps"] = 900;
  const JobId id = worker.run(slow);
  worker.wait([&](auto& told) { return !told[id].steps.empty(); });
  worker.cancel(id);
  const size_t made = [&] {
    size_t steps = 0;
    worker.wait([&](auto& told) {
      steps = told[id].steps.size();
      return true;
    });
    return steps;
  }();
  const Told told = worker.end_of(id);
  ASSERT_TRUE(told.error);
  EXPECT_EQ(told.error->kind, ErrorKind::kCancelled);
  EXPECT_LT(told.steps.size(), made + 20);
  // And goes on with others.
  EXPECT_TRUE(worker.end_of(worker.run(kApple)).result);
}

TEST(WorkerProcess, RunsJobsSideBySideWithTheSamePictures) {
  RunningWorker worker({.threads = 2, .max_concurrent = 2});
  const JobId a = worker.run(kApple), b = worker.run(kApple);
  const Told first = worker.end_of(a), second = worker.end_of(b);
  ASSERT_TRUE(first.result && second.result);
  EXPECT_TRUE(bytes_of(first) == bytes_of(second));
}

TEST(WorkerProcess, SaysWhatIsWrongAndNoPath) {
  RunningWorker worker;
  Json canonical = Json::parse(make_job(kApple, catalogue(), {}).request);
  const auto error_of = [&](const Json& request) {
    const Told told = worker.end_of(worker.run_canonical(request.dump()));
    EXPECT_TRUE(told.error) << request.dump();
    return told.error.value_or(JobError{});
  };
  canonical["model"] = "gone";
  JobError error = error_of(canonical);
  EXPECT_EQ(error.kind, ErrorKind::kNotFound) << error.message;
  EXPECT_EQ(error.message.find(TT_MODELS), std::string::npos) << error.message;
  canonical["model"] = "demi";
  error = error_of(canonical);
  EXPECT_EQ(error.kind, ErrorKind::kNotFound);
  EXPECT_NE(error.message.find("did you mean demo?"), std::string::npos) << error.message;
  canonical["model"] = "demo";
  canonical["adapters"] = Json::array({{{"name", "none"}}});
  error = error_of(canonical);
  EXPECT_EQ(error.kind, ErrorKind::kNotFound);
  EXPECT_EQ(error.message.find(TT_MODELS), std::string::npos) << error.message;
  EXPECT_EQ(error_of(Json::array()).kind, ErrorKind::kInvalidArgument);
  EXPECT_TRUE(worker.end_of(worker.run(kApple)).result);
}

TEST(WorkerProcess, DrawsFromPicturesInEveryFormat) {
  RunningWorker worker;
  const std::string apple = bytes_of(worker.end_of(worker.run(kApple)));
  Json request = {{"type", "img2img"},
                  {"prompt", "green apple"},
                  {"image", encode_base64(apple)},
                  {"steps", 6},
                  {"strength", 0.5},
                  {"seed", 1},
                  {"output", {{"format", "webp"}}}};
  const Told told = worker.end_of(worker.run(request));
  ASSERT_TRUE(told.result) << told.error->message;
  EXPECT_EQ(told.result->files[0].first.media_type, "image/webp");
  EXPECT_EQ(told.steps.size(), 3u);
  request["type"] = "inpaint";
  request["mask"] = encode_base64(apple);
  request["output"]["format"] = "jpeg";
  const Told inpainted = worker.end_of(worker.run(request));
  ASSERT_TRUE(inpainted.result) << inpainted.error->message;
  EXPECT_EQ(inpainted.result->files[0].first.media_type, "image/jpeg");
  Json hires = kApple;
  hires["hires"] = {{"scale", 1.5}};
  const Told larger = worker.end_of(worker.run(hires));
  ASSERT_TRUE(larger.result) << larger.error->message;
  EXPECT_EQ(larger.result->files[0].first.width_px, 192);
}

TEST(WorkerProcess, KeepsModelsWithinTheirBudget) {
  CatalogueOptions two = options();
  two.models.back() = two.models.front();
  two.models.back().name = "other";
  // Room for one of them.
  RunningWorker worker(
      {.threads = 2, .model_memory_bytes = catalogue().model("").info.weight_bytes * 3 / 2}, two);
  Json canonical = Json::parse(make_job(kApple, catalogue(), {}).request);
  for (const char* name : {"demo", "other", "other", "demo"}) {
    canonical["model"] = name;
    ASSERT_TRUE(worker.end_of(worker.run_canonical(canonical.dump())).result);
    EXPECT_EQ(worker.status().models, std::vector<std::string>{name});
  }
  EXPECT_EQ(worker.counter("model_loads"), 3);
  EXPECT_EQ(worker.counter("model_evictions"), 2);
}

TEST(WorkerProcess, WarmsUpBeforeItTakesJobs) {
  RunningWorker worker({.threads = 2, .warm_up = {"gone", "demo"}});
  const Told told = worker.end_of(worker.run(kApple));
  ASSERT_TRUE(told.result);
  for (const JobProgress& progress : told.progress) EXPECT_NE(progress.stage, "load");
}

}  // namespace
}  // namespace tintype
