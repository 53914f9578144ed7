#include "tokenizers/clip_files.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/text.h"

namespace tintype {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kClipWindow = 77;
constexpr std::string_view kEndOfWord = "</w>";

/// The names under which a config stores special tokens, in the order in which the reference adds
/// them: of two entries for one text the later decides how it matches.
constexpr std::array<std::string_view, 7> kSpecialNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

/// One token as a config file describes it.
struct TokenEntry {
  std::string content;
  bool is_text = false;            // a bare string, not an object
  std::optional<bool> normalized;  // unset: opposite of special, as it stands in the end
  bool special = false;
  bool lstrip = false, rstrip = false;

  bool operator==(const TokenEntry&) const = default;
};

/// The merged view of the config files.
struct Settings {
  std::map<std::string, TokenEntry, std::less<>> named;  // by config name, e.g. "pad_token"
  std::vector<TokenEntry> extra;
  std::map<int64_t, TokenEntry> decoder;  // added_tokens_decoder or what stands for it, by id
  bool has_decoder = false;               // tokenizer_config.json holds added_tokens_decoder
  int64_t window = kClipWindow;
};

std::string name_of(const fs::path& path) { return printable(path.string()); }

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

class Vocabulary {
 public:
  /// Checks that the ids are 0..n-1, each once. `tokens` must outlive this.
  Vocabulary(const Json& tokens, std::string origin)
      : tokens_(&tokens), origin_(std::move(origin)) {
    const JsonObject object(tokens, origin_);
    const size_t count = tokens_->size();
    if (count == 0 || count > kMaxVocabulary) {
      fail(ErrorKind::kCorruptFile, origin_, "vocabulary must have 1..", kMaxVocabulary,
           " tokens, got ", count);
    }
    std::vector<bool> seen(count, false);
    for (const auto& [token, value] : tokens_->items()) {
      const int64_t id = object.integer(token, 0, static_cast<int64_t>(count) - 1);
      if (seen[static_cast<size_t>(id)]) {
        fail(ErrorKind::kCorruptFile, origin_, "each id must belong to one token, got ", id,
             " twice, the second time for \"", printable(token, 60), "\"");
      }
      seen[static_cast<size_t>(id)] = true;
    }
  }

  std::optional<int32_t> find(std::string_view token) const {
    const auto at = tokens_->find(token);
    if (at == tokens_->end()) return std::nullopt;
    return static_cast<int32_t>(at->get<int64_t>());
  }

  size_t size() const { return tokens_->size(); }
  const std::string& origin() const { return origin_; }

 private:
  const Json* tokens_;
  std::string origin_;
};

/// Collects checked merges; `place` says where one stands ("line 7").
class MergeList {
 public:
  MergeList(const Vocabulary& vocabulary, std::string origin)
      : vocabulary_(vocabulary), origin_(std::move(origin)) {}

  void add(std::string_view left, std::string_view right, const std::string& place) {
    if (merges_.size() >= kMaxMerges) {
      fail(ErrorKind::kCorruptFile, origin_, "must have at most ", kMaxMerges, " merges, got more");
    }
    const int32_t left_id = id_of(left, place);
    const int32_t right_id = id_of(right, place);
    const int32_t result = id_of(std::string(left) + std::string(right), place);
    merges_.push_back({left_id, right_id, result, static_cast<uint32_t>(merges_.size())});
  }

  /// "left right", one space.
  void add_line(std::string_view line, const std::string& place) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      fail(ErrorKind::kCorruptFile, origin_, place, " must be two tokens and one space, got \"",
           printable(line, 60), "\"");
    }
    add(line.substr(0, space), line.substr(space + 1), place);
  }

  std::vector<BpeMerge> take() { return std::move(merges_); }

 private:
  int32_t id_of(std::string_view token, const std::string& place) const {
    const auto id = vocabulary_.find(token);
    if (!id) {
      fail(ErrorKind::kCorruptFile, origin_, place, " must only name or form tokens of ",
           vocabulary_.origin(), ", got \"", printable(token, 60),
           "\"; the two files may come from different models");
    }
    return *id;
  }

  const Vocabulary& vocabulary_;
  std::string origin_;
  std::vector<BpeMerge> merges_;
};

std::vector<BpeMerge> merges_of_text(const Vocabulary& vocabulary, std::string_view text,
                                     const std::string& origin) {
  MergeList list(vocabulary, origin);
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    // Only this header is a comment: "# #" is a merge of the real vocabulary.
    if (line.starts_with("#version")) continue;
    list.add_line(line, cat("line ", line_number));
  }
  return list.take();
}

