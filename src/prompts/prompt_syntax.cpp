#include "prompts/prompt_syntax.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "prompts/number_text.h"
#include "prompts/prompt_schedule.h"
#include "tokenizers/clip_text.h"
#include "tokenizers/unicode_tables.h"

namespace tintype {
namespace {

constexpr double kUp = 1.1, kDown = 1 / 1.1;

double bounded(double weight) { return std::clamp(weight, -kMaxPromptWeight, kMaxPromptWeight); }

void add_text(std::vector<PromptFragment>& fragments, std::string_view text, float weight,
              bool merge) {
  if (text.empty()) return;
  if (merge && !fragments.empty() && !fragments.back().is_break &&
      fragments.back().weight == weight)
    fragments.back().text += text;
  else
    fragments.push_back({.text = std::string(text), .weight = weight});
}

bool is_word_letter(char32_t c) {
  return c == U'_' || unicode::is_letter(c) || unicode::is_number(c);
}

/// `text[begin, end)` stands between two places where \b of a regular expression matches.
bool is_whole_word(std::string_view text, size_t begin, size_t end) {
  size_t before = begin;
  while (before > 0 && begin - before < 4) {
    --before;
    if ((static_cast<unsigned char>(text[before]) & 0xC0) != 0x80) break;
  }
  if (begin > 0 && is_word_letter(decode_utf8(text.substr(before, begin - before)).back()))
    return false;
  return end == text.size() || !is_word_letter(decode_utf8(text.substr(end, 4)).front());
}

/// AUTOMATIC1111's weights and BREAK (modules/prompt_parser.py, parse_prompt_attention). Round and
/// square brackets are matched each among themselves, so (a [b) c] is allowed; what is open at the
/// end is closed there, what closes nothing is text. Differs from it: a backslash that escapes
/// nothing is text and not dropped; BREAK also works inside brackets; NaN cannot arise.
class EmphasisParser {
 public:
  explicit EmphasisParser(std::string_view text) : text_(text) {
    while (position_ < text_.size()) read_piece();
  }

  std::vector<PromptFragment> fragments() const {
    std::vector<PromptFragment> fragments;
    std::vector<double> round = {1.0}, square = {1.0};  // products of the open brackets
    for (const Piece& piece : pieces_) {
      std::vector<double>& products = piece.bracket == '(' ? round : square;
      switch (piece.kind) {
        case Piece::kText:
          add_text(fragments, piece.text, static_cast<float>(bounded(round.back() * square.back())),
                   true);
          break;
        case Piece::kBreak:
          fragments.push_back({.is_break = true});
          break;
        case Piece::kOpen:
          products.push_back(bounded(products.back() * piece.multiplier));
          break;
        case Piece::kClose:
          products.pop_back();
          break;
      }
    }
    return fragments;
  }

 private:
  struct Piece {
    enum Kind { kText, kBreak, kOpen, kClose } kind = kText;
    std::string_view text = {};
    char bracket = 0;         ///< '(' or '[', of either end
    double multiplier = 1.0;  ///< of an opening
  };

  void text(size_t length) {
    pieces_.push_back({.text = text_.substr(position_, length)});
    position_ += length;
  }

  void close(std::vector<size_t>& open, char bracket, size_t length) {
    if (open.empty()) return text(length);
    open.pop_back();
    pieces_.push_back({.kind = Piece::kClose, .bracket = bracket});
    position_ += length;
  }

  void open(std::vector<size_t>& open, char bracket, double multiplier) {
    open.push_back(pieces_.size());
    pieces_.push_back({.kind = Piece::kOpen, .bracket = bracket, .multiplier = multiplier});
    ++position_;
  }

  /// ":1.3)", white space allowed around the number.
  void colon() {
    constexpr std::string_view kNumber = "+-.0123456789";
    const std::string_view rest = text_.substr(position_ + 1);
    size_t end = std::min(rest.find_first_not_of(kPromptSpaces), rest.size());
    end = std::min(rest.find_first_not_of(kNumber, end), rest.size());
    end = std::min(rest.find_first_not_of(kPromptSpaces, end), rest.size());
    if (round_.empty() || end == rest.size() || rest[end] != ')') return text(1);
    const std::optional<double> weight = parse_number_text(rest.substr(0, end));
    if (!weight) return text(1);
    pieces_[round_.back()].multiplier = *weight;
    close(round_, '(', end + 2);
  }

  void run() {
    const size_t end = std::min(text_.find_first_of("\\()[]:", position_), text_.size());
    const std::string_view run = text_.substr(position_, end - position_);
    constexpr std::string_view kBreak = "BREAK";
    size_t begin = 0;
    for (size_t at = run.find(kBreak); at != run.npos; at = run.find(kBreak, at + kBreak.size())) {
      if (!is_whole_word(run, at, at + kBreak.size())) continue;
      const std::string_view before = run.substr(begin, at - begin);
      pieces_.push_back({.text = before.substr(0, before.find_last_not_of(kPromptSpaces) + 1)});
      pieces_.push_back({.kind = Piece::kBreak});
      begin = std::min(run.find_first_not_of(kPromptSpaces, at + kBreak.size()), run.size());
    }
    pieces_.push_back({.text = run.substr(begin)});
    position_ = end;
  }

