/// Any bytes as a form, with a boundary that the seeds use: refused with an Error, or parts that
/// lie in the body, which then become JSON and an OpenAI request or an Error.
#include <cstdint>
#include <string_view>

#include "fuzz/fuzz_check.h"
#include "http/multipart.h"
#include "http/openai_json.h"

namespace tintype::http {
namespace {

void check(std::string_view body) {
  const FormLimits limits{.max_parts = 16, .max_header_bytes = 512};
  const auto parts = parse_multipart("multipart/form-data; boundary=b", body, limits);
  fuzz::require(parts.size() <= limits.max_parts, "parts are few");
  for (const FormPart& part : parts) {
    fuzz::require(!part.name.empty() && part.name.size() <= limits.max_header_bytes,
                  "names are bounded");
    fuzz::require(part.contents.data() >= body.data() &&
                      part.contents.data() + part.contents.size() <= body.data() + body.size(),
                  "contents lie in the body");
  }
  openai_edit(json_of_form(parts), [](std::string_view) { return 20; });
}

}  // namespace
}  // namespace tintype::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  try {
    http::check({reinterpret_cast<const char*>(data), size});
  } catch (const Error& error) {
    fuzz::require(
        error.kind() == ErrorKind::kInvalidArgument || error.kind() == ErrorKind::kUnsupported,
        "a bad form is a bad argument", error.what());
  }
  return 0;
}
