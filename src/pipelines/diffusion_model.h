/// A latent-diffusion checkpoint in memory: the roles a picture needs, whatever their families.
/// Immutable after load; serves any number of requests at once.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/registry.h"
#include "samplers/diffusion/sampler.h"
#include "tintype/engine.h"
#include "tokenizers/clip_tokenizer.h"

namespace tintype {

/// Where the parts of a diffusers folder are, read from model_index.json alone.
struct CheckpointLayout {
  std::filesystem::path folder;
  std::string pipeline;  ///< "StableDiffusionPipeline"
  ComponentLocation text_encoder, network, codec;

  /// throws kNotFound, kCorruptFile; kUnsupported: a single file, another pipeline class
  static CheckpointLayout read(const std::filesystem::path& folder);
};

struct DiffusionModel {
  std::string name;
  Device device = Device::kCpu;
  ClipTokenizer tokenizer;
  std::unique_ptr<TextEncoder> text_encoder;
  std::unique_ptr<DenoisingNetwork> network;
  std::unique_ptr<LatentCodec> codec;
  NoiseScheduleConfig schedule;

  /// Loads every part to `device` and checks that they fit each other.
  /// throws kNotFound, kCorruptFile, kUnsupported, kOutOfMemory, kCancelled
  static DiffusionModel load(const CheckpointLayout& layout, Device device,
                             const RunContext& context);

  int default_width_px() const;
  int default_height_px() const;
};

}  // namespace tintype
