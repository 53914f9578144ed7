/// A prompt of any bytes: it is never refused, no text is lost, every weight is finite, and the
/// schedule covers the steps. The first byte chooses the number of steps.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/fuzz_check.h"
#include "prompts/prompt_syntax.h"

namespace tintype {
namespace {

/// Letters that are part of no syntax.
std::string letters(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (std::string_view("()[]\\:|+-.eE0123456789 \t\n\r\f\v").find(c) == std::string_view::npos)
      out += c;
  return out;
}

std::string joined(const std::vector<PromptFragment>& fragments) {
  std::string out;
  fuzz::require(!fragments.empty(), "at least one fragment");
  for (const PromptFragment& fragment : fragments) {
    fuzz::require(std::isfinite(fragment.weight) && std::fabs(fragment.weight) <= kMaxPromptWeight,
                  "weights are bounded");
    fuzz::require(!fragment.is_break || fragment.text.empty(), "a BREAK has no text");
    out += fragment.is_break ? "BREAK" : fragment.text;
  }
  return out;
}

void check_fragments(std::string_view text) {
  fuzz::require(joined(parse_fragments(text, PromptSyntax::kPlain)) == text, "plain text is kept");
  for (const PromptSyntax syntax : {PromptSyntax::kA1111, PromptSyntax::kComfy}) {
    const std::string out = joined(parse_fragments(text, syntax));
    fuzz::require(out.size() <= text.size(), "nothing is added");
    fuzz::require(letters(out) == letters(text), "no text is lost");
  }
}

void check_schedule(std::string_view text, int steps) {
  const PromptSchedule schedule = parse_prompt(text, PromptSyntax::kA1111, steps);
  int until = 0;
  size_t previous = schedule.variants.size();
  for (const PromptSchedule::Stretch& stretch : schedule.stretches) {
    fuzz::require(stretch.until_step > until, "stretches follow each other");
    fuzz::require(stretch.variant < schedule.variants.size(), "stretches have a text");
    fuzz::require(stretch.variant != previous, "neighbours differ");
    until = stretch.until_step;
    previous = stretch.variant;
  }
  fuzz::require(until == steps, "the last step has a text");
  for (const PromptSchedule::Variant& variant : schedule.variants) {
    fuzz::require(variant.text.size() <= text.size(), "no text is longer than the prompt");
    fuzz::require(variant.fragments == parse_fragments(variant.text, PromptSyntax::kA1111),
                  "fragments are those of the text");
  }
  if (text.find('[') == std::string_view::npos)
    fuzz::require(schedule.variants[0].text == text, "without brackets nothing changes");
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  tintype::check_fragments(text);
  tintype::check_schedule(text, data[0] % 50 + 1);
  return 0;
}
