#include "prompts/token_names.h"

#include "base/text.h"
#include "tokenizers/clip_vocabulary.h"

namespace tintype {

TokenNames TokenNames::load(const std::filesystem::path& folder) {
  return TokenNames(read_clip_files(folder));
}

TokenNames TokenNames::openai() { return TokenNames(openai_clip_files()); }

TokenNames::TokenNames(const ClipFiles& files) {
  // A hostile file could double a token's text with every merge.
  constexpr size_t kMaxBytes = 200;
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    bytes_.try_emplace(files.alphabet.inner[byte], text);
    bytes_.try_emplace(files.alphabet.last[byte], text + "</w>");
  }
  for (const BpeMerge& merge : files.merges) {
    const auto left = bytes_.find(merge.left), right = bytes_.find(merge.right);
    if (left == bytes_.end() || right == bytes_.end()) continue;
    std::string text = left->second + right->second;
    if (text.size() <= kMaxBytes) bytes_.try_emplace(merge.result, std::move(text));
  }
  for (const AddedToken& token : files.added_tokens)
    bytes_.insert_or_assign(token.id, token.content);
}

std::string TokenNames::of(int32_t id) const {
  const auto found = bytes_.find(id);
  return found == bytes_.end() ? "?" : printable(found->second);
}

}  // namespace tintype
