#include "cli/arguments.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <system_error>

#include "tintype/error.h"

namespace tintype::cli {
namespace {

[[noreturn]] void fail(std::string_view flag, const std::string& expectation,
                       std::string_view text) {
  throw Error(ErrorKind::kInvalidArgument, flag,
              "must be " + expectation + ", got \"" + std::string(text) + "\"");
}

/// True when all of `text` is one value that fits T.
template <typename T>
bool parse_whole(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string short_number(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

}  // namespace

int parse_int(std::string_view flag, std::string_view text, int min, int max) {
  int value = 0;
  if (parse_whole(text, value) && value >= min && value <= max) return value;
  fail(flag, "a whole number from " + std::to_string(min) + " to " + std::to_string(max), text);
}

uint64_t parse_seed(std::string_view flag, std::string_view text) {
  uint64_t value = 0;
  if (parse_whole(text, value)) return value;
  fail(flag, "a whole number from 0 to " + std::to_string(std::numeric_limits<uint64_t>::max()),
       text);
}

uint64_t parse_bytes(std::string_view flag, std::string_view text) {
  constexpr std::string_view kUnits = "kMGT";
  std::string_view digits = text;
  double unit = 1;
  if (!digits.empty() && kUnits.find(digits.back()) != std::string_view::npos) {
    unit = std::pow(1000.0, static_cast<double>(kUnits.find(digits.back())) + 1);
    digits.remove_suffix(1);
  }
  constexpr double kMost = 9e18;
  double value = 0;
  if (!parse_whole(digits, value) || !(value * unit >= 1 && value * unit <= kMost))
    fail(flag, "a number of bytes such as 6G or 800M", text);
  return static_cast<uint64_t>(value * unit);
}

double parse_number(std::string_view flag, std::string_view text, double min, double max) {
  double value = 0;
  if (parse_whole(text, value) && std::isfinite(value) && value >= min && value <= max)
    return value;
  // A bound that every float keeps tells the reader nothing.
  const bool bounded = max < std::numeric_limits<float>::max();
  fail(flag,
       bounded ? "a number from " + short_number(min) + " to " + short_number(max)
               : std::string("a finite number"),
       text);
}

}  // namespace tintype::cli
