#include "http/job_events.h"

#include <algorithm>
#include <array>
#include <vector>

#include "http/job_json.h"

namespace tintype::http {
namespace {

/// One listener of a topic and what it was given last.
struct Listener {
  std::weak_ptr<EventStream> stream;
  Caller caller;
  uint64_t revision = 0;  ///< of one job's topic
};

/// Jobs that are live are told to a new listener of all, at most so many.
constexpr size_t kMaxLive = 200;

}  // namespace

struct JobEvents::State : std::enable_shared_from_this<State> {
  explicit State(JobRuntime& job_runtime) : runtime(job_runtime) {}

  /// Who follows one job (or all). The subscription goes when the last listener does, outside the
  /// locks: its end waits for callbacks, and those take the topic's lock.
  struct Topic {
    std::mutex mutex;
    std::vector<Listener> listeners;
    Subscription subscription;
  };

  JobRuntime& runtime;
  std::mutex mutex;
  std::unordered_map<JobId, std::shared_ptr<Topic>> topics;
  std::shared_ptr<Topic> all;

  struct Text {
    JobId id;
    uint64_t revision = 0;
    SharedEvent event;
  };
  std::mutex texts_mutex;
  std::array<Text, 64> texts;  ///< the latest, a ring
  size_t next_text = 0;

  SharedEvent event_of(const SharedSnapshot& job) {
    {
      const std::lock_guard lock(texts_mutex);
      for (const Text& text : texts)
        if (text.event && text.id == job->id && text.revision == job->revision) return text.event;
    }
    SharedEvent event = make_event("job", std::to_string(job->revision), job_json(*job));
    const std::lock_guard lock(texts_mutex);
    texts[next_text++ % texts.size()] = {job->id, job->revision, event};
    return event;
  }

  /// To those who have not seen it. A job that ended ends their streams.
  void tell_one(Topic& topic, const SharedSnapshot& job) {
    const SharedEvent event = event_of(job);
    const std::lock_guard lock(topic.mutex);
    for (Listener& listener : topic.listeners) {
      const auto stream = listener.stream.lock();
      if (!stream) continue;
      if (job->revision > listener.revision) {
        listener.revision = job->revision;
        stream->send_latest("job", event);
      }
      if (is_final(job->state)) stream->finish();
    }
  }

  void tell_all(Topic& topic, const SharedSnapshot& job) {
    SharedEvent event;
    const std::lock_guard lock(topic.mutex);
    for (Listener& listener : topic.listeners) {
      const auto stream = listener.stream.lock();
      if (!stream || (job->owner != listener.caller.id && !listener.caller.may(Scope::kAdmin)))
        continue;
      if (!event) event = event_of(job);
      stream->send_latest(job->id.text(), event);
    }
  }

