#include "http/log.h"

#include <chrono>
#include <ctime>

#include "base/json.h"
#include "base/text.h"

namespace tintype::http {
namespace {

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[40], out[48];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(out, sizeof(out), "%s.%03dZ", text, static_cast<int>(ms.count() % 1000));
  return out;
}

/// As it is where that is one word, otherwise quoted.
std::string text_value(const std::string& value) {
  const std::string clean = printable(value, 2000);
  if (!clean.empty() && clean.find_first_of(" \"=") == std::string::npos) return clean;
  std::string out = "\"";
  for (const char c : clean) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

}  // namespace

void Log::write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  std::string line;
  if (format_ == LogFormat::kJson) {
    nlohmann::ordered_json object;
    object["time"] = now_text();
    object["level"] = level_name(level);
    object["event"] = event;
    for (const auto& [name, value] : fields) {
      if (const auto* text = std::get_if<std::string>(&value))
        object[std::string(name)] = printable(*text, 2000);
      else if (const auto* whole = std::get_if<int64_t>(&value))
        object[std::string(name)] = *whole;
      else
        object[std::string(name)] = std::get<double>(value);
    }
    line = object.dump();
  } else {
    line = now_text() + " " + std::string(level_name(level)) + " " + std::string(event);
    for (const auto& [name, value] : fields) {
      line.append(" ").append(name).append("=");
      if (const auto* text = std::get_if<std::string>(&value))
        line += text_value(*text);
      else if (const auto* whole = std::get_if<int64_t>(&value))
        line += std::to_string(*whole);
      else
        line += number_text(std::get<double>(value));
    }
  }
  line += '\n';
  const std::lock_guard lock(mutex_);
  std::fwrite(line.data(), 1, line.size(), out_);
  std::fflush(out_);
}

}  // namespace tintype::http
