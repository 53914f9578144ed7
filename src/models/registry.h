/// Finds and loads a checkpoint's networks by the class names in its configs (diffusers folders).
/// The one place that lists models. Thread-safe: no state.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/json.h"
#include "models/roles.h"
#include "weights/weights.h"

namespace tintype {

/// One network of a checkpoint: its class, its config and where its tensors are.
struct Component {
  std::string name;        ///< "unet", for messages
  std::string class_name;  ///< diffusers': "UNet2DConditionModel"
  std::string config_origin;
  Json config;
  PrecisionPlan precision = {};
  std::string profile = "exact";               ///< whose plan that is
  std::shared_ptr<PackingCount> packing = {};  ///< when set, loading counts into it
  std::shared_ptr<PackedSink> sink = nullptr;  ///< who else gets the weights; null: nobody
  std::function<std::shared_ptr<const TensorSource>()> open;
};

/// The folder of a component of the class that model_index.json names.
/// throws kNotFound, kIo, kCorruptFile: config.json
Component folder_component(const std::filesystem::path& folder, std::string class_name);

/// All three: throws kNotFound, kCorruptFile, kUnsupported (naming the class and the known ones)
std::unique_ptr<TextEncoder> load_text_encoder(const Component& component, Device device);
std::unique_ptr<DenoisingNetwork> load_denoising_network(const Component& component, Device device);
std::unique_ptr<LatentCodec> load_latent_codec(const Component& component, Device device);

}  // namespace tintype
