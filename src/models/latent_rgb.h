/// A linear map from a latent's channels to a pixel's colour, which makes small pictures of latents
/// in microseconds: data that belongs to a latent space. Values; thread-safe.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "models/roles.h"

namespace tintype {

/// colour = bias + sum_c factors[c] latent[c], in -1..1 as a codec's pictures; latents in the scale
/// of the denoising network.
struct LatentRgb {
  std::vector<std::array<float, 3>> factors;  ///< one for each latent channel
  std::array<float, 3> bias{};

  /// {"red": [C numbers], "green": [...], "blue": [...], "bias": [3 numbers]}, as
  /// tools/reference/fit_latent_rgb.py writes it.
  /// throws kCorruptFile: another number of channels than the codec's
  static LatentRgb from_json(const JsonObject& json, int64_t channels);
  Json to_json() const;
};

/// The published map of a known latent space (SD 1.x and 2.x, SDXL), told by the codec's channels
/// and scaling factor; none for others. Fine-tuned autoencoders keep to their family's space.
std::optional<LatentRgb> known_latent_rgb(const LatentCodec::Traits& traits);

/// A map fitted to the codec itself, by least squares over one small decoded picture of random
/// patches. Coarser than one fitted to real pictures, whose channels depend on each other.
/// throws kCorruptFile when the codec answers with something that is not a number
LatentRgb fit_latent_rgb(const LatentCodec& codec, Device device);

}  // namespace tintype
