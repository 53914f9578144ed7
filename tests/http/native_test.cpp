/// The whole server over a worker that the test plays: native routes, ownership, events, probes.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <thread>

#include "base/temporary_folder.h"
#include "http/job_json.h"
#include "http/raw_client.h"
#include "http/serve_app.h"
#include "requests/demo_catalogue.h"
#include "serving/serving_helpers.h"

namespace tintype::http {
namespace {

using tintype::testing::TemporaryFolder;

constexpr const char* kApple = R"({"type":"txt2img","prompt":"red apple","steps":4,"seed":7})";

class NativeTest : public ::testing::Test {
 protected:
  void start(const std::function<void(ServeConfig&)>& change = [](ServeConfig&) {}) {
    config_.store = (folder_.path() / "jobs.db").string();
    config_.models = {"unused"};
    config_.max_queued = 5;
    config_.access_log = false;
    config_.log_level = "error";
    change(config_);
    ServerOptions options = server_options(config_);
    options.port = 0;
    options.heartbeat = 200ms;
    log_ = make_log(config_);
    app_ = std::make_unique<ServeApp>(config_, options, demo_catalogue(), played({worker_}), *log_);
  }
  RawClient client() const {
    const std::string url = app_->url();
    return RawClient(static_cast<uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  }
  std::string key(const std::string& name,
                  std::set<Scope> scopes = {Scope::kRead, Scope::kSubmit}) {
    const auto file = folder_.path() / "keys.json";
    config_.keys = file.string();
    return "X-API-Key: " + add_key(file, {.name = name, .scopes = std::move(scopes)}) + "\r\n";
  }
  static std::string json_type() { return "Content-Type: application/json\r\n"; }

  const TemporaryFolder folder_;
  ServeConfig config_;
  std::shared_ptr<PlayedWorker> worker_ = std::make_shared<PlayedWorker>();
  std::unique_ptr<Log> log_;
  std::unique_ptr<ServeApp> app_;
};

TEST_F(NativeTest, AJobFromSubmissionToItsPicture) {
  start();
  RawClient http = client();
  const RawResponse submitted = http.request("POST", "/v1/jobs", kApple, json_type());
  ASSERT_EQ(submitted.status, 202) << submitted.body;
  const Json job = submitted.json();
  const std::string url = "/v1/jobs/" + job["id"].get<std::string>();
  EXPECT_EQ(submitted.header("location"), url);
  const std::set<std::string> members = {"id",
                                         "state",
                                         "revision",
                                         "request",
                                         "created",
                                         "started",
                                         "finished",
                                         "deadline",
                                         "results_expire",
                                         "attempts",
                                         "worker",
                                         "position",
                                         "seconds_to_start",
                                         "progress",
                                         "previews",
                                         "error",
                                         "results",
                                         "info"};
  std::set<std::string> got;
  for (const auto& [name, value] : job.items()) got.insert(name);
  EXPECT_EQ(got, members);
  EXPECT_EQ(job["request"]["prompt"], "red apple");
  EXPECT_EQ(job["request"]["model"], "tintype-emoji-128");
  const JobId id = worker_->job(0).id;
  worker_->events.on_progress(id, {"denoise", 2, 4, 0.5, 1.5});
  worker_->events.on_preview(id, 2, {blob_of("jpeg")});
  EXPECT_TRUE(eventually([&] {
    const Json now = http.request("GET", url).json();
    return now["progress"]["step"] == 2 && now["previews"].size() == 1;
  }));
  const Json running = http.request("GET", url).json();
  EXPECT_EQ(running["state"], "running");
  EXPECT_EQ(running["previews"][0]["data"], "data:image/png;base64,anBlZw==");
  EXPECT_TRUE(running["position"].is_null());
  EXPECT_EQ(http.request("GET", url + "/results/0").status, 404);
  worker_->succeed(id, "bytes of a picture");
  ASSERT_TRUE(wait_for_state(app_->runtime(), id, JobState::kSucceeded));
  const Json done = http.request("GET", url).json();
  EXPECT_EQ(done["results"][0]["url"], url + "/results/0");
  const RawResponse picture = http.request("GET", url + "/results/0");
  EXPECT_EQ(picture.body, "bytes of a picture");
  EXPECT_EQ(picture.header("content-type"), "image/png");
  const std::string tag = "If-None-Match: " + picture.header("etag") + "\r\n";
  EXPECT_EQ(http.request("GET", url + "/results/0", "", tag).status, 304);
  EXPECT_EQ(http.request("GET", url + "/results/1").status, 404);
  EXPECT_EQ(http.request("GET", url + "/results/x").status, 400);
  EXPECT_EQ(http.request("GET", "/v1/jobs").json()["data"].size(), 1u);
  EXPECT_EQ(http.request("GET", "/v1/jobs?state=failed,queued").json()["data"].size(), 0u);
  EXPECT_EQ(http.request("DELETE", url).status, 204);
  EXPECT_EQ(http.request("GET", url).status, 404);
}

TEST_F(NativeTest, MistakesNameTheirMember) {
  start();
  RawClient http = client();
  const std::tuple<const char*, int, const char*> cases[] = {
      {R"({"type":"txt2img","prompt":"a","steps":0})", 400, "steps"},
      {R"({"type":"txt2img","prompt":"a","stepz":1})", 400, "stepz"},
      {R"({"type":"txt2img","model":"nothing","prompt":"a"})", 404, "model"},
      {R"({"type")", 400, "body"},
      {R"([1])", 400, nullptr},
  };
  for (const auto& [body, status, field] : cases) {
    const RawResponse response = http.request("POST", "/v1/jobs", body, json_type());
    EXPECT_EQ(response.status, status) << body << response.body;
    EXPECT_EQ(response.body.find(TT_SOURCE_DIR), std::string::npos);
    if (field) {
      EXPECT_NE(response.body.find(field), std::string::npos) << response.body;
    }
  }
  EXPECT_EQ(client().request("POST", "/v1/jobs", kApple, "Content-Type: text/plain\r\n").status,
            415);
  EXPECT_EQ(http.request("GET", "/v1/jobs/not-an-id").status, 404);
  EXPECT_EQ(http.request("GET", "/v1/jobs/018f4e5c-7b1a-7cc3-98c4-dc0c0c07398f/events").status,
            404);
  EXPECT_EQ(http.request("GET", "/v1/jobs?limit=0").status, 400);
  EXPECT_EQ(http.request("GET", "/v1/jobs?state=done").status, 400);
  EXPECT_EQ(http.request("GET", "/v1/jobs?before=x").status, 400);
}

TEST_F(NativeTest, TheSameClientKeyIsTheSameJob) {
  start();
  RawClient http = client();
  const std::string named = json_type() + "Idempotency-Key: one\r\n";
  const RawResponse first = http.request("POST", "/v1/jobs", kApple, named);
  const RawResponse again = http.request("POST", "/v1/jobs", kApple, named);
  EXPECT_EQ(first.status, 202) << first.body;
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(first.json()["id"], again.json()["id"]);
  const RawResponse other = http.request(
      "POST", "/v1/jobs", R"({"type":"txt2img","prompt":"green apple","seed":7})", named);
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.json()["error"]["field"], "client_key");
}

TEST_F(NativeTest, FullQueuesSayWhenToComeBack) {
  start();
  RawClient http = client();
  RawResponse last;
  for (int i = 0; i < 8; ++i) last = http.request("POST", "/v1/jobs", kApple, json_type());
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(last.kind(), "queue_full");
  EXPECT_GE(std::stoi(last.header("retry-after")), 1);
}

TEST_F(NativeTest, EventsAreWholeJobsAndResume) {
  start();
  RawClient http = client();
  const std::string id_text =
      http.request("POST", "/v1/jobs", kApple, json_type()).json()["id"].get<std::string>();
  const std::string get = "GET /v1/jobs/" + id_text + "/events HTTP/1.1\r\nHost: localhost\r\n";
  RawClient listener = client();
  listener.send(get + "\r\n");
  const RawResponse head = listener.read_head();
  EXPECT_EQ(head.header("content-type"), "text/event-stream; charset=utf-8");
  const std::string first = listener.read_until("\n\n");
  EXPECT_NE(first.find("event: job\nid: "), std::string::npos) << first;
  const JobId id = worker_->job(0).id;
  worker_->events.on_progress(id, {"denoise", 3, 4, 0.7, {}});
  EXPECT_NE(listener.read_until("\"step\":3").find("data: "), std::string::npos);
  EXPECT_NE(listener.read_until(":\n\n").find(":\n\n"), std::string::npos);  // heartbeat
  // Who has seen the present revision gets nothing but what comes.
  const uint64_t revision = app_->runtime().find(id)->revision;
  RawClient back = client();
  back.send(get + "Last-Event-ID: " + std::to_string(revision) + "\r\n\r\n");
  EXPECT_EQ(back.read_head().status, 200);
  worker_->succeed(id);
  const std::string rest = back.read_until("0\r\n\r\n");
  EXPECT_NE(rest.find("succeeded"), std::string::npos);
  EXPECT_EQ(rest.find("\"running\""), std::string::npos);
  EXPECT_NE(listener.read_until("0\r\n\r\n").find("succeeded"), std::string::npos);
  // A stream that ended leaves the connection for more.
  EXPECT_EQ(back.request("GET", "/healthz").status, 200);
}

TEST_F(NativeTest, OthersJobsAreNotThere) {
  const std::string alice = key("alice"), bob = key("bob"), admin = key("admin", {Scope::kAdmin}),
                    reader = key("reader", {Scope::kRead});
  start();
  RawClient http = client();
  const std::string url =
      "/v1/jobs/" +
      http.request("POST", "/v1/jobs", kApple, json_type() + alice).json()["id"].get<std::string>();
  RawClient all = client();
  all.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n" + bob + "\r\n");
  EXPECT_EQ(all.read_head().status, 200);
  for (const char* path : {"", "/events", "/results/0", "/inputs/0"})
    EXPECT_EQ(http.request("GET", url + path, "", bob).status, 404) << path;
  EXPECT_EQ(client().request("POST", url + "/cancel", "", bob).status, 404);
  EXPECT_EQ(client().request("DELETE", url, "", bob).status, 404);
  EXPECT_EQ(client().request("DELETE", url, "", reader).status, 403);
  EXPECT_EQ(client().request("POST", "/v1/jobs", kApple, json_type() + reader).status, 403);
  EXPECT_EQ(http.request("GET", "/v1/jobs", "", bob).json()["data"].size(), 0u);
  EXPECT_EQ(http.request("GET", url, "", alice).status, 200);
  EXPECT_EQ(http.request("GET", url, "", admin).status, 200);
  EXPECT_EQ(http.request("GET", "/v1/jobs", "", admin).json()["data"].size(), 1u);
  EXPECT_EQ(http.request("GET", url).status, 401);
  EXPECT_EQ(http.request("GET", "/metrics", "", alice).status, 403);
  EXPECT_EQ(http.request("GET", "/healthz").status, 200);
  // Priority above what the key may.
  const RawResponse greedy = client().request(
      "POST", "/v1/jobs", R"({"type":"txt2img","prompt":"a","priority":5})", json_type() + alice);
  EXPECT_EQ(greedy.status, 400) << greedy.body;
  EXPECT_EQ(http.request("POST", url + "/cancel", "", alice).status, 200);
  // Only heartbeats came to bob.
  EXPECT_EQ(all.read_until(":\n\n").find("data"), std::string::npos);
}

TEST_F(NativeTest, DrainRefusesJobsAndSaysSo) {
  start([](ServeConfig& config) { config.drain_seconds = 5; });
  RawClient http = client();
  EXPECT_EQ(http.request("GET", "/readyz").status, 200);
  ASSERT_EQ(http.request("POST", "/v1/jobs", kApple, json_type()).status, 202);
  const JobId id = worker_->job(0).id;
  std::thread drain([&] { app_->drain(); });
  EXPECT_TRUE(eventually([&] { return client().request("GET", "/readyz").status == 503; }));
  EXPECT_EQ(client().request("POST", "/v1/jobs", kApple, json_type()).status, 503);
  EXPECT_EQ(client().request("GET", "/healthz").status, 200);
  worker_->succeed(id);
  drain.join();
  EXPECT_FALSE(client().connected());
}

TEST_F(NativeTest, OpenApiHasEveryRouteAndNoOther) {
  start();
  RawClient http = client();
  const Json document = http.request("GET", "/openapi.json").json();
  std::set<std::string> documented, routed;
  for (const auto& [path, methods] : document["paths"].items())
    for (const auto& [method, operation] : methods.items()) {
      documented.insert(method + " " + path);
      EXPECT_FALSE(operation["summary"].get<std::string>().empty()) << method << path;
    }
  for (const Route& route : app_->router().routes()) {
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(std::tolower(c));
    if (!route.hidden) routed.insert(method + " " + route.pattern);
  }
  EXPECT_EQ(documented, routed);
  EXPECT_GT(routed.size(), 15u);
  EXPECT_TRUE(routed.count("post /v1/jobs"));
}

TEST_F(NativeTest, EveryRouteAsksForItsKeyAndSurvivesNonsense) {
  const std::string nobody = key("metrics only", {Scope::kMetrics});
  start();
  for (const Route& route : app_->router().routes()) {
    const std::string path = std::regex_replace(route.pattern, std::regex("\\{[a-z_]+\\}"), "7");
    if (route.scope == Scope::kOpen) continue;
    EXPECT_EQ(client().request(route.method, path).status, 401) << route.method << path;
    if (route.scope != Scope::kMetrics) {
      EXPECT_EQ(client().request(route.method, path, "", nobody).status, 403) << path;
    }
  }
}

TEST_F(NativeTest, EveryRouteAnswersNonsenseWithAClientError) {
  start();
  for (const Route& route : app_->router().routes()) {
    if (route.max_body == 0) continue;
    const std::string path = std::regex_replace(route.pattern, std::regex("\\{[a-z_]+\\}"), "7");
    for (const std::string body : {"", "{", "[]", "null", "{\"a\":1}", "\xff\xfe", "--x\r\n"}) {
      // To A1111's clients nothing, or an unknown member, is a request for a picture.
      if (path == "/sdapi/v1/txt2img" && (body.empty() || body.size() > 2)) continue;
      const int status = client().request(route.method, path, body, json_type()).status;
      EXPECT_TRUE(status >= 200 && status < 500) << route.method << path << " " << status << body;
    }
  }
}

TEST_F(NativeTest, MetricsAreWellFormedAndCount) {
  start();
  RawClient http = client();
  http.request("POST", "/v1/jobs", kApple, json_type());
  worker_->succeed(worker_->job(0).id);
  http.request("GET", "/nothing");
  const std::string text = http.request("GET", "/metrics").body;
  const std::regex sample(
      R"(^tintype_[a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? (-?[0-9.e+-]+|\+Inf|NaN)$)");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("#")) {
      EXPECT_TRUE(std::regex_match(line, sample)) << line;
    }
  for (const char* part :
       {"tintype_jobs_submitted_total 1", "tintype_worker_up{worker=\"w0\"",
        "tintype_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "route=\"/v1/jobs\",status=\"202\"} 1", "tintype_http_request_seconds_bucket{",
        "tintype_job_wait_seconds_count", "tintype_ready 1"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
}

TEST_F(NativeTest, ThePageIsServedUnderItsPolicy) {
  start();
  RawClient http = client();
  const RawResponse page = http.request("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_NE(page.header("content-security-policy").find("frame-ancestors 'none'"),
            std::string::npos);
  EXPECT_EQ(http.request("GET", "/", "", "If-None-Match: " + page.header("etag") + "\r\n").status,
            304);
  EXPECT_EQ(http.request("GET", "/main.js").header("content-type"),
            "text/javascript; charset=utf-8");
}

TEST_F(NativeTest, BrowsersOfOtherPagesAreKeptOut) {
  start();
  EXPECT_EQ(client().request("GET", "/v1/jobs", "", "Host: evil.example\r\n").status, 403);
  EXPECT_EQ(
      client()
          .request("POST", "/v1/jobs", kApple, json_type() + "Origin: https://evil.example\r\n")
          .status,
      403);
  const RawResponse preflight =
      client().request("OPTIONS", "/v1/jobs", "",
                       "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n");
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "");
}

TEST_F(NativeTest, CorsLetsTheNamedOriginIn) {
  start([](ServeConfig& config) { config.cors = {"https://good.example"}; });
  const RawResponse preflight =
      client().request("OPTIONS", "/v1/jobs", "",
                       "Origin: https://good.example\r\nAccess-Control-Request-Method: POST\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "https://good.example");
  EXPECT_NE(preflight.header("access-control-allow-headers").find("X-API-Key"), std::string::npos);
  EXPECT_EQ(
      client()
          .request("POST", "/v1/jobs", kApple, json_type() + "Origin: https://good.example\r\n")
          .status,
      202);
}

TEST_F(NativeTest, ListsNameWhatRequestsMay) {
  start();
  RawClient http = client();
  const Json models = http.request("GET", "/v1/models").json();
  EXPECT_EQ(models["data"][0]["id"], "tintype-emoji-128");
  EXPECT_EQ(models["data"][0]["width"], 128);
  EXPECT_TRUE(models["data"][0]["steps"].is_number()) << models;
  EXPECT_EQ(models["limits"]["max_steps"], 150);
  EXPECT_EQ(http.request("GET", "/v1/adapters").json()["data"][0]["name"], "line-drawing");
  EXPECT_GT(http.request("GET", "/v1/samplers").json()["data"].size(), 10u);
  EXPECT_GT(http.request("GET", "/v1/presets").json()["data"].size(), 1u);
  EXPECT_TRUE(http.request("GET", "/v1/upscalers").json()["data"].is_array());
}

TEST(JobJson, TimesHaveMilliseconds) {
  EXPECT_EQ(time_text(WallClock::time_point(std::chrono::milliseconds(1'795'291'467'123))),
            "2026-11-21T20:04:27.123Z");
  EXPECT_EQ(time_text(WallClock::time_point(std::chrono::milliseconds(-1))),
            "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace tintype::http
