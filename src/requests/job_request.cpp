#include "requests/job_request.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "base/checksum.h"
#include "requests/drawing_defaults.h"
#include "requests/read_members.h"
#include "requests/request_pictures.h"
#include "tintype/adapter.h"

namespace tintype {
namespace {

/// What an upscaler of the ESRGAN family makes of a side, where its file is not read yet.
constexpr int64_t kUpscale = 4;
/// Whole numbers above it are not exact in every reader of JSON.
constexpr uint64_t kExactSeed = uint64_t{1} << 53;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json seed_json(uint64_t seed) {
  return seed <= kExactSeed ? Json(seed) : Json(std::to_string(seed));
}

/// Draws the seeds that are absent, here and not in the run: a second attempt after a crash draws
/// the same picture.
void fill_in_seeds(Json& request) {
  for (const char* name : {"seed", "variation_seed"}) {
    const bool wanted =
        std::string_view(name) == "seed" || request.value("variation_strength", 0.0) > 0;
    if (request.contains(name))
      request[name] = seed_json(request[name].get<uint64_t>());
    else if (wanted)
      request[name] = std::random_device{}();
  }
}

/// What was asked, before anything is filled in from elsewhere or drawn.
std::string fingerprint_of(const std::string& asked, const std::vector<SharedBlob>& inputs) {
  const auto sum = [](const std::string& bytes) {
    return checksum64(std::as_bytes(std::span(bytes)));
  };
  std::string text = asked;
  for (const SharedBlob& input : inputs)
    text += cat('\n', input->bytes.size(), ' ', sum(input->bytes));
  return cat(text.size(), ' ', sum(text));
}

/// Names as the catalogue has them, also those in the prompt's tags.
void check_adapters(Json& request, const Catalogue& catalogue, const RequestLimits& limits) {
  size_t count = 0;
  if (const auto adapters = request.find("adapters"); adapters != request.end()) {
    for (Json& use : *adapters)
      use["name"] = catalogue.adapter(use["name"].get_ref<const std::string&>());
    count = adapters->size();
  }
  std::vector<AdapterUse> tags;
  try {
    tags = adapters_in_prompt(request.value("prompt", ""));
  } catch (const Error& error) {
    fail(error.kind(), "prompt", error.what());
  }
  for (const AdapterUse& use : tags) catalogue.adapter(use.name);
  count += tags.size();
  TT_REQUIRE(count <= limits.max_adapters, "adapters", "must be at most ", limits.max_adapters,
             " with those in the prompt, got ", count);
}

void check_hires(Json& request, const Catalogue& catalogue) {
  const auto found = request.find("hires");
  if (found == request.end()) return;
  Json& hires = *found;
  const bool network = hires.contains("upscaler");
  if (!hires.contains("method")) hires["method"] = network ? "network" : "latent";
  TT_REQUIRE(network == (hires["method"] == "network"), "hires.upscaler",
             "goes with the method network, which needs one, got the method ",
             hires["method"].get_ref<const std::string&>(), network ? " beside it" : " without");
  if (network) catalogue.upscaler(hires["upscaler"].get_ref<const std::string&>());
}

/// Steps that are made of `steps`, as the pipeline counts them.
int made_steps(const char* name, int steps, double strength) {
  const int made = std::min(static_cast<int>(steps * strength), steps);
  TT_REQUIRE(made >= 1, name, strength, " of ", steps,
             " steps must be at least one step, got none; ask for more of either");
  return made;
}

/// Steps times millions of pixels.
double work_of(const Json& request, const DrawnPixels& drawn) {
  const int steps = request["steps"].get<int>();
  const double rows = request["guidance_scale"].get<double>() > 1 ? 2 : 1;
  const auto pass = [&](const char* name, double strength, int64_t pixels) {
    return made_steps(name, steps, strength) * rows * static_cast<double>(pixels) / 1e6;
  };
  double work = pass("strength", request.value("strength", 1.0), drawn.first);
  if (drawn.second)
    work += pass("hires.strength", request["hires"]["strength"].get<double>(), drawn.second);
  return work * request["count"].get<int>();
}

void check_mask(Json& request, const std::optional<RequestPicture>& mask,
                const RequestPicture& picture) {
  if (!mask) {
    const auto options = request.find("mask_options");
    TT_REQUIRE(options != request.end() && options->contains("padding"), "mask",
               "says what to draw, mask_options.padding by how much the picture grows; one of them "
               "is needed, got neither");
    return;
  }
  TT_REQUIRE(mask->info.width_px == picture.info.width_px &&
                 mask->info.height_px == picture.info.height_px,
             "mask", "must have the picture's size of ", picture.info.width_px, " x ",
             picture.info.height_px, " pixels, got ", mask->info.width_px, " x ",
             mask->info.height_px);
  request["mask"] = mask->index;
}

/// A member of a type that must be there. throws kInvalidArgument
RequestPicture required(const std::optional<RequestPicture>& picture, const char* name) {
  TT_REQUIRE(picture, name, "must be given, got nothing");
  return *picture;
}

void make_drawing(JobSpec& spec, Json& canonical, RequestType type, const Json& request,
                  const Catalogue& catalogue, const RequestLimits& limits) {
  const CatalogueModel& model = catalogue.model(canonical.value("model", ""));
  spec.model = model.entry.name;
  canonical["model"] = model.entry.name;
  if (model.info.takes_mask && type != kInpaint)
    fail(ErrorKind::kUnsupported, "model", model.entry.name,
         " is made for inpainting and does not draw without a picture and a mask");
  if (canonical.contains("refiner"))
    catalogue.model(canonical["refiner"].get_ref<const std::string&>());
  check_adapters(canonical, catalogue, limits);
  check_hires(canonical, catalogue);

  std::optional<ImageFileInfo> size;
  if (type & kFromPicture) {
    const RequestPicture picture =
        required(take_picture(request, "image", limits, spec.inputs), "image");
    canonical["image"] = picture.index;
    size = picture.info;
    if (type == kInpaint)
      check_mask(canonical, take_picture(request, "mask", limits, spec.inputs), picture);
    if (!canonical.contains("strength")) canonical["strength"] = type == kInpaint ? 1.0 : 0.8;
  }
  fill_in_drawing(canonical, type, model.info, size, limits);
  const DrawnPixels drawn = drawn_pixels(canonical, type, model.info, size, limits);
  if (canonical.contains("guidance_interval"))
    TT_REQUIRE(canonical["guidance_interval"][0].get<double>() <
                   canonical["guidance_interval"][1].get<double>(),
               "guidance_interval", "must have the lower noise level first");
  spec.work = work_of(canonical, drawn);
  fill_in_seeds(canonical);
}

void make_upscaling(JobSpec& spec, Json& canonical, const Json& request, const Catalogue& catalogue,
                    const RequestLimits& limits) {
  if (!canonical.contains("upscaler")) {
    const std::vector<std::string> names = catalogue.upscalers();
    if (names.empty())
      fail(ErrorKind::kNotFound, "upscaler", "the server must have an upscaler, it has none");
    canonical["upscaler"] = names.front();
  }
  spec.model = canonical["upscaler"].get<std::string>();
  catalogue.upscaler(spec.model);
  const int tile = canonical["tile"].get<int>();
  TT_REQUIRE(tile == 0 || tile >= 16, "tile", "must be 0 or at least 16, got ", tile);
  const RequestPicture picture =
      required(take_picture(request, "image", limits, spec.inputs), "image");
  canonical["image"] = picture.index;
  const double scale = std::max<double>(kUpscale, canonical.value("scale", 0.0));
  const auto pixels = static_cast<int64_t>(scale * scale * picture.info.width_px *
                                           static_cast<double>(picture.info.height_px));
  TT_REQUIRE(pixels <= limits.max_input_pixels, "image", "of ", picture.info.width_px, " x ",
             picture.info.height_px, " pixels must stay within ", limits.max_input_pixels,
             " pixels when its sides are ", scale, " times as long");
  spec.work = static_cast<double>(pixels) / 1e6;
}

}  // namespace

JobSpec make_job(const Json& request, const Catalogue& catalogue, const RequestLimits& limits) {
  const RequestType type = request_type(request);
  Json canonical = read_members(request, type, limits);
  JobSpec spec;
  // Of the submission and not of what is drawn.
  spec.client_key = canonical.value("client_key", "");
  spec.priority = canonical.value("priority", 0);
  if (canonical.contains("deadline_s"))
    spec.deadline = WallClock::now() +
                    std::chrono::duration_cast<WallClock::duration>(
                        std::chrono::duration<double>(canonical["deadline_s"].get<double>()));
  for (const char* name : {"client_key", "priority", "deadline_s"}) canonical.erase(name);
  const std::string asked = dumped(canonical);

  if (type == kUpscaling)
    make_upscaling(spec, canonical, request, catalogue, limits);
  else
    make_drawing(spec, canonical, type, request, catalogue, limits);
  spec.request = dumped(canonical);
  spec.fingerprint = fingerprint_of(asked, spec.inputs);
  return spec;
}

}  // namespace tintype
