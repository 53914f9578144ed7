/// The examples of docs/prompts.md are what the parser says.
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "prompts/prompt_syntax.h"

namespace tintype {
namespace {

std::string shown(const std::vector<PromptFragment>& fragments) {
  std::string out;
  for (const PromptFragment& fragment : fragments) {
    out += out.empty() ? "" : ", ";
    out += fragment.is_break ? "BREAK" : cat('"', fragment.text, "\" ", fragment.weight);
  }
  return out;
}

std::string shown(const PromptSchedule& schedule) {
  std::string out;
  for (const auto& stretch : schedule.stretches)
    out += cat(out.empty() ? "" : ", ", stretch.until_step, " \"",
               schedule.variants[stretch.variant].text, '"');
  return out;
}

TEST(PromptDocs, ExamplesAreTrue) {
  std::istringstream lines(read_text_file(TT_SOURCE_DIR "/docs/prompts.md"));
  std::string block;
  int examples = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      block = line.substr(3);
      continue;
    }
    const size_t arrow = line.find(" => ");
    if (block.empty() || arrow == std::string::npos) continue;
    const std::string prompt = line.substr(0, line.find_last_not_of(' ', arrow) + 1);
    const std::string expected = line.substr(arrow + 4);
    EXPECT_EQ(block == "schedule" ? shown(parse_prompt(prompt, PromptSyntax::kA1111, 10))
                                  : shown(parse_fragments(prompt, parse_prompt_syntax(block))),
              expected)
        << prompt;
    ++examples;
  }
  EXPECT_GT(examples, 15);
}

}  // namespace
}  // namespace tintype
