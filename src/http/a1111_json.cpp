#include "http/a1111_json.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/base64.h"
#include "base/check.h"
#include "base/text.h"
#include "http/a1111_names.h"
#include "http/json_members.h"

namespace tintype::http {
namespace {

constexpr int64_t kMaxInt = INT32_MAX;
/// A1111 floors sides to whole latents; other sizes are the model's to refuse.
constexpr int kLatent = 8;

/// What one request is made of while its members are taken.
struct Conversion {
  Members members;
  A1111Request& request;
  A1111Options options;
  Json& native() { return request.native; }
  void warn(std::string text) { request.warnings.push_back(std::move(text)); }
};

/// `asked` is what the member would have to be to have no effect.
[[noreturn]] void refuse(std::string_view member, std::string_view what) {
  fail(ErrorKind::kUnsupported, member, what, " is not supported by this server; leave it out");
}

/// Seeds of -1, null and "" are drawn by the server.
void take_seed(Conversion& c, const char* from, const char* to) {
  const Json* value = c.members.take(from);
  if (!value || (value->is_string() && value->get_ref<const std::string&>().empty())) return;
  // Above what a signed number holds: the native API reads these itself.
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    c.native()[to] = *value;
    return;
  }
  const auto seed = c.members.integer(from, -1, INT64_MAX);
  if (seed && *seed >= 0) c.native()[to] = *seed;
}

void take_sides(Conversion& c) {
  for (const char* side : {"width", "height"}) {
    const auto px = c.members.integer(side, 1, kMaxInt);
    if (!px) continue;
    const int64_t rounded = std::max<int64_t>(*px / kLatent, 1) * kLatent;
    if (rounded != *px)
      c.warn(cat(side, " ", *px, " is drawn as ", rounded, ", a multiple of ", kLatent));
    c.native()[side] = rounded;
  }
}

void take_sampler(Conversion& c) {
  auto sampler = c.members.text("sampler_name");
  const auto index = c.members.text("sampler_index");
  if (!sampler || sampler->empty()) sampler = index;
  const auto scheduler = c.members.text("scheduler");
  const A1111Sampler chosen =
      a1111_sampler(sampler.value_or(std::string()), scheduler.value_or(std::string()));
  if (!chosen.sampler.empty()) c.native()["sampler"] = chosen.sampler;
  if (!chosen.scheduler.empty()) c.native()["scheduler"] = chosen.scheduler;
}

/// True where the script is switched off: no arguments, or a leading false.
bool is_idle(const Json& script) {
  if (script.is_null() || script.empty()) return true;
  if (!script.is_object() || !script.contains("args")) return false;
  const Json& args = script["args"];
  return args.is_null() || args.empty() || (args.is_array() && args[0] == false);
}

void take_scripts(Conversion& c) {
  const auto name = c.members.text("script_name");
  if (name && !name->empty() && *name != "None")
    refuse("script_name", "the script \"" + printable(*name, 60) + "\"");
  c.members.ignore({"script_args"});
  const Json* scripts = c.members.take("alwayson_scripts");
  if (!scripts) return;
  TT_REQUIRE(scripts->is_object() || scripts->empty(), "alwayson_scripts", "must be an object");
  for (const auto& [script, value] : scripts->items())
    if (!is_idle(value)) refuse("alwayson_scripts", "the script \"" + printable(script, 60) + "\"");
}

/// What changes the picture in ways that nothing here follows, and what has no effect.
void take_rest(Conversion& c) {
  for (const char* name : {"tiling", "restore_faces"})
    if (c.members.flag(name).value_or(false)) refuse(name, name);
  for (const char* name : {"refiner_checkpoint", "infotext", "firstpass_image", "latent_mask"}) {
    const Json* value = c.members.take(name);
    if (value && !(value->is_string() && value->get_ref<const std::string&>().empty()) &&
        *value != "None")
      refuse(name, name);
  }
  if (const Json* styles = c.members.take("styles"); styles && !styles->empty())
    c.warn("styles have no effect: this server keeps none");
  const std::array<std::pair<const char*, double>, 4> noise = {
      {{"s_churn", 0}, {"s_tmin", 0}, {"s_noise", 1}, {"initial_noise_multiplier", 1}}};
  for (const auto& [name, neutral] : noise) {
    const auto value = c.members.number(name, -1e9, 1e9);
    if (value && *value != neutral) c.warn(cat(name, " has no effect"));
  }
  // 1 is what ancestral samplers take by themselves, 0 what DDIM does.
  const auto eta = c.members.number("eta", -1e9, 1e9);
  if (eta && *eta != 0 && *eta != 1) c.warn("eta has no effect");
  for (const char* side : {"seed_resize_from_w", "seed_resize_from_h"})
    if (c.members.integer(side, -1, kMaxInt).value_or(0) > 0) refuse(side, "seed_resize_from");
  if (c.members.flag("disable_extra_networks").value_or(false))
    c.warn("disable_extra_networks has no effect: tags of the prompt are followed");
  // Known, and without meaning here: files are not kept, grids not made, the model is no editing
  // one.
  c.members.ignore({"do_not_save_samples",
                    "do_not_save_grid",
                    "save_images",
                    "s_tmax",
                    "s_min_uncond",
                    "image_cfg_scale",
                    "comments",
                    "force_task_id",
                    "refiner_switch_at",
                    "override_settings_restore_afterwards",
                    "hr_second_pass_steps",
                    "firstphase_width",
                    "firstphase_height",
                    "hr_scale",
                    "hr_upscaler",
                    "hr_resize_x",
                    "hr_resize_y",
                    "hr_checkpoint_name",
                    "hr_sampler_name",
                    "hr_scheduler",
                    "hr_prompt",
                    "hr_negative_prompt",
                    "denoising_strength"});
  for (const std::string& name : c.members.rest())
    c.warn("unknown member \"" + printable(name, 60) + "\" has no effect");
}

void take_common(Conversion& c, const A1111Names& names) {
  if (const Json* changes = c.members.take("override_settings"))
    c.options = a1111_options(*changes, c.options, names, c.request.warnings);
  Json& native = c.native();
  native["prompt"] = c.members.text("prompt").value_or(std::string());
  native["negative_prompt"] = c.members.text("negative_prompt").value_or(std::string());
  native["prompt_syntax"] = "a1111";
  native["rng"] = c.options.randn_source == "CPU" ? "torch" : "philox";
  if (!c.options.model.empty()) native["model"] = c.options.model;
  if (c.options.clip_stop_at_last_layers > 1)
    native["clip_skip"] = c.options.clip_stop_at_last_layers - 1;
  take_sides(c);
  take_sampler(c);
  take_seed(c, "seed", "seed");
  const double strength = c.members.number("subseed_strength", 0, 1).value_or(0);
  if (strength > 0) {
    native["variation_strength"] = strength;
    take_seed(c, "subseed", "variation_seed");
  } else {
    c.members.ignore({"subseed"});
  }
  if (const auto steps = c.members.integer("steps", 1, kMaxInt)) native["steps"] = *steps;
  if (const auto scale = c.members.number("cfg_scale", 0, 1e6)) native["guidance_scale"] = *scale;
  const int64_t count = c.members.integer("batch_size", 1, kMaxInt).value_or(1) *
                        c.members.integer("n_iter", 1, kMaxInt).value_or(1);
  if (count > 1) native["count"] = count;
  c.request.send_images = c.members.flag("send_images").value_or(true);
  const std::string format = c.options.samples_format == "jpg" ? "jpeg" : c.options.samples_format;
  native["output"] = {{"format", format}};
  if (format != "png") native["output"]["quality"] = c.options.jpeg_quality;
  native["preview"] = {{"every", 1}};
  take_scripts(c);
}

/// "Use same sampler", as the UI says it, and other words for the first pass's own.
bool is_same(const std::optional<std::string>& text, const std::optional<std::string>& first) {
  return !text || text->empty() || text->starts_with("Use same") || *text == "None" ||
         text == first;
}

void require_one_pass_settings(Conversion& c, const Json& body) {
  Members& m = c.members;
  const auto first = [&](const char* name) -> std::optional<std::string> {
    const auto value = body.find(name);
    if (value == body.end() || !value->is_string()) return std::nullopt;
    return value->get<std::string>();
  };
  const std::pair<const char*, const char*> pairs[] = {{"hr_sampler_name", "sampler_name"},
                                                       {"hr_scheduler", "scheduler"},
                                                       {"hr_prompt", "prompt"},
                                                       {"hr_negative_prompt", "negative_prompt"},
                                                       {"hr_checkpoint_name", ""}};
  for (const auto& [name, same_as] : pairs)
    if (!is_same(m.text(name), first(same_as)))
      refuse(name, "a second pass with settings of its own");
  const int64_t steps = m.integer("hr_second_pass_steps", 0, kMaxInt).value_or(0);
  const auto own_steps = m.integer("steps", 1, kMaxInt);
  if (steps != 0 && steps != own_steps)
    c.warn("hr_second_pass_steps has no effect: both passes have the same steps");
}

/// Times the first pass's size, of hr_scale, hr_resize_x and _y or the older firstphase_ members.
double take_hires_scale(Conversion& c) {
  Members& m = c.members;
  Json& native = c.native();
  const int64_t x = m.integer("hr_resize_x", 0, kMaxInt).value_or(0),
                y = m.integer("hr_resize_y", 0, kMaxInt).value_or(0);
  const int64_t first_x = m.integer("firstphase_width", 0, kMaxInt).value_or(0),
                first_y = m.integer("firstphase_height", 0, kMaxInt).value_or(0);
  double scale = m.number("hr_scale", 1, 1e3).value_or(2);
  if (x == 0 && y == 0 && first_x == 0 && first_y == 0) return scale;
  TT_REQUIRE(native.contains("width") && native.contains("height"), "width",
             "must be given with height where the second pass has a size of its own");
  const auto width = native["width"].get<double>(), height = native["height"].get<double>();
  double by_x = 0, by_y = 0;
  if (first_x > 0 && first_y > 0) {  // width and height are the result's
    by_x = width / static_cast<double>(first_x);
    by_y = height / static_cast<double>(first_y);
    native["width"] = std::max<int64_t>(first_x / kLatent, 1) * kLatent;
    native["height"] = std::max<int64_t>(first_y / kLatent, 1) * kLatent;
  } else {
    by_x = static_cast<double>(x) / width;
    by_y = static_cast<double>(y) / height;
    if (x <= 0) by_x = by_y;
    if (y <= 0) by_y = by_x;
  }
  // Sides are rounded to whole latents, so that shapes may differ by as much.
  if (std::fabs(by_x / by_y - 1) > 0.02)
    refuse("hr_resize_x", "a second pass of another shape than the first");
  TT_REQUIRE(by_x >= 1, "hr_resize_x", "must not be smaller than the first pass, got ", by_x,
             " of it");
  return by_x;
}

void take_hires(Conversion& c, const Json& body, const A1111Names& names) {
  if (!c.members.flag("enable_hr").value_or(false)) return;
  require_one_pass_settings(c, body);
  Json hires = {{"scale", take_hires_scale(c)},
                {"strength", c.members.number("denoising_strength", 0, 1).value_or(0.75)}};
  const std::string upscaler = c.members.text("hr_upscaler").value_or("Latent");
  if (const auto method = a1111_hires_method(upscaler, names)) {
    hires["method"] = *method;
    if (*method == "network") hires["upscaler"] = upscaler;
  } else {
    std::vector<std::string> known = {"None", "Latent", "Latent (bicubic)", "Lanczos"};
    known.insert(known.end(), names.upscalers.begin(), names.upscalers.end());
    fail(ErrorKind::kInvalidArgument, "hr_upscaler", unknown_name(upscaler, known));
  }
  c.native()["hires"] = std::move(hires);
}

void take_mask(Conversion& c, std::string mask) {
  Members& m = c.members;
  Json& native = c.native();
  native["mask"] = std::move(mask);
  // A mask with a transparent part is its opaque part, another one its light one.
  Json options = {{"from", "auto"}, {"invert", m.integer("inpainting_mask_invert", 0, 1) == 1}};
  const auto blur = m.integer("mask_blur", 0, kMaxInt),
             blur_x = m.integer("mask_blur_x", 0, kMaxInt),
             blur_y = m.integer("mask_blur_y", 0, kMaxInt);
  options["blur"] = blur ? *blur : std::max(blur_x.value_or(4), blur_y.value_or(4));
  options["only_masked"] = m.flag("inpaint_full_res").value_or(true);
  options["only_masked_padding"] = m.integer("inpaint_full_res_padding", 0, kMaxInt).value_or(0);
  switch (m.integer("inpainting_fill", 0, 3).value_or(0)) {
    case 0:
      options["fill"] = "blur";
      break;
    case 1:
      options["fill"] = "original";
      break;
    case 2:
      options["fill"] = "noise";
      break;
    default:
      refuse("inpainting_fill", "\"latent nothing\" (3)");
  }
  m.flag("mask_round");  // masks are black and white here in any case
  native["mask_options"] = std::move(options);
}

/// The request without pictures, as the answer repeats it.
Json without_pictures(const Json& body) {
  Json light = Json::object();
  for (const auto& [name, value] : body.items())
    light[name] = name == "init_images" || name == "mask" ? Json(nullptr) : value;
  return light;
}

}  // namespace

