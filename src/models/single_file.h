/// Single-file checkpoints in the original (ldm, sgm) layout: which family a file is and what parts
/// it holds, found out from names and shapes alone; each part as diffusers' config and as a source
/// with diffusers' names, from which the models load unchanged. Also separate autoencoder and
/// text-encoder files. Thread-safe: no state.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "models/clip_text/keys.h"
#include "weights/key_map.h"
#include "weights/weights.h"

namespace tintype {

/// One network inside a file.
struct CheckpointPart {
  std::string class_name;  ///< diffusers': "UNet2DConditionModel", "AutoencoderKL", ...
  KeyMap keys;
  Json config;            ///< what the part's folder would hold as config.json
  std::string undecided;  ///< not empty: `config` must come from elsewhere, and why
};

/// What differs between the members of the family and is not in a part's config.
struct FamilyTraits {
  std::string name;      ///< "SD 2.x", for people
  std::string pipeline;  ///< diffusers' class: "StableDiffusionXLPipeline"
  double vae_scaling_factor = 0.18215;
  /// One for each text encoder, in order.
  std::vector<TextTowerOptions> text_towers;
  bool zero_absent_negative = false;  ///< force_zeros_for_empty_prompt
  bool requires_aesthetics_score = false;
};

struct SingleFileCheckpoint {
  FamilyTraits family;
  std::optional<CheckpointPart> unet, vae;
  std::array<std::optional<CheckpointPart>, 2>
      text_encoders;                   ///< [1] in SDXL base; [0] unset in the refiner
  Json scheduler;                      ///< scheduler_config.json
  std::string prediction_type;         ///< of `scheduler`
  bool ambiguous_prediction = false;   ///< nothing in the names tells; see settle_prediction()
  bool inpainting = false;             ///< the network also takes a mask and a masked picture
  bool has_ema = false;                ///< an averaged copy of the network is there and not used
  std::vector<std::string> unclaimed;  ///< names that belong to no part and to no known leftover
};

/// throws kUnsupported: another family or kind of file, naming the tensor that told
SingleFileCheckpoint identify_single_file(const TensorSource& source);

/// Fixes the prediction type: `wanted` ("epsilon", "v_prediction") when given, else, when the names
/// leave it open, by a probe of one bias in the file. Returns a sentence that says what was chosen
/// and why; empty when there was nothing to choose.
/// throws kInvalidArgument: another `wanted`
std::string settle_prediction(SingleFileCheckpoint& checkpoint, const TensorSource& source,
                              std::optional<std::string_view> wanted = {});

/// The part's tensors under diffusers' names.
std::shared_ptr<const TensorSource> component_source(std::shared_ptr<const TensorSource> source,
                                                     const CheckpointPart& part);

/// An autoencoder in a file of its own, or the one inside a whole checkpoint; ldm's or diffusers'
/// names. throws kUnsupported: there is none
CheckpointPart identify_vae_file(const TensorSource& source, double scaling_factor);
/// The same for a text encoder. `options` are those of the tower it replaces.
CheckpointPart identify_text_encoder_file(const TensorSource& source,
                                          const TextTowerOptions& options);

}  // namespace tintype
