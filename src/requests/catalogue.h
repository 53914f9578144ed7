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
  std::string name;  ///< "" takes the file's or folder's name without its suffix
  std::filesystem::path path;
  LoadOptions load = {};  ///< profile and all
};

struct CatalogueOptions {
  std::vector<ModelEntry> models;  ///< the first is the default
  /// Folders whose entries are models: diffusers folders and single files, in the order of their
  /// names, after `models`.
  std::vector<std::filesystem::path> model_folders;
  std::filesystem::path adapter_folder;   ///< "": none
  std::filesystem::path upscaler_folder;  ///< "": none
  LoadOptions load = {};                  ///< of models found in folders
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
  std::vector<std::string> upscalers() const;
  /// throws kNotFound proposing the nearest name
  std::filesystem::path upscaler(std::string_view name) const;

  const std::filesystem::path& adapter_folder() const { return options_.adapter_folder; }
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  CatalogueOptions options_;
  std::vector<CatalogueModel> models_;
  std::vector<std::string> skipped_;
};

}  // namespace tintype
