#include "base/json.h"

#include <cmath>
#include <optional>
#include <utility>

#include "base/file_handle.h"
#include "base/text.h"

namespace tintype {

namespace {

constexpr size_t kMaxDepth = 64;
/// A value costs up to ~100 bytes in memory against two in the text, so the text's size alone does
/// not bound memory. The largest honest file, a tokenizer of 250k pieces, has about 1.5M values.
constexpr size_t kMaxValues = 4'000'000;

/// Builds the document while it is read and stops at the first breach of a limit.
class BoundedBuilder {
 public:
  Json take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }

  // The callbacks of nlohmann's SAX interface; false stops the parser.
  bool null() { return place(Json(nullptr)) != nullptr; }
  bool boolean(bool value) { return place(Json(value)) != nullptr; }
  bool number_integer(int64_t value) { return place(Json(value)) != nullptr; }
  bool number_unsigned(uint64_t value) { return place(Json(value)) != nullptr; }
  bool number_float(double value, const std::string& token) {
    if (!std::isfinite(value)) return refuse("must hold finite numbers, got " + printable(token));
    return place(Json(value)) != nullptr;
  }
  bool string(std::string& value) { return place(Json(std::move(value))) != nullptr; }
  bool binary(Json::binary_t&) { return refuse("must be JSON text, got binary data"); }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    const auto [slot, fresh] =
        open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(name), nullptr);
    if (!fresh) {
      return refuse("must have each key once, got \"" + printable(slot->first, 80) + "\" twice");
    }
    member_ = &slot->second;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception& error) {
    return refuse(
        cat("must be valid JSON, got at byte ", position, ": ", json_error_reason(error)));
  }

 private:
  bool refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  /// Where `value` now lives, or null when there are too many.
  Json* place(Json value) {
    if (++values_ > kMaxValues) {
      refuse(cat("must have at most ", kMaxValues, " values, got more"));
      return nullptr;
    }
    Json* slot = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      auto& list = open_.back()->get_ref<Json::array_t&>();
      list.push_back(std::move(value));
      return &list.back();
    }
    if (!open_.empty()) slot = member_;
    *slot = std::move(value);
    return slot;
  }
  bool open(Json container) {
    if (open_.size() >= kMaxDepth) {
      return refuse(cat("must nest at most ", kMaxDepth, " deep, got more"));
    }
    Json* slot = place(std::move(container));
    if (slot == nullptr) return false;
    open_.push_back(slot);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  // Ancestors of the current value. They stay put: only the innermost container grows.
  std::vector<Json*> open_;
  Json* member_ = nullptr;  ///< where the value of the last key goes
  size_t values_ = 0;
  std::string problem_;
};

/// How a value that is not what a getter wants appears in its message.
std::string describe(const Json* value) {
  if (value == nullptr || value->is_null()) return "nothing";
  if (value->is_array()) return cat("a list of ", value->size());
  if (value->is_object()) return "an object";
  return printable(value->dump(-1, ' ', false, Json::error_handler_t::replace), 80);
}

std::optional<int64_t> as_integer(const Json& value, int64_t min, int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;  // true for both signednesses
  if (value.is_number_unsigned()) {
    const auto wide = value.get<uint64_t>();
    if (max < 0 || wide > static_cast<uint64_t>(max)) return std::nullopt;
  }
  const auto result = value.get<int64_t>();
  return result < min || result > max ? std::nullopt : std::optional(result);
}

std::optional<double> as_number(const Json& value, double min, double max) {
  if (!value.is_number()) return std::nullopt;
  const auto result = value.get<double>();
  return std::isfinite(result) && result >= min && result <= max ? std::optional(result)
                                                                 : std::nullopt;
}

[[noreturn]] void fail_key(const std::string& origin, std::string_view key,
                           const std::string& expectation, const Json* value) {
  fail(ErrorKind::kCorruptFile, origin, printable(key, 80), " must be ", expectation, ", got ",
       describe(value));
}

/// The items of a list, at most `max_items`. `value` may be null.
const Json::array_t& list_of(const std::string& origin, std::string_view key, const Json* value,
                             const std::string& expectation, size_t max_items) {
  if (value == nullptr || !value->is_array()) fail_key(origin, key, expectation, value);
  if (value->size() > max_items) {
    fail_key(origin, key, cat(expectation, " (at most ", max_items, " items)"), value);
  }
  return value->get_ref<const Json::array_t&>();
}

