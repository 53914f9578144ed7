/// multipart/form-data: what browsers' forms and the clients of OpenAI's API send with pictures.
/// Bodies are hostile: the number of parts and the size of their headers are bounded, nothing is
/// copied but names. Thread-safe: no state.
/// source  RFC 7578 (form-data), RFC 2046 5.1 (multipart)
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tintype::http {

struct FormLimits {
  size_t max_parts = 64;
  size_t max_header_bytes = 4096;  ///< of one part
};

struct FormPart {
  std::string name;           ///< of the field: "image[]"
  std::string filename;       ///< "" where it is no file; a name for messages, never a path
  std::string media_type;     ///< as sent, lower case; "" where it does not say
  std::string_view contents;  ///< inside the body
};

/// True of "multipart/form-data; ..." in any case.
bool is_multipart_form(std::string_view content_type);

/// The parts in their order. `content_type` is the header, with the boundary.
/// throws kInvalidArgument: no or a malformed boundary, parts without a name, a body that ends
/// before its last boundary, more than the limits
std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body,
                                      const FormLimits& limits = {});

}  // namespace tintype::http
