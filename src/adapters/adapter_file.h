/// An adapter's file, read: its tensors by layer, in any spelling. Knows no model's layers.
/// Pure functions; what they return is theirs.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/layer_delta.h"
#include "weights/weights.h"

namespace tintype {

struct AdapterFile {
  /// One layer as the file names it.
  struct Layer {
    LayerTensors tensors;
    std::vector<std::string> names;  ///< of its tensors in the file
  };
  std::string origin;
  std::string name;  ///< the file's, without its suffix
  /// By component ("" where the names leave it open) and module_key().
  std::map<std::pair<std::string, std::string>, Layer> layers;
  std::vector<std::string> unknown;  ///< names in no known spelling, sorted
};

/// A safetensors file, or PEFT's folder of adapter_model.safetensors and adapter_config.json. Every
/// number is looked at.
/// throws kNotFound, kIo; kCorruptFile: also numbers that are not finite; kUnsupported: pickled, or
///        element types that nothing here reads
AdapterFile read_adapter_file(const std::filesystem::path& path);
/// The same from a source and, where there is one, the text of PEFT's config.
AdapterFile read_adapter(const TensorSource& source, const std::string& peft_config = {});

}  // namespace tintype
