#include "http/request_parser.h"

#include <algorithm>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>
#include <limits>

#include "base/check.h"
#include "http/ascii.h"

namespace tintype::http {
namespace {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

/// Behind the head nothing but chunk framing and trailers may be left untaken, and those are short.
constexpr size_t kMaxFraming = 4096;
/// The end of a chunked body, "0\r\n\r\n", is taken at once or not at all, so there is always this
/// much to come. Beast 1.74 asserts it and does not wait for it where the first chunk is the last.
constexpr size_t kLeastFraming = 5;

/// A body that grows as bytes come, whatever length was announced, up to its limit.
struct BoundedBody {
  struct value_type {
    std::string bytes;
    size_t max = 0;
  };
  class reader {
   public:
    template <bool kIsRequest, class HeaderFields>
    reader(bhttp::header<kIsRequest, HeaderFields>&, value_type& value) : value_(value) {}
    void init(const boost::optional<std::uint64_t>&, beast::error_code& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, beast::error_code& error) {
      const size_t size = beast::buffer_bytes(buffers);
      error = {};
      if (size > value_.max - std::min(value_.bytes.size(), value_.max)) {
        error = bhttp::error::body_limit;
        return 0;
      }
      for (const auto buffer : beast::buffers_range_ref(buffers))
        value_.bytes.append(static_cast<const char*>(buffer.data()), buffer.size());
      return size;
    }
    void finish(beast::error_code& error) { error = {}; }

   private:
    value_type& value_;
  };
};

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

const std::string* RequestHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return &value;
  return nullptr;
}

struct RequestParser::Impl {
  ParserLimits limits;
  bhttp::request_parser<BoundedBody> parser;
  State state = State::kHead;
  RequestHead head;
  Problem problem;

  void refuse(int status, std::string message) {
    state = State::kBad;
    problem = http::problem(status, std::move(message));
  }

  void refuse(const beast::error_code& error) {
    if (error == bhttp::error::header_limit) {
      refuse(431, cat("[headers] must take at most ", limits.max_header_bytes, " bytes"));
    } else if (error == bhttp::error::body_limit) {
      refuse(413, cat("[body] must have at most ", parser.get().body().max, " bytes"));
    } else if (error == bhttp::error::bad_version) {
      refuse(505, "[request] must be HTTP/1.0 or HTTP/1.1");
    } else {
      refuse(400, cat("[request] must be well-formed HTTP/1.1: ", error.message()));
    }
  }

  /// What the grammar allows and a server behind or before others must not.
  void take_head() {
    const auto& message = parser.get();
    head.method = std::string(view(message.method_string()));
    head.target = std::string(view(message.target()));
    if (head.target.size() > limits.max_target_bytes)
      return refuse(414, cat("[target] must have at most ", limits.max_target_bytes, " bytes"));
    for (const auto& field : message) {
      if (head.headers.size() == limits.max_headers)
        return refuse(431, cat("[headers] must be at most ", limits.max_headers));
      head.headers.emplace_back(lower(view(field.name_string())), std::string(view(field.value())));
    }
    if (message.version() != 10 && message.version() != 11)
      return refuse(505, "[request] must be HTTP/1.0 or HTTP/1.1");
    head.http_1_0 = message.version() == 10;
    head.keep_alive = parser.keep_alive();
    if (parser.content_length()) head.content_length = *parser.content_length();
    head.chunked = parser.chunked();
    for (const char* name : {"host", "content-length", "transfer-encoding", "authorization"})
      if (std::count_if(head.headers.begin(), head.headers.end(),
                        [&](const auto& field) { return field.first == name; }) > 1)
        return refuse(400, cat("[", name, "] must be given once"));
    if (const std::string* coding = head.header("transfer-encoding")) {
      if (lower(*coding) != "chunked") return refuse(501, "[transfer-encoding] must be chunked");
      if (head.header("content-length") || head.http_1_0)
        return refuse(400,
                      "[transfer-encoding] must come without Content-Length and over HTTP/1.1");
    }
    const std::string* expect = head.header("expect");
    head.expects_continue = expect && lower(*expect) == "100-continue" && !head.http_1_0;
    state = parser.is_done() ? State::kDone : State::kBody;
  }

  size_t put(std::string_view bytes) {
    size_t taken = 0;
    while (state == State::kHead || state == State::kBody) {
      const std::string_view rest = bytes.substr(taken);
      if (rest.empty()) break;
      if (state == State::kBody && head.chunked && rest.size() < kLeastFraming) break;
      beast::error_code error;
      taken += parser.put(boost::asio::const_buffer(rest.data(), rest.size()), error);
      if (error == bhttp::error::need_more) {
        const size_t left = bytes.size() - taken;
        if (state == State::kHead && left >= limits.max_header_bytes)
          refuse(bhttp::make_error_code(bhttp::error::header_limit));
        else if (state == State::kBody && left >= kMaxFraming)
          refuse(400, cat("[body] must have chunk headers below ", kMaxFraming, " bytes"));
        break;
      }
      if (error) {
        refuse(error);
      } else if (state == State::kHead && parser.is_header_done()) {
        take_head();
        break;
      } else if (parser.is_done()) {
        state = State::kDone;
      }
    }
    return taken;
  }
};

RequestParser::RequestParser(const ParserLimits& limits) : impl_(std::make_unique<Impl>()) {
  impl_->limits = limits;
  impl_->parser.header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
  // Ours counts; theirs is asked before the route is known.
  impl_->parser.body_limit(std::numeric_limits<std::uint64_t>::max());
}

RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

size_t RequestParser::put(std::string_view bytes) { return impl_->put(bytes); }
RequestParser::State RequestParser::state() const { return impl_->state; }
const RequestHead& RequestParser::head() const { return impl_->head; }
const Problem& RequestParser::problem() const { return impl_->problem; }
size_t RequestParser::body_bytes() const { return impl_->parser.get().body().bytes.size(); }

void RequestParser::allow_body(size_t max_bytes) {
  impl_->parser.get().body().max = max_bytes;
  impl_->parser.eager(true);
  if (impl_->head.content_length.value_or(0) > max_bytes)
    impl_->refuse(bhttp::make_error_code(bhttp::error::body_limit));
}

std::string RequestParser::take_body() { return std::move(impl_->parser.get().body().bytes); }

}  // namespace tintype::http
