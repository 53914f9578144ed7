/// The pictures that come inside a request: from base64 to checked bytes. Thread-safe: no state.
#pragma once

#include <vector>

#include "base/json.h"
#include "requests/job_request.h"
#include "tintype/image.h"

namespace tintype {

struct RequestPicture {
  ImageFileInfo info;
  int index = 0;  ///< among the job's inputs
};

/// The picture in request[name], added to `inputs`: its header read and its size held against the
/// limits, nothing decoded. None where the member is absent or null.
/// throws kInvalidArgument, kUnsupported with `name` as where; kCorruptFile: no picture
std::optional<RequestPicture> take_picture(const Json& request, const char* name,
                                           const RequestLimits& limits,
                                           std::vector<SharedBlob>& inputs);

}  // namespace tintype
