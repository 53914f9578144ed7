/// The oracle: every primitive in the plainest loops, accumulated in double and rounded once.
/// Slow on purpose; tests hold the fast backends to it, and `--device reference` draws with it.
/// Thread-safe: no state.
#pragma once

#include "backend/backend.h"

namespace tintype {

const Backend& reference_backend();

}  // namespace tintype
