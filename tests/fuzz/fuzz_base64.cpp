/// Any text as base64 or as a data URI: refused with an Error, or bytes whose encoding decodes to
/// them.
#include <cstdint>
#include <string_view>

#include "base/base64.h"
#include "fuzz/fuzz_check.h"

namespace tintype {
namespace {

constexpr uint64_t kMaxBytes = 4096;

void check(std::string_view text) {
  const DataUri uri = decode_data_uri(text, "input", kMaxBytes);
  fuzz::require(uri.bytes.size() <= kMaxBytes, "the limit holds");
  fuzz::require(uri.media_type.size() <= text.size(), "a media type is part of the text");
  fuzz::require(decode_base64(encode_base64(uri.bytes), "again", kMaxBytes) == uri.bytes,
                "bytes come back");
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  try {
    check({reinterpret_cast<const char*>(data), size});
  } catch (const Error& error) {
    fuzz::require(error.kind() == ErrorKind::kInvalidArgument, "bad base64 is a bad argument",
                  error.what());
  }
  return 0;
}
