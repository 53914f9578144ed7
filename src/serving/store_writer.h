/// The writing half of JobStore: a queue of changes and the thread that makes them transactions.
/// Thread-safe but for construction.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "serving/job_store.h"
#include "serving/sqlite_database.h"

namespace tintype {

/// Blobs' keys: the job's seq above an index, so that a job's blobs lie together in one tree.
inline constexpr int kBlobBits = 8, kStepBits = 16;
inline int64_t blob_key(int64_t seq, size_t index) {
  return seq << kBlobBits | static_cast<int64_t>(index);
}
inline int64_t step_key(int64_t seq, size_t index) {
  return seq << kStepBits | static_cast<int64_t>(index);
}

namespace change {

struct Insert {
  SharedRecord record;
  std::vector<SharedBlob> inputs;
};
struct Start {
  SharedRecord record;
};
struct Requeue {
  SharedRecord record;
};
struct SetWish {
  int64_t seq;
  JobRecord::Wish wish;
};
struct SaveStep {
  int64_t seq;
  size_t index;
  SharedBlob bytes;
};
struct Finish {
  SharedRecord record;
  std::vector<SharedBlob> results;
};
struct Remove {
  std::vector<int64_t> seqs;
};
struct DropBlobs {
  std::vector<int64_t> seqs;
};
struct Nothing {};  ///< for flush()

}  // namespace change

using Change =
    std::variant<change::Insert, change::Start, change::Requeue, change::SetWish, change::SaveStep,
                 change::Finish, change::Remove, change::DropBlobs, change::Nothing>;

/// SQL of each change, compiled once; the caller holds the transaction.
class StoreStatements {
 public:
  explicit StoreStatements(SqliteDatabase& database);
  void apply(const Change& change);

 private:
  void apply(const change::Insert& change);
  void apply(const change::Start& change);
  void apply(const change::Requeue& change);
  void apply(const change::SetWish& change);
  void apply(const change::SaveStep& change);
  void apply(const change::Finish& change);
  void apply(const change::Remove& change);
  void apply(const change::DropBlobs& change);
  void apply(const change::Nothing&) {}
  void delete_blobs(int64_t seq);

  SqliteDatabase& database_;
  SqliteStatement insert_, start_, requeue_, wish_, finish_, remove_, drop_;
  SqliteStatement add_input_, add_result_, add_step_;
  SqliteStatement delete_inputs_, delete_results_, delete_steps_;
};

class JobStore::Writer {
 public:
  explicit Writer(const std::filesystem::path& path);
  ~Writer();

  void add(Change change, Done done);
  bool healthy() const { return healthy_.load(); }
  bool on_writer_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  struct Item {
    Change change;
    Done done;
  };
  using Batch = std::deque<Item>;

  void work();
  Batch take();
  void write(Batch& batch);
  void commit(const Batch& batch);
  void refuse_inserts(Batch& batch, const Error& error);
  std::optional<Error> write_one(Item& item);
  void vacuum();
  void answer(Item& item, const Error* error);

  SqliteDatabase database_;
  StoreStatements statements_;
  mutable std::mutex mutex_;
  std::condition_variable added_;
  Batch queue_;            // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::atomic<bool> healthy_{true};
  bool freed_ = false;  ///< blobs were deleted since the last vacuum
  std::thread thread_;
};

}  // namespace tintype
