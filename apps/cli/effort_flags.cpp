#include "cli/effort_flags.h"

#include <limits>

#include "cli/arguments.h"
#include "cli/parsed_flag.h"
#include "tintype/error.h"

namespace tintype::cli {

GuidanceInterval parse_guidance_interval(const std::string& text) {
  constexpr const char* kFlag = "--guidance-interval";
  constexpr double kMax = std::numeric_limits<float>::max();
  const size_t comma = text.find(',');
  if (comma == std::string::npos)
    throw Error(ErrorKind::kInvalidArgument, kFlag,
                "must be two noise levels LO,HI, such as 0.28,5.42, got \"" + text + "\"");
  const std::string high = text.substr(comma + 1);
  GuidanceInterval interval;
  interval.low = static_cast<float>(parse_number(kFlag, text.substr(0, comma), 0, kMax));
  if (high != "inf") interval.high = static_cast<float>(parse_number(kFlag, high, 0, kMax));
  return interval;
}

void add_effort_flags(CLI::App& command, TextToImageRequest& request) {
  add_parsed(
      command, "--reuse",
      [&request](const std::string& text) {
        request.reuse_threshold = static_cast<float>(parse_number("--reuse", text, 0, 1));
      },
      "Reuse most of a step where the network's first block changed by less than this part since "
      "the last whole one; 0 computes all (default: what the profile says)",
      "PART");
  add_parsed(
      command, "--guidance-interval",
      [&request](const std::string& text) {
        request.guidance_interval = parse_guidance_interval(text);
      },
      "Guidance only where the noise level sigma is above LO and at most HI, such as 0.28,5.42 "
      "(default: everywhere)",
      "LO,HI");
}

}  // namespace tintype::cli
