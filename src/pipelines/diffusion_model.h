/// A latent-diffusion checkpoint in memory: the roles a picture needs, whatever their families.
/// Immutable after load; serves any number of requests at once.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/in_turn.h"
#include "models/latent_rgb.h"
#include "models/registry.h"
#include "pipelines/model_caches.h"
#include "samplers/diffusion/sampler.h"
#include "tintype/engine.h"
#include "tokenizers/clip_tokenizer.h"
#include "weights/packed_file.h"

namespace tintype {

/// How the networks of a checkpoint are put together: what model_index.json says, and what its
/// pipeline class stands for.
struct PipelineTraits {
  std::string class_name;             ///< "StableDiffusionPipeline"
  int64_t skipped_text_layers = 0;    ///< 1: the penultimate layer's features
  bool final_layer_norm = true;       ///< normalise the text features
  bool zero_absent_negative = false;  ///< no negative prompt is zeros instead of an encoded ""
  /// What the reference rewrites of the checkpoint's schedule; null: nothing.
  NoiseScheduleConfig (*corrected)(NoiseScheduleConfig,
                                   std::string_view sampler) = stable_diffusion_config;
  float default_guidance = 7.5f;

  /// throws kUnsupported naming the class and the known ones
  static PipelineTraits for_class(const std::string& class_name);
  static std::vector<std::string> class_names();
};

/// The parts of a checkpoint, found without reading a tensor: a diffusers folder, a single file
/// in the original layout (single_file_layout.cpp), or a packed model (packed_layout.cpp).
struct CheckpointLayout {
  /// A text encoder and the tokenizer that feeds it.
  struct TextTower {
    ClipTokenizer tokenizer;
    Component encoder;
  };
  std::string name;
  std::string kind;  ///< "folder", "packed", or the family that a single file turned out to be
  std::string note;  ///< what was guessed, in a sentence; empty when nothing was
  PipelineTraits traits;
  std::vector<TextTower> text_towers;  ///< one or two
  Component network, codec;
  NoiseScheduleConfig schedule;
  Json schedule_json;             ///< what `schedule` was read from
  std::string profile = "exact";  ///< as LoadOptions::profile, in its shortest form
  /// vae/latent_rgb.json, where the checkpoint brings its own map for previews.
  std::optional<Json> latent_rgb = {};
  std::shared_ptr<const PackedFile> packed = nullptr;  ///< the file, when it is in packed form
  std::vector<AdapterSetting> merged_adapters = {};    ///< in the weights

  /// A folder, a packed model, or a single file with the options that it needs.
  /// throws kNotFound, kIo, kCorruptFile; kUnsupported: another pipeline class or family, a part
  /// that the file lacks
  static CheckpointLayout read(const std::filesystem::path& path, const LoadOptions& options = {});
};

struct DiffusionModel {
  struct TextTower {
    ClipTokenizer tokenizer;
    std::unique_ptr<TextEncoder> encoder;
    std::string name;  ///< "text_encoder", "text_encoder_2": what adapters call it
  };

  std::string name;
  Device device = Device::kCpu;
  PipelineTraits traits;
  /// Their features are joined along the width; all have one window.
  std::vector<TextTower> text_towers;
  std::unique_ptr<DenoisingNetwork> network;
  std::unique_ptr<LatentCodec> codec;
  NoiseScheduleConfig schedule;
  std::string profile = "exact";  ///< see CheckpointLayout
  /// For previews: the checkpoint's own map, or its latent space's; none: fitted when needed.
  std::optional<LatentRgb> latent_rgb = {};
  /// What TextToImageRequest::reuse_threshold is when a request leaves it open.
  float default_reuse_threshold = 0;
  std::vector<AdapterSetting> merged_adapters = {};  ///< see CheckpointLayout

  uint64_t id = 0;  ///< no other model of this process has it: for the keys of caches
  std::shared_ptr<ModelCaches> caches = nullptr;  ///< the engine's; null: nothing is kept

  /// Loads every part to `device` and checks that they fit each other.
  /// throws kNotFound, kCorruptFile, kUnsupported, kOutOfMemory, kCancelled
  static DiffusionModel load(const CheckpointLayout& layout, Device device,
                             const RunContext& context);

  /// The same with parts that are loaded when they are called (models/in_turn.h). `shapes` is the
  /// layout loaded to Device::kMeta, which checked it.
  static DiffusionModel load_in_turn(const CheckpointLayout& layout, const DiffusionModel& shapes,
                                     Device device, const std::shared_ptr<PartsInTurn>& turns);

  int default_width_px() const;
  int default_height_px() const;
  int64_t pooled_width() const;  ///< of the tower that pools; 0: none does
  /// Numbers that the network is told beside the pooled text: six (sizes and crop), five (a score
  /// instead of the target size), or none.
  int64_t time_id_count() const;
};

}  // namespace tintype
