/// `tintype compare`: the same prompts and seeds under several profiles, and how far their pictures
/// are from the first profile's. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/json_output.h"
#include "tintype/engine.h"

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_compare_command(CLI::App& app, std::function<void()>& run);

/// One prompt a line; empty lines and lines that begin with "#" are skipped.
std::vector<std::string> parse_prompts(std::string_view text);

/// How far one profile's pictures are from the first profile's.
struct ProfileDistance {
  std::string profile;
  double seconds_per_picture = 0;
  double reused = 0;    ///< part of the network calls that were reused
  double unguided = 0;  ///< part that went without guidance
  /// By prompt; psnr_db is infinite for equal pictures. Empty for the first profile.
  std::vector<double> psnr_db, ssim, mean_difference;
};

/// Equal pictures count as this many dB in a mean, more than any that differ by one level in one
/// channel of one pixel of a 512 x 512 picture have.
inline constexpr double kEqualDb = 110;

/// The table on stdout, and the same as JSON.
std::string compare_text(const std::vector<ProfileDistance>& distances,
                         const std::vector<std::string>& prompts);
OrderedJson compare_json(const std::vector<ProfileDistance>& distances,
                         const std::vector<std::string>& prompts);

}  // namespace tintype::cli
