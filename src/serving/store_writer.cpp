#include "serving/store_writer.h"

#include <chrono>
#include <unordered_set>

#include "base/check.h"

namespace tintype {
namespace {

/// Of one transaction: a crowd is written in steps of a few milliseconds, so that nobody's answer
/// waits for everybody's.
constexpr size_t kMaxBatch = 1000;
constexpr uint64_t kMaxBatchBytes = uint64_t{32} << 20;
constexpr auto kRetryPause = std::chrono::milliseconds(250);
/// Free pages that stay in the file for the next results, and how many are given back at a time.
constexpr int64_t kKeptFreePages = 1024;
constexpr const char* kVacuum = "PRAGMA incremental_vacuum(512)";

uint64_t total(const std::vector<SharedBlob>& blobs) {
  uint64_t bytes = 0;
  for (const SharedBlob& blob : blobs) bytes += blob->bytes.size();
  return bytes;
}

uint64_t bytes_of(const Change& any) {
  if (const auto* insert = std::get_if<change::Insert>(&any)) return total(insert->inputs);
  if (const auto* finish = std::get_if<change::Finish>(&any)) return total(finish->results);
  if (const auto* step = std::get_if<change::SaveStep>(&any)) return step->bytes->bytes.size();
  return 0;
}

/// What a finish in the same transaction makes needless.
std::optional<int64_t> seq_of_passing(const Change& any) {
  if (const auto* start = std::get_if<change::Start>(&any)) return start->record->seq;
  if (const auto* step = std::get_if<change::SaveStep>(&any)) return step->seq;
  return {};
}

}  // namespace

StoreStatements::StoreStatements(SqliteDatabase& database)
    : database_(database),
      insert_(database,
              "INSERT INTO jobs(seq, id, state, revision, request, model, owner, client_key, "
              "fingerprint, priority, work, inputs, created, deadline, stored_bytes) "
              "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      start_(database,
             "UPDATE jobs SET state = ?, started = ?, attempts = ?, worker = ?, revision = ? "
             "WHERE seq = ? AND state < 2"),
      requeue_(database,
               "UPDATE jobs SET state = ?, attempts = ?, losses = ?, worker = X'', revision = ? "
               "WHERE seq = ? AND state < 2"),
      wish_(database, "UPDATE jobs SET wish = ? WHERE seq = ? AND state < 2"),
      finish_(database,
              "UPDATE jobs SET state = ?, revision = ?, started = ?, finished = ?, expires = ?, "
              "attempts = ?, losses = ?, worker = ?, error_kind = ?, error = ?, results = ?, "
              "info = ?, stored_bytes = ? WHERE seq = ? AND state < 2"),
      remove_(database, "DELETE FROM jobs WHERE seq = ?"),
      drop_(database,
            "UPDATE jobs SET results = X'', stored_bytes = 0, expires = NULL, "
            "revision = revision + 1 WHERE seq = ? AND state >= 2"),
      add_input_(database, "INSERT INTO inputs(key, media_type, bytes) VALUES(?, ?, ?)"),
      add_result_(database, "INSERT INTO results(key, media_type, bytes) VALUES(?, ?, ?)"),
      add_step_(database,
                "INSERT OR REPLACE INTO steps(key, bytes) SELECT ?, ? "
                "WHERE EXISTS (SELECT 1 FROM jobs WHERE seq = ? AND state < 2)"),
      delete_inputs_(database, "DELETE FROM inputs WHERE key >= ? AND key < ?"),
      delete_results_(database, "DELETE FROM results WHERE key >= ? AND key < ?"),
      delete_steps_(database, "DELETE FROM steps WHERE key >= ? AND key < ?") {}

void StoreStatements::apply(const Change& any) {
  std::visit([this](const auto& one) { apply(one); }, any);
}

void StoreStatements::apply(const change::Insert& change) {
  const JobRecord& job = *change.record;
  const std::string id(reinterpret_cast<const char*>(job.id.bytes().data()), 16);
  insert_
      .bind(job.seq, std::string_view(id), static_cast<int>(job.state),
            static_cast<int64_t>(job.revision), std::string_view(job.request),
            std::string_view(job.model), std::string_view(job.owner),
            std::string_view(job.client_key), static_cast<int64_t>(job.fingerprint), job.priority,
            job.work, static_cast<int64_t>(job.inputs), to_us(job.created), to_us(job.deadline),
            static_cast<int64_t>(job.stored_bytes))
      .run();
  for (size_t i = 0; i < change.inputs.size(); ++i) {
    const Blob& blob = *change.inputs[i];
    add_input_
        .bind(blob_key(job.seq, i), std::string_view(blob.media_type), std::string_view(blob.bytes))
        .run();
  }
}

void StoreStatements::apply(const change::Start& change) {
  const JobRecord& job = *change.record;
  start_
      .bind(static_cast<int>(JobState::kRunning), to_us(job.started), job.attempts,
            std::string_view(job.worker), static_cast<int64_t>(job.revision), job.seq)
      .run();
}

void StoreStatements::apply(const change::Requeue& change) {
  const JobRecord& job = *change.record;
  requeue_
      .bind(static_cast<int>(JobState::kQueued), job.attempts, job.losses,
            static_cast<int64_t>(job.revision), job.seq)
      .run();
}

void StoreStatements::apply(const change::SetWish& change) {
  wish_.bind(static_cast<int>(change.wish), change.seq).run();
}

void StoreStatements::apply(const change::SaveStep& change) {
  add_step_
      .bind(step_key(change.seq, change.index), std::string_view(change.bytes->bytes), change.seq)
      .run();
}

void StoreStatements::apply(const change::Finish& change) {
  const JobRecord& job = *change.record;
  std::optional<int64_t> error_kind;
  if (job.error) error_kind = static_cast<int64_t>(job.error->kind);
  const std::string results = encode_results(job.results);
  const std::string_view message = job.error ? std::string_view(job.error->message) : "";
  finish_
      .bind(static_cast<int>(job.state), static_cast<int64_t>(job.revision), to_us(job.started),
            to_us(job.finished), to_us(job.results_expire), job.attempts, job.losses,
            std::string_view(job.worker), error_kind, message, std::string_view(results),
            std::string_view(job.info), static_cast<int64_t>(job.stored_bytes), job.seq)
      .run();
  if (database_.changes() != 1) {
    fail(ErrorKind::kInvalidArgument, "job store", "job ", job.id.text(),
         " must be there and not final");
  }
  for (size_t i = 0; i < change.results.size(); ++i) {
    const Blob& blob = *change.results[i];
    add_result_
        .bind(blob_key(job.seq, i), std::string_view(blob.media_type), std::string_view(blob.bytes))
        .run();
  }
  delete_steps_.bind(step_key(job.seq, 0), step_key(job.seq + 1, 0)).run();
}

void StoreStatements::apply(const change::Remove& change) {
  for (const int64_t seq : change.seqs) {
    delete_blobs(seq);
    delete_steps_.bind(step_key(seq, 0), step_key(seq + 1, 0)).run();
    remove_.bind(seq).run();
  }
}

void StoreStatements::apply(const change::DropBlobs& change) {
  for (const int64_t seq : change.seqs) {
    drop_.bind(seq).run();
    if (database_.changes() == 1) delete_blobs(seq);
  }
}

void StoreStatements::delete_blobs(int64_t seq) {
  delete_inputs_.bind(blob_key(seq, 0), blob_key(seq + 1, 0)).run();
  delete_results_.bind(blob_key(seq, 0), blob_key(seq + 1, 0)).run();
}

JobStore::Writer::Writer(const std::filesystem::path& path)
    : database_(path, SqliteDatabase::Mode::kReadWrite), statements_([this]() -> SqliteDatabase& {
        // FULL: the log is on disk before an answer. Its pages go into the file every 16 MB, so
        // that a busy server syncs both once in a hundred transactions and not with every tenth.
        database_.run(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;"
            "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384");
        return database_;
      }()) {
  thread_ = std::thread([this] { work(); });
}

JobStore::Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  added_.notify_one();
  thread_.join();
  try {
    database_.run("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (const Error&) {
    // The log stays and is read by the next start.
  }
}

void JobStore::Writer::add(Change change, Done done) {
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    was_empty = queue_.empty();
    queue_.push_back({std::move(change), std::move(done)});
  }
  if (was_empty) added_.notify_one();
}

