/// A safetensors file with the names and shapes of a released single-file layout and no bytes on
/// the disk: what reads names, shapes and settings cannot tell it from the real one. Test code
/// only.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "weights/safetensors_writer.h"

namespace tintype::testing {

struct ListedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

/// tests/fixtures/keys/NAME.keys: an indented tree, a tensor's line ends in its shape.
inline std::vector<ListedTensor> read_key_list(const std::string& name) {
  std::ifstream in(std::string(TT_FIXTURES) + "/keys/" + name + ".keys");
  EXPECT_TRUE(in) << name;
  std::vector<ListedTensor> tensors;
  std::vector<std::string> path;
  for (std::string text; std::getline(in, text);) {
    const size_t depth = text.find_first_not_of(' ');
    const size_t bracket = text.find(" [", depth);
    path.resize(depth);
    path.push_back(text.substr(depth, bracket - depth));
    if (bracket == std::string::npos) continue;
    ListedTensor tensor;
    for (const std::string& part : path) tensor.name += (tensor.name.empty() ? "" : ".") + part;
    for (size_t at = bracket + 2; text[at] != ']';) {
      size_t used = 0;
      tensor.shape.push_back(std::stoll(text.substr(at), &used));
      at += used + (text[at + used] == ',' ? 1 : 0);
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

/// Zeros everywhere, one byte a number, as a hole in the file.
inline void write_key_list_file(const std::filesystem::path& file,
                                const std::vector<ListedTensor>& tensors,
                                const std::string& metadata = R"({"format":"pt"})") {
  std::string header = "{\"__metadata__\":" + metadata;
  uint64_t end = 0;
  for (const ListedTensor& tensor : tensors) {
    const uint64_t begin = end;
    uint64_t count = 1;
    std::string shape;
    for (const int64_t extent : tensor.shape) {
      shape += (shape.empty() ? "" : ",") + std::to_string(extent);
      count *= static_cast<uint64_t>(extent);
    }
    end += count;
    header += cat(",\"", tensor.name, R"(":{"dtype":"F8_E4M3","shape":[)", shape,
                  R"(],"data_offsets":[)", begin, ',', end, "]}");
  }
  header += '}';
  const std::string bytes = safetensors_bytes(header);
  std::ofstream(file, std::ios::binary) << bytes;
  std::filesystem::resize_file(file, bytes.size() + end);
}

}  // namespace tintype::testing
