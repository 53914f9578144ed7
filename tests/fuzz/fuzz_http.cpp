/// Bytes of any kind as a connection's: the parser takes them in pieces of any size within its
/// limits and ends in one state; targets, queries and keys of what it read are decoded or refused.
/// The first byte chooses the size of the pieces.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/fuzz_check.h"
#include "http/gate.h"
#include "http/request_parser.h"
#include "http/target.h"
#include "http/trace.h"

namespace tintype::http {
namespace {

constexpr size_t kMaxBody = 2000;

void check_target(std::string_view text) {
  const auto target = parse_target(text);
  if (!target) return;
  fuzz::require(target->path.starts_with('/'), "paths begin with a slash");
  fuzz::require(target->path.find('\0') == std::string::npos, "no NUL");
  fuzz::require(("/" + target->path + "/").find("/../") == std::string::npos, "no way up");
  fuzz::require(target->query.size() <= kMaxQueryFields, "fields are bounded");
}

void check_head(const RequestHead& head, const ParserLimits& limits) {
  fuzz::require(head.headers.size() <= limits.max_headers, "headers are bounded");
  fuzz::require(head.target.size() <= limits.max_target_bytes, "targets are bounded");
  fuzz::require(!(head.chunked && head.content_length), "one framing");
  check_target(head.target);
  presented_key(head);
  check_host(head, {}, false);
  check_origin(head, {});
  if (const std::string* parent = head.header("traceparent"))
    fuzz::require(make_trace(*parent).header().size() == 55, "traces have their form");
}

void check_requests(std::string_view text, size_t piece) {
  const ParserLimits limits{.max_header_bytes = 1024, .max_headers = 20, .max_target_bytes = 500};
  std::string pending;
  for (int requests = 0; requests < 100; ++requests) {
    RequestParser parser(limits);
    bool is_known = false;
    for (;;) {
      pending.erase(0, parser.put(pending));
      const RequestParser::State state = parser.state();
      if (!is_known &&
          (state == RequestParser::State::kBody || state == RequestParser::State::kDone)) {
        is_known = true;
        check_head(parser.head(), limits);
        if (state == RequestParser::State::kBody) {
          parser.allow_body(kMaxBody);
          continue;
        }
      }
      fuzz::require(parser.body_bytes() <= kMaxBody, "bodies are bounded");
      fuzz::require(pending.size() <= 8192 + piece, "what is left untaken is bounded");
      if (state == RequestParser::State::kBad)
        return fuzz::require(parser.problem().status >= 400, "refusals have a status");
      if (state == RequestParser::State::kDone) break;
      if (text.empty()) return;
      pending += text.substr(0, piece);
      text.remove_prefix(std::min(piece, text.size()));
    }
  }
}

}  // namespace
}  // namespace tintype::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  tintype::http::check_requests(text, data[0] % 64 * 16 + 1);
  tintype::http::check_target(text);
  tintype::http::percent_decode(text, true);
  return 0;
}
