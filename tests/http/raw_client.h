/// A client that writes bytes as they are: requests that no well-behaved library would send. Test
/// code only.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace tintype::http {

struct RawResponse {
  int status = 0;  ///< 0: the connection ended before a whole head
  std::map<std::string, std::string> headers;
  std::string body;
  bool whole = false;  ///< the body came to its end

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
  Json json() const { return Json::parse(body, nullptr, false); }
  std::string kind() const {
    const Json parsed = json();
    return parsed.is_object() && parsed.contains("error") ? parsed["error"].value("kind", "") : "";
  }
};

class RawClient {
 public:
  explicit RawClient(uint16_t port, int timeout_s = 10) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval limit{timeout_s, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        in_(std::move(other.in_)) {}

  bool connected() const { return connected_; }
  /// False: the other end has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void shutdown_write() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int fd() const { return fd_; }

  /// Up to and with `end`; what came where the connection ends before.
  std::string read_until(std::string_view end) {
    size_t found = 0;
    while ((found = in_.find(end)) == std::string::npos)
      if (!fill()) return std::exchange(in_, "");
    return take(found + end.size());
  }
  std::string read_all() {
    while (fill()) {
    }
    return std::exchange(in_, "");
  }
  /// True: the server has closed, and nothing unread is left.
  bool at_end() { return in_.empty() && !fill(); }

  /// `body` false: of HEAD. Interim answers (100) are passed over.
  RawResponse read_response(bool body = true) {
    RawResponse response = read_head();
    while (response.status == 100) response = read_head();
    if (response.status == 0) return response;
    if (!body || response.status == 204 || response.status == 304) {
      response.whole = true;
    } else if (response.header("transfer-encoding") == "chunked") {
      for (;;) {
        const std::string line = read_until("\r\n");
        if (line.empty()) return response;
        const size_t size = std::strtoul(line.c_str(), nullptr, 16);
        response.body += read_count(size);
        if (read_until("\r\n").empty()) return response;
        if (size == 0) break;
      }
      response.whole = true;
    } else {
      const size_t size = std::strtoul(response.header("content-length").c_str(), nullptr, 10);
      response.body = read_count(size);
      response.whole = response.body.size() == size;
    }
    return response;
  }

  RawResponse read_head() {
    RawResponse response;
    const std::string head = read_until("\r\n\r\n");
    if (!head.ends_with("\r\n\r\n") || !head.starts_with("HTTP/1.1 ")) return response;
    response.status = std::atoi(head.c_str() + 9);
    for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const size_t end = head.find("\r\n", at), colon = head.find(": ", at);
      response.headers[head.substr(at, colon - at)] = head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return response;
  }

  /// One request, its answer.
  RawResponse request(std::string_view method, std::string_view target, std::string_view body = "",
                      std::string_view headers = "") {
    std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n";
    if (headers.find("Host:") == std::string_view::npos) text += "Host: localhost\r\n";
    text += headers;
    if (!body.empty() || method == "POST")
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    text += "\r\n" + std::string(body);
    send(text);
    return read_response(method != "HEAD");
  }

 private:
  bool fill() {
    char buffer[65536];
    const ssize_t got = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    in_.append(buffer, static_cast<size_t>(got));
    return true;
  }
  std::string read_count(size_t count) {
    while (in_.size() < count && fill()) {
    }
    return take(std::min(count, in_.size()));
  }
  std::string take(size_t count) {
    std::string out = in_.substr(0, count);
    in_.erase(0, count);
    return out;
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string in_;
};

}  // namespace tintype::http
