/// Any bytes as a safetensors file: refused with an Error, or every tensor can be read in full.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "fuzz/fuzz_check.h"
#include "weights/safetensors.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace tintype {
namespace {

/// Touches every byte, so that a sanitizer sees each wrong one.
void read_all(const Tensor& tensor) {
  uint8_t sum = 0;
  for (const std::byte byte : std::span(tensor.bytes(), tensor.nbytes())) {
    sum = static_cast<uint8_t>(sum + std::to_integer<uint8_t>(byte));
  }
  volatile uint8_t sink = sum;
  (void)sink;
}

/// Bytes after the header of a file that the reader has accepted.
uint64_t data_bytes(std::span<const std::byte> file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  return file.size() - sizeof(length) - length;
}

void check_source(const std::shared_ptr<const TensorSource>& source,
                  std::span<const std::byte> file) {
  const auto entries = source->entries();
  uint64_t total = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    fuzz::require(i == 0 || entries[i - 1].name < entries[i].name, "names are sorted and unique");
    const Tensor tensor = source->read(entries[i]);
    fuzz::require(tensor.shape() == entries[i].shape && tensor.dtype() == entries[i].dtype,
                  "a tensor is what its entry says");
    fuzz::require(std::bit_cast<uintptr_t>(tensor.bytes()) % size_of(tensor.dtype()) == 0,
                  "a tensor lies aligned");
    total += entries[i].stored.empty() ? tensor.nbytes() : entries[i].stored_bytes;
    read_all(tensor);
  }
  const SourceSummary summary = summarize(*source);
  fuzz::require(summary.bytes == total, "the summary counts every byte");
  fuzz::require(
      source->unreadable().empty() ? total == data_bytes(file) : total <= data_bytes(file),
      "tensors tile the data");

  WeightLoader loader("fuzz", source, Device::kCpu);
  constexpr std::string_view kWanted = "blocks.0.weight";
  loader.root().take(kWanted, {2, 3});
  if (!entries.empty() && entries[0].name != kWanted) {
    loader.root().take(entries[0].name, entries[0].shape);
  }
  loader.finish();
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    check_source(open_safetensors_bytes(bytes, "input"), bytes);
  } catch (const Error& error) {
    fuzz::require_file_error(error);
  }
  return 0;
}

/// Most mutations change the header's length or the data's, and a reader that stops at the length
/// field is not exercised further. So two in three inputs get a length that tells the truth: the
/// header ends with the last brace.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size <= 8 || seed % 3 == 0) return size;
  const std::span text(data + 8, size - 8);
  const auto brace = std::find(text.rbegin(), text.rend(), '}');
  const uint64_t length = static_cast<uint64_t>(text.rend() - brace);
  std::memcpy(data, &length, sizeof(length));
  return size;
}
