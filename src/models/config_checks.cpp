#include "models/config_checks.h"

#include "base/text.h"

namespace tintype {

void require_only(const JsonObject& json, std::string_view key, const Json& only) {
  if (!json.has(key)) return;
  const Json& value = json.json()[std::string(key)];
  if (value == only) return;
  fail(ErrorKind::kUnsupported, json.origin(), key, " is supported as ", only.dump(), " only, got ",
       printable(value.dump()));
}

Activation parse_activation(const JsonObject& json, std::string_view key,
                            std::string_view fallback) {
  const std::string name = json.text(key, fallback);
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu") return Activation::kGelu;
  if (name == "quick_gelu") return Activation::kQuickGelu;
  fail(ErrorKind::kUnsupported, json.origin(), key,
       " must be one of silu, swish, gelu, quick_gelu, got \"", printable(name), "\"");
}

std::vector<int64_t> per_level(const JsonObject& json, std::string_view key, size_t count,
                               int64_t min, int64_t max, int64_t fallback) {
  if (!json.has(key)) return std::vector<int64_t>(count, fallback);
  std::vector<int64_t> values = json.integers(key, min, max);
  if (!json.json()[std::string(key)].is_array()) values.assign(count, values.at(0));
  if (values.size() != count)
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must have one entry for each of ", count,
         " levels, got ", values.size());
  return values;
}

std::array<int64_t, 2> size_pair(const JsonObject& json, std::string_view key, int64_t fallback) {
  if (!json.has(key)) return {fallback, fallback};
  const std::vector<int64_t> values = json.integers(key, 1, kMaxWidth);
  if (values.size() == 1) return {values[0], values[0]};
  if (values.size() == 2) return {values[0], values[1]};
  fail(ErrorKind::kCorruptFile, json.origin(), key,
       " must be a number or a pair [height, width], got ", values.size(), " entries");
}

}  // namespace tintype
