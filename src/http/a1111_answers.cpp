#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/base64.h"
#include "base/check.h"
#include "base/text.h"
#include "http/a1111_json.h"
#include "tintype/text_to_image.h"

namespace tintype::http {
namespace {

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// "20261121200427", local to nowhere: UTC.
std::string timestamp(WallClock::time_point time) {
  const std::time_t seconds = WallClock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y%m%d%H%M%S", &parts);
  return text;
}

std::string label_of(const std::string& sampler) {
  for (const SamplerName& entry : sampler_table())
    if (entry.name == sampler) return entry.label;
  return sampler;
}

/// One object a picture; the worker's text is ours, yet a job of an older version may have none.
std::vector<Json> settings_of(const JobSnapshot& job) {
  const Json info = Json::parse(job.info, nullptr, false);
  if (info.is_array()) return info;
  return {};
}

Json member(const Json& object, const char* name, Json fallback) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? std::move(fallback) : *found;
}

std::string text_member(const Json& object, const char* name) {
  const Json value = member(object, name, "");
  return value.is_string() ? value.get<std::string>() : std::string();
}

int int_member(const Json& object, const char* name) {
  const Json value = member(object, name, 0);
  return value.is_number_integer() ? value.get<int>() : 0;
}

/// The members of A1111's Processed.js().
Json info_of(const A1111Request& request, const JobSnapshot& job, const std::vector<Json>& settings,
             const std::vector<A1111Picture>& pictures) {
  const Json first = settings.empty() ? Json::object() : settings.front();
  Json prompts = Json::array(), negatives = Json::array(), seeds = Json::array(),
       subseeds = Json::array(), infotexts = Json::array();
  for (const Json& one : settings) {
    prompts.push_back(member(one, "prompt", ""));
    negatives.push_back(member(one, "negative_prompt", ""));
    seeds.push_back(member(one, "seed", -1));
    subseeds.push_back(member(one, "variation_seed", -1));
  }
  for (const A1111Picture& picture : pictures) infotexts.push_back(picture.infotext);
  const Json& native = request.native;
  Json info = {
      {"prompt", member(first, "prompt", member(native, "prompt", ""))},
      {"all_prompts", prompts},
      {"negative_prompt", member(first, "negative_prompt", member(native, "negative_prompt", ""))},
      {"all_negative_prompts", negatives},
      {"seed", member(first, "seed", member(native, "seed", -1))},
      {"all_seeds", seeds},
      {"subseed", member(first, "variation_seed", -1)},
      {"all_subseeds", subseeds},
      {"subseed_strength", member(first, "variation_strength", 0)},
      {"width", member(first, "width_px", member(native, "width", 0))},
      {"height", member(first, "height_px", member(native, "height", 0))},
      {"sampler_name", label_of(text_member(first, "sampler"))},
      {"cfg_scale", member(first, "guidance_scale", member(native, "guidance_scale", 0))},
      {"steps", member(first, "steps", member(native, "steps", 0))},
      {"batch_size", member(native, "count", 1)},
      {"restore_faces", false},
      {"face_restoration_model", nullptr},
      {"sd_model_name", member(first, "model", job.model)},
      {"sd_model_hash", nullptr},
      {"sd_vae_name", nullptr},
      {"sd_vae_hash", nullptr},
      {"seed_resize_from_w", -1},
      {"seed_resize_from_h", -1},
      {"denoising_strength", member(first, "strength", nullptr)},
      {"extra_generation_params", Json::object()},
      {"index_of_first_image", 0},
      {"infotexts", infotexts},
      {"styles", Json::array()},
      {"job_timestamp", timestamp(job.created)},
      {"clip_skip", int_member(first, "clip_skip") + 1},
      {"is_using_inpainting_conditioning", false},
      {"version", "tintype"},
      {"job", job.id.text()},
      {"interrupted", job.state == JobState::kCancelled}};
  if (!request.warnings.empty()) info["warnings"] = request.warnings;
  return info;
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

struct Setting {
  std::string key, value;
};

/// "Steps: 20, Sampler: Euler a, Hires upscaler: \"Latent (a, b)\"" in their order.
std::vector<Setting> settings_in(std::string_view line) {
  std::vector<Setting> settings;
  while (!line.empty()) {
    while (!line.empty() && (line.front() == ' ' || line.front() == ',')) line.remove_prefix(1);
    size_t colon = 0;
    while (colon < line.size() &&
           (is_word(line[colon]) || line[colon] == ' ' || line[colon] == '-' || line[colon] == '/'))
      ++colon;
    if (colon < 2 || colon >= line.size() || line[colon] != ':') {
      // No setting here: on behind the next comma.
      line.remove_prefix(std::min(std::min(line.find(','), line.size()) + 1, line.size()));
      continue;
    }
    Setting setting{std::string(line.substr(0, colon)), {}};
    line.remove_prefix(colon + 1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    size_t end = 0;
    if (!line.empty() && line.front() == '"') {
      end = 1;
      while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, line.size());
      const Json text = Json::parse(line.substr(0, end), nullptr, false);
      setting.value = text.is_string() ? text.get<std::string>() : std::string(line.substr(0, end));
    } else {
      end = std::min(line.find(','), line.size());
      setting.value = line.substr(0, end);
    }
    line.remove_prefix(end);
    settings.push_back(std::move(setting));
  }
  return settings;
}

/// "512x768" into two members, as A1111 answers sizes.
bool add_size(Json& json, const Setting& setting) {
  const size_t x = setting.value.find('x');
  const auto digits = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (x == std::string::npos || !digits(std::string_view(setting.value).substr(0, x)) ||
      !digits(std::string_view(setting.value).substr(x + 1)))
    return false;
  json[setting.key + "-1"] = setting.value.substr(0, x);
  json[setting.key + "-2"] = setting.value.substr(x + 1);
  return true;
}

}  // namespace

Json a1111_answer(const A1111Request& request, const JobSnapshot& job,
                  const std::vector<A1111Picture>& pictures) {
  Json images = Json::array();
  if (request.send_images) {
    for (const A1111Picture& picture : pictures)
      images.push_back(encode_base64(picture.bytes->bytes));
    // Interrupted: what could be seen last, as A1111 answers with what it has.
    if (pictures.empty())
      for (const SharedBlob& preview : job.previews)
        images.push_back(encode_base64(preview->bytes));
    for (const std::string& image : request.init_images) images.push_back(image);
  }
  return {{"images", std::move(images)},
          {"parameters", request.parameters},
          {"info", dumped(info_of(request, job, settings_of(job), pictures))}};
}

Json a1111_progress(const JobSnapshot* job, size_t live, bool skip_current_image) {
  Json state = {{"skipped", false},
                {"interrupted", false},
                {"stopping_generation", false},
                {"job", job ? job->id.text() : ""},
                {"job_count", live},
                {"job_timestamp", job ? timestamp(job->created) : "0"},
                {"job_no", 0},
                {"sampling_step", job ? job->progress.step : 0},
                {"sampling_steps", job ? job->progress.steps : 0}};
  Json answer = {{"progress", job ? job->progress.fraction : 0.0},
                 {"eta_relative", job ? job->progress.seconds_left.value_or(0) : 0.0},
                 {"state", std::move(state)},
                 {"current_image", nullptr},
                 {"textinfo", nullptr}};
  if (job && job->state == JobState::kQueued)
    answer["textinfo"] = cat("Waiting for ", job->position, " jobs");
  else if (job && !job->progress.stage.empty())
    answer["textinfo"] = job->progress.stage;
  if (job && !skip_current_image && !job->previews.empty())
    answer["current_image"] = encode_base64(job->previews.front()->bytes);
  return answer;
}

Json a1111_parse_infotext(std::string_view infotext) {
  Json json = Json::object();
  std::string prompt, negative;
  std::vector<Setting> settings;
  bool in_negative = false, first_line = true;
  while (!infotext.empty()) {
    const size_t end = std::min(infotext.find('\n'), infotext.size());
    std::string_view line = infotext.substr(0, end);
    infotext.remove_prefix(std::min(end + 1, infotext.size()));
    // The last line is settings, unless it is too short to be: then it is the prompt's.
    if (infotext.find_first_not_of("\r\n \t") == std::string_view::npos) {
      settings = settings_in(line);
      if (settings.size() >= 3) break;
      settings.clear();
    }
    constexpr std::string_view kNegative = "Negative prompt:";
    if (line.starts_with(kNegative)) {
      in_negative = true;
      first_line = true;
      line.remove_prefix(kNegative.size());
      while (line.starts_with(' ')) line.remove_prefix(1);
    }
    std::string& text = in_negative ? negative : prompt;
    if (!first_line) text += '\n';
    text += line;
    first_line = false;
  }
  json["Prompt"] = prompt;
  json["Negative prompt"] = negative;
  for (const Setting& setting : settings)
    if (!add_size(json, setting)) json[setting.key] = setting.value;
  return json;
}

Json a1111_png_info(const PngText& text) {
  std::string infotext;
  Json items = Json::object();
  for (const auto& [key, value] : text) {
    if (key == "parameters" && infotext.empty()) infotext = value;
    items[key] = value;
  }
  return {{"info", infotext},
          {"items", std::move(items)},
          {"parameters", infotext.empty() ? Json::object() : a1111_parse_infotext(infotext)}};
}

Response a1111_error(const Problem& problem) {
  return json_response(problem.status, dumped({{"error", problem.kind},
                                               {"detail", problem.message},
                                               {"body", problem.field},
                                               {"errors", problem.message}}));
}

}  // namespace tintype::http
