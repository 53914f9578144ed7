#include "http/routes_openai.h"

#include <algorithm>

#include "http/answering.h"
#include "http/job_wait.h"
#include "http/json_members.h"
#include "http/openai_json.h"
#include "http/result_links.h"

namespace tintype::http {
namespace {

/// Prompts and settings, without pictures.
constexpr size_t kMaxSettingsBytes = size_t{1} << 20;
constexpr char kResultsPrefix[] = "/v1/images/results/";

struct OpenAiRoutes {
  DialectServices& services;
  ResultLinks links;
};
using SharedRoutes = std::shared_ptr<OpenAiRoutes>;

SharedBytes shared_bytes(const SharedBlob& blob) { return {blob, &blob->bytes}; }

std::vector<OpenAiPicture> pictures_of(const OpenAiRoutes& routes, const OpenAiRequest& asked,
                                       const JobSnapshot& job, const std::string& base_url) {
  std::vector<OpenAiPicture> pictures;
  std::vector<SharedBlob> blobs;
  if (!asked.as_url) blobs = results_of(*routes.services.context.runtime, job);
  for (size_t i = 0; i < job.results.size(); ++i)
    pictures.push_back({.url = base_url + kResultsPrefix + routes.links.path(job.id, i),
                        .bytes = asked.as_url ? nullptr : blobs[i],
                        .info = job.results[i]});
  return pictures;
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The answer of a request that waits for its pictures.
JobWatcher waiting(const SharedRoutes& routes, std::shared_ptr<const OpenAiRequest> asked,
                   const SharedRequest& request, const Reply& reply) {
  return {.ended =
              [=](const SharedSnapshot& job) {
                answer(reply, openai_error, routes->services.log, [&] {
                  if (job->state != JobState::kSucceeded)
                    return error_response(problem_of(*job), openai_error);
                  const auto pictures = pictures_of(*routes, *asked, *job, request->base_url());
                  return json_response(200, dumped(openai_answer(*asked, *job, pictures)));
                });
              },
          .refused =
              [=](const Error& error) {
                reply.send(
                    error_response(submit_problem(routes->services.context, error), openai_error));
              }};
}

/// Sends a job's pictures on the way and at its end into one stream.
class PictureStream {
 public:
  PictureStream(SharedRoutes routes, std::shared_ptr<const OpenAiRequest> asked)
      : routes_(std::move(routes)), asked_(std::move(asked)) {}

  SharedStream stream() const { return stream_; }

  void changed(const JobSnapshot& job) {
    if (job.previews.empty() || job.preview_step <= last_step_) return;
    if (job.progress.stage == "denoise") steps_ = job.progress.steps;
    if (partials_due(asked_->partial_images, job.preview_step, steps_) <= sent_) return;
    last_step_ = job.preview_step;
    send(openai_partial(*asked_, job, sent_++));
  }

  void ended(const JobSnapshot& job) {
    try {
      if (job.state == JobState::kSucceeded)
        for (const OpenAiPicture& picture : pictures_of(*routes_, *asked_, job, ""))
          send(openai_completed(*asked_, job, picture));
      else
        send({"error", openai_error_json(problem_of(job))});
    } catch (...) {
      send({"error", openai_error_json(current_problem(routes_->services.log))});
    }
    stream_->finish();
  }

 private:
  void send(const OpenAiEvent& event) {
    stream_->send(make_event(event.name, "", dumped(event.data)));
  }

  SharedRoutes routes_;
  std::shared_ptr<const OpenAiRequest> asked_;
  SharedStream stream_ = std::make_shared<EventStream>();
  int last_step_ = 0, steps_ = 0, sent_ = 0;
};

JobWatcher streaming(const SharedRoutes& routes, std::shared_ptr<const OpenAiRequest> asked,
                     const Reply& reply) {
  const auto pictures = std::make_shared<PictureStream>(routes, std::move(asked));
  return {
      // Only now: what the runtime refuses is answered with a status of its own.
      .accepted = [=](const SharedSnapshot&) { reply.send(stream_response(pictures->stream())); },
      .changed = [=](const SharedSnapshot& job) { pictures->changed(*job); },
      .ended = [=](const SharedSnapshot& job) { pictures->ended(*job); },
      .refused =
          [=](const Error& error) {
            reply.send(
                error_response(submit_problem(routes->services.context, error), openai_error));
          },
      .abandoned = [=] { pictures->stream()->finish(); }};
}

void begin(const SharedRoutes& routes, OpenAiRequest converted, const SharedRequest& request,
           const Reply& reply) {
  JobSpec spec = spec_of(routes->services, *request, converted.native);
  // Its pictures are in the job now, twice as small.
  converted.native = nullptr;
  const auto asked = std::make_shared<const OpenAiRequest>(std::move(converted));
  submit_and_watch(
      routes->services, std::move(spec), reply,
      asked->stream ? streaming(routes, asked, reply) : waiting(routes, asked, request, reply));
}

DefaultSteps default_steps(const DialectServices& services) {
  return [&services](std::string_view model) {
    return services.context.catalogue->model(model).info.default_steps;
  };
}

Json edit_body(const Request& request) {
  const std::string* type = request.header("content-type");
  if (type && is_multipart_form(*type)) return json_of_form(parse_multipart(*type, request.body));
  return parse_body(request.body);
}

Response send_result(const OpenAiRoutes& routes, const Request& request) {
  const auto target =
      routes.links.check(request.param("id"), request.param("n"), request.param("signature"));
  const SharedBlob blob =
      target ? routes.services.context.runtime->result(target->job, target->index) : nullptr;
  if (!blob)
    return error_response(
        problem(404, "there is no such result, or it expired; addresses end with the server's run"),
        openai_error);
  Response response = bytes_response(blob->media_type, shared_bytes(blob));
  response.set("cache-control", "private, max-age=3600");
  return response;
}

}  // namespace

void add_openai_routes(Router& router, DialectServices& services) {
  const auto routes = std::make_shared<OpenAiRoutes>(OpenAiRoutes{services, ResultLinks()});
  // Base64 takes four bytes for three.
  const size_t max_pictures = 2 * (services.context.limits.max_image_bytes / 3 * 4 + 4);
  router.set_error_body("/v1/images", openai_error);
  router.add(
      {.method = "POST",
       .pattern = "/v1/images/generations",
       .handler =
           [routes](SharedRequest request, Reply reply) {
             begin(routes,
                   openai_generation(parse_body(request->body), default_steps(routes->services)),
                   request, reply);
           },
       .scope = Scope::kSubmit,
       .max_body = kMaxSettingsBytes,
       .media_types = {"application/json"},
       .summary = "Draws pictures from a prompt; OpenAI's request and answer",
       .tag = "openai",
       .error = openai_error});
  router.add({.method = "POST",
              .pattern = "/v1/images/edits",
              .handler =
                  [routes](SharedRequest request, Reply reply) {
                    begin(routes, openai_edit(edit_body(*request), default_steps(routes->services)),
                          request, reply);
                  },
              .scope = Scope::kSubmit,
              .max_body = kMaxSettingsBytes + max_pictures,
              .media_types = {"multipart/form-data", "application/json"},
              .summary = "Draws over a picture, or where a mask is transparent; OpenAI's request "
                         "and answer",
              .tag = "openai",
              .error = openai_error});
  router.add(
      {.method = "GET",
       .pattern = std::string(kResultsPrefix) + "{id}/{n}/{signature}",
       .handler = sync([routes](const Request& request) { return send_result(*routes, request); }),
       .scope = Scope::kOpen,
       .blocking = true,
       .summary = "A result by the address that an answer gave; needs no key",
       .tag = "openai",
       .error = openai_error});
}

}  // namespace tintype::http
