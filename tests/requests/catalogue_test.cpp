#include "requests/catalogue.h"

#include <gtest/gtest.h>

#include "image/test_folder.h"
#include "requests/demo_catalogue.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

const fs::path kModel = fs::path(TT_MODELS) / "tintype-emoji-128";

std::string message_of(const std::function<void()>& act, ErrorKind kind) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

TEST(Catalogue, NamesModelsByTheirFolderAndTakesTheFirstByDefault) {
  const Catalogue& catalogue = demo_catalogue();
  ASSERT_EQ(catalogue.models().size(), 1u);
  EXPECT_EQ(catalogue.model("").entry.name, "tintype-emoji-128");
  EXPECT_EQ(catalogue.model("tintype-emoji-128").info.default_width_px, 128);
  const std::string message =
      message_of([&] { catalogue.model("tintype-emoji-182"); }, ErrorKind::kNotFound);
  EXPECT_NE(message.find("did you mean tintype-emoji-128?"), std::string::npos) << message;
}

TEST(Catalogue, FindsModelsInFoldersAndNamesWhatItSkips) {
  TestFolder folder;
  fs::create_directory_symlink(kModel, folder.path() / "b-model");
  fs::create_directory_symlink(kModel, folder.path() / "a-model");
  folder.write("broken.safetensors", "no model");
  folder.write("notes.txt", "not looked at");
  const Catalogue catalogue({.models = {}, .model_folders = {folder.path()}});
  ASSERT_EQ(catalogue.models().size(), 2u);
  EXPECT_EQ(catalogue.models()[0].entry.name, "a-model");
  EXPECT_EQ(catalogue.models()[1].entry.name, "b-model");
  ASSERT_EQ(catalogue.skipped().size(), 1u);
  EXPECT_EQ(catalogue.skipped()[0].rfind("broken.safetensors: ", 0), 0u) << catalogue.skipped()[0];
}

TEST(Catalogue, RefusesTwoModelsOfOneName) {
  message_of(
      [] {
        Catalogue({.models = {{.path = kModel}, {.path = kModel}}});
      },
      ErrorKind::kInvalidArgument);
  message_of([] { Catalogue({.models = {{.path = kModel / "gone"}}}); }, ErrorKind::kNotFound);
}

TEST(Catalogue, LooksUpAdaptersByListingAndNeverByPath) {
  TestFolder folder;
  folder.write("in/ink.safetensors", "");
  folder.write("in/styles/ink.safetensors", "");
  folder.write("in/styles/oil.safetensors", "");
  folder.write("outside.safetensors", "");
  CatalogueOptions options = demo_options();
  options.adapter_folder = folder / "in";
  const Catalogue catalogue(options);
  EXPECT_EQ(catalogue.adapters(), (std::vector<std::string>{"ink", "styles/ink", "styles/oil"}));
  EXPECT_EQ(catalogue.adapter("ink"), "ink");
  EXPECT_EQ(catalogue.adapter("oil"), "styles/oil");
  EXPECT_EQ(catalogue.adapter("styles/ink"), "styles/ink");
  for (const char* name : {"../outside", "/etc/passwd", "styles/../ink", "", "."}) {
    const std::string message = message_of([&] { catalogue.adapter(name); }, ErrorKind::kNotFound);
    EXPECT_EQ(message.find(folder.path().string()), std::string::npos) << message;
  }
}

TEST(Catalogue, LooksUpUpscalersLikewise) {
  TestFolder folder;
  folder.write("4x-sharp.safetensors", "");
  CatalogueOptions options = demo_options();
  options.upscaler_folder = folder.path();
  const Catalogue catalogue(options);
  EXPECT_EQ(catalogue.upscalers(), std::vector<std::string>{"4x-sharp"});
  EXPECT_EQ(catalogue.upscaler("4x-sharp"), folder.path() / "4x-sharp.safetensors");
  const std::string message =
      message_of([&] { catalogue.upscaler("4x-shrap"); }, ErrorKind::kNotFound);
  EXPECT_NE(message.find("did you mean 4x-sharp?"), std::string::npos) << message;
  message_of([&] { catalogue.upscaler("../4x-sharp"); }, ErrorKind::kNotFound);
}

TEST(Catalogue, SaysWithoutItsFolderThatItIsGone) {
  CatalogueOptions options = demo_options();
  options.adapter_folder = "/nowhere/of/mine";
  const std::string message =
      message_of([&] { Catalogue(options).adapter("ink"); }, ErrorKind::kNotFound);
  EXPECT_EQ(message.find("nowhere"), std::string::npos) << message;
}

TEST(Catalogue, OptionsComeBackFromTheirText) {
  CatalogueOptions options = demo_options();
  options.models[0].name = "demo";
  options.models[0].load = {.tokenizers = {"a", "b"},
                            .vae = "v.safetensors",
                            .ema = true,
                            .timestep_spacing = "trailing",
                            .profile = "fast",
                            .offload = "sequential"};
  options.upscaler_folder = "ups";
  options.embedding_folder = "words";
  const CatalogueOptions back = parse_catalogue_options(to_text(options));
  ASSERT_EQ(back.models.size(), 1u);
  EXPECT_EQ(back.models[0].name, "demo");
  EXPECT_EQ(back.models[0].path, options.models[0].path);
  EXPECT_EQ(back.models[0].load.tokenizers, options.models[0].load.tokenizers);
  EXPECT_EQ(back.models[0].load.vae, "v.safetensors");
  EXPECT_TRUE(back.models[0].load.ema);
  EXPECT_EQ(back.models[0].load.timestep_spacing, "trailing");
  EXPECT_EQ(back.models[0].load.profile, "fast");
  EXPECT_EQ(back.models[0].load.offload, "sequential");
  EXPECT_EQ(back.adapter_folder, options.adapter_folder);
  EXPECT_EQ(back.upscaler_folder, "ups");
  EXPECT_EQ(back.embedding_folder, "words");
  EXPECT_EQ(to_text(back), to_text(options));
  message_of([] { parse_catalogue_options("{\"models\": 7}"); }, ErrorKind::kCorruptFile);
}

TEST(Catalogue, ResolvedNamesEveryModelAndNoFolder) {
  TestFolder folder;
  fs::create_directory_symlink(kModel, folder.path() / "a-model");
  const Catalogue catalogue({.models = {}, .model_folders = {folder.path()}});
  const CatalogueOptions resolved = catalogue.resolved();
  EXPECT_TRUE(resolved.model_folders.empty());
  ASSERT_EQ(resolved.models.size(), 1u);
  EXPECT_EQ(resolved.models[0].name, "a-model");
}

}  // namespace
}  // namespace tintype
