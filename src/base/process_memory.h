/// What the system says of this process's memory and the machine's. Thread-safe: no state.
#pragma once

#include <cstdint>

namespace tintype {

/// Highest resident memory so far, bytes; 0 where the system does not tell.
uint64_t peak_resident_bytes();
/// Resident memory now, bytes; 0 where the system does not tell.
uint64_t resident_bytes();
/// What the machine has, bytes; 0 where the system does not tell.
uint64_t physical_memory_bytes();

}  // namespace tintype
