/// Any bytes as a WebP picture.
#include "fuzz/fuzz_picture.h"
#include "image/webp_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  fuzz::check_picture({data, size}, [](std::span<const uint8_t> bytes) {
    return decode_webp(bytes, "input", fuzz::kLimits);
  });
  fuzz::check_picture({data, size}, [](std::span<const uint8_t> bytes) {
    return decode_webp_alpha(bytes, "input", fuzz::kLimits);
  });
  return 0;
}
