/// OpenAI's and A1111's routes over a real job runtime, without a socket: the worker is played by
/// the test.
#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/temporary_folder.h"
#include "http/dialect_services.h"
#include "http/json_members.h"
#include "http/routes_a1111.h"
#include "http/routes_openai.h"
#include "requests/demo_catalogue.h"
#include "serving/serving_helpers.h"

namespace tintype::http {
namespace {

/// Keeps the answer, and plays a client that goes away.
class Client : public Reply::Sink {
 public:
  void send(Response response) override {
    const std::lock_guard lock(mutex_);
    if (!response_) response_ = std::move(response);
  }
  void on_close(std::function<void()> gone) override {
    const std::lock_guard lock(mutex_);
    gone_.push_back(std::move(gone));
  }
  bool closed() const override { return false; }

  void go_away() {
    std::vector<std::function<void()>> gone;
    {
      const std::lock_guard lock(mutex_);
      gone.swap(gone_);
    }
    for (const auto& call : gone) call();
  }
  bool answered() const {
    const std::lock_guard lock(mutex_);
    return response_.has_value();
  }
  Response answer() const {
    EXPECT_TRUE(eventually([&] { return answered(); })) << "no answer came";
    const std::lock_guard lock(mutex_);
    return response_.value_or(Response{});
  }
  Json json() const { return Json::parse(answer().text(), nullptr, false); }

 private:
  mutable std::mutex mutex_;
  std::optional<Response> response_;
  std::vector<std::function<void()>> gone_;
};

class DialectRoutes : public ::testing::Test {
 protected:
  DialectRoutes()
      : runtime_({.store = folder_.path() / "jobs.db"}, played({worker_})),
        services_{context(), tasks_, log_} {
    add_openai_routes(router_, services_);
    add_a1111_routes(router_, services_);
  }
  ~DialectRoutes() override {
    tasks_.stop();
    std::fclose(null_);
  }

  ServerContext context() {
    ServerContext context;
    context.runtime = &runtime_;
    context.catalogue = &demo_catalogue();
    return context;
  }

  /// Handlers that throw answer in the route's form, as the dispatcher has it.
  std::shared_ptr<Client> ask(const std::string& method, const std::string& path,
                              const std::string& body = "", Fields headers = {}) {
    auto client = std::make_shared<Client>();
    auto request = std::make_shared<Request>();
    const Router::Match match = router_.find(method, path);
    EXPECT_NE(match.route, nullptr) << path;
    if (!match.route) return client;
    request->method = method;
    request->path = path;
    request->params = match.params;
    request->body = body;
    request->headers = std::move(headers);
    request->authority = "host:1";
    request->caller.id = "owner";
    const Reply reply(client);
    try {
      match.route->handler(request, reply);
    } catch (const Error& error) {
      reply.send(error_response(problem_of(error), match.route->error));
    }
    return client;
  }
  std::shared_ptr<Client> post(const std::string& path, const Json& body) {
    return ask("POST", path, body.dump(), {{"content-type", "application/json"}});
  }

  /// The n-th job ends with these files.
  void succeed(size_t n, const std::vector<std::string>& files, const std::string& info) {
    JobResult result;
    for (const std::string& bytes : files)
      result.files.emplace_back(ResultInfo{"image/png", bytes.size(), 128, 128},
                                std::make_shared<Blob>(Blob{"image/png", bytes}));
    result.info = info;
    worker_->events.on_success(worker_->job(n).id, std::move(result));
  }

  static std::string png(const std::string& infotext) {
    const Image image{2, 2, std::vector<uint8_t>(12, 9)};
    const auto bytes = encode_image(image, ImageFormat::kPng, {{"parameters", infotext}});
    return {bytes.begin(), bytes.end()};
  }

