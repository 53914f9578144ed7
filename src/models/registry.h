/// Finds and loads a checkpoint's networks by the class names in its configs (diffusers folders).
/// The one place that lists models. Thread-safe: no state.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/roles.h"

namespace tintype {

/// One component's folder and the class that model_index.json names for it.
struct ComponentLocation {
  std::filesystem::path folder;
  std::string class_name;
};

/// All three: throws kNotFound, kCorruptFile, kUnsupported (naming the class and the known ones)
std::unique_ptr<TextEncoder> load_text_encoder(const ComponentLocation& location, Device device);
std::unique_ptr<DenoisingNetwork> load_denoising_network(const ComponentLocation& location,
                                                         Device device);
std::unique_ptr<LatentCodec> load_latent_codec(const ComponentLocation& location, Device device);

/// File stem of a component's weights ("model", "diffusion_pytorch_model").
std::string weights_stem(const std::string& class_name);

}  // namespace tintype