std::vector<BpeMerge> merges_of_json(const Vocabulary& vocabulary, const Json& merges,
                                     const std::string& origin) {
  if (!merges.is_array()) {
    fail(ErrorKind::kCorruptFile, origin, "model.merges must be a list, got ", merges.type_name());
  }
  MergeList list(vocabulary, origin);
  for (size_t i = 0; i < merges.size(); ++i) {
    const Json& merge = merges[i];
    const std::string place = cat("model.merges[", i, "]");
    if (merge.is_string()) {
      list.add_line(merge.get_ref<const std::string&>(), place);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      list.add(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(),
               place);
    } else {
      fail(ErrorKind::kCorruptFile, origin, place, " must be \"left right\" or [left, right], got ",
           printable(merge.dump(-1, ' ', true, Json::error_handler_t::replace), 60));
    }
  }
  return list.take();
}

/// `special`: what the reference makes of the token whatever the file says; unset: the file
/// decides. A special token is matched verbatim unless its object says "normalized".
TokenEntry token_entry(const Json& value, std::string_view key, const std::string& origin,
                       std::optional<bool> special) {
  TokenEntry entry;
  if (value.is_string()) {
    entry.content = value.get<std::string>();
    entry.is_text = true;
    entry.special = true;
    return entry;
  }
  if (!value.is_object()) {
    fail(ErrorKind::kCorruptFile, origin, key, " must be a string or an object with \"content\"",
         ", got ", value.type_name());
  }
  const JsonObject object(value, cat(origin, ": ", key));
  entry.content = object.text("content");
  entry.special = special ? *special : object.boolean("special", false);
  if (object.has("normalized")) entry.normalized = object.boolean("normalized", false);
  entry.lstrip = object.boolean("lstrip", false);
  entry.rstrip = object.boolean("rstrip", false);
  if (object.boolean("single_word", false)) {
    fail(ErrorKind::kUnsupported, origin, key, " must have single_word false, got true for \"",
         printable(entry.content, 60), "\"");
  }
  return entry;
}

/// What would make the reference produce other ids from the same vocabulary.
void refuse_unknown_options(const JsonObject& config, bool has_tokenizer_json) {
  const std::string name = config.text("tokenizer_class", "CLIPTokenizer");
  if (name != "CLIPTokenizer" && name != "CLIPTokenizerFast") {
    fail(ErrorKind::kUnsupported, config.origin(), "tokenizer_class must be CLIPTokenizer, got \"",
         printable(name, 60), "\"");
  }
  for (const std::string_view side : {"padding_side", "truncation_side"}) {
    if (const std::string value = config.text(side, "right"); value != "right") {
      fail(ErrorKind::kUnsupported, config.origin(), side, " must be right, got \"",
           printable(value, 60), "\"");
    }
  }
  if (config.boolean("split_special_tokens", false)) {
    fail(ErrorKind::kUnsupported, config.origin(), "split_special_tokens must be false, got true");
  }
  // Naming one of the two switches the other off; beside a tokenizer.json both are ignored.
  const bool names_ends = config.has("add_bos_token") || config.has("add_eos_token");
  const bool wants_ends =
      config.boolean("add_bos_token", false) && config.boolean("add_eos_token", false);
  if (names_ends && !wants_ends && !has_tokenizer_json) {
    fail(ErrorKind::kUnsupported, config.origin(),
         "add_bos_token and add_eos_token must both be true or absent, got another setting");
  }
}

/// model_max_length, but 77 where it is absent or the 1e30 by which the reference says "unknown".
int64_t window_of(const JsonObject& config) {
  const double length = config.number("model_max_length", -1e300, 1e300, kClipWindow);
  if (length > kMaxTokenWindow) return kClipWindow;
  return config.integer("model_max_length", 3, kMaxTokenWindow, kClipWindow);
}

void read_named_tokens(const JsonObject& config, std::optional<bool> special, Settings& settings) {
  for (const std::string_view name : kSpecialNames) {
    if (!config.has(name)) continue;
    settings.named[std::string(name)] =
        token_entry(config.json().at(std::string(name)), name, config.origin(), special);
  }
  for (const auto& [key, value] : config.json().items()) {
    const bool names_token = key.ends_with("_token") && (value.is_string() || value.is_object());
    if (names_token &&
        std::find(kSpecialNames.begin(), kSpecialNames.end(), key) == kSpecialNames.end()) {
      fail(ErrorKind::kUnsupported, config.origin(), "special tokens must be bos, eos, unk, sep, ",
           "pad, cls or mask_token, got \"", printable(key, 60), "\"");
    }
  }
  for (const std::string_view name : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!config.has(name)) continue;
    const Json& list = config.json().at(std::string(name));
    if (list.is_object() && list.empty()) continue;  // how newer versions write "none"
    if (!list.is_array() || list.size() > kMaxAddedTokens) {
      fail(ErrorKind::kUnsupported, config.origin(), name, " must be a list of at most ",
           kMaxAddedTokens, " tokens, got ", list.type_name(), " of ", list.size());
    }
    for (const Json& item : list) {
      TokenEntry entry = token_entry(item, name, config.origin(), special);
      const bool known =
          std::find(settings.extra.begin(), settings.extra.end(), entry) != settings.extra.end();
      if (!known) settings.extra.push_back(std::move(entry));
    }
  }
}

