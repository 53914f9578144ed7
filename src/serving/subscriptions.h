/// Who wants to hear of which job, and the thread that tells them. Changes that come faster than
/// they are taken are told once, as the latest. Thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "serving/job_runtime.h"

namespace tintype {

class Subscriptions {
 public:
  using Callback = std::function<void(SharedSnapshot)>;
  /// `find` gives a job's present snapshot, null where there is none; called on this object's
  /// thread, without a lock held.
  explicit Subscriptions(std::function<SharedSnapshot(const JobId&)> find);
  ~Subscriptions() { stop(); }
  /// No callback runs after it.
  void stop();

  Subscription add(const JobId& id, Callback callback);
  Subscription add_all(Callback callback);
  /// The job changed; `last` where nothing can be found later.
  void changed(const JobId& id, SharedSnapshot last = {});
  /// The jobs that somebody listens to by name.
  std::vector<JobId> watched() const;

 private:
  struct Hub;
  std::shared_ptr<Hub> hub_;
};

}  // namespace tintype
