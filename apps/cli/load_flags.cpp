#include "cli/load_flags.h"

namespace tintype::cli {

void add_load_flags(CLI::App& command, LoadOptions& options) {
  command
      .add_option("--tokenizer", options.tokenizers,
                  "Single files only: folder with vocab.json and merges.txt (default: CLIP's own "
                  "vocabulary); twice when SDXL's two text encoders have different ones")
      ->type_name("FOLDER")
      ->expected(1)
      ->take_all();
  command.add_option("--vae", options.vae, "Single files only: file whose autoencoder to use")
      ->type_name("FILE");
  command
      .add_option("--text-encoder", options.text_encoder,
                  "Single files only: file whose text encoder to use")
      ->type_name("FILE");
  command
      .add_option("--prediction", options.prediction_type,
                  "Single files only: epsilon or v_prediction, where the file does not tell")
      ->type_name("NAME");
  command.add_flag("--ema", options.ema,
                   "Single files only: use the averaged copy of the network that training "
                   "checkpoints also hold (model_ema.*)");
  command
      .add_option("--timestep-spacing", options.timestep_spacing,
                  "leading, trailing or linspace instead of the model's own; models distilled to "
                  "few steps (Turbo, Lightning) need trailing, which a single file does not tell")
      ->type_name("NAME");
}

void add_offload_flag(CLI::App& command, LoadOptions& options) {
  command
      .add_option("--offload", options.offload,
                  "none, or sequential: each part of the model is loaded when its stage comes and "
                  "given up after it; less memory, slower (default: what --memory-limit needs)")
      ->type_name("NAME");
}

void add_profile_flag(CLI::App& command, LoadOptions& options) {
  std::string names;
  for (const std::string& name : profile_names()) names += (names.empty() ? "" : ", ") + name;
  command
      .add_option_function<std::vector<std::string>>(
          "--profile",
          [&options](const std::vector<std::string>& profiles) {
            for (const std::string& profile : profiles)
              options.profile += (options.profile.empty() ? "" : ",") + profile;
          },
          names +
              "; parts of the model may have another: --profile balanced --profile vae=exact, or "
              "balanced,vae=exact (parts: unet, vae, text_encoder) (default: exact)")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
}

}  // namespace tintype::cli
