/// Numbers as people read them. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace tintype::cli {

std::string format_bytes(uint64_t bytes);    ///< "950 B", "6.4 MB", "1.7 GB" (powers of 1000)
std::string format_count(uint64_t count);    ///< "128", "12.3 K", "859.5 M"
std::string format_seconds(double seconds);  ///< "0.4 s", "12 s", "3 min 05 s", "2 h 07 min"
/// Steps per second, or seconds per step when that is the larger number.
std::string format_rate(double steps_per_second);

}  // namespace tintype::cli
