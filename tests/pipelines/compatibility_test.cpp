// docs/compatibility.md lists what is accepted; this test writes it from the tables that decide.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "pipelines/diffusion_model.h"
#include "pipelines/noise.h"
#include "prompts/prompt_syntax.h"
#include "tintype/text_to_image.h"

namespace tintype {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += cat(text.empty() ? "" : ", ", "`", name, "`");
  return text;
}

/// A name table as a Markdown table; '|' in an alias would end its cell.
std::string rows(const std::vector<SamplerName>& table, bool samplers) {
  std::string text;
  for (const SamplerName& entry : table) {
    text += cat("| `", entry.name, "` | ", entry.label, " | ", joined(entry.aliases), " |");
    if (samplers) text += entry.takes_scheduler ? " yes |" : " no |";
    text += "\n";
  }
  return text;
}

std::string page() {
  std::string text =
      "# What is accepted\n\nWritten by `compatibility_test` from the program's own tables "
      "(`TT_UPDATE_DOCS=1\nbuild/cpu/tests/pipelines/compatibility_test`).\n\n"
      "## Pipelines\n\n`_class_name` of a diffusers folder's `model_index.json`:\n\n";
  for (const std::string& name : PipelineTraits::class_names()) text += cat("- `", name, "`\n");
  text +=
      "\nNetworks with mask channels are for `tintype inpaint`; text to image and image to image "
      "refuse\nthem by name. Inpainting takes every network.\n"
      "Single files in the original layout (SD 1.x, 2.x, XL, XL refiner; safetensors or GGUF) are "
      "recognised\nby their tensors' names; `tests/fixtures/keys` holds the full lists that a "
      "test maps.\n\n## Samplers\n\nNames count whatever their case, spaces, hyphens and "
      "underscores. A sampler's name may end in a\nscheduler's, as A1111 and galleries write it: "
      "`DPM++ 2M Karras`, `k_dpmpp_2m_ka`.\n\n| name | label | also known as | takes a scheduler "
      "|\n|---|---|---|---|\n";
  text += rows(sampler_table(), true);
  text += "\n## Schedulers\n\n| name | label | also known as |\n|---|---|---|\n";
  text += rows(scheduler_table(), false);
  text += cat("\n## Prompts and noise\n\n- `--syntax`: ", joined(prompt_syntax_names()),
              " ([prompts.md](prompts.md))\n- `--rng`: ", joined(noise_names()), "\n");
  text +=
      "\n## Picture files\n\n"
      "Read, told apart by content: PNG, JPEG, WebP (no animations), up to 2^27 pixels. Written, "
      "by the "
      "name's\nending: `.png`, `.jpg`, `.jpeg`, `.webp`.\n";
  return text;
}

TEST(Compatibility, ThePageIsUpToDate) {
  const auto file = std::filesystem::path(TT_SOURCE_DIR) / "docs" / "compatibility.md";
  if (std::getenv("TT_UPDATE_DOCS")) std::ofstream(file) << page();
  std::ifstream in(file);
  const std::string written{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(written, page()) << "run with TT_UPDATE_DOCS=1";
}

TEST(Compatibility, EveryAliasLeadsToItsSampler) {
  for (const SamplerName& entry : sampler_table())
    for (const std::string& alias : entry.aliases)
      EXPECT_EQ(canonical_sampler(alias), entry.name) << alias;
  for (const SamplerName& entry : scheduler_table())
    for (const std::string& alias : entry.aliases)
      EXPECT_EQ(canonical_scheduler(alias), entry.name) << alias;
}

}  // namespace
}  // namespace tintype
