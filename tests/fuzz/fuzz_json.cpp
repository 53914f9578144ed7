/// Any bytes as a JSON config: refused with an Error, or the same document that the JSON library
/// builds; the typed getters then answer or refuse.
#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "fuzz/fuzz_check.h"

namespace tintype {
namespace {

template <typename Getter>
void try_getter(const Getter& getter) {
  try {
    (void)getter();
  } catch (const Error& error) {
    fuzz::require_file_error(error);
  }
}

void check_document(std::string_view text) {
  const Json document = parse_json(text, "input");
  fuzz::require(document == Json::parse(text), "the document is the library's");
  const JsonObject object(document, "input");
  for (const auto& item : document.items()) {
    const std::string_view key = item.key();
    try_getter([&] { return object.integer(key, -1000, 1000); });
    try_getter([&] { return object.integer(key, INT64_MIN, INT64_MAX, 1); });
    try_getter([&] { return object.number(key, -1e300, 1e300); });
    try_getter([&] { return object.boolean(key, true); });
    try_getter([&] { return object.text(key); });
    try_getter([&] { return object.integers(key, 0, 1 << 20); });
    try_getter([&] { return object.texts(key); });
    try_getter([&] { return object.numbers(key, 0, 1); });
  }
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  try {
    check_document({reinterpret_cast<const char*>(data), size});
  } catch (const Error& error) {
    fuzz::require_file_error(error);
  }
  return 0;
}
