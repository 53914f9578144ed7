/// Server-sent events: what a handler sends to one listener. Payloads are serialised once and
/// shared by everyone who gets them; a reader too slow for the pace gets only the latest of each
/// slot. Thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace tintype::http {

/// One event as it goes over the wire, blank line included.
using SharedEvent = std::shared_ptr<const std::string>;

/// "event: job\nid: 7\ndata: {...}\n\n"; empty name and id leave their lines out. Line breaks
/// inside `data` become further data lines; name and id must have none.
SharedEvent make_event(std::string_view name, std::string_view id, std::string_view data);

class EventStream {
 public:
  /// Events not yet written; further ones close the stream, since what is sent with send() may not
  /// be lost.
  static constexpr size_t kMaxPending = 1024;
  static constexpr size_t kMaxPendingBytes = size_t{64} << 20;

  /// Behind everything that waits.
  void send(SharedEvent event);
  /// Takes the place of an unwritten event of the same slot (which moves to the end), so that what
  /// waits stays as small as the number of slots.
  void send_latest(std::string_view slot, SharedEvent event);
  /// The connection's answer ends after what waits.
  void finish();
  /// The client is gone, or the stream was finished and written whole.
  bool closed() const;
  /// `gone` runs once when that happens (at once if it has), on the server's thread; it must not
  /// block.
  void on_close(std::function<void()> gone);
  /// Kept until the stream is closed: a Subscription that feeds it, say.
  void keep(std::shared_ptr<void> owner);

  /// The server's side. -----------------------------------------------------------------------

  /// `wake` runs, on any thread, when something waits to be written and the last take() found
  /// nothing.
  void attach(std::function<void()> wake);
  struct Taken {
    std::vector<SharedEvent> events;
    bool finished = false;    ///< nothing follows
    bool overflowed = false;  ///< the reader was too slow for what may not be lost
  };
  /// What waits, oldest first, at most `max_bytes` but one event in any case.
  Taken take(size_t max_bytes);
  void close();  ///< the client is gone, or all is written

 private:
  struct Pending {
    std::string slot;  ///< "": not replaceable
    SharedEvent event;
  };
  void push(Pending pending);

  mutable std::mutex mutex_;
  std::vector<Pending> pending_;
  size_t pending_bytes_ = 0;
  bool finished_ = false, closed_ = false, overflowed_ = false, waiting_ = false;
  std::shared_ptr<const std::function<void()>> wake_;
  std::vector<std::function<void()>> gone_;
  std::vector<std::shared_ptr<void>> kept_;
};
using SharedStream = std::shared_ptr<EventStream>;

}  // namespace tintype::http
