#include "http/routes_native.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "http/job_json.h"
#include "http/lists_json.h"

namespace tintype::http {
namespace {

constexpr size_t kMaxListed = 1000;

/// A whole number of a path or query. throws kInvalidArgument; `name` is its field
uint64_t parse_number(std::string_view text, std::string_view name, uint64_t least, uint64_t most) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  TT_REQUIRE(
      error == std::errc() && end == text.data() + text.size() && value >= least && value <= most,
      name, "must be ", least, "..", most, ", got \"", printable(text), "\"");
  return value;
}

Json parse_body(const Request& request) {
  try {
    return parse_json(request.body, "body");
  } catch (const Error& error) {
    throw Refusal(problem(400, error.what(), "body"));
  }
}

/// The header is another place for the member, for clients that send it with everything.
void take_idempotency_key(Json& body, const Request& request) {
  const std::string* header = request.header("idempotency-key");
  if (!header || !body.is_object()) return;
  const auto member = body.find("client_key");
  TT_REQUIRE(member == body.end() || *member == *header, "client_key",
             "must be the same in the body and in Idempotency-Key where both are given");
  body["client_key"] = *header;
}

void submit(const ServerContext& context, const SharedRequest& request, const Reply& reply) {
  Json body = parse_body(*request);
  take_idempotency_key(body, *request);
  JobSpec spec = make_callers_job(context, std::move(body), request->caller);
  context.runtime->submit(std::move(spec), [context,
                                            reply](const std::variant<Submission, Error>& outcome) {
    if (const Error* error = std::get_if<Error>(&outcome))
      return reply.send(error_response(submit_problem(context, *error), native_error));
    const Submission& submission = std::get<Submission>(outcome);
    Response response = json_response(submission.created ? 202 : 200, job_json(*submission.job));
    response.set("location", "/v1/jobs/" + submission.job->id.text());
    reply.send(std::move(response));
  });
}

Response list(const ServerContext& context, const Request& request) {
  JobFilter filter;
  if (!request.caller.may(Scope::kAdmin)) filter.owner = request.caller.id;
  if (const std::string* limit = request.query_field("limit"))
    filter.limit = parse_number(*limit, "limit", 1, kMaxListed);
  if (const std::string* before = request.query_field("before")) {
    filter.before = JobId::parse(*before);
    TT_REQUIRE(filter.before, "before", "must be a job's id, got \"", printable(*before), "\"");
  }
  if (const std::string* states = request.query_field("state")) {
    static const std::vector<std::string> kStates = {"queued", "running",   "succeeded",
                                                     "failed", "cancelled", "expired"};
    for (size_t begin = 0; begin <= states->size();) {
      const size_t end = std::min(states->find(',', begin), states->size());
      const std::string name = states->substr(begin, end - begin);
      const std::optional<JobState> state = parse_job_state(name);
      TT_REQUIRE(state, "state", unknown_name(name, kStates));
      filter.states.push_back(*state);
      begin = end + 1;
    }
  }
  const std::vector<SharedSnapshot> jobs = context.runtime->list(filter);
  std::string out = "{\"data\":[";
  for (const SharedSnapshot& job : jobs) {
    if (out.back() != '[') out += ',';
    out += job_json(*job);
  }
  // Where the page is full there may be more.
  const bool more = !jobs.empty() && jobs.size() == filter.limit;
  out += "],\"next\":" + (more ? "\"" + jobs.back()->id.text() + "\"" : "null") + "}";
  return json_response(200, std::move(out));
}

Response events(const ServerContext& context, const Request& request) {
  const SharedSnapshot job = find_job(context, request.param("id"), request.caller);
  std::optional<uint64_t> seen;
  if (const std::string* last = request.header("last-event-id")) {
    uint64_t value = 0;
    // A client may come with anything here: what is no revision is one that was not seen.
    if (std::from_chars(last->data(), last->data() + last->size(), value).ec == std::errc())
      seen = value;
  }
  return stream_response(context.events->follow(job, seen));
}

Response cancel(const ServerContext& context, const Request& request) {
  const SharedSnapshot job = find_job(context, request.param("id"), request.caller);
  context.runtime->cancel(job->id);
  const SharedSnapshot now = context.runtime->find(job->id);
  return json_response(200, job_json(now ? *now : *job));
}

Response remove(const ServerContext& context, const Request& request) {
  const SharedSnapshot job = find_job(context, request.param("id"), request.caller);
  context.runtime->remove(job->id);
  context.events->forget(job->id);
  return empty_response();
}

/// A picture never changes: caches may keep it for as long as the job lives.
Response picture(const SharedBlob& blob, const Request& request, const std::string& name) {
  const std::string tag = "\"" + request.param("id") + "-" + name + "\"";
  Response response = bytes_response(blob->media_type, SharedBytes(blob, &blob->bytes));
  const std::string* known = request.header("if-none-match");
  if (known && known->find(tag) != std::string::npos) response = empty_response(304);
  response.set("etag", tag);
  response.set("cache-control", "private, max-age=86400, immutable");
  response.set("content-security-policy", "default-src 'none'; sandbox");
  const size_t slash = blob->media_type.find('/');
  response.set("content-disposition",
               "inline; filename=\"" + request.param("id") + "-" + name + "." +
                   blob->media_type.substr(slash == std::string::npos ? 0 : slash + 1) + "\"");
  return response;
}

Response result(const ServerContext& context, const Request& request) {
  const SharedSnapshot job = find_job(context, request.param("id"), request.caller);
  const uint64_t index = parse_number(request.param("n"), "n", 0, 1'000'000);
  const SharedBlob blob = context.runtime->result(job->id, index);
  if (!blob)
    fail(ErrorKind::kNotFound, "n", "must be one of the job's ", job->results.size(),
         " results that are still kept, got ", index);
  return picture(blob, request, "result-" + std::to_string(index));
}

Response input(const ServerContext& context, const Request& request) {
  const SharedSnapshot job = find_job(context, request.param("id"), request.caller);
  const uint64_t index = parse_number(request.param("n"), "n", 0, 1'000'000);
  const SharedBlob blob = context.runtime->input(job->id, index);
  if (!blob)
    fail(ErrorKind::kNotFound, "n", "must be one of the job's ", job->inputs,
         " inputs that are still kept, got ", index);
  return picture(blob, request, "input-" + std::to_string(index));
}

void add_job_routes(Router& router, const ServerContext& context) {
  const auto with = [context](Response (*handler)(const ServerContext&, const Request&)) {
    return sync([context, handler](const Request& request) { return handler(context, request); });
  };
  router.add({.method = "POST",
              .pattern = "/v1/jobs",
              .handler = [context](const SharedRequest& request,
                                   const Reply& reply) { submit(context, request, reply); },
              .scope = Scope::kSubmit,
              .max_body = context.max_body_bytes,
              .media_types = {"application/json"},
              .summary = "Submit a job; the answer comes when it is on disk.",
              .tag = "jobs",
              .body_schema = request_schema(context.limits)});
  router.add({.method = "GET",
              .pattern = "/v1/jobs",
              .handler = with(list),
              .blocking = true,
              .summary = "List the caller's jobs, newest first.",
              .tag = "jobs",
              .query = {{"state", "States, separated by commas."},
                        {"limit", "At most so many, 1 to 1000.", "integer"},
                        {"before", "Only jobs older than this one."}}});
  router.add({.method = "GET",
              .pattern = "/v1/jobs/{id}",
              .handler = sync([context](const Request& request) {
                return json_response(
                    200, job_json(*find_job(context, request.param("id"), request.caller)));
              }),
              .summary = "A job as it stands.",
              .tag = "jobs"});
  router.add({.method = "GET",
              .pattern = "/v1/jobs/{id}/events",
              .handler = with(events),
              .summary = "The job as server-sent events, each a whole job.",
              .tag = "jobs"});
  router.add({.method = "POST",
              .pattern = "/v1/jobs/{id}/cancel",
              .handler = with(cancel),
              .scope = Scope::kSubmit,
              .max_body = 4096,
              .blocking = true,
              .summary = "Ask the job to stop, within one step.",
              .tag = "jobs"});
  router.add({.method = "DELETE",
              .pattern = "/v1/jobs/{id}",
              .handler = with(remove),
              .scope = Scope::kSubmit,
              .blocking = true,
              .summary = "Cancel the job if it is live, and forget it and its results.",
              .tag = "jobs"});
  router.add({.method = "GET",
              .pattern = "/v1/jobs/{id}/results/{n}",
              .handler = with(result),
              .blocking = true,
              .summary = "Bytes of the n-th picture, from 0.",
              .tag = "jobs"});
  router.add({.method = "GET",
              .pattern = "/v1/jobs/{id}/inputs/{n}",
              .handler = with(input),
              .blocking = true,
              .summary = "Bytes of the n-th picture that came with the request, from 0.",
              .tag = "jobs"});
  router.add({.method = "GET",
              .pattern = "/v1/events",
              .handler = sync([context](const Request& request) {
                return stream_response(context.events->follow_all(request.caller));
              }),
              .blocking = true,
              .summary = "All of the caller's jobs as server-sent events.",
              .tag = "jobs"});
}

void add_list_routes(Router& router, const ServerContext& context) {
  const auto add = [&](const char* pattern, const char* summary, SyncHandler handler) {
    router.add({.method = "GET",
                .pattern = pattern,
                .handler = sync(std::move(handler)),
                .blocking = true,
                .summary = summary,
                .tag = "names"});
  };
  add("/v1/models", "Models that a request may name, the default first.",
      [context](const Request& request) {
        return json_response(200,
                             models_json(*context.catalogue, limits_of(context, request.caller)));
      });
  add("/v1/adapters", "Adapters that a request may name.",
      [context](const Request&) { return json_response(200, adapters_json(*context.catalogue)); });
  add("/v1/upscalers", "Upscalers that a request may name.",
      [context](const Request&) { return json_response(200, upscalers_json(*context.catalogue)); });
  add("/v1/samplers", "Samplers and schedulers that a request may name.",
      [](const Request&) { return json_response(200, samplers_json()); });
  add("/v1/presets", "Presets that a request may name.",
      [](const Request&) { return json_response(200, presets_json()); });
}

}  // namespace

