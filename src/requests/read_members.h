/// A request held against the table of members. Thread-safe: no state.
#pragma once

#include "requests/members.h"

namespace tintype {

/// The request without its pictures: each member checked, seeds as numbers, what is null left out,
/// what has a fallback filled in.
/// throws kInvalidArgument with the member's name as `where` ("hires.scale"); an unknown one
/// proposes the nearest name
Json read_members(const Json& request, RequestType type, const RequestLimits& limits);

/// 0 to 2^64-1, as a number or as its digits. throws kInvalidArgument
uint64_t read_seed(const Json& value, std::string_view where);

}  // namespace tintype
