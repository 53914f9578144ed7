/// Names as A1111 writes them and what they are here: samplers with the schedulers that they bring
/// along, ways of the second pass. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/a1111_json.h"

namespace tintype::http {

/// Native names, or what was given where no sampler has the name: the native API says which there
/// are.
struct A1111Sampler {
  std::string sampler, scheduler;
};
/// "DPM++ 2M" with "Automatic" brings "karras"; "DPM++ 2M Karras" says it itself; "" is the
/// model's.
A1111Sampler a1111_sampler(std::string_view sampler, std::string_view scheduler);

/// HiresRequest::method of an upscaler's name; none: unknown.
std::optional<std::string> a1111_hires_method(std::string_view upscaler, const A1111Names& names);

}  // namespace tintype::http