  /// When a stream closes, the topic forgets it, and the last one's topic goes.
  void watch_end(const SharedStream& stream, const std::shared_ptr<Topic>& topic, bool is_all,
                 const JobId& id) {
    stream->on_close(
        [self = weak_from_this(), topic, is_all, id, weak = std::weak_ptr<EventStream>(stream)] {
          Subscription ended;
          const auto state = self.lock();
          if (!state) return;
          const std::lock_guard lock(state->mutex);
          const std::lock_guard topic_lock(topic->mutex);
          std::erase_if(topic->listeners, [&](const Listener& listener) {
            return listener.stream.expired() || listener.stream.lock() == weak.lock();
          });
          if (!topic->listeners.empty()) return;
          if (is_all && state->all == topic) state->all = nullptr;
          const auto found = is_all ? state->topics.end() : state->topics.find(id);
          if (found != state->topics.end() && found->second == topic) state->topics.erase(found);
          ended = std::move(topic->subscription);
        });
  }
};

JobEvents::JobEvents(JobRuntime& runtime) : state_(std::make_shared<State>(runtime)) {}

JobEvents::~JobEvents() {
  // Subscriptions end before the runtime may.
  std::vector<std::shared_ptr<State::Topic>> topics;
  {
    const std::lock_guard lock(state_->mutex);
    for (auto& [id, topic] : state_->topics) topics.push_back(topic);
    if (state_->all) topics.push_back(state_->all);
    state_->topics.clear();
    state_->all = nullptr;
  }
  for (const auto& topic : topics) Subscription(std::move(topic->subscription));
}

SharedStream JobEvents::follow(const SharedSnapshot& now, std::optional<uint64_t> seen) {
  const auto stream = std::make_shared<EventStream>();
  if (is_final(now->state)) {
    if (seen != now->revision) stream->send(state_->event_of(now));
    stream->finish();
    return stream;
  }
  std::shared_ptr<State::Topic> topic;
  bool is_new = false;
  {
    const std::lock_guard lock(state_->mutex);
    std::shared_ptr<State::Topic>& place = state_->topics[now->id];
    is_new = !place;
    if (is_new) place = std::make_shared<State::Topic>();
    topic = place;
    const bool has_seen = seen == now->revision;
    if (!has_seen) stream->send_latest("job", state_->event_of(now));
    const std::lock_guard topic_lock(topic->mutex);
    topic->listeners.push_back({stream, {}, now->revision});
  }
  state_->watch_end(stream, topic, false, now->id);
  if (is_new) {
    Subscription subscription = state_->runtime.subscribe(
        now->id, [state = std::weak_ptr<State>(state_),
                  weak = std::weak_ptr<State::Topic>(topic)](const SharedSnapshot& job) {
          const auto alive = state.lock();
          const auto target = weak.lock();
          if (alive && target && job) alive->tell_one(*target, job);
        });
    const std::lock_guard lock(topic->mutex);
    if (!topic->listeners.empty()) topic->subscription = std::move(subscription);
  } else if (const SharedSnapshot later = state_->runtime.find(now->id)) {
    // It may have changed, or ended, between the look at it and the place among the listeners.
    state_->tell_one(*topic, later);
  }
  return stream;
}

SharedStream JobEvents::follow_all(const Caller& caller) {
  const auto stream = std::make_shared<EventStream>();
  std::shared_ptr<State::Topic> topic;
  bool is_new = false;
  {
    const std::lock_guard lock(state_->mutex);
    is_new = !state_->all;
    if (is_new) state_->all = std::make_shared<State::Topic>();
    topic = state_->all;
    const std::lock_guard topic_lock(topic->mutex);
    topic->listeners.push_back({stream, caller, 0});
  }
  state_->watch_end(stream, topic, true, {});
  if (is_new) {
    Subscription subscription = state_->runtime.subscribe_all(
        [state = std::weak_ptr<State>(state_),
         weak = std::weak_ptr<State::Topic>(topic)](const SharedSnapshot& job) {
          const auto alive = state.lock();
          const auto target = weak.lock();
          if (alive && target && job) alive->tell_all(*target, job);
        });
    const std::lock_guard lock(topic->mutex);
    if (!topic->listeners.empty()) topic->subscription = std::move(subscription);
  }
  JobFilter live;
  if (!caller.may(Scope::kAdmin)) live.owner = caller.id;
  live.states = {JobState::kQueued, JobState::kRunning};
  live.limit = kMaxLive;
  for (const SharedSnapshot& job : state_->runtime.list(live))
    stream->send_latest(job->id.text(), state_->event_of(job));
  return stream;
}

void JobEvents::forget(const JobId& id) {
  std::shared_ptr<State::Topic> topic;
  {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->topics.find(id);
    if (found == state_->topics.end()) return;
    topic = found->second;
  }
  const std::lock_guard lock(topic->mutex);
  for (const Listener& listener : topic->listeners)
    if (const auto stream = listener.stream.lock()) stream->finish();
}

}  // namespace tintype::http
