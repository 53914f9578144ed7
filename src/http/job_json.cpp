#include "http/job_json.h"

#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/base64.h"
#include "base/json.h"

namespace tintype::http {
namespace {

std::string json_text(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_or_null(std::string_view text) { return text.empty() ? "null" : json_text(text); }

std::string time_or_null(const std::optional<WallClock::time_point>& time) {
  return time ? json_text(time_text(*time)) : "null";
}

std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

/// The canonical request with addresses where its pictures were.
std::string request_json(const JobSnapshot& job, const std::string& url) {
  Json request = Json::parse(job.request, nullptr, false);
  if (!request.is_object()) return "null";
  if (job.inputs == 0) return job.request;
  for (const char* name : {"image", "mask"}) {
    const auto picture = request.find(name);
    if (picture != request.end() && picture->is_number_unsigned())
      *picture = url + "/inputs/" + std::to_string(picture->get<uint64_t>());
  }
  return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// What the worker told of the pictures: a list with an object for each.
std::string info_json(const JobSnapshot& job) {
  if (job.info.empty()) return "[]";
  const Json info = Json::parse(job.info, nullptr, false);
  if (info.is_array()) return job.info;
  return info.is_object() ? "[" + job.info + "]" : "[]";
}

std::string progress_json(const JobProgress& progress) {
  std::string out = "{\"stage\":" + text_or_null(progress.stage);
  out += ",\"step\":" + std::to_string(progress.step);
  out += ",\"steps\":" + std::to_string(progress.steps);
  out += ",\"fraction\":" + number(progress.fraction);
  out += ",\"seconds_left\":" + (progress.seconds_left ? number(*progress.seconds_left) : "null");
  return out + "}";
}

std::string previews_json(const JobSnapshot& job) {
  std::string out = "[";
  for (const SharedBlob& preview : job.previews) {
    if (!preview) continue;
    if (out.size() > 1) out += ',';
    out += "{\"step\":" + std::to_string(job.preview_step) + ",\"data\":\"data:";
    out += preview->media_type + ";base64," + encode_base64(preview->bytes) + "\"}";
  }
  return out + "]";
}

std::string results_json(const JobSnapshot& job, const std::string& url) {
  std::string out = "[";
  for (size_t i = 0; i < job.results.size(); ++i) {
    const ResultInfo& result = job.results[i];
    if (i > 0) out += ',';
    out += "{\"url\":" + json_text(url + "/results/" + std::to_string(i));
    out += ",\"media_type\":" + json_text(result.media_type);
    out += ",\"bytes\":" + std::to_string(result.bytes);
    out += ",\"width\":" + std::to_string(result.width_px);
    out += ",\"height\":" + std::to_string(result.height_px) + "}";
  }
  return out + "]";
}

std::string error_json(const std::optional<JobError>& error) {
  if (!error) return "null";
  return "{\"kind\":" + json_text(to_string(error->kind)) +
         ",\"message\":" + json_text(error->message) + "}";
}

}  // namespace

std::string time_text(WallClock::time_point time) {
  // Downwards, so that the fraction is never negative.
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time - seconds).count();
  const std::time_t whole = seconds.time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  char text[64];
  std::snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(ms));
  return text;
}

std::string job_json(const JobSnapshot& job) {
  const std::string url = "/v1/jobs/" + job.id.text();
  const bool queued = job.state == JobState::kQueued;
  std::string out = "{\"id\":\"" + job.id.text() + "\"";
  const auto add = [&out](const char* name, const std::string& value) {
    out.append(",\"").append(name).append("\":").append(value);
  };
  add("state", json_text(to_string(job.state)));
  add("revision", std::to_string(job.revision));
  add("request", request_json(job, url));
  add("created", json_text(time_text(job.created)));
  add("started", time_or_null(job.started));
  add("finished", time_or_null(job.finished));
  add("deadline", time_or_null(job.deadline));
  add("results_expire", time_or_null(job.results_expire));
  add("attempts", std::to_string(job.attempts));
  add("worker", text_or_null(job.worker));
  add("position", queued ? std::to_string(job.position) : "null");
  add("seconds_to_start", queued && job.seconds_to_start ? number(*job.seconds_to_start) : "null");
  add("progress", progress_json(job.progress));
  add("previews", previews_json(job));
  add("error", error_json(job.error));
  add("results", results_json(job, url));
  add("info", info_json(job));
  return out + "}";
}

}  // namespace tintype::http