void JobStore::Writer::work() {
  for (;;) {
    Batch batch = take();
    if (batch.empty()) return;
    write(batch);
    if (freed_) vacuum();
  }
}

/// Waits for something to do; empty at the end. What is there is taken at once: while it is being
/// written the next crowd gathers, which is all the batching that an idle or a busy store needs.
JobStore::Writer::Batch JobStore::Writer::take() {
  std::unique_lock lock(mutex_);
  added_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  Batch batch;
  uint64_t bytes = 0;
  while (!queue_.empty() && batch.size() < kMaxBatch && bytes < kMaxBatchBytes) {
    bytes += bytes_of(queue_.front().change);
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void JobStore::Writer::write(Batch& batch) {
  try {
    commit(batch);
    healthy_ = true;
    for (Item& item : batch) answer(item, nullptr);
    return;
  } catch (const Error&) {
    // Somebody's change failed, or the disk did: one by one tells which.
  }
  while (!batch.empty()) {
    const std::optional<Error> trouble = write_one(batch.front());
    if (!trouble) {
      batch.pop_front();
      continue;
    }
    healthy_ = false;
    // New jobs behind are refused now, everything else waits its turn.
    refuse_inserts(batch, *trouble);
    std::unique_lock lock(mutex_);
    Batch newer = std::move(queue_);
    queue_.clear();
    lock.unlock();
    refuse_inserts(newer, *trouble);
    for (Item& item : newer) batch.push_back(std::move(item));
    lock.lock();
    if (stopping_) return;
    added_.wait_for(lock, kRetryPause, [this] { return stopping_; });
    if (stopping_) return;  // what was not answered is not on disk, and a restart knows
  }
  healthy_ = true;
}

void JobStore::Writer::commit(const Batch& batch) {
  std::unordered_set<int64_t> finishing;
  for (const Item& item : batch) {
    if (const auto* finish = std::get_if<change::Finish>(&item.change)) {
      finishing.insert(finish->record->seq);
    }
  }
  const auto passing = [&](const Item& item) {
    const std::optional<int64_t> seq = seq_of_passing(item.change);
    return std::holds_alternative<change::Nothing>(item.change) || (seq && finishing.count(*seq));
  };
  bool begun = false;
  try {
    for (const Item& item : batch) {
      if (passing(item)) continue;
      if (!begun) database_.run("BEGIN IMMEDIATE");
      begun = true;
      statements_.apply(item.change);
      freed_ |= std::holds_alternative<change::Remove>(item.change) ||
                std::holds_alternative<change::DropBlobs>(item.change);
    }
    if (begun) database_.run("COMMIT");
  } catch (const Error&) {
    if (database_.in_transaction()) {
      try {
        database_.run("ROLLBACK");
      } catch (const Error&) {
        // SQLite rolled back by itself.
      }
    }
    throw;
  }
}

void JobStore::Writer::refuse_inserts(Batch& batch, const Error& error) {
  Batch kept;
  for (Item& item : batch) {
    if (std::holds_alternative<change::Insert>(item.change)) {
      answer(item, &error);
    } else {
      kept.push_back(std::move(item));
    }
  }
  batch = std::move(kept);
}

/// Unset: it was answered. Else the disk does not take it now, and it is worth trying again.
std::optional<Error> JobStore::Writer::write_one(Item& item) {
  try {
    Batch one;
    one.push_back({item.change, {}});
    commit(one);
    answer(item, nullptr);
    return {};
  } catch (const Error& error) {
    const bool refuse = std::holds_alternative<change::Insert>(item.change);
    if (error.kind() == ErrorKind::kIo && !refuse) return error;
    answer(item, &error);
    return {};
  }
}

/// Gives pages back while there is nothing better to do.
void JobStore::Writer::vacuum() {
  const auto idle = [this] {
    const std::lock_guard lock(mutex_);
    return queue_.empty() && !stopping_;
  };
  try {
    bool shrunk = false;
    while (freed_ && idle()) {
      freed_ = database_.number("PRAGMA freelist_count") > kKeptFreePages;
      if (freed_) database_.run(kVacuum);
      shrunk |= freed_;
    }
    // The file itself is cut where the log goes into it.
    if (shrunk && !freed_) database_.run("PRAGMA wal_checkpoint(PASSIVE)");
  } catch (const Error&) {
    freed_ = false;  // free pages are used again anyway
  }
}

void JobStore::Writer::answer(Item& item, const Error* error) {
  if (item.done) item.done(error);
}

}  // namespace tintype
