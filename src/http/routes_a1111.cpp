#include "http/routes_a1111.h"

#include <unistd.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/process_memory.h"
#include "http/a1111_json.h"
#include "http/a1111_state.h"
#include "http/answering.h"
#include "http/job_wait.h"
#include "http/json_members.h"
#include "tintype/image_text.h"

namespace tintype::http {
namespace {

constexpr size_t kMaxSettingsBytes = size_t{1} << 20;

struct A1111Routes {
  DialectServices& services;
  A1111State state;
};
using SharedRoutes = std::shared_ptr<A1111Routes>;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}
Response json_answer(const Json& json) { return json_response(200, dumped(json)); }

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

A1111Names names_of(const Catalogue& catalogue) {
  A1111Names names{.models = {}, .upscalers = catalogue.upscalers()};
  for (const CatalogueModel& model : catalogue.models()) names.models.push_back(model.entry.name);
  return names;
}

std::string infotext_of(const Blob& file) {
  for (const auto& [key, text] : image_text(bytes_of(file.bytes)))
    if (key == "parameters") return text;
  return {};
}

Response drawn(const A1111Routes& routes, const A1111Request& asked, const JobSnapshot& job) {
  // An interrupted request is answered as A1111 does: with what there is, and no error.
  if (job.state == JobState::kCancelled) return json_answer(a1111_answer(asked, job, {}));
  if (job.state != JobState::kSucceeded) return error_response(problem_of(job), a1111_error);
  std::vector<A1111Picture> pictures;
  for (const SharedBlob& file : results_of(*routes.services.context.runtime, job))
    pictures.push_back({file, infotext_of(*file)});
  return json_answer(a1111_answer(asked, job, pictures));
}

Response upscaled(const A1111Routes& routes, const JobSnapshot& job) {
  if (job.state != JobState::kSucceeded) return error_response(problem_of(job), a1111_error);
  const std::vector<SharedBlob> files = results_of(*routes.services.context.runtime, job);
  if (files.empty()) fail(ErrorKind::kInternal, "job", "must have a result, got none");
  return json_answer({{"html_info", ""}, {"image", encode_base64(files[0]->bytes)}});
}

/// Submits `native` and answers what `make` makes of the job's end.
void wait_for(const SharedRoutes& routes, const SharedRequest& request, const Reply& reply,
              const Json& native, std::function<Response(const JobSnapshot&)> make) {
  const std::string owner = request->caller.id;
  const auto id = std::make_shared<JobId>();
  const auto over = [=] {
    if (*id != JobId()) routes->state.end(owner, *id);
  };
  submit_and_watch(
      routes->services, spec_of(routes->services, *request, native), reply,
      {.accepted =
           [=](const SharedSnapshot& job) {
             *id = job->id;
             routes->state.begin(owner, job->id);
           },
       .ended =
           [=](const SharedSnapshot& job) {
             over();
             answer(reply, a1111_error, routes->services.log, [&] { return make(*job); });
           },
       .refused =
           [=](const Error& error) {
             reply.send(
                 error_response(submit_problem(routes->services.context, error), a1111_error));
           },
       .abandoned = over});
}

using Convert = A1111Request (*)(const Json&, const A1111Options&, const A1111Names&);

Handler drawing(const SharedRoutes& routes, Convert convert) {
  return [routes, convert](SharedRequest request, Reply reply) {
    A1111Request converted =
        convert(parse_body(request->body), routes->state.options(request->caller.id),
                names_of(*routes->services.context.catalogue));
    for (const std::string& warning : converted.warnings)
      routes->services.log.warning("a1111.ignored",
                                   {{"what", warning}, {"caller", request->caller.name}});
    const Json native = std::move(converted.native);
    converted.native = Json::object();  // all but the pictures, which the job has
    for (const auto& [name, value] : native.items())
      if (name != "image" && name != "mask") converted.native[name] = value;
    const auto asked = std::make_shared<const A1111Request>(std::move(converted));
    wait_for(routes, request, reply, native,
             [routes, asked](const JobSnapshot& job) { return drawn(*routes, *asked, job); });
  };
}

void upscale(const SharedRoutes& routes, const SharedRequest& request, const Reply& reply) {
  const A1111Upscale asked =
      a1111_upscale(parse_body(request->body), names_of(*routes->services.context.catalogue));
  for (const std::string& warning : asked.warnings)
    routes->services.log.warning("a1111.ignored",
                                 {{"what", warning}, {"caller", request->caller.name}});
  if (asked.unchanged) {
    const DataUri picture =
        decode_data_uri(asked.image, "image", routes->services.context.limits.max_image_bytes);
    image_text(bytes_of(picture.bytes));  // throws where it is no picture
    reply.send(json_answer({{"html_info", ""}, {"image", encode_base64(picture.bytes)}}));
    return;
  }
  wait_for(routes, request, reply, asked.native,
           [routes](const JobSnapshot& job) { return upscaled(*routes, job); });
}

/// The caller's job that runs, else its first in the queue; null: none.
SharedSnapshot current_job(const A1111Routes& routes, const std::string& owner, size_t& live) {
  SharedSnapshot current;
  live = 0;
  for (const JobId& id : routes.state.live(owner)) {
    const SharedSnapshot job = routes.services.context.runtime->find(id);
    if (!job || is_final(job->state)) continue;
    ++live;
    const bool runs_first =
        job->state == JobState::kRunning && (!current || current->state != JobState::kRunning);
    if (!current || runs_first) current = job;
  }
  return current;
}

Response progress(const A1111Routes& routes, const Request& request) {
  size_t live = 0;
  const SharedSnapshot job = current_job(routes, request.caller.id, live);
  const std::string* skip = request.query_field("skip_current_image");
  const bool skips = skip && (*skip == "true" || *skip == "True" || *skip == "1");
  return json_answer(a1111_progress(job.get(), live, skips));
}

Response interrupt(const A1111Routes& routes, const Request& request) {
  size_t live = 0;
  if (const SharedSnapshot job = current_job(routes, request.caller.id, live))
    routes.services.context.runtime->cancel(job->id);
  return json_answer(Json::object());
}

Response set_options(A1111Routes& routes, const Request& request) {
  std::vector<std::string> warnings;
  routes.state.set_options(
      request.caller.id,
      a1111_options(parse_body(request.body), routes.state.options(request.caller.id),
                    names_of(*routes.services.context.catalogue), warnings));
  for (const std::string& warning : warnings)
    routes.services.log.warning("a1111.ignored",
                                {{"what", warning}, {"caller", request.caller.name}});
  return json_answer(nullptr);
}

Response png_info(const A1111Routes& routes, const Request& request) {
  const Json body = parse_body(request.body);
  const auto image = Members(body).text("image");
  TT_REQUIRE(image && !image->empty(), "image", "must be a picture as base64, got none");
  const DataUri picture =
      decode_data_uri(*image, "image", routes.services.context.limits.max_image_bytes);
  return json_answer(a1111_png_info(image_text(bytes_of(picture.bytes))));
}

Response memory(const A1111Routes& routes, const Request&) {
  const auto free_pages = static_cast<double>(sysconf(_SC_AVPHYS_PAGES));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  uint64_t used = 0;
  for (const WorkerStatus& worker : routes.services.context.runtime->stats().workers)
    used += worker.resident_bytes;
  return json_answer({{"ram",
                       {{"free", free_pages * page},
                        {"used", used},
                        {"total", static_cast<double>(physical_memory_bytes())}}},
                      {"cuda", {{"error", "no GPU is used"}}}});
}

struct List {
  const char* path;
  const char* summary;
  std::function<Json(const DialectServices&)> make;
};

/// What this server does not have is an empty list and not an error: clients fill menus with it.
std::vector<List> lists() {
  const auto none = [](const DialectServices&) { return Json::array(); };
  return {
      {"samplers", "Samplers, with A1111's labels",
       [](const DialectServices&) { return a1111_samplers(); }},
      {"schedulers", "Schedulers", [](const DialectServices&) { return a1111_schedulers(); }},
      {"latent-upscale-modes", "How a second pass may enlarge latents",
       [](const DialectServices&) { return a1111_latent_upscale_modes(); }},
      {"sd-models", "Models",
       [](const DialectServices& s) { return a1111_models(names_of(*s.context.catalogue)); }},
      {"upscalers", "Upscaling networks",
       [](const DialectServices& s) { return a1111_upscalers(names_of(*s.context.catalogue)); }},
      {"loras", "Adapters",
       [](const DialectServices& s) { return a1111_loras(s.context.catalogue->adapters()); }},
      {"embeddings", "Textual inversions: none",
       [](const DialectServices&) {
         return Json{{"loaded", Json::object()}, {"skipped", Json::object()}};
       }},
      {"scripts", "Scripts: none",
       [](const DialectServices&) {
         return Json{{"txt2img", Json::array()}, {"img2img", Json::array()}};
       }},
      {"script-info", "Scripts: none", none},
      {"extensions", "Extensions: none", none},
      {"sd-vae", "Autoencoders to choose from: none, each model has its own", none},
      {"sd-modules", "Parts of models to choose from: none", none},
      {"prompt-styles", "Styles: none", none},
      {"hypernetworks", "Hypernetworks: none", none},
      {"face-restorers", "Networks that restore faces: none", none},
      {"realesrgan-models", "See upscalers", none},
      {"cmd-flags", "Flags of A1111's program",
       [](const DialectServices&) {
         return Json{{"api", true}, {"nowebui", false}};
       }},
  };
}

/// A POST that takes nothing and answers `body`.
Handler does(std::function<Response(const Request&)> act) { return sync(std::move(act)); }

class Adder {
 public:
  explicit Adder(Router& router) : router_(router) {}

