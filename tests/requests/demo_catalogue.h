/// The demo model and its adapters as a catalogue. For tests.
#pragma once

#include <filesystem>

#include "requests/catalogue.h"

namespace tintype {

inline CatalogueOptions demo_options() {
  const std::filesystem::path models = TT_MODELS;
  return {.models = {{.name = "", .path = models / "tintype-emoji-128"}},
          .model_folders = {},
          .adapter_folder = models / "adapters"};
}

inline const Catalogue& demo_catalogue() {
  static const Catalogue catalogue(demo_options());
  return catalogue;
}

}  // namespace tintype
