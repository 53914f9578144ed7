/// Values of flags: text to numbers, whole or not at all. Pure functions.
/// Every error is kInvalidArgument and reads "[flag] must be ..., got ...".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tintype::cli {

/// Decimal digits with an optional minus sign, min <= value <= max.
int parse_int(std::string_view flag, std::string_view text, int min, int max);

/// Decimal digits, 0 to 2^64-1.
uint64_t parse_seed(std::string_view flag, std::string_view text);

/// A positive number of bytes: "6G", "800M", "1.5G", "1000000"; k, M, G and T are powers of 1000.
uint64_t parse_bytes(std::string_view flag, std::string_view text);

/// A finite decimal number, min <= value <= max.
double parse_number(std::string_view flag, std::string_view text, double min, double max);

}  // namespace tintype::cli
