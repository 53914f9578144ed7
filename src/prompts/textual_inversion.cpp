#include "prompts/textual_inversion.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "tensor/float16.h"
#include "tokenizers/clip_text.h"
#include "weights/find_by_name.h"
#include "weights/pickle_refusal.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

/// throws kCorruptFile: a value that is not finite
std::vector<float> to_floats(const Tensor& tensor, const std::string& origin) {
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  if (tensor.dtype() == DType::kF32) {
    std::memcpy(values.data(), tensor.bytes(), tensor.nbytes());
  } else {
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t bits = 0;
      std::memcpy(&bits, tensor.bytes() + 2 * i, 2);
      values[i] = tensor.dtype() == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
  }
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
    fail(ErrorKind::kCorruptFile, origin,
         "an embedding must be made of numbers, got NaN or "
         "infinity; training may have diverged");
  return values;
}

/// Text as names are compared: what no tokenizer rule can tell apart is equal.
std::string comparable(std::string_view text) {
  std::u32string normalized = clip_normalize(decode_utf8(text));
  std::erase(normalized, U' ');
  return encode_utf8(normalized);
}

}  // namespace

MentionedNames::MentionedNames(const std::vector<std::string_view>& texts) {
  size_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size();
  everything_ = bytes > kMaxBytes;
  if (everything_) return;
  for (const std::string_view text : texts) texts_ += comparable(text) + '\n';
}

bool MentionedNames::may_hold(std::string_view name) const {
  return everything_ || texts_.find(comparable(name)) != std::string::npos;
}

/// The tensor for this encoder. Adds the alias that its name is.
const TensorSource::Entry& EmbeddingRegistry::pick(const TensorSource& source,
                                                   TextEmbedding& embedding) const {
  const auto entries = source.entries();
  const auto* first = find_by_name(entries, "clip_l");
  const auto* second = find_by_name(entries, "clip_g");
  const TensorSource::Entry* entry = nullptr;
  if (first || second) {
    entry = options_.slot == EmbeddingSlot::kFirst ? first : second;
    if (!entry)
      fail(ErrorKind::kUnsupported, source.origin(), "an embedding for this encoder must hold ",
           options_.slot == EmbeddingSlot::kFirst ? "clip_l" : "clip_g", ", got only ",
           first ? "clip_l" : "clip_g", "; it was made for another model family");
    if (first && second && first->shape.rank() == 2 && second->shape.rank() == 2 &&
        first->shape[0] != second->shape[0])
      fail(ErrorKind::kCorruptFile, source.origin(),
           "clip_l and clip_g must hold equally many vectors, got ", first->shape, " and ",
           second->shape);
  } else if (entry = find_by_name(entries, "emb_params"); !entry && entries.size() == 1) {
    entry = &entries[0];
    if (entry->name != embedding.name && !entry->name.empty())
      embedding.aliases.push_back(entry->name);
  }
  if (!entry)
    fail(ErrorKind::kUnsupported, source.origin(),
         "a textual inversion must hold emb_params, clip_l and clip_g, or one tensor, got ",
         entries.size(), " readable tensors",
         entries.empty() ? "" : cat(", the first \"", printable(entries[0].name, 80), "\""),
         "; this may be another kind of file (LoRA, checkpoint)");
  const Shape& shape = entry->shape;
  if (shape.rank() < 1 || shape.rank() > 2 || shape[-1] != options_.width)
    fail(ErrorKind::kUnsupported, source.origin(), "tensor ", printable(entry->name, 80),
         " must be [n,", options_.width, "] for this text encoder, got ", shape,
         "; it may have been made for another model family");
  embedding.vectors = shape.rank() == 2 ? shape[0] : 1;
  if (embedding.vectors < 1 || embedding.vectors > kMaxVectors)
    fail(ErrorKind::kUnsupported, source.origin(), "an embedding must have 1..", kMaxVectors,
         " vectors, got ", embedding.vectors);
  if (entry->dtype != DType::kF32 && entry->dtype != DType::kF16 && entry->dtype != DType::kBF16)
    fail(ErrorKind::kUnsupported, source.origin(), "tensor ", printable(entry->name, 80),
         " must be f32, f16 or bf16, got ", entry->dtype);
  return *entry;
}

bool EmbeddingRegistry::is_mentioned(const TextEmbedding& embedding) const {
  const std::optional<MentionedNames>& mentioned = options_.mentioned;
  return !mentioned || mentioned->may_hold(embedding.name) ||
         std::any_of(embedding.aliases.begin(), embedding.aliases.end(),
                     [&](const std::string& alias) { return mentioned->may_hold(alias); });
}

void EmbeddingRegistry::add_file(const fs::path& file) {
  if (has_pickle_suffix(file)) fail_pickled(file);
  const auto source = open_safetensors(file);
  TextEmbedding embedding{.name = file.stem().string(), .aliases = {}, .vectors = 0, .values = {}};
  const TensorSource::Entry& entry = pick(*source, embedding);
  if (!is_mentioned(embedding)) return;
  const size_t bytes = static_cast<size_t>(entry.shape.numel()) * sizeof(float);
  if (bytes_ + bytes > kMaxBytes)
    fail(ErrorKind::kOutOfMemory, source->origin(), "all embeddings must take at most ",
         kMaxBytes >> 20, " MiB, got more with this one; give a folder with fewer");
  embedding.values = to_floats(source->read(entry), source->origin());
  if (find(embedding.name))
    fail(ErrorKind::kInvalidArgument, printable(file.string()),
         "an embedding's name must be its own, got \"", printable(embedding.name), "\" again");
  names_.emplace(embedding.name, embeddings_.size());
  // An alias never takes over a name.
  std::erase_if(embedding.aliases, [&](const std::string& alias) {
    return !names_.emplace(alias, embeddings_.size()).second;
  });
  bytes_ += bytes;
  embeddings_.push_back(std::move(embedding));
}

