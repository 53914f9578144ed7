/// Requests as JSON, the members of docs/server.md: checked at the door and made into jobs by the
/// server, read again and carried out by a worker. One table says each member's name, type, range
/// and meaning; checks, the API's schema and the documentation come from it. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/json.h"
#include "requests/catalogue.h"
#include "serving/job.h"

namespace tintype {

/// What one request may ask at most; checked before anything is allocated for it.
struct RequestLimits {
  int max_steps = 150;
  int max_side_px = 4096;
  int64_t max_pixels = int64_t{4} << 20;  ///< of all pictures of a request, hires' result included
  int max_count = 8;
  uint64_t max_image_bytes = uint64_t{32} << 20;  ///< of one encoded input picture
  int64_t max_input_pixels = int64_t{32} << 20;   ///< of one decoded one
  size_t max_adapters = 8;
  int max_priority = 10;  ///< of this caller
};

/// The job that a request's JSON asks for: `request` in its canonical form with the model named and
/// pictures replaced by indices into `inputs`, which are checked to be pictures of a known format
/// and of a size within the limits, but not decoded. What was not said is filled in from preset and
/// model, and the seed is drawn, so that every attempt draws the same. The members client_key,
/// priority and deadline_s are the spec's and not in the canonical form; owner is the caller's to
/// set.
/// throws kInvalidArgument and kUnsupported with the member's name as `where`; kNotFound: names
JobSpec make_job(const Json& request, const Catalogue& catalogue, const RequestLimits& limits);

/// JSON schema (draft 2020-12) of a request.
Json request_schema(const RequestLimits& limits);

}  // namespace tintype
