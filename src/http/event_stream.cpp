#include "http/event_stream.h"

#include <algorithm>
#include <utility>

namespace tintype::http {

SharedEvent make_event(std::string_view name, std::string_view id, std::string_view data) {
  std::string text;
  text.reserve(data.size() + name.size() + id.size() + 32);
  if (!name.empty()) text.append("event: ").append(name).append("\n");
  if (!id.empty()) text.append("id: ").append(id).append("\n");
  for (size_t begin = 0;;) {
    const size_t end = data.find('\n', begin);
    text.append("data: ").append(data.substr(begin, end - begin)).append("\n");
    if (end == std::string_view::npos) break;
    begin = end + 1;
  }
  text += '\n';
  return std::make_shared<const std::string>(std::move(text));
}

void EventStream::push(Pending pending) {
  std::shared_ptr<const std::function<void()>> wake;
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || finished_ || overflowed_) return;
    if (!pending.slot.empty()) {
      const auto old = std::find_if(pending_.begin(), pending_.end(),
                                    [&](const Pending& p) { return p.slot == pending.slot; });
      if (old != pending_.end()) {
        pending_bytes_ -= old->event->size();
        pending_.erase(old);
      }
    }
    pending_bytes_ += pending.event->size();
    pending_.push_back(std::move(pending));
    overflowed_ = pending_.size() > kMaxPending || pending_bytes_ > kMaxPendingBytes;
    if (std::exchange(waiting_, false)) wake = wake_;
  }
  if (wake) (*wake)();
}

void EventStream::send(SharedEvent event) { push({{}, std::move(event)}); }

void EventStream::send_latest(std::string_view slot, SharedEvent event) {
  push({std::string(slot), std::move(event)});
}

void EventStream::finish() {
  std::shared_ptr<const std::function<void()>> wake;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    if (std::exchange(waiting_, false)) wake = wake_;
  }
  if (wake) (*wake)();
}

bool EventStream::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void EventStream::on_close(std::function<void()> gone) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      gone_.push_back(std::move(gone));
      return;
    }
  }
  gone();
}

void EventStream::keep(std::shared_ptr<void> owner) {
  // What came too late goes with `owner`, outside the lock.
  const std::lock_guard lock(mutex_);
  if (!closed_) kept_.push_back(std::move(owner));
}

void EventStream::attach(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::make_shared<const std::function<void()>>(std::move(wake));
}

EventStream::Taken EventStream::take(size_t max_bytes) {
  Taken taken;
  const std::lock_guard lock(mutex_);
  taken.overflowed = overflowed_;
  size_t count = 0, bytes = 0;
  while (count < pending_.size()) {
    const size_t size = pending_[count].event->size();
    if (count > 0 && bytes + size > max_bytes) break;
    bytes += size;
    taken.events.push_back(std::move(pending_[count++].event));
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
  pending_bytes_ -= bytes;
  taken.finished = finished_ && pending_.empty();
  waiting_ = count == 0;
  return taken;
}

void EventStream::close() {
  std::vector<std::function<void()>> gone;
  std::vector<std::shared_ptr<void>> kept;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    pending_.clear();
    pending_bytes_ = 0;
    gone.swap(gone_);
    kept.swap(kept_);
    wake_ = nullptr;
  }
  for (const auto& tell : gone) tell();
}

}  // namespace tintype::http
