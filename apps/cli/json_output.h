/// The one JSON object that --json puts on stdout. No state.
#pragma once

#include <nlohmann/json.hpp>

#include "tintype/cache_counters.h"
#include "tintype/error.h"

namespace tintype::cli {

/// Keys keep the order in which they are set.
using OrderedJson = nlohmann::ordered_json;

/// Prints `text` and a line end on stdout. throws kIo when stdout cannot take it (closed, full
/// disk)
void print_line(std::string_view text);

/// `object` on one line of stdout; broken UTF-8 becomes U+FFFD. throws kIo
void print_json(const OrderedJson& object);

/// {"error":{"kind":...,"message":...}}
OrderedJson error_json(ErrorKind kind, std::string_view message);

OrderedJson cache_json(const CacheCounters& cache);

}  // namespace tintype::cli
