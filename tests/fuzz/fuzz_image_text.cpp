/// Any bytes as a picture's file: its texts are valid UTF-8 and never longer than twice the file.
#include <cstdint>
#include <span>

#include "fuzz/fuzz_check.h"
#include "image/png_text.h"
#include "tintype/image_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  try {
    const PngText texts = image_text({data, size});
    fuzz::require(texts.size() <= 64, "texts are few");
    for (const auto& [key, text] : texts) {
      // Latin-1 and UTF-16 take up to twice and one and a half times the bytes in UTF-8, a broken
      // byte three times.
      fuzz::require(text.size() <= 3 * size && key.size() <= 2 * size, "texts are bounded");
      fuzz::require(repair_utf8(text) == text, "texts are valid");
    }
  } catch (const Error& error) {
    fuzz::require_file_error(error);
  }
  return 0;
}
