/// Members of a dialect's JSON, taken one by one with their types checked, so that what nobody took
/// is known. A null counts as absent, as clients send it for "not set". Single thread.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tintype::http {

/// A request's body as a JSON object; an empty one is an object without members.
/// throws kInvalidArgument: no JSON, no object, what base/json.h bounds
Json parse_body(std::string_view body);

class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  /// The member, marked as taken; null: absent.
  const Json* take(std::string_view name);
  void ignore(std::initializer_list<std::string_view> names);

  /// All throw kInvalidArgument naming the member: another type, or out of range. Whole numbers may
  /// be written as 5.0 and, as form fields and some clients do, as text.
  std::optional<std::string> text(std::string_view name);
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  /// true, false, 0, 1, "true", "false"
  std::optional<bool> flag(std::string_view name);
  /// One of `names`; throws proposing the nearest
  std::optional<std::string> choice(std::string_view name, const std::vector<std::string>& names);

  /// Members that are there, not null, and were not taken; in the order of their names.
  std::vector<std::string> rest() const;

 private:
  const Json& object_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace tintype::http