A1111Request a1111_txt2img(const Json& body, const A1111Options& options, const A1111Names& names) {
  A1111Request request;
  request.native = {{"type", "txt2img"}};
  request.parameters = without_pictures(body);
  Conversion c{Members(body), request, options};
  take_common(c, names);
  take_hires(c, body, names);
  take_rest(c);
  return request;
}

A1111Request a1111_img2img(const Json& body, const A1111Options& options, const A1111Names& names) {
  A1111Request request;
  request.parameters = without_pictures(body);
  Conversion c{Members(body), request, options};
  const Json* images = c.members.take("init_images");
  TT_REQUIRE(images && images->is_array() && !images->empty() && images->front().is_string(),
             "init_images", "must be a list with a picture as base64, got none");
  if (images->size() > 1) refuse("init_images", "more than one picture");
  request.native = {{"type", "img2img"}, {"image", images->front()}};
  if (c.members.flag("include_init_images").value_or(false)) {
    request.init_images.push_back(images->front().get<std::string>());
    request.parameters["init_images"] = *images;
  }
  if (auto mask = c.members.text("mask"); mask && !mask->empty()) {
    request.native["type"] = "inpaint";
    take_mask(c, std::move(*mask));
  } else {
    c.members.ignore({"mask_blur", "mask_blur_x", "mask_blur_y", "mask_round", "inpaint_full_res",
                      "inpaint_full_res_padding", "inpainting_fill", "inpainting_mask_invert"});
  }
  request.native["strength"] = c.members.number("denoising_strength", 0, 1).value_or(0.75);
  switch (c.members.integer("resize_mode", 0, 3).value_or(0)) {
    case 0:
      request.native["resize"] = "fit";
      break;
    case 1:
      request.native["resize"] = "crop";
      break;
    case 2:
      request.native["resize"] = "pad";
      break;
    default:
      refuse("resize_mode", "\"latent upscale\" (3)");
  }
  take_common(c, names);
  take_rest(c);
  return request;
}

