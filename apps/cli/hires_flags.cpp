#include "cli/hires_flags.h"

#include <algorithm>

#include "cli/arguments.h"
#include "cli/parsed_flag.h"
#include "tintype/error.h"

namespace tintype::cli {
namespace {

constexpr int kMaxTilePx = 32768;
constexpr const char* kNetwork = "network";

/// Whether the name is one of the library's methods and no file.
bool is_method(const std::string& name) {
  const std::vector<std::string> methods = hires_methods();
  return name != kNetwork && std::find(methods.begin(), methods.end(), name) != methods.end();
}

}  // namespace

void add_hires_flags(CLI::App& command, HiresFlags& flags) {
  add_parsed(
      command, "--hires",
      [&flags](const std::string& text) { flags.scale = parse_number("--hires", text, 1, 8); },
      "Draw, enlarge this much (1 to 8), and draw over it at that size: large pictures with the "
      "composition of small ones",
      "SCALE");
  add_parsed(
      command, "--hires-strength",
      [&flags](const std::string& text) {
        flags.strength = parse_number("--hires-strength", text, 0, 1);
      },
      "How much the second pass draws anew, 0 to 1 (default: 0.6)", "S");
  command
      .add_option("--hires-upscaler", flags.upscaler,
                  "What enlarges: latent, latent-bicubic, lanczos, or a safetensors file of the "
                  "ESRGAN family (default: latent)")
      ->type_name("NAME");
  add_parsed(
      command, "--hires-tile",
      [&flags](const std::string& text) {
        flags.tile_px = parse_int("--hires-tile", text, 0, kMaxTilePx);
      },
      "Side of the upscaler's tiles, see `tintype upscale` (default: 512)", "PX");
}

std::shared_ptr<const Upscaler> load_hires_upscaler(const HiresFlags& flags, const Engine& engine) {
  if (!flags.scale) {
    if (flags.strength || flags.tile_px || !flags.upscaler.empty())
      throw Error(ErrorKind::kInvalidArgument, "--hires",
                  "must be given with the other --hires flags, got none");
    return nullptr;
  }
  if (flags.upscaler.empty() || is_method(flags.upscaler)) return nullptr;
  return engine.load_upscaler(flags.upscaler);
}

HiresRequest hires_request(const HiresFlags& flags, const TextToImageRequest& drawing,
                           const std::shared_ptr<const Upscaler>& upscaler) {
  HiresRequest request{.drawing = drawing, .scale = flags.scale.value_or(1), .upscaler = upscaler};
  if (flags.strength) request.strength = *flags.strength;
  if (upscaler)
    request.method = kNetwork;
  else if (!flags.upscaler.empty())
    request.method = flags.upscaler;
  if (flags.tile_px) request.upscale.tile_px = *flags.tile_px;
  return request;
}

}  // namespace tintype::cli
