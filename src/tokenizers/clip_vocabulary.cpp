#include "tokenizers/clip_vocabulary.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/text.h"

// Bounds of the embedded text; see data/clip_merges.S.
extern "C" const char tt_clip_merges_begin[], tt_clip_merges_end[];

namespace tintype {

namespace {

constexpr std::string_view kEndOfWord = "</w>";

std::string_view merges_text() {
  const char* begin = tt_clip_merges_begin;
  return {begin, static_cast<size_t>(tt_clip_merges_end - begin)};
}

/// The bytes in the order of their ids: the printable ones first, by value, then the others.
/// source  GPT-2's bytes_to_unicode
std::vector<uint8_t> bytes_by_id() {
  std::vector<uint8_t> printable_ones, others;
  for (int byte = 0; byte < 256; ++byte) {
    const bool stands_for_itself =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    (stands_for_itself ? printable_ones : others).push_back(static_cast<uint8_t>(byte));
  }
  printable_ones.insert(printable_ones.end(), others.begin(), others.end());
  return printable_ones;
}

}  // namespace

ClipFiles openai_clip_files() {
  ClipFiles files;
  std::unordered_map<std::string, int32_t> ids;
  ids.reserve(50'000);
  int32_t next_id = 0;
  const std::vector<uint8_t> bytes = bytes_by_id();
  for (const uint8_t byte : bytes) {
    files.alphabet.inner[byte] = next_id;
    ids.emplace(byte_symbol(byte), next_id++);
  }
  for (const uint8_t byte : bytes) {
    files.alphabet.last[byte] = next_id;
    ids.emplace(byte_symbol(byte) + std::string(kEndOfWord), next_id++);
  }

  std::string_view text = merges_text();
  text.remove_prefix(text.find('\n') + 1);  // "#version: 0.2"
  while (!text.empty()) {
    const size_t end = text.find('\n'), space = text.find(' ');
    const std::string left(text.substr(0, space));
    const std::string right(text.substr(space + 1, end - space - 1));
    files.merges.push_back(
        {ids.at(left), ids.at(right), next_id, static_cast<uint32_t>(files.merges.size())});
    ids.emplace(left + right, next_id++);
    text.remove_prefix(end + 1);
  }

  files.bos_id = next_id++;
  files.eos_id = files.pad_id = next_id++;
  files.vocabulary_size = next_id;
  // The folders name EOS as an object that matches normalized text, then as the padding, a bare
  // string, which matches verbatim; the later counts.
  files.added_tokens = {{"<|startoftext|>", files.bos_id, true},
                        {"<|endoftext|>", files.eos_id, false}};
  return files;
}

}  // namespace tintype
