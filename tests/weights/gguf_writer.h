/// Making GGUF files for tests, honest and hostile ones alike: every field is as given. Test code
/// only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tintype::testing {

/// One tensor to write. `dims` as the file has them, innermost first.
struct GgufTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;
  uint64_t offset = 0;
};

template <typename T>
std::string little_endian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i)
    bytes += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xff);
  return bytes;
}

inline std::string gguf_text(std::string_view text) {
  return little_endian<uint64_t>(text.size()) + std::string(text);
}

/// What a file says besides its tensors. `settings` holds ready-made bytes.
struct GgufStart {
  uint32_t version = 3;
  uint64_t setting_count = 0;
  std::string settings = {};
  uint64_t extra_tensors = 0;  ///< claimed on top of the real ones
  uint64_t alignment = 32;     ///< of the data, as written
};

inline std::string gguf_file(const std::vector<GgufTensor>& tensors, std::string_view data,
                             const GgufStart& start = {}) {
  std::string bytes = "GGUF" + little_endian(start.version) +
                      little_endian<uint64_t>(tensors.size() + start.extra_tensors) +
                      little_endian(start.setting_count) + start.settings;
  for (const GgufTensor& tensor : tensors) {
    bytes += gguf_text(tensor.name) + little_endian(static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t extent : tensor.dims) bytes += little_endian(extent);
    bytes += little_endian(tensor.type) + little_endian(tensor.offset);
  }
  while (bytes.size() % start.alignment != 0) bytes += '\0';
  return bytes.append(data);
}

}  // namespace tintype::testing