  void get(const std::string& path, const std::string& summary, SyncHandler handler,
           Scope scope = Scope::kRead, std::vector<QueryParameter> query = {}) {
    add({.method = "GET",
         .pattern = path,
         .handler = sync(std::move(handler)),
         .scope = scope,
         .blocking = true,
         .summary = summary,
         .query = std::move(query)});
  }
  void post(const std::string& path, const std::string& summary, Handler handler,
            size_t max_body = kMaxSettingsBytes, Scope scope = Scope::kSubmit) {
    // Scripts around curl often name no media type, or form data's: the body says what it is.
    add({.method = "POST",
         .pattern = path,
         .handler = std::move(handler),
         .scope = scope,
         .max_body = max_body,
         .blocking = true,
         .summary = summary});
  }

 private:
  void add(Route route) {
    route.tag = "a1111";
    route.error = a1111_error;
    router_.add(std::move(route));
  }
  Router& router_;
};

}  // namespace

void add_a1111_routes(Router& router, DialectServices& services) {
  const auto routes = std::make_shared<A1111Routes>(services);
  const std::string api = "/sdapi/v1/";
  // Base64 takes four bytes for three; a picture and a mask.
  const size_t picture = services.context.limits.max_image_bytes / 3 * 4 + 4;
  router.set_error_body("/sdapi", a1111_error);
  Adder add(router);

  add.post(api + "txt2img", "Draws pictures from a prompt", drawing(routes, a1111_txt2img));
  add.post(api + "img2img", "Draws over a picture, or where a mask is white",
           drawing(routes, a1111_img2img), kMaxSettingsBytes + 2 * picture);
  add.post(
      api + "extra-single-image", "Makes a picture larger",
      [routes](SharedRequest request, Reply reply) { upscale(routes, request, reply); },
      kMaxSettingsBytes + picture);
  add.post(api + "png-info", "The settings that a picture's file holds",
           does([routes](const Request& request) { return png_info(*routes, request); }),
           kMaxSettingsBytes + picture, Scope::kRead);

  add.get(api + "progress", "How far the caller's present job is",
          [routes](const Request& request) { return progress(*routes, request); }, Scope::kRead,
          {{.name = "skip_current_image",
            .description = "leaves the preview picture out",
            .type = "boolean"}});
  for (const char* name : {"interrupt", "skip"})
    add.post(api + name, "Stops the caller's present job within a step",
             does([routes](const Request& request) { return interrupt(*routes, request); }));

  add.get(api + "options", "The caller's options", [routes](const Request& request) {
    return json_answer(a1111_options_json(routes->state.options(request.caller.id),
                                          names_of(*routes->services.context.catalogue)));
  });
  add.post(api + "options", "Changes the caller's options; the model is sd_model_checkpoint",
           does([routes](const Request& request) { return set_options(*routes, request); }));

  for (const List& list : lists())
    add.get(api + list.path, list.summary, [routes, make = list.make](const Request&) {
      return json_answer(make(routes->services));
    });
  add.get(api + "memory", "Memory of the machine and of the workers",
          [routes](const Request& request) { return memory(*routes, request); });
  for (const char* name : {"refresh-checkpoints", "refresh-loras", "refresh-vae",
                           "refresh-embeddings", "reload-checkpoint", "unload-checkpoint"})
    add.post(api + name, "Does nothing: lists are read anew, and models come and go by themselves",
             does([](const Request&) { return json_answer(nullptr); }), kMaxSettingsBytes,
             Scope::kRead);
  add.get(
      "/internal/ping", "Whether the server answers",
      [](const Request&) { return json_answer(Json::object()); }, Scope::kOpen);
}

}  // namespace tintype::http