  testing::TemporaryFolder folder_;
  std::FILE* null_ = std::fopen("/dev/null", "w");
  Log log_{LogFormat::kText, LogLevel::kInfo, null_};
  TaskQueue tasks_;
  std::shared_ptr<PlayedWorker> worker_ = std::make_shared<PlayedWorker>();
  JobRuntime runtime_;
  DialectServices services_;
  Router router_;
};

constexpr const char* kGenerate = "/v1/images/generations";
constexpr const char* kTxt2img = "/sdapi/v1/txt2img";

TEST_F(DialectRoutes, OpenAiWaitsForItsPictures) {
  const auto client = post(kGenerate, {{"prompt", "apple"}, {"n", 2}});
  const Json drawn = Json::parse(worker_->job(0).request);
  EXPECT_EQ(drawn["count"], 2);
  EXPECT_FALSE(client->answered());
  succeed(0, {"one", "two"}, "[]");
  EXPECT_EQ(client->answer().status, 200);
  EXPECT_EQ(client->json()["data"],
            (Json::array({{{"b64_json", "b25l"}}, {{"b64_json", "dHdv"}}})));
}

TEST_F(DialectRoutes, OpenAiAddressesOpenWithoutAKeyAndCannotBeForged) {
  const auto client = post(kGenerate, {{"prompt", "apple"}, {"response_format", "url"}});
  succeed(0, {"one"}, "[]");
  const std::string url = client->json()["data"][0]["url"];
  const std::string host = "http://host:1";
  ASSERT_TRUE(url.starts_with(host)) << url;
  std::string path = url.substr(host.size());
  EXPECT_EQ(router_.find("GET", path).route->scope, Scope::kOpen);
  EXPECT_EQ(ask("GET", path)->answer().text(), "one");
  path.back() = path.back() == '0' ? '1' : '0';
  EXPECT_EQ(ask("GET", path)->answer().status, 404);
}

TEST_F(DialectRoutes, OpenAiStreamsPartialPicturesAndTheLast) {
  const auto client =
      post(kGenerate, {{"prompt", "apple"}, {"stream", true}, {"partial_images", 1}, {"steps", 4}});
  const JobId id = worker_->job(0).id;
  const Response response = client->answer();
  EXPECT_EQ(response.status, 200);
  const SharedStream stream = std::get<SharedStream>(response.body);
  worker_->events.on_progress(id, {"denoise", 2, 4, 0.5, 1.0});
  worker_->events.on_preview(id, 2, {std::make_shared<Blob>(Blob{"image/jpeg", "jpg"})});
  std::string sent;
  bool is_finished = false;
  const auto read = [&] {
    EventStream::Taken taken = stream->take(1 << 20);
    for (const SharedEvent& event : taken.events) sent += *event;
    is_finished = is_finished || taken.finished;
  };
  EXPECT_TRUE(eventually([&] {
    read();
    return sent.find("image_generation.partial_image") != std::string::npos;
  })) << sent;
  EXPECT_NE(sent.find("\"anBn\""), std::string::npos) << sent;
  succeed(0, {"one"}, "[]");
  EXPECT_TRUE(eventually([&] {
    read();
    return is_finished;
  }));
  EXPECT_NE(sent.find("event: image_generation.completed"), std::string::npos) << sent;
  EXPECT_NE(sent.find("\"b25l\""), std::string::npos) << sent;
}

TEST_F(DialectRoutes, ErrorsHaveEachDialectsShape) {
  auto client = post(kGenerate, {{"prompt", "p"}, {"size", "big"}});
  EXPECT_EQ(client->answer().status, 400);
  EXPECT_EQ(client->json()["error"]["param"], "size");
  client = post(kGenerate, {{"prompt", "p"}, {"model", "nothing"}});
  EXPECT_EQ(client->answer().status, 404);
  EXPECT_EQ(client->json()["error"]["code"], "model_not_found");
  client = post(kTxt2img, {{"prompt", "p"}, {"tiling", true}});
  EXPECT_EQ(client->answer().status, 422);
  EXPECT_FALSE(client->json()["detail"].get<std::string>().empty());

  client = post(kGenerate, {{"prompt", "p"}});
  worker_->events.on_failure(worker_->job(0).id, {ErrorKind::kOutOfMemory, "[unet] too large"});
  EXPECT_EQ(client->answer().status, 507);
  EXPECT_NE(client->json()["error"]["message"].get<std::string>().find("too large"),
            std::string::npos);
}

TEST_F(DialectRoutes, AClientThatGoesAwayCancelsItsJobAlone) {
  const auto gone = post(kGenerate, {{"prompt", "p"}});
  const JobId id = worker_->job(0).id;
  const auto stays = post(kTxt2img, {{"prompt", "q"}});
  gone->go_away();
  EXPECT_TRUE(wait_for_state(runtime_, id, JobState::kCancelled));
  succeed(1, {png("t")}, "[]");
  EXPECT_EQ(stays->answer().status, 200);
}

TEST_F(DialectRoutes, ConnectionsThatAServerClosesCancelNothing) {
  services_.closing = true;
  const auto client = post(kGenerate, {{"prompt", "p"}});
  const JobId id = worker_->job(0).id;
  client->go_away();
  tasks_.stop();  // what going away would have done is done
  EXPECT_FALSE(worker_->was_cancelled(id));
}

TEST_F(DialectRoutes, AJobThatAnotherRequestMadeIsNotCancelled) {
  const Json body = {{"prompt", "p"}, {"client_key", "k"}, {"seed", 1}};
  const auto first = post(kGenerate, body);
  const JobId id = worker_->job(0).id;
  const auto second = post(kGenerate, body);
  // The second has joined the first when its going away is told apart from never having come.
  succeed(0, {"one"}, "[]");
  EXPECT_EQ(first->json()["data"], second->json()["data"]);
  EXPECT_EQ(first->json()["job"], id.text());
}

TEST_F(DialectRoutes, A1111AnswersPicturesWithTheirInfotexts) {
  const auto client = post(kTxt2img, {{"prompt", "apple"}, {"seed", 7}, {"batch_size", 2}});
  EXPECT_EQ(Json::parse(worker_->job(0).request)["prompt_syntax"], "a1111");
  succeed(0, {png("apple\nSteps: 1, seven"), png("eight")}, R"([{"seed": 7}, {"seed": 8}])");
  const Json answer = client->json();
  ASSERT_EQ(answer["images"].size(), 2u);
  const Json info = Json::parse(answer["info"].get<std::string>());
  EXPECT_EQ(info["infotexts"], (Json{"apple\nSteps: 1, seven", "eight"}));
  EXPECT_EQ(info["all_seeds"], (Json{7, 8}));

  const auto told = post("/sdapi/v1/png-info", {{"image", answer["images"][1]}});
  EXPECT_EQ(told->json()["info"], "eight");
}

TEST_F(DialectRoutes, A1111TellsProgressAndInterrupts) {
  EXPECT_EQ(ask("GET", "/sdapi/v1/progress")->json()["state"]["job_count"], 0);
  const auto client = post(kTxt2img, {{"prompt", "apple"}});
  const JobId id = worker_->job(0).id;
  worker_->events.on_progress(id, {"denoise", 5, 20, 0.25, 3.0});
  worker_->events.on_preview(id, 5, {std::make_shared<Blob>(Blob{"image/jpeg", "jpg"})});
  Json progress;
  EXPECT_TRUE(eventually([&] {
    progress = ask("GET", "/sdapi/v1/progress")->json();
    return progress["current_image"] == "anBn";
  })) << progress;
  EXPECT_EQ(progress["progress"], 0.25);
  EXPECT_EQ(progress["state"]["job_count"], 1);
  EXPECT_EQ(progress["state"]["sampling_step"], 5);
  EXPECT_EQ(ask("POST", "/sdapi/v1/interrupt")->json(), Json::object());
  EXPECT_EQ(client->answer().status, 200);
  EXPECT_EQ(Json::parse(client->json()["info"].get<std::string>())["interrupted"], true);
  EXPECT_EQ(ask("GET", "/sdapi/v1/progress")->json()["state"]["job_count"], 0);
}

TEST_F(DialectRoutes, A1111OptionsAreCheckedAndKept) {
  const std::string path = "/sdapi/v1/options";
  EXPECT_EQ(post(path, {{"CLIP_stop_at_last_layers", 2}})->answer().status, 200);
  EXPECT_EQ(ask("GET", path)->json()["CLIP_stop_at_last_layers"], 2);
  EXPECT_EQ(post(path, {{"sd_model_checkpoint", "nothing"}})->answer().status, 404);
  post(kTxt2img, {{"prompt", "apple"}});
  EXPECT_EQ(Json::parse(worker_->job(0).request)["clip_skip"], 1);
}

TEST_F(DialectRoutes, A1111ListsAreThere) {
  for (const char* name : {"samplers", "schedulers", "sd-models", "loras", "upscalers",
                           "latent-upscale-modes", "scripts", "sd-vae", "embeddings", "memory",
                           "prompt-styles", "hypernetworks", "face-restorers", "cmd-flags"}) {
    const auto client = ask("GET", std::string("/sdapi/v1/") + name);
    EXPECT_EQ(client->answer().status, 200) << name;
    EXPECT_TRUE(client->json().is_structured()) << name;
  }
  EXPECT_EQ(ask("GET", "/sdapi/v1/sd-models")->json()[0]["title"], "tintype-emoji-128");
  EXPECT_EQ(ask("GET", "/internal/ping")->answer().status, 200);
}

TEST_F(DialectRoutes, NoAnswerTellsAPath) {
  for (const char* name : {"sd-models", "loras", "upscalers", "options"})
    EXPECT_EQ(ask("GET", std::string("/sdapi/v1/") + name)->answer().text().find(TT_MODELS),
              std::string::npos)
        << name;
}

}  // namespace
}  // namespace tintype::http