  void read_piece() {
    switch (text_[position_]) {
      case '\\':
        if (position_ + 1 < text_.size() &&
            std::string_view("()[]\\").find(text_[position_ + 1]) != std::string_view::npos)
          ++position_;
        return text(1);
      case '(':
        return open(round_, '(', kUp);
      case '[':
        return open(square_, '[', kDown);
      case ')':
        return close(round_, '(', 1);
      case ']':
        return close(square_, '[', 1);
      case ':':
        return colon();
      default:
        return run();
    }
  }

  std::string_view text_;
  size_t position_ = 0;
  std::vector<Piece> pieces_;
  std::vector<size_t> round_, square_;  // pieces that open
};

/// ComfyUI's weights (comfy/sd1_clip.py, token_weights): a number sets the weight, whatever is
/// around it; unbalanced brackets are text. Differs from it: nesting beyond kMaxDepth is text,
/// where the reference fails; "nan" and "inf" are no numbers.
class ComfyParser {
 public:
  explicit ComfyParser(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const bool escape =
          text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '(' || text[i + 1] == ')');
      if (escape) ++i;
      units_ +=
          static_cast<char16_t>(static_cast<unsigned char>(text[i]) | (escape ? kEscaped : 0));
    }
    read(units_, 1.0, 0);
  }
  std::vector<PromptFragment> take() { return std::move(fragments_); }

 private:
  static constexpr int kMaxDepth = 200;
  static constexpr char16_t kEscaped = 0x100;  // bytes that are text whatever they look like

  static std::string bytes(std::u16string_view units) {
    std::string text(units.size(), '\0');
    std::transform(units.begin(), units.end(), text.begin(),
                   [](char16_t unit) { return static_cast<char>(unit & 0xFF); });
    return text;
  }

  void read(std::u16string_view text, double weight, int depth) {
    int64_t level = 0;
    size_t begin = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == u'(') {
        if (level++ != 0) continue;
        read_item(text.substr(begin, i - begin), weight, depth);
        begin = i;
      } else if (text[i] == u')' && --level == 0) {
        read_item(text.substr(begin, i + 1 - begin), weight, depth);
        begin = i + 1;
      }
    }
    read_item(text.substr(begin), weight, depth);
  }

  void read_item(std::u16string_view item, double weight, int depth) {
    const bool bracketed = item.size() >= 2 && item.front() == u'(' && item.back() == u')';
    if (!bracketed || depth == kMaxDepth)
      return add_text(fragments_, bytes(item), static_cast<float>(weight), false);
    item = item.substr(1, item.size() - 2);
    weight = bounded(weight * kUp);
    const size_t colon = item.rfind(u':');
    if (colon != item.npos && colon > 0) {
      if (const auto number = parse_number_text(bytes(item.substr(colon + 1)))) {
        weight = bounded(*number);
        item = item.substr(0, colon);
      }
    }
    read(item, weight, depth + 1);
  }

  std::u16string units_;
  std::vector<PromptFragment> fragments_;
};

}  // namespace

const std::vector<std::string>& prompt_syntax_names() {
  static const std::vector<std::string> names = {"plain", "a1111", "comfy"};
  return names;
}

PromptSyntax parse_prompt_syntax(std::string_view name) {
  if (name == "plain") return PromptSyntax::kPlain;
  if (name == "a1111") return PromptSyntax::kA1111;
  if (name == "comfy") return PromptSyntax::kComfy;
  fail(ErrorKind::kInvalidArgument, "prompt syntax", unknown_name(name, prompt_syntax_names()));
}

std::vector<PromptFragment> parse_fragments(std::string_view text, PromptSyntax syntax) {
  std::vector<PromptFragment> fragments;
  switch (syntax) {
    case PromptSyntax::kPlain:
      add_text(fragments, text, 1.0f, false);
      break;
    case PromptSyntax::kA1111:
      fragments = EmphasisParser(text).fragments();
      break;
    case PromptSyntax::kComfy:
      fragments = ComfyParser(text).take();
      break;
  }
  if (fragments.empty()) fragments.emplace_back();
  return fragments;
}

size_t PromptSchedule::variant_at(int step) const {
  for (const Stretch& stretch : stretches)
    if (step < stretch.until_step) return stretch.variant;
  return stretches.back().variant;
}

PromptSchedule parse_prompt(std::string_view text, PromptSyntax syntax, int steps) {
  PromptSchedule schedule;
  steps = std::max(steps, 1);
  if (syntax != PromptSyntax::kA1111) {
    schedule.variants.push_back({std::string(text), parse_fragments(text, syntax)});
    schedule.stretches.push_back({steps, 0});
    return schedule;
  }
  const EditedPrompt edited(text, steps);
  std::unordered_map<std::string, size_t> seen;
  for (const int until : edited.boundaries()) {
    const std::string variant_text = edited.at(until);
    const auto [entry, is_new] = seen.try_emplace(variant_text, schedule.variants.size());
    if (is_new) schedule.variants.push_back({variant_text, parse_fragments(variant_text, syntax)});
    if (!schedule.stretches.empty() && schedule.stretches.back().variant == entry->second)
      schedule.stretches.back().until_step = until;
    else
      schedule.stretches.push_back({until, entry->second});
  }
  return schedule;
}

}  // namespace tintype
