/// What every fuzz target demands of the library: only the project's Error may leave a reader, of a
/// kind that blames the file, with a message that is safe to print. Anything else aborts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tintype/error.h"

namespace tintype::fuzz {

[[noreturn]] inline void broken(std::string_view property, std::string_view detail = {}) {
  std::fprintf(stderr, "fuzz: broken property: %.*s %.*s\n", static_cast<int>(property.size()),
               property.data(), static_cast<int>(detail.size()), detail.data());
  std::abort();
}

inline void require(bool condition, std::string_view property, std::string_view detail = {}) {
  if (!condition) broken(property, detail);
}

inline void require_file_error(const Error& error) {
  const std::string_view message = error.what();
  require(error.kind() == ErrorKind::kCorruptFile || error.kind() == ErrorKind::kUnsupported,
          "a bad file is corrupt or unsupported", message);
  require(!message.empty() && message.size() < 20'000, "messages are short", message);
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    require((byte >= 0x20 && byte != 0x7f) || c == '\n', "messages are safe to print");
  }
}

}  // namespace tintype::fuzz
