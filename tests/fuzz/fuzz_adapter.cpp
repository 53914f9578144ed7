// Adapter files: any bytes become an adapter that fits the slots and their memory, or one error.
#include <cstddef>
#include <cstdint>
#include <span>

#include "adapters/adapter.h"
#include "fuzz/fuzz_check.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

const std::vector<WeightSlot>& slots() {
  static const std::vector<WeightSlot> all = {
      {.path = "a.to_q", .shape = Shape{12, 8}, .original_path = "input_blocks.1.1.to_q"},
      {.path = "a.conv1", .shape = Shape{6, 4, 3, 3}, .original_path = ""},
      {.path = "a.short", .shape = Shape{6, 4, 1, 1}, .original_path = ""}};
  return all;
}

void check(const TensorSource& source) {
  const AdapterFile file = read_adapter(source);
  const AdapterTarget target{.component = "unet", .slots = &slots(), .weights = [] {
                               fail(ErrorKind::kUnsupported, "fuzz", "there are no weights here");
                               return std::shared_ptr<const TensorSource>();
                             }};
  const auto adapter = Adapter::match(file, std::span(&target, 1), Device::kCpu, kMaxBytes);
  fuzz::require(adapter->bytes() <= 2 * kMaxBytes, "an adapter keeps to its budget");
  const auto view = adapter_view(AdapterSet{{adapter, 0.5f, 0.5f}}, "unet");
  fuzz::require(view != nullptr, "an adapter changes some layer");
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  try {
    check(*open_safetensors_bytes(std::as_bytes(std::span(data, size)), "input"));
  } catch (const Error& error) {
    // What does not fit the slots is not a faulty file.
    if (error.kind() != ErrorKind::kOutOfMemory) fuzz::require_file_error(error);
  }
  return 0;
}
