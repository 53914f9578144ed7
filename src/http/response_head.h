/// The head of an answer as it goes over the wire. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace tintype::http {

/// "Not Found"
std::string_view reason_phrase(int status) noexcept;

struct Framing {
  std::optional<size_t> content_length = {};
  bool chunked = false;
  bool keep_alive = true;
  bool http_1_0 = false;
};

/// Status line, the response's headers, Date, framing, blank line. Values lose line breaks: no
/// header can begin another one.
std::string response_head(const Response& response, const Framing& framing);

}  // namespace tintype::http
