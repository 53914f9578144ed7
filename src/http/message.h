/// Requests and responses as handlers see them: plain values, nothing of the library that speaks on
/// the socket. Handlers of every dialect are written against this header and http/router.h.
/// Thread-safety: Request and Response are values; Reply and EventStream may be used from any
/// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "http/event_stream.h"

namespace tintype::http {

/// What a key may do. kOpen asks for no key at all.
enum class Scope { kOpen, kRead, kSubmit, kMetrics, kAdmin };

std::string_view to_string(Scope scope) noexcept;

/// Who asks. Without keys (loopback alone) everyone is the same caller of id "" with every scope.
struct Caller {
  std::string id;    ///< of the key: the owner of the jobs it submits
  std::string name;  ///< given by the server's owner, for logs
  std::set<Scope> scopes;
  int max_priority = 0;   ///< of its jobs
  size_t max_queued = 0;  ///< jobs in the queue at once; 0: as the server's limit for each owner

  /// kAdmin has every scope.
  bool may(Scope scope) const {
    return scope == Scope::kOpen || scopes.contains(scope) || scopes.contains(Scope::kAdmin);
  }
};

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;     ///< "GET"; HEAD comes as GET, its body is dropped by the server
  std::string path;       ///< percent-decoded, begins with '/', without the query
  Fields query;           ///< decoded, in order
  Fields headers;         ///< names in lower case, in order
  Fields params;          ///< of the route's pattern: {"id", "018f..."}
  std::string body;       ///< at most the route's max_body bytes
  std::string remote;     ///< address without port: "127.0.0.1"
  bool secure = false;    ///< came over TLS
  std::string authority;  ///< the Host header, checked: "127.0.0.1:7860"
  std::string trace_id;   ///< 32 hex digits, of `traceparent` or made here
  std::string route;      ///< the route's pattern
  Caller caller;

  /// First header of that name (lower case), or null.
  const std::string* header(std::string_view name) const;
  /// First query field of that name, or null.
  const std::string* query_field(std::string_view name) const;
  /// A part of the path; the route's pattern has it.
  const std::string& param(std::string_view name) const;
  /// "http://127.0.0.1:7860", for absolute addresses in answers.
  std::string base_url() const;
};
using SharedRequest = std::shared_ptr<const Request>;

/// Bytes that several answers may share. Of a SharedBlob: SharedBytes(blob, &blob->bytes).
using SharedBytes = std::shared_ptr<const std::string>;

struct Response {
  int status = 200;
  Fields headers;  ///< without Content-Length, Date, Connection: these are the server's
  std::variant<std::string, SharedBytes, SharedStream> body;

  std::string_view text() const;                       ///< of a body that is no stream
  void set(std::string_view name, std::string value);  ///< replaces, or appends
  const std::string* header(std::string_view name) const;
};

/// {"content-type": "application/json"}, body as it is.
Response json_response(int status, std::string body);
Response text_response(int status, std::string body,
                       std::string_view media_type = "text/plain; charset=utf-8");
Response bytes_response(std::string_view media_type, SharedBytes bytes);
Response empty_response(int status = 204);
/// text/event-stream; the server writes what `stream` is given until it is finished or the client
/// is gone.
Response stream_response(SharedStream stream);

/// Where a handler's answer goes, now or later, from any thread. The first answer counts; a Reply
/// whose last copy goes without one answers 500.
class Reply {
 public:
  /// The server's side.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void send(Response response) = 0;
    virtual void on_close(std::function<void()> gone) = 0;
    virtual bool closed() const = 0;
  };

  Reply() = default;
  explicit Reply(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) {}

  void send(Response response) const { sink_->send(std::move(response)); }
  /// `gone` runs once if the client goes before the answer is complete (at once if it has gone), on
  /// the server's thread; it must not block.
  void on_close(std::function<void()> gone) const { sink_->on_close(std::move(gone)); }
  bool closed() const { return sink_->closed(); }

 private:
  std::shared_ptr<Sink> sink_;
};

}  // namespace tintype::http
