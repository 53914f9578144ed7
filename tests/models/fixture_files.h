/// Reading the reference's dumps (tests/fixtures): tensors by name, channels-first as PyTorch wrote
/// them, turned channels-last.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/allocator.h"
#include "weights/safetensors.h"

namespace tintype::testing {

inline std::filesystem::path fixtures() { return TT_FIXTURES; }

/// Folders below tests/fixtures/<kind>, sorted.
inline std::vector<std::string> fixture_names(const char* kind) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures() / kind))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Dump {
 public:
  explicit Dump(const std::filesystem::path& file) : source_(open_safetensors(file)) {}

  bool has(const std::string& name) const {
    for (const auto& entry : source_->entries())
      if (entry.name == name) return true;
    return false;
  }
  /// As stored.
  Tensor raw(const std::string& name) const {
    for (const auto& entry : source_->entries())
      if (entry.name == name) return source_->read(entry);
    fail(ErrorKind::kNotFound, source_->origin(), "the dump must hold ", name);
  }
  /// [B,C,H,W] as [B,H,W,C]; other ranks as stored.
  Tensor channels_last(const std::string& name) const {
    const Tensor x = raw(name);
    if (x.rank() != 4) return x;
    Tensor out = empty_host(Shape{x.dim(0), x.dim(2), x.dim(3), x.dim(1)});
    const int64_t channels = x.dim(1), positions = x.dim(2) * x.dim(3);
    for (int64_t b = 0; b < x.dim(0); ++b)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t p = 0; p < positions; ++p)
          out.mutable_data<float>()[(b * positions + p) * channels + c] =
              x.data<float>()[(b * channels + c) * positions + p];
    return out;
  }

 private:
  std::shared_ptr<const TensorSource> source_;
};

}  // namespace tintype::testing