std::string range_text(std::string_view what, auto min, auto max) {
  return cat(what, " between ", min, " and ", max);
}

}  // namespace

std::string json_error_reason(const Json::exception& error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 5: reason"
  std::string_view reason = error.what();
  if (const size_t end = reason.find(": "); end != std::string_view::npos) {
    reason.remove_prefix(end + 2);
  }
  return printable(reason);
}

Json parse_json(std::string_view text, std::string_view origin) {
  // The parser takes a NUL for the end and would not see what another reader finds behind it.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(ErrorKind::kCorruptFile, printable(origin), "must be text, got a NUL at byte ", nul);
  }
  BoundedBuilder builder;
  std::string problem;
  try {
    if (Json::sax_parse(text, &builder)) return builder.take();
    problem = builder.problem();
  } catch (const Json::exception& error) {
    problem = "must be valid JSON, got: " + json_error_reason(error);
  }
  fail(ErrorKind::kCorruptFile, printable(origin), problem);
}

std::string read_text_file(const std::filesystem::path& path, size_t max_bytes) {
  const FileHandle file(path);
  const uint64_t size = file.size();
  if (size > max_bytes) {
    fail(ErrorKind::kCorruptFile, printable(path.string()), "must be at most ", max_bytes,
         " bytes, got ", size);
  }
  std::string text(static_cast<size_t>(size), '\0');
  text.resize(file.read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Json read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

JsonObject::JsonObject(const Json& object, std::string origin)
    : object_(&object), origin_(printable(origin)) {
  if (!object.is_object()) {
    fail(ErrorKind::kCorruptFile, origin_, "must be a JSON object, got ", describe(&object));
  }
}

const Json* JsonObject::find(std::string_view key) const {
  const auto found = object_->find(std::string(key));
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::has(std::string_view key) const { return find(key) != nullptr; }

int64_t JsonObject::integer(std::string_view key, int64_t min, int64_t max) const {
  const Json* value = find(key);
  const auto result = value ? as_integer(*value, min, max) : std::nullopt;
  if (!result) fail_key(origin_, key, range_text("an integer", min, max), value);
  return *result;
}

int64_t JsonObject::integer(std::string_view key, int64_t min, int64_t max,
                            int64_t fallback) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double JsonObject::number(std::string_view key, double min, double max) const {
  const Json* value = find(key);
  const auto result = value ? as_number(*value, min, max) : std::nullopt;
  if (!result) fail_key(origin_, key, range_text("a number", min, max), value);
  return *result;
}

double JsonObject::number(std::string_view key, double min, double max, double fallback) const {
  return has(key) ? number(key, min, max) : fallback;
}

bool JsonObject::boolean(std::string_view key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail_key(origin_, key, "true or false", value);
  return value->get<bool>();
}

std::string JsonObject::text(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) fail_key(origin_, key, "a text", value);
  return value->get<std::string>();
}

std::string JsonObject::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}

std::vector<int64_t> JsonObject::integers(std::string_view key, int64_t min, int64_t max,
                                          size_t max_items) const {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) return {integer(key, min, max)};
  const std::string expectation = range_text("a list of integers", min, max);
  std::vector<int64_t> result;
  for (const Json& item : list_of(origin_, key, value, expectation, max_items)) {
    const auto number = as_integer(item, min, max);
    if (!number)
      fail_key(origin_, cat(key, "[", result.size(), "]"), range_text("an integer", min, max),
               &item);
    result.push_back(*number);
  }
  return result;
}

std::vector<std::string> JsonObject::texts(std::string_view key, size_t max_items) const {
  std::vector<std::string> result;
  for (const Json& item : list_of(origin_, key, find(key), "a list of texts", max_items)) {
    if (!item.is_string()) {
      fail_key(origin_, cat(key, "[", result.size(), "]"), "a text", &item);
    }
    result.push_back(item.get<std::string>());
  }
  return result;
}

std::vector<double> JsonObject::numbers(std::string_view key, double min, double max,
                                        size_t max_items) const {
  const std::string expectation = range_text("a list of numbers", min, max);
  std::vector<double> result;
  for (const Json& item : list_of(origin_, key, find(key), expectation, max_items)) {
    const auto value = as_number(item, min, max);
    if (!value)
      fail_key(origin_, cat(key, "[", result.size(), "]"), range_text("a number", min, max), &item);
    result.push_back(*value);
  }
  return result;
}

}  // namespace tintype
