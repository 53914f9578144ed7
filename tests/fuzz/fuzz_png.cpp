/// Any bytes as a PNG picture.
#include "fuzz/fuzz_picture.h"
#include "image/png_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  fuzz::check_picture({data, size}, [](std::span<const uint8_t> bytes) {
    return decode_png(bytes, "input", nullptr, fuzz::kLimits);
  });
  fuzz::check_picture({data, size}, [](std::span<const uint8_t> bytes) {
    return decode_png_alpha(bytes, "input", fuzz::kLimits);
  });
  return 0;
}