void add_to_decoder(Settings& settings, int64_t id, TokenEntry entry, const std::string& origin) {
  if (settings.decoder.size() >= kMaxAddedTokens) {
    fail(ErrorKind::kCorruptFile, origin, "must add at most ", kMaxAddedTokens,
         " tokens, got more");
  }
  settings.decoder[id] = std::move(entry);
}

void read_tokens_decoder(const JsonObject& config, Settings& settings) {
  const std::string origin = cat(config.origin(), ": added_tokens_decoder");
  const JsonObject decoder(config.json().at("added_tokens_decoder"), origin);
  for (const auto& [key, value] : decoder.json().items()) {
    const bool is_id =
        !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!is_id || !value.is_object()) {
      fail(ErrorKind::kCorruptFile, origin, "must map ids to objects, got \"", printable(key, 60),
           "\": ", value.type_name());
    }
    add_to_decoder(settings, std::stoll(key), token_entry(value, key, origin, std::nullopt),
                   origin);
  }
}

/// added_tokens of a parsed tokenizer.json.
void read_added_tokens(const Json& tokenizer, const std::string& origin, Settings& settings) {
  const auto list = tokenizer.find("added_tokens");
  if (list == tokenizer.end() || list->is_null()) return;
  if (!list->is_array()) {
    fail(ErrorKind::kCorruptFile, origin, "added_tokens must be a list, got ", list->type_name());
  }
  for (const Json& item : *list) {
    const int64_t id = JsonObject(item, cat(origin, ": added_tokens"))
                           .integer("id", 0, static_cast<int64_t>(kMaxVocabulary));
    add_to_decoder(settings, id, token_entry(item, "added_tokens", origin, std::nullopt), origin);
  }
}

/// tokenizer_config.json, which may be absent, over the reference's defaults.
Settings read_config(const fs::path& folder) {
  Settings settings;
  for (const std::string_view name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    TokenEntry entry;
    entry.content = name == "bos_token" ? "<|startoftext|>" : "<|endoftext|>";
    entry.is_text = entry.special = true;
    settings.named[std::string(name)] = entry;
  }
  const fs::path path = folder / "tokenizer_config.json";
  if (!is_there(path)) return settings;
  const Json json = read_json_file(path);
  const JsonObject config(json, path.string());
  refuse_unknown_options(config, is_there(folder / "tokenizer.json"));
  settings.window = window_of(config);
  read_named_tokens(config, std::nullopt, settings);
  settings.has_decoder = config.has("added_tokens_decoder");
  if (settings.has_decoder) read_tokens_decoder(config, settings);
  return settings;
}

/// What the older files add when the config has no added_tokens_decoder.
void read_older_files(const fs::path& folder, const std::optional<Json>& tokenizer,
                      Settings& settings) {
  if (const fs::path path = folder / "special_tokens_map.json"; is_there(path)) {
    const Json json = read_json_file(path);
    read_named_tokens(JsonObject(json, path.string()), true, settings);
  }
  if (is_there(folder / "added_tokens.json")) {
    fail(ErrorKind::kUnsupported, name_of(folder / "added_tokens.json"),
         "must be absent, got a file; tokens beyond the vocabulary are not supported");
  }
  if (tokenizer) read_added_tokens(*tokenizer, name_of(folder / "tokenizer.json"), settings);
}

