/// Reading untrusted JSON: bounded size and depth, no NaN, typed access with messages that name the
/// file and the key. Wraps nlohmann-json so that its exceptions never leave this layer.
/// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace tintype {

using Json = nlohmann::json;

/// Parses UTF-8 text. throws kCorruptFile naming `origin`: syntax, depth over 64, duplicate keys,
/// a number that is not finite, over four million values
Json parse_json(std::string_view text, std::string_view origin);
/// Reads a whole file of at most `max_bytes`. throws kNotFound, kIo, kCorruptFile
Json read_json_file(const std::filesystem::path& path, size_t max_bytes = 64u << 20);
/// Reads a whole file of at most `max_bytes` as bytes. throws kNotFound, kIo, kCorruptFile
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes = 64u << 20);

/// What a reader can use of nlohmann's message: without its code and position, safe to print.
std::string json_error_reason(const Json::exception& error);

/// Typed view of one config object. Every getter checks type and range and throws kCorruptFile with
/// "[<origin>] <key> must be ..., got ...". A JSON null counts as absent. Borrows the object.
class JsonObject {
 public:
  JsonObject(const Json& object, std::string origin);  ///< throws kCorruptFile: not an object

  bool has(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  int64_t integer(std::string_view key, int64_t min, int64_t max, int64_t fallback) const;
  /// Finite numbers only.
  double number(std::string_view key, double min, double max) const;
  double number(std::string_view key, double min, double max, double fallback) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  /// A list of integers, or one integer standing for a list of one.
  std::vector<int64_t> integers(std::string_view key, int64_t min, int64_t max,
                                size_t max_items = 64) const;
  std::vector<std::string> texts(std::string_view key, size_t max_items = 64) const;
  std::vector<double> numbers(std::string_view key, double min, double max,
                              size_t max_items = 100000) const;

  const Json& json() const { return *object_; }
  const std::string& origin() const { return origin_; }

 private:
  const Json* find(std::string_view key) const;
  const Json* object_;
  std::string origin_;
};

}  // namespace tintype
