/// Lookup in the lists of a TensorSource, which are sorted by name. Pure functions.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace tintype {

/// The item called `name`; null when `sorted` lacks it.
template <typename Item>
const Item* find_by_name(std::span<const Item> sorted, std::string_view name) {
  const auto found =
      std::lower_bound(sorted.begin(), sorted.end(), name,
                       [](const Item& item, std::string_view key) { return item.name < key; });
  return found == sorted.end() || found->name != name ? nullptr : &*found;
}

}  // namespace tintype
