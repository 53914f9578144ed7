#include "requests/drawing_defaults.h"

#include <algorithm>

#include "tintype/presets.h"
#include "tintype/text_to_image.h"

namespace tintype {
namespace {

std::string text_of(const Json& request, const char* name) {
  const auto found = request.find(name);
  return found == request.end() ? "" : found->get<std::string>();
}

/// Down to a multiple of what the model takes; of pictures.
int rounded(const char* name, int side_px, const ModelInfo& model) {
  TT_REQUIRE(side_px >= model.size_multiple_px, name, "of the picture must be at least ",
             model.size_multiple_px, " pixels, got ", side_px);
  return side_px / model.size_multiple_px * model.size_multiple_px;
}

/// The model's own side, as TextToImageRequest::size_scale has it.
int scaled(int side_px, double scale, const ModelInfo& model) {
  if (scale == 1) return side_px;
  const int multiple = 4 * model.size_multiple_px;
  return std::max(multiple, static_cast<int>(side_px * scale) / multiple * multiple);
}

void check_side(const char* name, int side_px, const ModelInfo& model,
                const RequestLimits& limits) {
  TT_REQUIRE(side_px >= model.size_multiple_px && side_px % model.size_multiple_px == 0 &&
                 side_px <= limits.max_side_px,
             name, "must be a multiple of ", model.size_multiple_px, " in ", model.size_multiple_px,
             "..", limits.max_side_px, ", got ", side_px);
}

bool only_masked(const Json& request) {
  const auto options = request.find("mask_options");
  return options != request.end() && options->at("only_masked").get<bool>();
}

/// Of inpainting: the picture with what padding adds.
ImageFileInfo canvas_of(const Json& request, ImageFileInfo picture) {
  const auto options = request.find("mask_options");
  if (options == request.end() || !options->contains("padding")) return picture;
  const Json& padding = options->at("padding");
  picture.width_px += padding[0].get<int>() + padding[2].get<int>();
  picture.height_px += padding[1].get<int>() + padding[3].get<int>();
  return picture;
}

/// An unset size of inpainting stays unset: the result then has the picture's, to the pixel.
void fill_in_size(Json& request, RequestType type, const ModelInfo& model, double scale,
                  const std::optional<ImageFileInfo>& picture, const RequestLimits& limits) {
  const bool open = !request.contains("width") && !request.contains("height");
  if (type == kInpaint && open) return;
  const auto fill = [&](const char* name, int own, int of_picture) {
    if (!request.contains(name))
      request[name] = picture && !(type == kInpaint && only_masked(request))
                          ? rounded(name, of_picture, model)
                          : scaled(own, scale, model);
    check_side(name, request[name].get<int>(), model, limits);
  };
  ImageFileInfo canvas = picture.value_or(ImageFileInfo{});
  if (type == kInpaint) canvas = canvas_of(request, canvas);
  fill("width", model.default_width_px, canvas.width_px);
  fill("height", model.default_height_px, canvas.height_px);
}

}  // namespace

void fill_in_drawing(Json& request, RequestType type, const ModelInfo& model,
                     const std::optional<ImageFileInfo>& picture, const RequestLimits& limits) {
  const SamplerChoice choice =
      split_sampler_name(text_of(request, "sampler"), text_of(request, "scheduler"));
  TextToImageRequest drawing;
  LoadOptions load;
  drawing.sampler = choice.sampler;
  drawing.scheduler = choice.scheduler;
  if (request.contains("steps")) drawing.steps = request["steps"].get<int>();
  if (request.contains("guidance_scale"))
    drawing.guidance_scale = request["guidance_scale"].get<float>();
  if (request.contains("preset"))
    apply_preset(find_preset(request["preset"].get<std::string>()), drawing, load);

  const int steps = drawing.steps.value_or(model.default_steps);
  const int most = std::min(limits.max_steps, model.max_steps);
  TT_REQUIRE(steps >= 1 && steps <= most, "steps", "must be in 1..", most, ", got ", steps);
  request["steps"] = steps;
  if (!request.contains("guidance_scale"))
    request["guidance_scale"] = drawing.guidance_scale.value_or(model.default_guidance_scale);
  const auto set_name = [&request](const char* name, const std::string& value) {
    if (value.empty())
      request.erase(name);
    else
      request[name] = value;
  };
  set_name("sampler", drawing.sampler.empty() ? model.default_sampler : drawing.sampler);
  set_name("scheduler", drawing.scheduler);
  fill_in_size(request, type, model, drawing.size_scale, picture, limits);
}

DrawnPixels drawn_pixels(const Json& request, RequestType type, const ModelInfo& model,
                         const std::optional<ImageFileInfo>& picture, const RequestLimits& limits) {
  int64_t width = request.value("width", 0), height = request.value("height", 0);
  if (type == kInpaint) {
    const ImageFileInfo canvas = canvas_of(request, picture.value());
    const int64_t pixels = int64_t{canvas.width_px} * canvas.height_px;
    TT_REQUIRE(pixels <= limits.max_input_pixels, "mask_options.padding",
               "the picture may grow to at most ", limits.max_input_pixels, " pixels, got ",
               canvas.width_px, " x ", canvas.height_px);
    if (!width) width = only_masked(request) ? model.default_width_px : canvas.width_px;
    if (!height) height = only_masked(request) ? model.default_height_px : canvas.height_px;
    TT_REQUIRE(width <= limits.max_side_px && height <= limits.max_side_px, "image",
               "must have sides of at most ", limits.max_side_px, " pixels, got ", width, " x ",
               height, "; mask_options.only_masked draws a part of it");
  }
  DrawnPixels drawn{.first = width * height};
  if (const auto hires = request.find("hires"); hires != request.end()) {
    const double scale = hires->at("scale").get<double>();
    const auto larger = [&](int64_t side) {
      const int64_t multiple = model.size_multiple_px;
      return static_cast<int64_t>(static_cast<double>(side) * scale) / multiple * multiple;
    };
    TT_REQUIRE(larger(width) <= limits.max_side_px && larger(height) <= limits.max_side_px,
               "hires.scale", "the result must have sides of at most ", limits.max_side_px,
               " pixels, got ", larger(width), " x ", larger(height));
    drawn.second = larger(width) * larger(height);
  }
  const int64_t count = request.value("count", 1), largest = std::max(drawn.first, drawn.second);
  TT_REQUIRE(largest * count <= limits.max_pixels, "width",
             "all pictures of a request must have at most ", limits.max_pixels,
             " pixels together, got ", count, " of ", largest);
  return drawn;
}

}  // namespace tintype
