/// Jobs on disk: one SQLite file with its write-ahead log. Changes are handed in from any thread,
/// one writer makes as many as wait into one transaction with one fsync, and tells each of them
/// when it is on disk. Reads have a connection of their own. Knows nothing of queues or workers.
/// Thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/job_record.h"
#include "tintype/error.h"

namespace tintype {

class JobStore {
 public:
  /// Opens the file, or makes it where there is none. One store belongs to one server at a time.
  /// throws kCorruptFile: damaged, cut off, no job store or of a newer version: never made anew
  /// over what is there; kIo: cannot be opened, or another server has it
  explicit JobStore(const std::filesystem::path& path);
  ~JobStore();  ///< what was handed in is written

  /// Called on the writer's thread once a change is on disk, or with the reason why it never will
  /// be. Must not block and not throw.
  using Done = std::function<void(const Error*)>;

  /// A new job with its inputs. Fails at once where the disk is full, so that the caller can be
  /// told.
  void insert(SharedRecord record, std::vector<SharedBlob> inputs, Done done);
  /// The changes below wait for a disk that has room again, and keep their order.
  void mark_started(SharedRecord record);  ///< state, started, attempts, worker, revision
  void mark_queued(SharedRecord record);   ///< state, losses, revision
  void set_wish(int64_t seq, JobRecord::Wish wish, Done done);
  void save_step(int64_t seq, size_t index, SharedBlob bytes);
  /// The final state with all that came of it, in one transaction; saved steps go. A job that has
  /// one keeps it: `done` gets an error.
  void finish(SharedRecord record, std::vector<SharedBlob> results, Done done);
  /// Forgets jobs with all their blobs.
  void remove(std::vector<int64_t> seqs, Done done);
  /// Deletes results and inputs of final jobs and keeps the rest.
  void drop_blobs(std::vector<int64_t> seqs, Done done);
  /// Returns when everything handed in before is on disk; without that where the disk fails.
  void flush();
  /// False while writing fails (full disk): changes wait in memory, new jobs are refused.
  bool healthy() const;
  /// True on the thread that calls Done, which must not wait for another one.
  bool on_writer_thread() const;

  int64_t first_free_seq() const { return first_free_seq_; }

  // Reads throw kCorruptFile, kIo.
  struct Live {
    JobRecord record;
    size_t saved_steps = 0;
    uint64_t saved_bytes = 0;
  };
  std::vector<Live> live() const;  ///< queued and running ones in the order of submission
  std::optional<JobRecord> find(const JobId& id) const;
  std::optional<JobRecord> find_key(std::string_view owner, std::string_view client_key) const;
  struct Page {
    std::optional<std::string> owner;
    std::vector<JobState> states;  ///< final ones; empty: all of them
    std::optional<JobId> before;
    size_t limit = 50;
  };
  std::vector<JobRecord> list_final(const Page& page) const;  ///< newest first
  SharedBlob input(int64_t seq, size_t index) const;          ///< null: none
  SharedBlob result(int64_t seq, size_t index) const;
  std::vector<SharedBlob> inputs(int64_t seq) const;
  std::vector<SharedBlob> saved_steps(int64_t seq) const;

  /// What retention looks at: final jobs.
  struct Kept {
    int64_t seq = 0;
    JobId id;
    std::optional<WallClock::time_point> finished, results_expire;
    uint64_t stored_bytes = 0;
  };
  std::vector<Kept> first_to_expire(size_t limit) const;  ///< of those that have blobs
  std::vector<Kept> oldest_final(size_t limit) const;
  uint64_t stored_bytes() const;  ///< blobs of final jobs
  size_t final_count() const;

 private:
  class Reader;
  class Writer;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<Writer> writer_;
  int lock_ = -1;
  int64_t first_free_seq_ = 1;
};

}  // namespace tintype
