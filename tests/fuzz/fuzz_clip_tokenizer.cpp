/// A tokenizer folder and a prompt from any bytes: the folder is refused with an Error, or every
/// prompt gives ids of the vocabulary and a whole window.
///
/// An input is a series of parts, each begun by a line "=== NAME": vocab.json, merges.txt,
/// tokenizer_config.json, special_tokens_map.json, tokenizer.json, text. What comes before the
/// first such line is the text. Without a vocab.json or tokenizer.json a sound one stands in, so
/// that prompts are tried too.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz_check.h"
#include "tokenizers/clip_tokenizer.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFiles[] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                       "special_tokens_map.json", "tokenizer.json"};
constexpr std::string_view kVocab =
    R"({"a": 0, "b": 1, "ab": 2, "b</w>": 3, "ab</w>": 4, "Ã": 5, "©</w>": 6, "Ã©</w>": 7,)"
    R"( "<|startoftext|>": 8, "<|endoftext|>": 9})";
constexpr std::string_view kMerges = "#version: 0.2\na b\na b</w>\nÃ ©</w>\n";

/// A folder of this process, removed at its end.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("fuzz_clip_" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void put(const std::map<std::string, std::string, std::less<>>& parts) const {
    for (const std::string_view name : kFiles) {
      const auto part = parts.find(name);
      if (part == parts.end()) {
        fs::remove(path_ / name);
      } else {
        std::ofstream(path_ / name, std::ios::binary) << part->second;
      }
    }
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::map<std::string, std::string, std::less<>> split(std::string_view input) {
  std::map<std::string, std::string, std::less<>> parts;
  std::string name = "text";
  while (!input.empty()) {
    const size_t end = std::min(input.find('\n'), input.size() - 1) + 1;
    std::string_view line = input.substr(0, end);
    input.remove_prefix(end);
    if (line.starts_with("=== ")) {
      name = line.substr(4, line.size() - 4 - (line.ends_with('\n') ? 1 : 0));
      parts.try_emplace(name);
    } else {
      parts[name] += line;
    }
  }
  if (!parts.contains("vocab.json") && !parts.contains("tokenizer.json")) {
    parts["vocab.json"] = kVocab;
    parts.try_emplace("merges.txt", kMerges);
  }
  return parts;
}

void check_prompt(const ClipTokenizer& tokenizer, std::string_view text) {
  const auto known = [&](int32_t id) { return id >= 0 && id < tokenizer.vocabulary_size(); };
  const std::vector<int32_t> words = tokenizer.encode(text);
  fuzz::require(std::all_of(words.begin(), words.end(), known), "ids are in the vocabulary");
  fuzz::require(words.size() <= 8 * text.size(), "ids are bounded by the text");
  const ClipTokens tokens = tokenizer.encode_window(text);
  fuzz::require(static_cast<int64_t>(tokens.ids.size()) == tokenizer.window(), "a whole window");
  fuzz::require(std::all_of(tokens.ids.begin(), tokens.ids.end(), known), "window ids are known");
  const size_t kept = std::min(words.size(), tokens.ids.size() - 2);
  fuzz::require(tokens.truncated == (kept < words.size()), "truncation is told");
  fuzz::require(tokens.ids[0] == tokenizer.bos_id() && tokens.ids[kept + 1] == tokenizer.eos_id(),
                "the ends are marked");
  fuzz::require(std::equal(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(kept),
                           tokens.ids.begin() + 1),
                "the window holds the words");
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  static const Folder folder;
  const auto parts = split(std::string_view(reinterpret_cast<const char*>(data), size));
  folder.put(parts);
  try {
    const ClipTokenizer tokenizer = ClipTokenizer::load(folder.path());
    const auto text = parts.find("text");
    try {
      check_prompt(tokenizer, text == parts.end() ? std::string_view() : text->second);
    } catch (const Error& error) {
      fuzz::broken("encoding never throws", error.what());
    }
  } catch (const Error& error) {
    // Removing a "=== merges.txt" line is a missing file, not a bad one.
    if (error.kind() != ErrorKind::kNotFound) fuzz::require_file_error(error);
  }
  return 0;
}
