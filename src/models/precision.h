/// Precision profiles: which of a model's weights are kept and multiplied how. A profile is data,
/// one table of rules for each class of network. docs/profiles.md says what was measured.
/// Thread-safe: constants and plain values.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "weights/weights.h"

namespace tintype {

/// Also the public one. "exact" (f32 arithmetic on the weights as stored), "balanced" (8-bit
/// weights and inputs where the picture does not show it), "fast" (balanced, and steps that change
/// little are reused) and "low-memory" (8-bit wherever the error allows, text encoders too).
std::vector<std::string> profile_names();

/// The rules of `profile` for networks of `class_name`; none for a class without a table.
/// throws kInvalidArgument: an unknown profile, with the nearest name
PrecisionPlan precision_plan(const std::string& profile, const std::string& class_name);

/// A profile for the whole model, and others for parts of it: "balanced", "unet=balanced",
/// "balanced,vae=exact". The parts are unet, vae and text_encoder (all text encoders); "+"
/// separates as a comma does.
class ProfileChoice {
 public:
  /// "" is exact. throws kInvalidArgument: an unknown profile or part, with the nearest name; two
  /// for one part
  static ProfileChoice parse(std::string_view text);

  /// Of a component by its name in the checkpoint: "unet", "vae", "text_encoder_2".
  const std::string& of(std::string_view component) const;
  /// What parse() reads, in its shortest form.
  std::string text() const;

 private:
  std::string all_ = "exact";
  std::map<std::string, std::string, std::less<>> parts_;
};

/// How much the first block of a denoising network may change, as a part of itself, for a step to
/// be reused (StepReuse); 0 for profiles that compute every step.
float reuse_threshold(const std::string& profile);

}  // namespace tintype
