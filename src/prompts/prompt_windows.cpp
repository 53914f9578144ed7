#include "prompts/prompt_windows.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

/// What takes one position of a window.
struct Slot {
  int32_t id = 0;
  float weight = 1.0f;
  std::optional<size_t> embedding = {};
  int64_t vector = 0;
};

/// Collects slots into windows.
class WindowWriter {
 public:
  explicit WindowWriter(const ClipTokenizer& tokenizer)
      : tokenizer_(tokenizer), capacity_(static_cast<size_t>(tokenizer.window() - 2)) {}

  size_t capacity() const { return capacity_; }
  size_t room() const { return capacity_ - slots_.size(); }
  size_t size() const { return slots_.size(); }
  bool began() const { return !slots_.empty() || result_.windows.empty(); }
  void add(const Slot& slot) { slots_.push_back(slot); }
  void add(std::span<const Slot> slots) { slots_.insert(slots_.end(), slots.begin(), slots.end()); }

  /// Closes the window before slot `kept`; the slots from there on begin the next.
  void next(size_t kept) {
    PromptWindow window{
        .ids = {tokenizer_.bos_id()}, .weights = {1.0f}, .words = static_cast<int64_t>(kept)};
    for (size_t i = 0; i < kept; ++i) {
      const Slot& slot = slots_[i];
      if (slot.embedding)
        result_.placements.push_back({static_cast<int64_t>(result_.windows.size()),
                                      static_cast<int64_t>(window.ids.size()), *slot.embedding,
                                      slot.vector});
      window.ids.push_back(slot.id);
      window.weights.push_back(slot.weight);
    }
    window.ids.push_back(tokenizer_.eos_id());
    window.ids.resize(capacity_ + 2, tokenizer_.pad_id());
    window.weights.resize(capacity_ + 2, 1.0f);
    result_.words += static_cast<int64_t>(kept);
    result_.windows.push_back(std::move(window));
    slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(kept));
  }
  void next() { next(slots_.size()); }

  PromptWindows take(bool truncated) {
    if (began()) next();
    result_.truncated = truncated;
    return std::move(result_);
  }

 private:
  const ClipTokenizer& tokenizer_;
  size_t capacity_;
  std::vector<Slot> slots_;
  PromptWindows result_;
};

/// The vectors of one embedding as slots.
std::vector<Slot> embedding_slots(const EmbeddingRegistry& registry, size_t index, float weight,
                                  size_t capacity) {
  const TextEmbedding& embedding = registry.embeddings()[index];
  if (static_cast<size_t>(embedding.vectors) > capacity)
    fail(ErrorKind::kUnsupported, printable(embedding.name), "an embedding must fit the ", capacity,
         " words of this encoder's window, got ", embedding.vectors, " vectors");
  std::vector<Slot> slots;
  for (int64_t v = 0; v < embedding.vectors; ++v)
    slots.push_back({.id = 0, .weight = weight, .embedding = index, .vector = v});
  return slots;
}

/// A fragment as units that matching found: a token, or an embedding's vectors.
std::vector<std::vector<Slot>> units_of(const ClipTokenizer& tokenizer,
                                        const PromptFragment& fragment,
                                        const WindowOptions& options,
                                        const EmbeddingMatcher* matcher, size_t capacity) {
  const std::vector<int32_t> ids = tokenizer.encode(fragment.text);
  std::vector<std::vector<Slot>> units;
  units.reserve(ids.size());
  for (size_t i = 0; i < ids.size();) {
    const auto match = matcher ? matcher->at(ids, i) : std::nullopt;
    if (match) {
      units.push_back(
          embedding_slots(*options.embeddings, match->embedding, fragment.weight, capacity));
      i += match->length;
    } else {
      units.push_back({{.id = ids[i++], .weight = fragment.weight}});
    }
  }
  return units;
}

std::optional<EmbeddingMatcher> matcher_of(const ClipTokenizer& tokenizer,
                                           const WindowOptions& options) {
  if (!options.embeddings || options.embeddings->embeddings().empty()) return {};
  return EmbeddingMatcher(*options.embeddings, tokenizer);
}

/// The slots of one id, which may be an embedding's.
std::vector<Slot> slots_of(int32_t id, const EmbeddingTokens* names) {
  const auto vectors = names ? names->of(id) : std::nullopt;
  if (!vectors) return {{.id = id}};
  std::vector<Slot> slots;
  for (int64_t v = vectors->first; v < vectors->first + vectors->count; ++v)
    slots.push_back(
        {.id = names->id_of(vectors->embedding, v), .embedding = vectors->embedding, .vector = v});
  return slots;
}

PromptWindows first_window(const ClipTokenizer& tokenizer,
                           const std::vector<PromptFragment>& fragments,
                           const WindowOptions& options) {
  WindowWriter writer(tokenizer);
  std::optional<EmbeddingTokens> names;
  if (options.embeddings && !options.embeddings->embeddings().empty())
    names.emplace(*options.embeddings, tokenizer);
  bool truncated = false;
  for (const PromptFragment& fragment : fragments) {
    for (const int32_t id : (names ? names->tokenizer() : tokenizer).encode(fragment.text)) {
      for (const Slot& slot : slots_of(id, names ? &*names : nullptr)) {
        truncated |= writer.room() == 0;
        if (writer.room() > 0) writer.add(slot);
      }
    }
  }
  return writer.take(truncated);
}

