#include "prompts/token_names.h"

#include "base/text.h"
#include "tokenizers/clip_files.h"

namespace tintype {

TokenNames TokenNames::load(const std::filesystem::path& folder) {
  // A hostile file could double a token's text with every merge.
  constexpr size_t kMaxBytes = 200;
  const ClipFiles files = read_clip_files(folder);
  TokenNames names;
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    names.bytes_.try_emplace(files.alphabet.inner[byte], text);
    names.bytes_.try_emplace(files.alphabet.last[byte], text + "</w>");
  }
  for (const BpeMerge& merge : files.merges) {
    const auto left = names.bytes_.find(merge.left), right = names.bytes_.find(merge.right);
    if (left == names.bytes_.end() || right == names.bytes_.end()) continue;
    std::string text = left->second + right->second;
    if (text.size() <= kMaxBytes) names.bytes_.try_emplace(merge.result, std::move(text));
  }
  for (const AddedToken& token : files.added_tokens)
    names.bytes_.insert_or_assign(token.id, token.content);
  return names;
}

std::string TokenNames::of(int32_t id) const {
  const auto found = bytes_.find(id);
  return found == bytes_.end() ? "?" : printable(found->second);
}

}  // namespace tintype
