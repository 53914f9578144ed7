/// One request on its way to its answer: the place where a handler's Reply and the connection meet.
/// Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "http/error_body.h"
#include "http/message.h"

namespace tintype::http {

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  /// `wake` runs, on any thread, when the answer comes after a take() that found none. `form` is
  /// the error form of the answer to a handler that forgot its Reply.
  Exchange(ErrorBody form, std::function<void()> wake) : form_(form), wake_(std::move(wake)) {}

  /// Made once.
  Reply reply();
  /// The answer, once.
  std::optional<Response> take();
  /// The client is gone.
  void close();

 private:
  class Sink;
  void send(Response response);
  void on_close(std::function<void()> gone);
  bool closed() const;

  mutable std::mutex mutex_;
  ErrorBody form_;
  std::function<void()> wake_;
  std::optional<Response> response_;
  bool answered_ = false, closed_ = false, waiting_ = false;
  std::vector<std::function<void()>> gone_;
};

}  // namespace tintype::http