/// AUTOMATIC1111's cutting (modules/sd_hijack_clip.py, tokenize_line), also in what it does with a
/// comma that itself begins a window: it is not remembered. Differs from it: an embedding that
/// moves with a comma takes its vectors along.
PromptWindows windows_by_comma(const ClipTokenizer& tokenizer,
                               const std::vector<PromptFragment>& fragments,
                               const WindowOptions& options) {
  WindowWriter writer(tokenizer);
  const auto matcher = matcher_of(tokenizer, options);
  const std::vector<int32_t> comma_ids = tokenizer.encode(",");
  const int32_t comma = comma_ids.size() == 1 ? comma_ids[0] : -1;  // -1: no token is a comma
  const auto backtrack = static_cast<size_t>(std::max(options.comma_backtrack, 0));
  constexpr size_t kNoComma = static_cast<size_t>(-1);
  size_t last_comma = kNoComma;
  const auto next = [&](size_t kept) {
    writer.next(kept);
    last_comma = kNoComma;
  };
  for (const PromptFragment& fragment : fragments) {
    if (fragment.is_break) {
      next(writer.size());
      continue;
    }
    for (const auto& unit :
         units_of(tokenizer, fragment, options, matcher ? &*matcher : nullptr, writer.capacity())) {
      const bool is_comma = !unit[0].embedding && unit[0].id == comma;
      if (is_comma)
        last_comma = writer.size();
      else if (backtrack > 0 && writer.room() == 0 && last_comma != kNoComma &&
               writer.size() - last_comma <= backtrack)
        next(last_comma + 1);
      if (writer.room() == 0 || writer.room() < unit.size()) next(writer.size());
      writer.add(unit);
    }
  }
  return writer.take(false);
}

/// ComfyUI's words: cut at spaces and line ends only. `embedding:name`, also before commas, is an
/// embedding.
PromptWindows windows_by_word(const ClipTokenizer& tokenizer,
                              const std::vector<PromptFragment>& fragments,
                              const WindowOptions& options) {
  constexpr size_t kLongWord = 8;
  constexpr std::string_view kEmbedding = "embedding:";
  WindowWriter writer(tokenizer);
  const auto put = [&](std::span<const Slot> word) {
    const bool is_long = word.size() >= std::min(kLongWord, writer.capacity());
    while (word.size() > writer.room()) {
      const size_t fits = is_long ? writer.room() : 0;
      writer.add(word.first(fits));
      word = word.subspan(fits);
      writer.next();
    }
    writer.add(word);
  };
  const auto put_word = [&](std::string_view word, float weight) {
    if (options.embeddings && word.starts_with(kEmbedding)) {
      std::string_view name = word.substr(kEmbedding.size());
      const TextEmbedding* embedding = options.embeddings->find(name);
      if (!embedding) {
        name = name.substr(0, name.find_last_not_of(',') + 1);
        embedding = options.embeddings->find(name);
      }
      if (embedding) {
        put(embedding_slots(*options.embeddings, options.embeddings->index_of(*embedding), weight,
                            writer.capacity()));
        word.remove_prefix(kEmbedding.size() + name.size());
      }
    }
    std::vector<Slot> slots;
    for (const int32_t id : tokenizer.encode(word)) slots.push_back({.id = id, .weight = weight});
    put(slots);
  };
  for (const PromptFragment& fragment : fragments) {
    std::string_view rest = fragment.text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find_first_of(" \n"), rest.size());
      if (end > 0) put_word(rest.substr(0, end), fragment.weight);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return writer.take(false);
}

}  // namespace

bool PromptWindows::weighted() const {
  return std::any_of(windows.begin(), windows.end(), [](const PromptWindow& window) {
    return std::any_of(window.weights.begin(), window.weights.end(),
                       [](float weight) { return weight != 1.0f; });
  });
}

std::vector<int32_t> PromptWindows::all_ids() const {
  std::vector<int32_t> all;
  for (const PromptWindow& window : windows)
    all.insert(all.end(), window.ids.begin(), window.ids.end());
  return all;
}

std::vector<float> PromptWindows::all_weights() const {
  std::vector<float> all;
  for (const PromptWindow& window : windows)
    all.insert(all.end(), window.weights.begin(), window.weights.end());
  return all;
}

PromptWindows make_windows(const ClipTokenizer& tokenizer,
                           const std::vector<PromptFragment>& fragments,
                           const WindowOptions& options) {
  TT_REQUIRE(tokenizer.window() >= 3, "windows",
             "the tokenizer's window must have room for a word between BOS and EOS, got ",
             tokenizer.window());
  switch (options.syntax) {
    case PromptSyntax::kPlain:
      return first_window(tokenizer, fragments, options);
    case PromptSyntax::kA1111:
      return windows_by_comma(tokenizer, fragments, options);
    case PromptSyntax::kComfy:
      return windows_by_word(tokenizer, fragments, options);
  }
  fail(ErrorKind::kInternal, "windows", "unknown syntax");
}

PromptWindow empty_window(const ClipTokenizer& tokenizer) {
  WindowWriter writer(tokenizer);
  return writer.take(false).windows[0];
}

void pad_to_count(PromptWindows& windows, size_t count, const ClipTokenizer& tokenizer) {
  if (windows.windows.size() < count) windows.windows.resize(count, empty_window(tokenizer));
}

}  // namespace tintype
