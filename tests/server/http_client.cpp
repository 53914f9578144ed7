#include "server/http_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace tintype::testing {
namespace {

constexpr int kTimeLimitS = 30;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

}  // namespace

void HttpClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  buffer_.clear();
}

bool HttpClient::connect() {
  if (socket_ >= 0) return true;
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const timeval limit{.tv_sec = kTimeLimitS, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port_));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
    return true;
  close();
  return false;
}

bool HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool HttpClient::receive() {
  char bytes[65536];
  const ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::optional<HttpAnswer> HttpClient::read_answer(bool has_body) {
  size_t head = 0;
  while ((head = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!receive()) return {};
  HttpAnswer answer;
  std::string_view lines = std::string_view(buffer_).substr(0, head + 2);
  answer.status = lines.size() > 12 ? std::atoi(lines.data() + 9) : 0;
  lines.remove_prefix(lines.find("\r\n") + 2);
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    const size_t colon = std::min(line.find(':'), line.size());
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    while (value.starts_with(' ')) value.remove_prefix(1);
    answer.headers[lower(line.substr(0, colon))] = value;
    lines.remove_prefix(line.size() + 2);
  }
  buffer_.erase(0, head + 4);
  if (!has_body || answer.status == 204 || answer.status == 304) return answer;
  const auto length = answer.headers.find("content-length");
  if (length == answer.headers.end()) return {};  // streams are not for this client
  const auto bytes = static_cast<size_t>(std::strtoull(length->second.c_str(), nullptr, 10));
  while (buffer_.size() < bytes)
    if (!receive()) return {};
  answer.body = buffer_.substr(0, bytes);
  buffer_.erase(0, bytes);
  return answer;
}

std::optional<HttpAnswer> HttpClient::request(std::string_view method, std::string_view target,
                                              std::string_view body, std::string_view headers) {
  if (!connect()) return {};
  std::string bytes;
  bytes.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: 127.0.0.1:");
  bytes.append(std::to_string(port_)).append("\r\nContent-Length: ");
  bytes.append(std::to_string(body.size())).append("\r\n").append(headers).append("\r\n");
  bytes.append(body);
  std::optional<HttpAnswer> answer;
  if (send(bytes)) answer = read_answer(method != "HEAD");
  if (!answer) close();
  return answer;
}

}  // namespace tintype::testing
