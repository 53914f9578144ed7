#include "serving/subscriptions.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

namespace tintype {
namespace {

struct Listener {
  Subscriptions::Callback callback;
  std::optional<JobId> id;  ///< unset: all jobs
  /// Held while the callback runs, so that an end waits for it; recursive because a callback may
  /// end its own subscription.
  std::recursive_mutex running;
  bool ended = false;  // guarded by running
  /// Changes not told yet; a snapshot where nothing can be found later. Guarded by the hub's mutex.
  std::unordered_map<JobId, SharedSnapshot> pending;
  bool waiting = false;  ///< in the hub's queue; guarded by the hub's mutex
  uint64_t told = 0;     ///< the last revision, of a listener to one job; this thread only
};
using SharedListener = std::shared_ptr<Listener>;

}  // namespace

struct Subscriptions::Hub : std::enable_shared_from_this<Subscriptions::Hub> {
  std::function<SharedSnapshot(const JobId&)> find;
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::unordered_map<JobId, std::set<SharedListener>> by_job;
  std::set<SharedListener> of_all;
  std::vector<SharedListener> queue;
  bool stopping = false;
  std::thread thread;

  Subscription add(std::optional<JobId> id, Callback callback) {
    auto listener = std::make_shared<Listener>();
    listener->callback = std::move(callback);
    listener->id = id;
    {
      const std::lock_guard lock(mutex);
      (id ? by_job[*id] : of_all).insert(listener);
      if (id) note(listener, *id, {});  // the present one, at once
    }
    wake.notify_one();
    return Subscription([hub = shared_from_this(), listener] { hub->end(listener); });
  }

  void end(const SharedListener& listener) {
    {
      const std::lock_guard lock(mutex);
      if (listener->id) {
        const auto found = by_job.find(*listener->id);
        if (found != by_job.end()) {
          found->second.erase(listener);
          if (found->second.empty()) by_job.erase(found);
        }
      } else {
        of_all.erase(listener);
      }
      listener->pending.clear();
    }
    const std::lock_guard lock(listener->running);
    listener->ended = true;
  }

  /// The caller holds the mutex.
  void note(const SharedListener& listener, const JobId& id, const SharedSnapshot& last) {
    SharedSnapshot& pending = listener->pending[id];
    if (last) pending = last;
    if (listener->waiting) return;
    listener->waiting = true;
    queue.push_back(listener);
  }

  void changed(const JobId& id, const SharedSnapshot& last) {
    {
      const std::lock_guard lock(mutex);
      const auto found = by_job.find(id);
      if (found == by_job.end() && of_all.empty()) return;
      if (found != by_job.end()) {
        for (const SharedListener& listener : found->second) note(listener, id, last);
      }
      for (const SharedListener& listener : of_all) note(listener, id, last);
    }
    wake.notify_one();
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stopping || !queue.empty(); });
      if (stopping) return;
      std::vector<SharedListener> batch = std::move(queue);
      queue.clear();
      for (const SharedListener& listener : batch) {
        if (stopping) return;
        const auto pending = std::exchange(listener->pending, {});
        listener->waiting = false;
        lock.unlock();
        tell(*listener, pending);
        lock.lock();
      }
    }
  }

  void tell(Listener& listener, const std::unordered_map<JobId, SharedSnapshot>& pending) {
    for (const auto& [id, last] : pending) {
      const SharedSnapshot snapshot = last ? last : find(id);
      if (!snapshot) continue;
      if (listener.id) {
        if (snapshot->revision <= listener.told) continue;
        listener.told = snapshot->revision;
      }
      const std::lock_guard running(listener.running);
      if (!listener.ended) listener.callback(snapshot);
    }
  }
};

Subscriptions::Subscriptions(std::function<SharedSnapshot(const JobId&)> find)
    : hub_(std::make_shared<Hub>()) {
  hub_->find = std::move(find);
  hub_->thread = std::thread([hub = hub_.get()] { hub->work(); });
}

void Subscriptions::stop() {
  {
    const std::lock_guard lock(hub_->mutex);
    hub_->stopping = true;
  }
  hub_->wake.notify_one();
  if (hub_->thread.joinable()) hub_->thread.join();
}

Subscription Subscriptions::add(const JobId& id, Callback callback) {
  return hub_->add(id, std::move(callback));
}

Subscription Subscriptions::add_all(Callback callback) {
  return hub_->add({}, std::move(callback));
}

void Subscriptions::changed(const JobId& id, SharedSnapshot last) { hub_->changed(id, last); }

std::vector<JobId> Subscriptions::watched() const {
  const std::lock_guard lock(hub_->mutex);
  std::vector<JobId> out;
  for (const auto& [id, listeners] : hub_->by_job) out.push_back(id);
  return out;
}

}  // namespace tintype
