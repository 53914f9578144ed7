#include "tokenizers/clip_files_json.h"

#include <algorithm>

#include "base/text.h"
#include "tokenizers/clip_vocabulary.h"

namespace tintype {
namespace {

constexpr const char* kClipVocabulary = "clip";

bool same_vocabulary(const ClipFiles& a, const ClipFiles& b) {
  return a.vocabulary_size == b.vocabulary_size && a.alphabet == b.alphabet && a.merges == b.merges;
}

/// The list under `key` of exactly `count` ids. throws kCorruptFile
void read_ids(const JsonObject& json, const char* key, int64_t vocabulary,
              std::array<int32_t, 256>& ids) {
  const std::vector<int64_t> list = json.integers(key, 0, vocabulary - 1, ids.size());
  if (list.size() != ids.size())
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must have ", ids.size(), " ids, got ",
         list.size());
  std::transform(list.begin(), list.end(), ids.begin(),
                 [](int64_t id) { return static_cast<int32_t>(id); });
}

void read_vocabulary(const JsonObject& json, ClipFiles& files) {
  files.vocabulary_size = json.integer("size", 1, static_cast<int64_t>(kMaxVocabulary));
  read_ids(json, "inner", files.vocabulary_size, files.alphabet.inner);
  read_ids(json, "last", files.vocabulary_size, files.alphabet.last);
  const std::vector<int64_t> merges =
      json.integers("merges", 0, files.vocabulary_size - 1, 3 * kMaxMerges);
  if (merges.size() % 3 != 0)
    fail(ErrorKind::kCorruptFile, json.origin(), "merges must be triples, got ", merges.size(),
         " numbers");
  for (size_t i = 0; i < merges.size(); i += 3)
    files.merges.push_back({static_cast<int32_t>(merges[i]), static_cast<int32_t>(merges[i + 1]),
                            static_cast<int32_t>(merges[i + 2]), static_cast<uint32_t>(i / 3)});
}

Json vocabulary_json(const ClipFiles& files) {
  Json merges = Json::array();
  for (const BpeMerge& merge : files.merges)
    for (const int32_t id : {merge.left, merge.right, merge.result}) merges.push_back(id);
  return {{"size", files.vocabulary_size},
          {"inner", files.alphabet.inner},
          {"last", files.alphabet.last},
          {"merges", std::move(merges)}};
}

AddedToken read_added_token(const Json& json, const std::string& origin, int64_t vocabulary) {
  const JsonObject object(json, cat(origin, ": added_tokens"));
  AddedToken token{.content = object.text("content"),
                   .id = static_cast<int32_t>(object.integer("id", 0, vocabulary - 1)),
                   .normalized = object.boolean("normalized", false)};
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
    fail(ErrorKind::kCorruptFile, object.origin(), "content must have 1 to ", kMaxAddedTokenBytes,
         " bytes, got ", token.content.size());
  return token;
}

}  // namespace

Json to_json(const ClipFiles& files) {
  Json added = Json::array();
  for (const AddedToken& token : files.added_tokens)
    added.push_back(
        Json{{"content", token.content}, {"id", token.id}, {"normalized", token.normalized}});
  const bool clip = same_vocabulary(files, openai_clip_files());
  return {{"vocabulary", clip ? Json(kClipVocabulary) : vocabulary_json(files)},
          {"added_tokens", std::move(added)},
          {"bos_id", files.bos_id},
          {"eos_id", files.eos_id},
          {"pad_id", files.pad_id},
          {"window", files.window}};
}

ClipFiles clip_files_from_json(const JsonObject& json) {
  ClipFiles files;
  const auto vocabulary = json.json().find("vocabulary");
  if (vocabulary != json.json().end() && vocabulary->is_object())
    read_vocabulary(JsonObject(*vocabulary, cat(json.origin(), ": vocabulary")), files);
  else if (const std::string name = json.text("vocabulary"); name == kClipVocabulary)
    files = openai_clip_files();
  else
    fail(ErrorKind::kCorruptFile, json.origin(), "vocabulary must be ", kClipVocabulary,
         " or an object, got \"", printable(name, 60), "\"");
  const auto id = [&](const char* key) {
    return static_cast<int32_t>(json.integer(key, 0, files.vocabulary_size - 1));
  };
  files.bos_id = id("bos_id");
  files.eos_id = id("eos_id");
  files.pad_id = id("pad_id");
  files.window = json.integer("window", 2, kMaxTokenWindow);
  const auto added = json.json().find("added_tokens");
  if (added == json.json().end() || !added->is_array() || added->size() > kMaxAddedTokens + 1)
    fail(ErrorKind::kCorruptFile, json.origin(), "added_tokens must be a list of at most ",
         kMaxAddedTokens + 1);
  files.added_tokens.clear();
  for (const Json& entry : *added)
    files.added_tokens.push_back(read_added_token(entry, json.origin(), files.vocabulary_size));
  return files;
}

}  // namespace tintype
