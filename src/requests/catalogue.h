/// What requests may name: models, adapters and upscalers that the server's owner put in folders or
/// in its configuration. Names are looked up here and never joined into a path; no path leaves here
/// in an answer. Immutable after construction; thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tintype/engine.h"

namespace tintype {

/// One model as configured.
struct ModelEntry {
  std::string name = {};  ///< "" takes the file's or folder's name without its suffix
  std::filesystem::path path = {};
  LoadOptions load = {};  ///< profile and all
};

struct CatalogueOptions {
  std::vector<ModelEntry> models = {};  ///< the first is the default
  /// Folders whose entries are models: diffusers folders and single files, in the order of their
  /// names, after `models`.
  std::vector<std::filesystem::path> model_folders = {};
  std::filesystem::path adapter_folder = {};   ///< "": none
  std::filesystem::path upscaler_folder = {};  ///< "": none
  /// Textual inversions that every prompt may name; "": none. See docs/prompts.md.
  std::filesystem::path embedding_folder = {};
  LoadOptions load = {};  ///< of models found in folders
};

struct CatalogueModel {
  ModelEntry entry;
  ModelInfo info;  ///< from configs and headers alone, without weights
};

class Catalogue {
 public:
  /// Inspects every model. Files in folders that are no models are left out and named in
  /// skipped(); throws kNotFound, kCorruptFile, ... for configured ones, kInvalidArgument for two
  /// of one name
  explicit Catalogue(const CatalogueOptions& options);

  const std::vector<CatalogueModel>& models() const { return models_; }
  /// "" is the first. throws kNotFound proposing the nearest name
  const CatalogueModel& model(std::string_view name) const;

  /// Listed anew at each call, so that files may be added while the server runs.
  std::vector<std::string> adapters() const;
  /// The adapter's name in adapters(), of which the last part is enough where one file has it.
  /// throws kNotFound proposing the nearest name, kInvalidArgument: several have it
  std::string adapter(std::string_view name) const;
  std::vector<std::string> upscalers() const;
  /// throws kNotFound proposing the nearest name
  std::filesystem::path upscaler(std::string_view name) const;

  const std::filesystem::path& adapter_folder() const { return options_.adapter_folder; }
  const std::vector<std::string>& skipped() const { return skipped_; }

  /// The options that name every model found and no folder of models: for workers, which need not
  /// inspect them again.
  CatalogueOptions resolved() const;

 private:
  CatalogueOptions options_;
  std::vector<CatalogueModel> models_;
  std::vector<std::string> skipped_;
};

/// As one JSON object, and back. throws kCorruptFile
std::string to_text(const CatalogueOptions& options);
CatalogueOptions parse_catalogue_options(std::string_view text);

}  // namespace tintype
