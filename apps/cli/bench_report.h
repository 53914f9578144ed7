/// Measurements as tables for people and as JSON. Pure functions.
#pragma once

#include <string>

#include "cli/json_output.h"
#include "tintype/measure.h"

namespace tintype::cli {

std::string machine_text(const MachineSpeed& machine);
OrderedJson machine_json(const MachineSpeed& machine);

/// A part's ops beside what the machine reaches.
std::string part_text(const PartTimes& times, const MachineSpeed& machine);
OrderedJson part_json(const PartTimes& times, const MachineSpeed& machine);

}  // namespace tintype::cli
