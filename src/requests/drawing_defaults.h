/// What a request leaves open, filled in from its preset and its model, so that the canonical
/// request says what will be drawn. Thread-safe: no state.
#pragma once

#include <optional>

#include "base/json.h"
#include "requests/catalogue.h"
#include "requests/job_request.h"
#include "requests/members.h"
#include "tintype/image.h"

namespace tintype {

/// Size, steps, guidance, sampler and scheduler. `picture`: what it starts from, if anything.
/// throws kInvalidArgument, kUnsupported with the member's name as `where`
void fill_in_drawing(Json& request, RequestType type, const ModelInfo& model,
                     const std::optional<ImageFileInfo>& picture, const RequestLimits& limits);

/// Pixels of one picture that the request draws: of its first pass, and of its second (0: none).
struct DrawnPixels {
  int64_t first = 0, second = 0;
};
/// Of a request that is filled in. throws kInvalidArgument: larger than the limits
DrawnPixels drawn_pixels(const Json& request, RequestType type, const ModelInfo& model,
                         const std::optional<ImageFileInfo>& picture, const RequestLimits& limits);

}  // namespace tintype
