/// Any bytes as a GGUF file: refused with an Error, or every tensor can be read in full.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>

#include "fuzz/fuzz_check.h"
#include "weights/gguf.h"

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

void check_source(const TensorSource& source, size_t file_bytes) {
  const auto entries = source.entries();
  uint64_t total = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    fuzz::require(i == 0 || entries[i - 1].name < entries[i].name, "names are sorted and unique");
    const Tensor tensor = source.read(entries[i]);
    fuzz::require(tensor.shape() == entries[i].shape && tensor.dtype() == entries[i].dtype,
                  "a tensor is what its entry says");
    fuzz::require(std::bit_cast<uintptr_t>(tensor.bytes()) % size_of(tensor.dtype()) == 0,
                  "a tensor lies aligned");
    total += entries[i].stored.empty() ? tensor.nbytes() : entries[i].stored_bytes;
    read_all(tensor);
  }
  fuzz::require(total <= file_bytes, "tensors do not share bytes");
  fuzz::require(summarize(source).bytes == total, "the summary counts every byte");
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const DType widened : {DType::kF32, DType::kF16}) {
    try {
      check_source(*open_gguf_bytes(bytes, "input", {.widened = widened}), size);
    } catch (const Error& error) {
      fuzz::require_file_error(error);
    }
  }
  return 0;
}
