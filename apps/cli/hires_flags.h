/// Flags for a second pass at a larger size. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tintype/engine.h"
#include "tintype/hires.h"

namespace tintype::cli {

struct HiresFlags {
  std::optional<double> scale;  ///< unset: one pass
  std::optional<double> strength;
  std::string upscaler;  ///< a method's name, or an upscaler's file; "" is "latent"
  std::optional<int> tile_px;
};

/// --hires, --hires-strength, --hires-upscaler, --hires-tile
void add_hires_flags(CLI::App& command, HiresFlags& flags);

/// Null when no network is asked for. throws as Engine::load_upscaler; kInvalidArgument: flags of a
/// second pass without --hires
std::shared_ptr<const Upscaler> load_hires_upscaler(const HiresFlags& flags, const Engine& engine);

HiresRequest hires_request(const HiresFlags& flags, const TextToImageRequest& drawing,
                           const std::shared_ptr<const Upscaler>& upscaler);

}  // namespace tintype::cli
