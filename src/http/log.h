/// Logs of one line each, for people or for machines. Thread-safe.
#pragma once

#include <cstdio>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tintype::http {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// One member of a line: text, a whole number or a fraction.
using LogField = std::pair<std::string_view, std::variant<std::string, int64_t, double>>;

class Log {
 public:
  /// `out` is not closed.
  explicit Log(LogFormat format, LogLevel level = LogLevel::kInfo, std::FILE* out = stderr)
      : format_(format), level_(level), out_(out) {}

  /// Text: `2026-11-21T20:04:27.123Z info request method=GET status=200`; JSON: an object with the
  /// members time, level, event and the fields. Values are made printable.
  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
  void info(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::kInfo, event, fields);
  }
  void warning(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::kWarning, event, fields);
  }
  void error(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::kError, event, fields);
  }
  bool enabled(LogLevel level) const { return level >= level_; }

 private:
  LogFormat format_;
  LogLevel level_;
  std::mutex mutex_;
  std::FILE* out_;
};

}  // namespace tintype::http
