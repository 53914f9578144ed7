#include "serving/retention.h"

#include <algorithm>

namespace tintype {
namespace {

/// Jobs in one transaction; their blobs may be large.
constexpr size_t kBatch = 64;
/// A job without results is remembered this many times as long as its results.
constexpr int kRecordLives = 7;
constexpr auto kLookPause = std::chrono::seconds(30);

void subtract(std::atomic<uint64_t>& total, uint64_t bytes) {
  uint64_t before = total.load();
  while (!total.compare_exchange_weak(before, before - std::min(before, bytes))) {
  }
}

}  // namespace

Retention::Retention(JobStore& store, const Limits& limits, std::function<void(const JobId&)> gone)
    : store_(store), limits_(limits), gone_(std::move(gone)) {
  stored_bytes_ = store.stored_bytes();
  final_jobs_ = store.final_count();
}

void Retention::added(uint64_t stored_bytes) {
  stored_bytes_ += stored_bytes;
  ++final_jobs_;
}

void Retention::removed(uint64_t stored_bytes) {
  subtract(stored_bytes_, stored_bytes);
  if (final_jobs_ > 0) --final_jobs_;
}

void Retention::sweep(WallClock::time_point now) {
  drop_blobs(now);
  remove_old(now);
}

void Retention::drop_blobs(WallClock::time_point now) {
  for (;;) {
    std::vector<int64_t> seqs;
    std::vector<JobId> ids;
    for (const JobStore::Kept& job : store_.first_to_expire(kBatch)) {
      const bool due = job.results_expire && *job.results_expire <= now;
      if (!due && !over_budget()) break;
      seqs.push_back(job.seq);
      ids.push_back(job.id);
      subtract(stored_bytes_, job.stored_bytes);
    }
    if (seqs.empty()) return;
    store_.drop_blobs(seqs, {});
    store_.flush();  // the next look must not find the same ones
    for (const JobId& id : ids) gone_(id);
    if (!store_.healthy() || seqs.size() < kBatch) return;
  }
}

void Retention::remove_old(WallClock::time_point now) {
  // Their age is looked at now and then; only their number is urgent.
  if (final_jobs_ <= limits_.max_finished && now < next_look_) return;
  next_look_ = now + kLookPause;
  const WallClock::time_point oldest = now - kRecordLives * limits_.ttl;
  for (;;) {
    const size_t jobs = final_jobs_;
    size_t too_many = jobs > limits_.max_finished ? jobs - limits_.max_finished : 0;
    std::vector<int64_t> seqs;
    std::vector<JobId> ids;
    for (const JobStore::Kept& job : store_.oldest_final(kBatch)) {
      const bool old = job.finished && *job.finished <= oldest;
      if (!old && too_many == 0) break;
      if (too_many > 0) --too_many;
      seqs.push_back(job.seq);
      ids.push_back(job.id);
      removed(job.stored_bytes);
    }
    if (seqs.empty()) return;
    store_.remove(seqs, {});
    store_.flush();
    for (const JobId& id : ids) gone_(id);
    if (!store_.healthy() || seqs.size() < kBatch) return;
  }
}

}  // namespace tintype
