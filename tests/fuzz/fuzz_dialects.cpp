/// Any JSON as requests of OpenAI's and A1111's APIs and as an infotext: refused with an Error, or
/// a native request that names its type.
#include <cstdint>
#include <string_view>

#include "fuzz/fuzz_check.h"
#include "http/a1111_json.h"
#include "http/json_members.h"
#include "http/openai_json.h"

namespace tintype::http {
namespace {

template <typename Convert>
void try_one(const Convert& convert) {
  try {
    const Json native = convert();
    fuzz::require(native.is_null() || native.contains("type"), "a native request has a type");
  } catch (const Error& error) {
    fuzz::require(error.kind() == ErrorKind::kInvalidArgument ||
                      error.kind() == ErrorKind::kUnsupported ||
                      error.kind() == ErrorKind::kNotFound,
                  "a bad request is the caller's", error.what());
  }
}

void check(std::string_view text) {
  static const A1111Names names{.models = {"m"}, .upscalers = {"x"}};
  const Json infotext = a1111_parse_infotext(text);
  fuzz::require(infotext.is_object(), "an infotext is members");
  Json body;
  try {
    body = parse_body(text);
  } catch (const Error&) {
    return;
  }
  const auto steps = [](std::string_view) { return 20; };
  try_one([&] { return openai_generation(body, steps).native; });
  try_one([&] { return openai_edit(body, steps).native; });
  try_one([&] { return a1111_txt2img(body, {}, names).native; });
  try_one([&] { return a1111_img2img(body, {}, names).native; });
  try_one([&] { return a1111_upscale(body, names).native; });
  try_one([&] {
    std::vector<std::string> warnings;
    a1111_options(body, {}, names, warnings);
    return Json();
  });
}

}  // namespace
}  // namespace tintype::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tintype::http::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