/// The reference's order of adding: the decoder's tokens by id, then the named ones that the
/// decoder lacks, then the extra ones. The last entry for a text decides how it matches.
std::vector<AddedToken> added_tokens(const Settings& settings, const Vocabulary& vocabulary) {
  std::vector<TokenEntry> entries;
  std::set<std::string, std::less<>> in_decoder, named;
  for (const auto& [id, entry] : settings.decoder) {
    if (vocabulary.find(entry.content) != std::optional<int32_t>(static_cast<int32_t>(id))) {
      fail(ErrorKind::kUnsupported, vocabulary.origin(), "must have the added token \"",
           printable(entry.content, 60), "\" at id ", id,
           ", got another id or none; tokens beyond the vocabulary are not supported");
    }
    entries.push_back(entry);
    in_decoder.insert(entry.content);
  }
  const auto add = [&](const TokenEntry& entry) {
    const bool known = std::find(entries.begin(), entries.end(), entry) != entries.end();
    if (!known && !in_decoder.contains(entry.content)) entries.push_back(entry);
  };
  for (const std::string_view name : kSpecialNames) {
    const auto at = settings.named.find(name);
    if (at == settings.named.end()) continue;
    add(at->second);
    named.insert(at->second.content);
  }
  for (const TokenEntry& entry : settings.extra) add(entry);

  std::vector<AddedToken> tokens;
  for (const TokenEntry& entry : entries) {
    const auto id = vocabulary.find(entry.content);
    if (!id) {
      fail(ErrorKind::kCorruptFile, vocabulary.origin(), "must hold the special token \"",
           printable(entry.content, 60),
           "\", got none; the config may belong to another vocabulary");
    }
    if (entry.content.size() > kMaxAddedTokenBytes) {
      fail(ErrorKind::kCorruptFile, vocabulary.origin(), "special tokens must be at most ",
           kMaxAddedTokenBytes, " bytes, got ", entry.content.size());
    }
    // lstrip and rstrip would also take the white space beside the token: it has no ids anyway.
    const bool special = entry.special || named.contains(entry.content);
    const AddedToken token{entry.content, *id, entry.normalized.value_or(!special)};
    const auto same = std::find_if(tokens.begin(), tokens.end(),
                                   [&](const AddedToken& t) { return t.content == token.content; });
    if (same != tokens.end()) {
      *same = token;
    } else if (!token.content.empty()) {
      tokens.push_back(token);
    }
  }
  return tokens;
}

BytePairEncoder::Alphabet alphabet_of(const Vocabulary& vocabulary, int32_t unknown_id) {
  BytePairEncoder::Alphabet alphabet{};
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string symbol = byte_symbol(static_cast<uint8_t>(byte));
    alphabet.inner[byte] = vocabulary.find(symbol).value_or(unknown_id);
    alphabet.last[byte] = vocabulary.find(symbol + std::string(kEndOfWord)).value_or(unknown_id);
  }
  return alphabet;
}

/// The vocabulary and merges inside a parsed tokenizer.json.
const Json& bpe_model(const Json& tokenizer, const std::string& origin) {
  const auto model = tokenizer.find("model");
  if (model == tokenizer.end() || !model->is_object() || !model->contains("vocab") ||
      !model->contains("merges")) {
    fail(ErrorKind::kCorruptFile, origin, "must have model.vocab and model.merges, got neither");
  }
  if (const std::string type = JsonObject(*model, origin + ": model").text("type", "BPE");
      type != "BPE") {
    fail(ErrorKind::kUnsupported, origin, "model.type must be BPE, got \"", printable(type, 60),
         "\"");
  }
  return *model;
}

}  // namespace

ClipFiles read_clip_files(const fs::path& folder) {
  const fs::path vocab_path = folder / "vocab.json", merges_path = folder / "merges.txt";
  const fs::path tokenizer_path = folder / "tokenizer.json";
  Settings settings = read_config(folder);

  const bool has_tokenizer = is_there(tokenizer_path);
  const bool in_one_file = has_tokenizer && !is_there(vocab_path) && !is_there(merges_path);
  std::optional<Json> tokenizer;
  if (in_one_file || (has_tokenizer && !settings.has_decoder)) {
    tokenizer = read_json_file(tokenizer_path);
    JsonObject(*tokenizer, tokenizer_path.string());  // throws unless it is an object
  }
  if (!settings.has_decoder) read_older_files(folder, tokenizer, settings);

  const std::string tokenizer_name = name_of(tokenizer_path);
  const Json* model = in_one_file ? &bpe_model(*tokenizer, tokenizer_name) : nullptr;
  const Json tokens = in_one_file ? model->at("vocab") : read_json_file(vocab_path);
  const Vocabulary vocabulary(tokens, in_one_file ? tokenizer_name : name_of(vocab_path));

  ClipFiles files;
  files.vocabulary_size = static_cast<int64_t>(vocabulary.size());
  files.added_tokens = added_tokens(settings, vocabulary);
  const auto id_of = [&](std::string_view name) {  // there: added_tokens has looked each up
    return vocabulary.find(settings.named.find(name)->second.content).value();
  };
  files.bos_id = id_of("bos_token");
  files.eos_id = id_of("eos_token");
  files.pad_id = id_of("pad_token");
  files.window = settings.window;
  files.alphabet = alphabet_of(vocabulary, id_of("unk_token"));
  files.merges =
      in_one_file ? merges_of_json(vocabulary, model->at("merges"), tokenizer_name)
                  : merges_of_text(vocabulary, read_text_file(merges_path), name_of(merges_path));
  return files;
}

}  // namespace tintype
