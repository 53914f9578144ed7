/// The API of AUTOMATIC1111's web UI as JSON: its requests as native ones (docs/server.md) and jobs
/// as its answers. Pure functions: no HTTP, no runtime. Thread-safe. source
/// stable-diffusion-webui 1.10, modules/api, and what the Python package `webuiapi` 0.9 sends
///         and reads
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "http/error_body.h"
#include "serving/job.h"
#include "tintype/image.h"

namespace tintype::http {

/// What /sdapi/v1/options keeps for a caller, and override_settings changes for one request.
struct A1111Options {
  std::string model;  ///< name in the catalogue; "": the first
  int clip_stop_at_last_layers = 1;
  std::string samples_format = "png";  ///< "png", "jpg", "webp"
  int jpeg_quality = 80;
  std::string randn_source = "GPU";  ///< "GPU" and "NV" are Philox, "CPU" is PyTorch's generator
};

/// Names of the catalogue, as checks and answers need them.
struct A1111Names {
  std::vector<std::string> models, upscalers;
};

/// `options` with the members of `changes` (a body of POST /options, or override_settings). Members
/// that are not known here are left out and told in `warnings`.
/// throws kInvalidArgument, kNotFound (a checkpoint), kUnsupported naming the member
A1111Options a1111_options(const Json& changes, A1111Options options, const A1111Names& names,
                           std::vector<std::string>& warnings);
/// The answer of GET /options.
Json a1111_options_json(const A1111Options& options, const A1111Names& names);
/// The catalogue's name that a title, a name with a file's suffix or with a hash stands for.
/// throws kNotFound proposing the nearest
std::string a1111_model_name(std::string_view title, const A1111Names& names);

struct A1111Request {
  Json native;                        ///< for make_job
  Json parameters;                    ///< the request as the answer repeats it, without pictures
  std::vector<std::string> warnings;  ///< what was asked and has no effect
  bool send_images = true;
  std::vector<std::string> init_images;  ///< repeated in the answer where it was asked
};

/// throw kInvalidArgument naming the member; kUnsupported: what changes the picture and nothing
/// here does (scripts, tiling, a refiner); kNotFound: a checkpoint
A1111Request a1111_txt2img(const Json& body, const A1111Options& options, const A1111Names& names);
A1111Request a1111_img2img(const Json& body, const A1111Options& options, const A1111Names& names);

/// Of extra-single-image.
struct A1111Upscale {
  Json native;
  std::string image;       ///< as it was sent
  bool unchanged = false;  ///< no upscaler was named: the answer is the picture itself
  std::vector<std::string> warnings;
};
A1111Upscale a1111_upscale(const Json& body, const A1111Names& names);

/// One drawn picture: its file and the infotext in it.
struct A1111Picture {
  SharedBlob bytes;
  std::string infotext;
};
/// {"images", "parameters", "info"}. Of a cancelled job the pictures are its last previews.
Json a1111_answer(const A1111Request& request, const JobSnapshot& job,
                  const std::vector<A1111Picture>& pictures);

/// The answer of GET /progress: of `job` (null: none is live) among `live` ones.
Json a1111_progress(const JobSnapshot* job, size_t live, bool skip_current_image);

/// An infotext as the dictionary that png-info answers: "Prompt", "Negative prompt", "Steps", ...
Json a1111_parse_infotext(std::string_view infotext);
/// {"info", "items", "parameters"}
Json a1111_png_info(const PngText& text);

/// Lists, from the tables of the library.
Json a1111_samplers();
Json a1111_schedulers();
Json a1111_latent_upscale_modes();
Json a1111_models(const A1111Names& names);
Json a1111_upscalers(const A1111Names& names);
Json a1111_loras(const std::vector<std::string>& adapters);

/// {"error", "detail", "body", "errors"}
Response a1111_error(const Problem& problem);

}  // namespace tintype::http
