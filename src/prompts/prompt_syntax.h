/// What people write in prompts, read: weights, BREAK, escapes, editing and alternation. Text in,
/// fragments out; no tokens. Pure functions over any bytes: they never throw on text, never lose
/// any of it, and take time linear in it times the number of distinct steps.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

/// Whose rules hold. docs/prompts.md lists them side by side.
enum class PromptSyntax {
  kPlain,  ///< diffusers: every character is text
  kA1111,  ///< (up) (by:1.3) [down] BREAK [from:to:0.4] [a|b] and \( \) \[ \] \\.
  kComfy,  ///< (up) (to:1.3) and \( \)
};

/// "plain", "a1111", "comfy".
const std::vector<std::string>& prompt_syntax_names();
/// throws kInvalidArgument naming the nearest
PromptSyntax parse_prompt_syntax(std::string_view name);

/// Weights are kept inside +-kMaxPromptWeight, so that products of nested ones stay finite.
inline constexpr double kMaxPromptWeight = 1e6;
/// What callers should accept from a user: 1000 variants of it still fit in 64 MiB.
inline constexpr size_t kMaxPromptBytes = 64 << 10;

/// A run of text of one weight, or a BREAK between two windows.
struct PromptFragment {
  std::string text = {};
  float weight = 1.0f;
  bool is_break = false;  ///< then `text` is empty
  bool operator==(const PromptFragment&) const = default;
};

/// Weights and BREAK of one text, without editing and alternation. At least one fragment.
std::vector<PromptFragment> parse_fragments(std::string_view text, PromptSyntax syntax);

/// A prompt over the steps of one picture.
struct PromptSchedule {
  /// One distinct text: encode each once.
  struct Variant {
    std::string text;  ///< editing and alternation resolved, weights still written in
    std::vector<PromptFragment> fragments;
  };
  /// Steps after the previous stretch's end, up to and including `until_step`.
  struct Stretch {
    int until_step;  ///< 1..steps, rising; the last is `steps`
    size_t variant;  ///< neighbours differ
  };
  std::vector<Variant> variants;  ///< in order of first use
  std::vector<Stretch> stretches;

  /// The variant of step 0..steps-1.
  size_t variant_at(int step) const;
};

/// `steps` under 1 counts as 1.
PromptSchedule parse_prompt(std::string_view text, PromptSyntax syntax, int steps);

}  // namespace tintype
