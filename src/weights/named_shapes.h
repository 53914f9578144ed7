/// Asking what tensors a source has, by name: for code that finds out what a file holds. Reads no
/// data. Borrows the source; immutable.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "weights/find_by_name.h"
#include "weights/weights.h"

namespace tintype {

/// The tensors below one prefix ("first_stage_model."), under the rest of their names.
class NamedShapes {
 public:
  explicit NamedShapes(const TensorSource& source, std::string prefix = {})
      : source_(&source), prefix_(std::move(prefix)) {}

  const TensorSource& source() const { return *source_; }
  const std::string& prefix() const { return prefix_; }

  /// Null when no readable tensor has this name.
  const Shape* find(std::string_view name) const {
    const auto* entry = find_by_name(source_->entries(), prefix_ + std::string(name));
    return entry == nullptr ? nullptr : &entry->shape;
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }

  /// The extent of axis `axis` of `name`.
  /// throws kUnsupported: there is no such tensor, or it has another rank
  int64_t extent(std::string_view name, int axis, int rank) const {
    const Shape* shape = find(name);
    if (shape == nullptr) {
      fail(ErrorKind::kUnsupported, source_->origin(), "must hold ", prefix_, name,
           ", got none; probably a model of another family or an incomplete one");
    }
    if (shape->rank() != rank || (*shape)[axis] < 1) {
      fail(ErrorKind::kUnsupported, source_->origin(), prefix_, name, " must have ", rank,
           " dimensions, none empty, got ", *shape);
    }
    return (*shape)[axis];
  }

  /// True when any tensor's name starts with `start`. Names are sorted, so this is one search.
  bool any_below(std::string_view start) const {
    const auto entries = source_->entries();
    const std::string key = prefix_ + std::string(start);
    const auto found =
        std::lower_bound(entries.begin(), entries.end(), key,
                         [](const auto& entry, const auto& k) { return entry.name < k; });
    return found != entries.end() && found->name.starts_with(key);
  }

  /// How many of `<start>0.`, `<start>1.`, ... there are without a gap.
  int64_t count(std::string_view start) const {
    int64_t n = 0;
    while (any_below(cat(start, n, '.'))) ++n;
    return n;
  }

 private:
  const TensorSource* source_;
  std::string prefix_;
};

}  // namespace tintype
