#include "http/multipart.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "http/ascii.h"

namespace tintype::http {
namespace {

constexpr std::string_view kWhere = "body";
constexpr std::string_view kLineEnd = "\r\n";
/// RFC 2046 5.1.1
constexpr size_t kMaxBoundary = 70;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

struct HeaderValue {
  std::string value;  ///< in lower case: "form-data"
  std::vector<std::pair<std::string, std::string>> parameters;

  std::optional<std::string> parameter(std::string_view name) const {
    for (const auto& [key, text] : parameters)
      if (key == name) return text;
    return std::nullopt;
  }
};

/// A quoted parameter; `text` begins behind the opening quote and is left behind the closing one.
std::string take_quoted(std::string_view& text) {
  std::string value;
  while (!text.empty() && text.front() != '"') {
    // Browsers send '"' as %22 and backslashes bare (a path's), other clients escape: only an
    // escaped quote or backslash is one.
    if (text.size() > 1 && text[0] == '\\' && (text[1] == '"' || text[1] == '\\'))
      text.remove_prefix(1);
    value += text.front();
    text.remove_prefix(1);
  }
  TT_REQUIRE(!text.empty(), kWhere, "must close the quotes of its parts' headers, got an open one");
  text.remove_prefix(1);
  return value;
}

/// `form-data; name="image"; filename="a.png"`
HeaderValue parse_header_value(std::string_view text) {
  HeaderValue header;
  const size_t end = std::min(text.find(';'), text.size());
  header.value = lower(trimmed(text.substr(0, end)));
  text.remove_prefix(end);
  while (!text.empty()) {
    text.remove_prefix(1);  // the semicolon
    const size_t stop = std::min(text.find_first_of("=;"), text.size());
    const std::string name = lower(trimmed(text.substr(0, stop)));
    text.remove_prefix(stop);
    std::string value;
    if (!text.empty() && text.front() == '=') {
      text.remove_prefix(1);
      while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
      if (!text.empty() && text.front() == '"') {
        text.remove_prefix(1);
        value = take_quoted(text);
        text.remove_prefix(std::min(text.find(';'), text.size()));
      } else {
        const size_t semicolon = std::min(text.find(';'), text.size());
        value = trimmed(text.substr(0, semicolon));
        text.remove_prefix(semicolon);
      }
    }
    if (!name.empty()) header.parameters.emplace_back(name, std::move(value));
  }
  return header;
}

std::string boundary_of(std::string_view content_type) {
  const std::string boundary =
      parse_header_value(content_type).parameter("boundary").value_or(std::string());
  TT_REQUIRE(!boundary.empty() && boundary.size() <= kMaxBoundary, "content-type",
             "must name a boundary of 1..", kMaxBoundary, " characters, got ", boundary.size());
  for (const char c : boundary)
    TT_REQUIRE(c >= ' ' && c < 0x7f, "content-type",
               "must name a boundary of printable characters, got \"", printable(boundary), "\"");
  return boundary;
}

/// `block` is the lines between a boundary and the empty line.
FormPart parse_part_header(std::string_view block) {
  FormPart part;
  bool is_form_data = false;
  while (!block.empty()) {
    const size_t end = std::min(block.find(kLineEnd), block.size());
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(std::min(end + kLineEnd.size(), block.size()));
    const size_t colon = line.find(':');
    TT_REQUIRE(colon != std::string_view::npos, kWhere,
               "must have headers of the form name: value "
               "in its parts, got \"",
               printable(line, 60), "\"");
    const std::string name = lower(trimmed(line.substr(0, colon)));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (name == "content-disposition") {
      const HeaderValue disposition = parse_header_value(value);
      is_form_data = disposition.value == "form-data";
      part.name = disposition.parameter("name").value_or(std::string());
      part.filename = disposition.parameter("filename").value_or(std::string());
    } else if (name == "content-type") {
      part.media_type = lower(value);
    } else if (name == "content-transfer-encoding") {
      const std::string encoding = lower(value);
      TT_REQUIRE(
          encoding == "binary" || encoding == "8bit" || encoding == "7bit", kWhere,
          "must hold its parts as they are, got Content-Transfer-Encoding: ", printable(value, 40));
    }
  }
  TT_REQUIRE(is_form_data && !part.name.empty(), kWhere,
             "must name every part by Content-Disposition: form-data; name=\"...\", got one "
             "without");
  return part;
}

}  // namespace

bool is_multipart_form(std::string_view content_type) {
  return parse_header_value(content_type.substr(0, content_type.find(';'))).value ==
         "multipart/form-data";
}

std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body,
                                      const FormLimits& limits) {
  const std::string delimiter = "\r\n--" + boundary_of(content_type);
  // The first boundary may stand at the very start, without the line end that belongs to the
  // others.
  const std::string_view first = std::string_view(delimiter).substr(kLineEnd.size());
  size_t at = 0;
  if (body.starts_with(first)) {
    at = first.size();
  } else {
    at = body.find(delimiter);
    TT_REQUIRE(at != std::string_view::npos, kWhere,
               "must hold the boundary that its Content-Type names, got none");
    at += delimiter.size();
  }
  std::vector<FormPart> parts;
  while (true) {
    // Behind a boundary: "--" ends the form, else white space and a line end.
    if (body.substr(at).starts_with("--")) return parts;
    while (at < body.size() && (body[at] == ' ' || body[at] == '\t')) ++at;
    TT_REQUIRE(body.substr(at).starts_with(kLineEnd), kWhere,
               "must go on in a new line behind a boundary, got other bytes or its end");
    at += kLineEnd.size();
    TT_REQUIRE(parts.size() < limits.max_parts, kWhere, "must have at most ", limits.max_parts,
               " parts, got more");
    const std::string_view rest = body.substr(at, limits.max_header_bytes);
    const size_t end = rest.find("\r\n\r\n");
    TT_REQUIRE(end != std::string_view::npos, kWhere, "must have at most ", limits.max_header_bytes,
               " bytes of headers in a part and an empty line behind them, got none");
    FormPart part = parse_part_header(rest.substr(0, end));
    at += end + 2 * kLineEnd.size();
    const size_t next = body.find(delimiter, at);
    TT_REQUIRE(next != std::string_view::npos, kWhere, "must end with its boundary, got ",
               body.size(), " bytes without; was it cut off?");
    part.contents = body.substr(at, next - at);
    parts.push_back(std::move(part));
    at = next + delimiter.size();
  }
}

}  // namespace tintype::http
