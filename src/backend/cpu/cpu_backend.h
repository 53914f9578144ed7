/// The CPU backend: our own vector kernels (Highway, chosen for the machine at run time) under one
/// thread team. See product.h for how results stay the same on any number of threads.
/// Thread-safe: holds only the activation allocator.
#pragma once

#include "backend/backend.h"

namespace tintype {

const Backend& cpu_backend();

}  // namespace tintype
