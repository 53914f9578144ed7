/// What token ids stand for, to be shown to people. Immutable after load, thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>

namespace tintype {

struct ClipFiles;

class TokenNames {
 public:
  /// Reads the same files as ClipTokenizer::load and throws the same.
  static TokenNames load(const std::filesystem::path& folder);
  /// Of ClipTokenizer::openai.
  static TokenNames openai();
  explicit TokenNames(const ClipFiles& files);

  /// The text of a token, with "</w>" where a word ends, safe to print; "?" for an id that no text
  /// leads to.
  std::string of(int32_t id) const;

 private:
  std::unordered_map<int32_t, std::string> bytes_;
};

}  // namespace tintype
