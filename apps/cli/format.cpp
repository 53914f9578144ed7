#include "cli/format.h"

#include <cmath>
#include <cstdio>

namespace tintype::cli {
namespace {

std::string with_decimals(double value, int decimals, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f %s", decimals, value, unit);
  return text;
}

/// "major unit minor unit" with the minor part as two digits.
std::string two_units(long major, const char* major_unit, long minor, const char* minor_unit) {
  char text[64];
  std::snprintf(text, sizeof(text), "%ld %s %02ld %s", major, major_unit, minor, minor_unit);
  return text;
}

}  // namespace

std::string format_bytes(uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  const auto value = static_cast<double>(bytes);
  if (bytes < 1'000'000) return with_decimals(value / 1e3, 1, "kB");
  if (bytes < 1'000'000'000) return with_decimals(value / 1e6, 1, "MB");
  return with_decimals(value / 1e9, 2, "GB");
}

std::string format_count(uint64_t count) {
  if (count < 1000) return std::to_string(count);
  const auto value = static_cast<double>(count);
  if (count < 1'000'000) return with_decimals(value / 1e3, 1, "K");
  if (count < 1'000'000'000) return with_decimals(value / 1e6, 1, "M");
  return with_decimals(value / 1e9, 2, "G");
}

std::string format_seconds(double seconds) {
  if (!(seconds < 359999)) return "over 99 h";
  if (seconds < 9.95) return with_decimals(seconds, 1, "s");
  const long whole = std::lround(seconds);
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return two_units(whole / 60, "min", whole % 60, "s");
  return two_units(whole / 3600, "h", whole % 3600 / 60, "min");
}

std::string format_rate(double steps_per_second) {
  return steps_per_second >= 1 ? with_decimals(steps_per_second, 2, "it/s")
                               : with_decimals(1 / steps_per_second, 2, "s/it");
}

}  // namespace tintype::cli
