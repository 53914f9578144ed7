/// Checks that the models' configs share. Pure functions over untrusted JSON.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "base/json.h"

namespace tintype {

/// Bounds that no real network comes near; they keep absurd configs from absurd allocations.
inline constexpr int64_t kMaxWidth = 1 << 16;
inline constexpr int64_t kMaxLayers = 1024;

/// throws kUnsupported unless `key` is absent, null or exactly `only`
void require_only(const JsonObject& json, std::string_view key, const Json& only);

/// "silu"/"swish", "gelu", "quick_gelu". throws kUnsupported naming the key
Activation parse_activation(const JsonObject& json, std::string_view key,
                            std::string_view fallback);

/// One value a level: a list of exactly `count`, or one number for all of them.
std::vector<int64_t> per_level(const JsonObject& json, std::string_view key, size_t count,
                               int64_t min, int64_t max, int64_t fallback);

/// Height and width from a number or a pair [height, width].
std::array<int64_t, 2> size_pair(const JsonObject& json, std::string_view key, int64_t fallback);

}  // namespace tintype
