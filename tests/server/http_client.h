/// A plain blocking HTTP/1.1 client over a loopback socket, for tests that drive a whole server.
/// One connection, kept alive; not thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace tintype::testing {

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

class HttpClient {
 public:
  explicit HttpClient(int port) : port_(port) {}
  ~HttpClient() { close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// None where the connection fails or ends before a whole answer: the server died, or never was.
  std::optional<HttpAnswer> request(std::string_view method, std::string_view target,
                                    std::string_view body = {}, std::string_view headers = {});
  std::optional<HttpAnswer> get(std::string_view target) { return request("GET", target); }
  std::optional<HttpAnswer> post(std::string_view target, std::string_view json) {
    return request("POST", target, json, "Content-Type: application/json\r\n");
  }
  void close();

 private:
  bool connect();
  bool send(std::string_view bytes);
  /// More bytes into buffer_; false at the end of the connection or after the time limit.
  bool receive();
  std::optional<HttpAnswer> read_answer(bool has_body);

  int port_;
  int socket_ = -1;
  std::string buffer_;
};

}  // namespace tintype::testing
