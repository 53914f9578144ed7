/// OpenAI's images API as JSON: its requests as native ones (docs/server.md) and jobs as its
/// answers. Pure functions: no HTTP, no runtime. Thread-safe. source  OpenAI API reference
/// "Images", and what the Python package `openai` 3.54 sends and reads
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "http/error_body.h"
#include "http/multipart.h"
#include "serving/job.h"

namespace tintype::http {

/// What a request asks beside the job itself.
struct OpenAiRequest {
  Json native;             ///< for make_job
  bool edit = false;       ///< /v1/images/edits: names of events begin with "image_edit"
  bool as_url = false;     ///< addresses instead of base64
  bool stream = false;     ///< server-sent events
  int partial_images = 0;  ///< of a stream: pictures on the way, 0..3
  std::string format = "png", quality = "auto", background = "auto";
};

/// Steps that a model takes by itself; "" is the default model. throws kNotFound
using DefaultSteps = std::function<int(std::string_view model)>;

/// Of /v1/images/generations. Members of the native API pass as they are (clients send them in
/// `extra_body`). throws kInvalidArgument naming the member; kUnsupported: what nothing here does
OpenAiRequest openai_generation(const Json& body, const DefaultSteps& default_steps);

/// Of /v1/images/edits, as JSON. A picture alone is drawn over (img2img); with a mask what is
/// transparent in it is drawn anew. throws as openai_generation
OpenAiRequest openai_edit(const Json& body, const DefaultSteps& default_steps);

/// The JSON that a form stands for: files become base64, numbers and flags what they are, `a[b]` a
/// member of an object and `a[]` a list. throws kInvalidArgument: a field given twice
Json json_of_form(const std::vector<FormPart>& parts);

/// A finished job's picture.
struct OpenAiPicture {
  std::string url;   ///< for as_url
  SharedBlob bytes;  ///< otherwise
  ResultInfo info;
};

/// {"created", "data": [{"b64_json" | "url"}], "size", ...}
Json openai_answer(const OpenAiRequest& request, const JobSnapshot& job,
                   const std::vector<OpenAiPicture>& pictures);

/// Name and data of the event of a picture on the way, or of a finished one.
struct OpenAiEvent {
  std::string name;
  Json data;
};
OpenAiEvent openai_partial(const OpenAiRequest& request, const JobSnapshot& job, int index);
OpenAiEvent openai_completed(const OpenAiRequest& request, const JobSnapshot& job,
                             const OpenAiPicture& picture);

/// How many of `wanted` partial pictures should have been sent when `step` of `steps` is done; they
/// are spread evenly over the run.
int partials_due(int wanted, int step, int steps);

/// {"error": {"message", "type", "param", "code"}}
Json openai_error_json(const Problem& problem);
Response openai_error(const Problem& problem);

}  // namespace tintype::http
