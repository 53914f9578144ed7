/// Prompts to what the denoising network is told: windows of tokens through every text tower,
/// weights applied, under guidance the negative prompt first; one conditioning for each text that
/// prompt editing brings. Thread-safe: no state.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "pipelines/diffusion_model.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// The conditioning of every step of a run.
struct PromptConditioning {
  std::vector<Conditioning> variants;  ///< distinct ones; a plain prompt has one
  std::vector<size_t> of_step;         ///< [steps], index into variants
  bool truncated = false;              ///< words did not fit the window (plain syntax only)
  std::vector<std::string> skipped_embeddings = {};  ///< see TextToImageSettings

  /// That of network call `call` of `calls`.
  const Conditioning& at(int call, int calls) const;
};

/// Every row `images` times, one after the other: under guidance all negative rows, then all
/// positive ones, as the reference orders a batch.
Conditioning for_batch(const Conditioning& conditioning, int64_t images);

/// The same of images with a conditioning each, of equal shapes.
Conditioning side_by_side(std::span<const Conditioning> of_image);

/// For one picture; the network's part of the adapters is in every conditioning. throws
/// kUnsupported, kInvalidArgument; of embeddings also kNotFound, kIo, kCorruptFile
PromptConditioning encode_prompts(const DiffusionModel& model, const TextToImageSettings& settings,
                                  const AdapterSet& adapters = {});

}  // namespace tintype
