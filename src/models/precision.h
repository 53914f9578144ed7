/// Precision profiles: which of a model's weights are kept and multiplied how. A profile is data,
/// one table of rules for each class of network. Thread-safe: constants.
#pragma once

#include <string>
#include <vector>

#include "weights/weights.h"

namespace tintype {

/// "exact" (f32 arithmetic on the weights as stored) and "balanced" (8-bit weights and inputs where
/// the picture does not show it).
std::vector<std::string> profile_names();

/// The rules of `profile` for networks of `class_name`; none for a class without a table.
/// throws kInvalidArgument: an unknown profile, with the nearest name
PrecisionPlan precision_plan(const std::string& profile, const std::string& class_name);

}  // namespace tintype
