/// `tintype txt2img`: pictures from one prompt, into files; and what commands that draw from a
/// picture share with it. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/grid.h"
#include "cli/hires_flags.h"
#include "cli/preview_output.h"
#include "tintype/engine.h"

namespace tintype::cli {

/// The flags, parsed. Ranges that depend on the model are left to the library.
struct Txt2ImgOptions {
  std::string model;
  LoadOptions load;
  bool merge = false;   ///< the request's adapters into the weights
  std::string refiner;  ///< "" is none
  EngineOptions engine;
  TextToImageRequest request;
  std::optional<double> deadline_s;
  std::string output;  ///< "" picks a free tintype-<seed>.png in the current folder
  /// Batches of request.batch_size pictures, seeds counting up through all of them.
  int count = 1;
  int pictures() const { return count * request.batch_size; }
  HiresFlags hires;
  std::string preset;  ///< "" is none
  PreviewOptions preview;
  std::vector<GridAxis> grid;  ///< none, or one or two settings
  int quality = 90;            ///< of JPEG and WebP files
  bool json = false;
};

/// Draws one request's pictures.
using Draw = std::function<std::vector<TextToImageResult>(
    const Engine& engine, const Model& model, const TextToImageRequest& request,
    const RunContext& context, const Model* refiner)>;

/// Every flag of txt2img.
void add_drawing_flags(CLI::App& command, Txt2ImgOptions& options);

/// Loads, draws, saves and reports. `prepare`: what else is to be read, before the model, whose
/// loading takes longest.
void run_drawing(Txt2ImgOptions options, const Draw& draw,
                 const std::function<void(const Engine& engine)>& prepare = {});

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_txt2img_command(CLI::App& app, std::function<void()>& run);

/// The file name for `seed` that is not taken yet in `folder`: tintype-7.png, tintype-7-2.png, ...
std::filesystem::path free_output_name(const std::filesystem::path& folder, uint64_t seed);

}  // namespace tintype::cli