A1111Upscale a1111_upscale(const Json& body, const A1111Names& names) {
  A1111Upscale upscale;
  Members members(body);
  upscale.image = members.text("image").value_or(std::string());
  TT_REQUIRE(!upscale.image.empty(), "image", "must be a picture as base64, got none");
  for (const char* name : {"gfpgan_visibility", "codeformer_visibility"})
    if (members.number(name, 0, 1).value_or(0) > 0) refuse(name, "restoring faces");
  const std::string second = members.text("upscaler_2").value_or("None");
  if (members.number("extras_upscaler_2_visibility", 0, 1).value_or(0) > 0 && second != "None")
    refuse("upscaler_2", "a second upscaler");
  if (members.integer("resize_mode", 0, 1).value_or(0) == 1)
    refuse("resize_mode", "a size in pixels (1)");
  const double scale = members.number("upscaling_resize", 1, 8).value_or(4);
  members.ignore({"show_extras_results", "codeformer_weight", "upscaling_resize_w",
                  "upscaling_resize_h", "upscaling_crop", "upscale_first"});
  const std::string name = members.text("upscaler_1").value_or("None");
  for (const std::string& other : members.rest())
    upscale.warnings.push_back("unknown member \"" + printable(other, 60) + "\" has no effect");
  if (name == "None" || name.empty()) {
    upscale.unchanged = true;
    return upscale;
  }
  TT_REQUIRE(
      std::find(names.upscalers.begin(), names.upscalers.end(), name) != names.upscalers.end(),
      "upscaler_1", unknown_name(name, names.upscalers));
  upscale.native = {
      {"type", "upscale"}, {"image", upscale.image}, {"upscaler", name}, {"scale", scale}};
  return upscale;
}

}  // namespace tintype::http