void EmbeddingRegistry::add_folder(const fs::path& folder) {
  std::error_code status;
  std::vector<fs::path> files;
  fs::directory_iterator entry(folder, status);
  if (status)
    fail(status == std::errc::no_such_file_or_directory ? ErrorKind::kNotFound : ErrorKind::kIo,
         printable(folder.string()), "must be a folder of embeddings, got ", status.message());
  for (; entry != fs::directory_iterator(); entry.increment(status)) {
    if (status) break;
    const fs::path& file = entry->path();
    if (file.extension() == ".safetensors" || has_pickle_suffix(file)) files.push_back(file);
    if (files.size() > kMaxFilesPerFolder)
      fail(ErrorKind::kUnsupported, printable(folder.string()), "must hold at most ",
           kMaxFilesPerFolder, " embeddings, got more");
  }
  if (status)
    fail(ErrorKind::kIo, printable(folder.string()), "must be readable, got ", status.message());
  std::sort(files.begin(), files.end());  // so that of two equal names always the same one counts
  for (const fs::path& file : files) {
    try {
      add_file(file);
    } catch (const Error& error) {
      if (!options_.mentioned || options_.mentioned->may_hold(file.stem().string()))
        skipped_.push_back(error.what());
    }
  }
}

void EmbeddingRegistry::add(const fs::path& path) {
  std::error_code status;
  fs::is_directory(path, status) ? add_folder(path) : add_file(path);
}

const TextEmbedding* EmbeddingRegistry::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &embeddings_[found->second];
}

std::span<const float> EmbeddingRegistry::vector(size_t embedding, int64_t index) const {
  const TextEmbedding& e = embeddings_.at(embedding);
  TT_REQUIRE(index >= 0 && index < e.vectors, "embedding", "vector must be in 0..", e.vectors - 1,
             ", got ", index);
  return std::span(e.values).subspan(static_cast<size_t>(index * options_.width),
                                     static_cast<size_t>(options_.width));
}

EmbeddingTokens::EmbeddingTokens(const EmbeddingRegistry& registry, const ClipTokenizer& tokenizer)
    : tokenizer_(tokenizer) {
  auto next = static_cast<int32_t>(tokenizer.vocabulary_size());
  std::vector<ClipTokenizer::AddedText> added;
  for (const TextEmbedding& embedding : registry.embeddings()) {
    first_ids_.push_back(next);
    std::vector<std::string> names = {embedding.name};
    names.insert(names.end(), embedding.aliases.begin(), embedding.aliases.end());
    for (const std::string& name : names) {
      added.push_back({name, next});
      for (int32_t v = 1; v < embedding.vectors; ++v)
        added.push_back({cat(name, "_", v), next + v});
    }
    next += static_cast<int32_t>(embedding.vectors);
  }
  first_ids_.push_back(next);
  tokenizer_ = tokenizer.with_added_texts(added);
}

std::optional<EmbeddingTokens::Vectors> EmbeddingTokens::of(int32_t id) const {
  if (id < first_ids_.front() || id >= first_ids_.back()) return {};
  const auto after = std::upper_bound(first_ids_.begin(), first_ids_.end(), id);
  const auto embedding = static_cast<size_t>(after - first_ids_.begin()) - 1;
  const int64_t first = id - first_ids_[embedding];
  return Vectors{embedding, first, first == 0 ? *after - id : 1};
}

EmbeddingMatcher::EmbeddingMatcher(const EmbeddingRegistry& registry,
                                   const ClipTokenizer& tokenizer) {
  const auto add = [&](const std::string& text, size_t embedding) {
    std::vector<int32_t> ids = tokenizer.encode(text);
    if (!ids.empty()) by_first_id_[ids[0]].push_back({std::move(ids), embedding});
  };
  for (size_t i = 0; i < registry.embeddings().size(); ++i) {
    const TextEmbedding& embedding = registry.embeddings()[i];
    add(embedding.name, i);
    add("embedding:" + embedding.name, i);
    for (const std::string& alias : embedding.aliases) add(alias, i);
  }
  for (auto& [first, patterns] : by_first_id_)
    std::stable_sort(patterns.begin(), patterns.end(), [](const Pattern& a, const Pattern& b) {
      return a.ids.size() > b.ids.size();
    });
}

std::optional<EmbeddingMatcher::Match> EmbeddingMatcher::at(std::span<const int32_t> ids,
                                                            size_t position) const {
  const auto patterns = by_first_id_.find(ids[position]);
  if (patterns == by_first_id_.end()) return {};
  const auto rest = ids.subspan(position);
  for (const Pattern& pattern : patterns->second) {
    if (pattern.ids.size() <= rest.size() &&
        std::equal(pattern.ids.begin(), pattern.ids.end(), rest.begin()))
      return Match{pattern.embedding, pattern.ids.size()};
  }
  return {};
}

}  // namespace tintype
