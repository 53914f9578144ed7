#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::vector<std::string> tokens(const std::string& prompt, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"tokens", "-m", TT_MODEL, "-p", prompt};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Tokens, JsonTellsScheduleWindowsIdsAndWeights) {
  const TestFolder folder;
  const RunResult run =
      run_cli(tokens("a [red:(blue:1.3):2] apple BREAK sun", {"--steps", "5", "--json"}),
              {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  const Json out = Json::parse(run.out);
  EXPECT_EQ(out.at("syntax"), "a1111");
  EXPECT_EQ(out.at("steps"), 5);
  EXPECT_EQ(out.at("schedule"), Json::parse(R"([{"first_step":1,"last_step":2,"prompt":0},
                            {"first_step":3,"last_step":5,"prompt":1}])"));
  const Json& second = out.at("prompts").at(1);
  EXPECT_EQ(second.at("text"), "a (blue:1.3) apple BREAK sun");
  EXPECT_EQ(second.at("words"), 4);
  ASSERT_EQ(second.at("windows").size(), 2u);
  const Json& window = second.at("windows").at(0);
  EXPECT_EQ(window.at("tokens"),
            Json({"<|startoftext|>", "a</w>", "blue</w>", "apple</w>", "<|endoftext|>"}));
  EXPECT_EQ(window.at("weights"), Json({1.0, 1.0, 1.3, 1.0, 1.0}));
  EXPECT_EQ(window.at("ids").size(), 5u);
  EXPECT_EQ(window.at("padding"), 72);
}

TEST(Tokens, AdapterTagsAreNoTextAndListed) {
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  for (const char* syntax : {"plain", "a1111", "comfy"}) {
    const RunResult tagged = run_cli(
        tokens("red <lora:ink:0.8>apple<lora:wash:0.25:-0.5>", {"--syntax", syntax, "--json"}),
        here);
    ASSERT_EQ(tagged.code, 0) << tagged.err;
    const Json with = Json::parse(tagged.out);
    const Json without =
        Json::parse(run_cli(tokens("red apple", {"--syntax", syntax, "--json"}), here).out);
    EXPECT_EQ(with.at("prompts"), without.at("prompts"));
    EXPECT_EQ(with.at("adapters"), Json::parse(R"([{"name":"ink","weight":0.8,"text_weight":0.8},
                              {"name":"wash","weight":-0.5,"text_weight":0.25}])"));
    EXPECT_TRUE(without.at("adapters").empty());
  }
  const RunResult text = run_cli(tokens("a <lora:wash:0.25:-0.5>", {}), here);
  EXPECT_NE(text.out.find("adapter: wash, weight -0.5, text encoders 0.25"), std::string::npos)
      << text.out;
  EXPECT_EQ(run_cli(tokens("a <lora:ink:much>", {}), here).code, 2);
}

TEST(Tokens, TextIsReadable) {
  const TestFolder folder;
  const RunResult run = run_cli(tokens("(apple:1.3)\n\x1b[31m", {}), {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("steps 1-20: text 1"), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("1.3  apple</w>"), std::string::npos) << run.out;
  EXPECT_EQ(run.out.find('\x1b'), std::string::npos) << "no control bytes for the terminal";
}

TEST(Tokens, PlainSyntaxSaysWhatIsLeftOut) {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 90; ++i) text += "(a) ";
  const RunResult run =
      run_cli(tokens(text, {"--syntax", "plain", "--json"}), {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json prompt = Json::parse(run.out).at("prompts").at(0);
  EXPECT_EQ(prompt.at("truncated"), true);
  EXPECT_EQ(prompt.at("windows").size(), 1u);
}

/// One embedding of `width` zeros as a safetensors file.
std::string embedding_bytes(size_t width) {
  const std::string header = R"({"emb_params":{"dtype":"F32","shape":[1,)" + std::to_string(width) +
                             R"(],"data_offsets":[0,)" + std::to_string(4 * width) + "]}}";
  std::string bytes;
  for (size_t i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + std::string(4 * width, '\0');
}

TEST(Tokens, EmbeddingsStandUnderTheirName) {
  const TestFolder folder;
  const auto width = Json::parse(read_file(fs::path(TT_MODEL) / "text_encoder/config.json"))
                         .at("hidden_size")
                         .get<size_t>();
  fs::create_directories(folder / "embeddings");
  write_file(folder / "embeddings/mystyle.safetensors", embedding_bytes(width));
  write_file(folder / "embeddings/other.safetensors", embedding_bytes(width + 1));
  const RunResult run = run_cli(tokens("a mystyle apple", {"--embeddings", "embeddings", "--json"}),
                                {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json out = Json::parse(run.out);
  EXPECT_EQ(out.at("prompts").at(0).at("windows").at(0).at("tokens"),
            Json({"<|startoftext|>", "a</w>", "mystyle[0]", "apple</w>", "<|endoftext|>"}));
  ASSERT_EQ(out.at("skipped_embeddings").size(), 1u);
  EXPECT_NE(out.at("skipped_embeddings").at(0).get<std::string>().find("other.safetensors"),
            std::string::npos);
}

TEST(Tokens, BadInputIsRefused) {
  const TestFolder folder;
  struct Bad {
    std::vector<std::string> arguments;
    int code;
    std::string message;
  };
  for (const Bad& bad :
       std::vector<Bad>{{tokens("x", {"--syntax", "comfi"}), 2, "did you mean comfy"},
                        {tokens("x", {"--steps", "0"}), 2, "[--steps]"},
                        {tokens(std::string((64 << 10) + 1, 'x'), {}), 2, "65536"},
                        {tokens("x", {"--embeddings", "absent"}), 3, "absent"},
                        {{"tokens", "-m", "absent", "-p", "x"}, 3, "absent"},
                        {{"tokens", "-m", TT_MODEL}, 2, "--prompt"}}) {
    const RunResult run = run_cli(bad.arguments, {folder.path(), "", {}});
    EXPECT_EQ(run.code, bad.code) << run.err;
    EXPECT_NE(run.err.find(bad.message), std::string::npos) << run.err;
    EXPECT_EQ(run.out, "");
  }
}

}  // namespace
}  // namespace tintype
