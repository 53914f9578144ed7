/// Finds the backend that owns a device. Backends are created on first use and live as long as the
/// process. Thread-safe.
#pragma once

#include <span>

#include "backend/backend.h"
#include "tintype/measure.h"

namespace tintype {

/// throws kUnsupported when this build has no backend for `device`
const Backend& backend_for(Device device);

/// Every device that computes in this build, fastest first (kMeta only predicts).
std::span<const Device> available_devices();

/// The device named "cpu" or "reference". throws kInvalidArgument with the list otherwise
Device parse_device(std::string_view name);

/// What the processor and the memory reach with this many threads. Takes one to two seconds.
MachineSpeed measure_machine(int threads);

}  // namespace tintype
