/// Making safetensors files for tests: honest ones from a list of tensors, and hostile ones from a
/// header given as text. Test code only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace tintype::testing {

/// One tensor to write. `dtype` is the file's spelling ("F32"); `data` its raw bytes.
struct TensorToWrite {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string data;
};

/// Values as the bytes that a file holds.
template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline TensorToWrite f32_tensor(std::string name, std::vector<int64_t> shape,
                                const std::vector<float>& values) {
  return {std::move(name), "F32", std::move(shape), bytes_of(values)};
}

/// A file of any header text and any data; the length field tells the truth.
inline std::string safetensors_bytes(std::string_view header, std::string_view data = {}) {
  std::string bytes;
  const uint64_t length = header.size();
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  bytes += header;
  bytes += data;
  return bytes;
}

/// How safetensors_file() lays out its file.
struct SafetensorsLayout {
  std::string metadata = R"({"format":"pt"})";  ///< JSON of __metadata__; "" leaves it out
  size_t align_header_to = 8;  ///< spaces after the header; 1 leaves the data unaligned
};

/// An honest file that holds `tensors` in this order.
inline std::string safetensors_file(const std::vector<TensorToWrite>& tensors,
                                    const SafetensorsLayout& layout = {}) {
  std::string header = "{", data;
  if (!layout.metadata.empty()) header += "\"__metadata__\":" + layout.metadata;
  for (const TensorToWrite& tensor : tensors) {
    std::string shape;
    for (const int64_t extent : tensor.shape) {
      if (!shape.empty()) shape += ',';
      shape += std::to_string(extent);
    }
    const size_t begin = data.size();
    data += tensor.data;
    if (header.size() > 1) header += ',';
    header += cat('"', tensor.name, R"(":{"dtype":")", tensor.dtype, R"(","shape":[)", shape,
                  R"(],"data_offsets":[)", begin, ',', data.size(), "]}");
  }
  header += '}';
  while ((8 + header.size()) % layout.align_header_to != 0) header += ' ';
  return safetensors_bytes(header, data);
}

}  // namespace tintype::testing
