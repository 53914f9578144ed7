#include "http/json_members.h"

#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/text.h"

namespace tintype::http {
namespace {

/// Doubles above this are not all whole.
constexpr double kMaxWhole = 9007199254740992.0;

std::string shown(const Json& value) {
  return printable(value.dump(-1, ' ', true, Json::error_handler_t::replace), 80);
}

std::optional<int64_t> whole(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return std::nullopt;
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::fabs(number) <= kMaxWhole)
      return static_cast<int64_t>(number);
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  }
  return std::nullopt;
}

std::optional<double> real(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  }
  return std::nullopt;
}

}  // namespace

Json parse_body(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return Json::object();
  Json json;
  try {
    json = parse_json(body, "body");
  } catch (const Error& error) {
    std::string_view reason = error.what();
    if (reason.starts_with("[body] ")) reason.remove_prefix(7);
    fail(ErrorKind::kInvalidArgument, "body", reason);
  }
  TT_REQUIRE(json.is_object(), "body", "must be a JSON object, got ", shown(json));
  return json;
}

const Json* Members::take(std::string_view name) {
  taken_.emplace(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Members::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) taken_.emplace(name);
}

std::optional<std::string> Members::text(std::string_view name) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  TT_REQUIRE(value->is_string(), name, "must be text, got ", shown(*value));
  return value->get<std::string>();
}

std::optional<int64_t> Members::integer(std::string_view name, int64_t min, int64_t max) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  const std::optional<int64_t> number = whole(*value);
  TT_REQUIRE(number && *number >= min && *number <= max, name, "must be a whole number in ", min,
             "..", max, ", got ", shown(*value));
  return number;
}

std::optional<double> Members::number(std::string_view name, double min, double max) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  const std::optional<double> number = real(*value);
  // Written so that a NaN is refused.
  TT_REQUIRE(number && *number >= min && *number <= max, name, "must be a number in ", min, "..",
             max, ", got ", shown(*value));
  return number;
}

std::optional<bool> Members::flag(std::string_view name) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  if (*value == 0 || *value == "false" || *value == "0") return false;
  if (*value == 1 || *value == "true" || *value == "1") return true;
  fail(ErrorKind::kInvalidArgument, name, "must be true or false, got ", shown(*value));
}

std::optional<std::string> Members::choice(std::string_view name,
                                           const std::vector<std::string>& names) {
  const std::optional<std::string> value = text(name);
  if (!value) return std::nullopt;
  for (const std::string& known : names)
    if (*value == known) return value;
  fail(ErrorKind::kInvalidArgument, name, unknown_name(*value, names));
}

std::vector<std::string> Members::rest() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items())
    if (!value.is_null() && !taken_.contains(name)) names.push_back(name);
  return names;
}

}  // namespace tintype::http