RequestLimits limits_of(const ServerContext& context, const Caller& caller) {
  RequestLimits limits = context.limits;
  limits.max_priority = std::min(limits.max_priority, caller.max_priority);
  return limits;
}

JobSpec make_callers_job(const ServerContext& context, Json request, const Caller& caller) {
  const bool draws = request.is_object() && request.value("type", Json()) != "upscale";
  if (draws && !request.contains("preview"))
    request["preview"] = {{"every", context.preview_every}, {"size", context.preview_size_px}};
  JobSpec spec = make_job(request, *context.catalogue, limits_of(context, caller));
  spec.owner = caller.id;
  if (caller.max_queued > 0) {
    JobFilter waiting;
    waiting.owner = caller.id;
    waiting.states = {JobState::kQueued};
    waiting.limit = std::min(caller.max_queued, kMaxListed);
    if (context.runtime->list(waiting).size() >= waiting.limit)
      fail(ErrorKind::kQueueFull, "queue", "must hold at most ", caller.max_queued,
           " jobs of this key");
  }
  return spec;
}

Problem submit_problem(const ServerContext& context, const Error& error) {
  Problem out = problem_of(error);
  if (error.kind() == ErrorKind::kInvalidArgument) {
    out.status = 409;
    out.field = "client_key";
  } else if (error.kind() == ErrorKind::kUnsupported) {
    out = problem(503, "[server] is shutting down and takes no more jobs");
    out.retry_after_s = 10;
  } else if (error.kind() == ErrorKind::kQueueFull) {
    // By then one of the jobs before should be done.
    const RuntimeStats stats = context.runtime->stats();
    const double pace =
        stats.run_s.count > 0 ? stats.run_s.sum / static_cast<double>(stats.run_s.count) : 5.0;
    out.retry_after_s = static_cast<int>(std::clamp(std::ceil(pace), 1.0, 120.0));
  }
  return out;
}

SharedSnapshot find_job(const ServerContext& context, std::string_view id, const Caller& caller) {
  const std::optional<JobId> parsed = JobId::parse(id);
  const SharedSnapshot job = parsed ? context.runtime->find(*parsed) : nullptr;
  // Somebody else's is not told apart from none.
  if (!job || (job->owner != caller.id && !caller.may(Scope::kAdmin)))
    fail(ErrorKind::kNotFound, "id", "must be one of the caller's jobs, got \"", printable(id),
         "\"");
  return job;
}

void add_native_routes(Router& router, const ServerContext& context) {
  add_job_routes(router, context);
  add_list_routes(router, context);
}

}  // namespace tintype::http
