#include "http/exchange.h"

#include <utility>

namespace tintype::http {

/// What the copies of a Reply share; the last to go answers for a handler that did not.
class Exchange::Sink final : public Reply::Sink {
 public:
  explicit Sink(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Sink() override {
    // Who waited and went is no fault of ours: it is in logs and metrics as that.
    const Problem why = exchange_->closed()
                            ? problem(499, "[request] the client went before its answer")
                            : problem(500, "[server] the request was dropped unanswered");
    exchange_->send(error_response(why, exchange_->form_));
  }
  void send(Response response) override { exchange_->send(std::move(response)); }
  void on_close(std::function<void()> gone) override { exchange_->on_close(std::move(gone)); }
  bool closed() const override { return exchange_->closed(); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

Reply Exchange::reply() { return Reply(std::make_shared<Sink>(shared_from_this())); }

void Exchange::send(Response response) {
  SharedStream unheard;
  bool wake = false;
  // What waits for the client's going no longer does; it goes outside the lock.
  std::vector<std::function<void()>> done;
  {
    const std::lock_guard lock(mutex_);
    if (answered_) return;
    answered_ = true;
    done.swap(gone_);
    if (closed_)
      if (const auto* stream = std::get_if<SharedStream>(&response.body)) unheard = *stream;
    response_ = std::move(response);
    wake = std::exchange(waiting_, false);
  }
  if (unheard) unheard->close();
  if (wake) wake_();
}

std::optional<Response> Exchange::take() {
  const std::lock_guard lock(mutex_);
  waiting_ = !response_.has_value();
  return std::exchange(response_, std::nullopt);
}

void Exchange::close() {
  std::vector<std::function<void()>> gone;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    if (!answered_) gone.swap(gone_);
  }
  for (const auto& tell : gone) tell();
}

void Exchange::on_close(std::function<void()> gone) {
  {
    const std::lock_guard lock(mutex_);
    if (answered_) return;
    if (!closed_) {
      gone_.push_back(std::move(gone));
      return;
    }
  }
  gone();
}

bool Exchange::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace tintype::http
