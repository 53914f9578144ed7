#include "serving/job_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <mutex>
#include <system_error>

#include "base/check.h"
#include "serving/store_writer.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kApplication = 0x544A4F42;  // "TJOB"
constexpr int64_t kVersion = 1;
/// Files up to this size are checked whole at the start; of larger ones the rows, whose blobs are
/// checked as they are read.
constexpr uint64_t kCheckedWhole = uint64_t{64} << 20;

/// seq is the order of submission. Blobs are keyed by seq and index (store_writer.h). The index of
/// owners holds seq as well, as every index of SQLite does, and so lists an owner's jobs in order.
constexpr const char* kSchema = R"(
PRAGMA application_id = 1414156098;
PRAGMA user_version = 1;
CREATE TABLE jobs(
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, state INTEGER NOT NULL,
  revision INTEGER NOT NULL, request BLOB NOT NULL, model BLOB NOT NULL, owner BLOB NOT NULL,
  client_key BLOB NOT NULL, fingerprint INTEGER NOT NULL, priority INTEGER NOT NULL,
  work REAL NOT NULL, inputs INTEGER NOT NULL, created INTEGER NOT NULL, deadline INTEGER,
  started INTEGER, finished INTEGER, expires INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL DEFAULT 0, wish INTEGER NOT NULL DEFAULT 0,
  worker BLOB NOT NULL DEFAULT X'', error_kind INTEGER, error BLOB NOT NULL DEFAULT X'',
  results BLOB NOT NULL DEFAULT X'', info BLOB NOT NULL DEFAULT X'',
  stored_bytes INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX jobs_by_key ON jobs(owner, client_key) WHERE client_key <> X'';
CREATE INDEX jobs_by_owner ON jobs(owner);
CREATE INDEX jobs_live ON jobs(state) WHERE state < 2;
CREATE INDEX jobs_by_expiry ON jobs(expires) WHERE expires IS NOT NULL;
CREATE TABLE inputs(key INTEGER PRIMARY KEY, media_type BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE results(key INTEGER PRIMARY KEY, media_type BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE steps(key INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
)";

[[noreturn]] void damaged(const fs::path& path, std::string_view what) {
  fail(ErrorKind::kCorruptFile, "job store", "\"", path.string(), "\" ", what,
       "; it is left as it is: put back a copy, or move it away to begin with an empty store");
}

/// Makes the whole file under another name first: a file that is there under its own name is a
/// store, however a start was cut off.
void create(const fs::path& path) {
  fs::path draft = path;
  draft += ".new";
  std::error_code ignored;
  fs::remove(draft, ignored);
  {
    SqliteDatabase database(draft, SqliteDatabase::Mode::kCreate);
    database.run("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = FULL; BEGIN");
    database.run(kSchema);
    database.run("COMMIT");
  }
  fs::rename(draft, path);
  fs::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

void check_store(const fs::path& path) {
  try {
    SqliteDatabase database(path, SqliteDatabase::Mode::kReadWrite);
    if (database.number("PRAGMA application_id") != kApplication) {
      damaged(path, "is no job store, or its first page is damaged");
    }
    const int64_t version = database.number("PRAGMA user_version");
    if (version != kVersion) {
      damaged(path, cat("has version ", version, ", this program reads ", kVersion));
    }
    if (database.text("PRAGMA journal_mode = WAL") != "wal") {
      fail(ErrorKind::kIo, "job store", "the file system of \"", path.string(),
           "\" has no shared memory for a write-ahead log; put the store on a local disk");
    }
    const bool whole = fs::file_size(path) <= kCheckedWhole;
    const std::string found =
        database.text(whole ? "PRAGMA quick_check(1)" : "PRAGMA quick_check('jobs')");
    if (found != "ok") damaged(path, cat("is damaged: ", found));
  } catch (const Error& error) {
    const std::string_view message = error.what();
    if (error.kind() != ErrorKind::kCorruptFile) throw;
    if (message.find(path.string()) != std::string_view::npos) throw;
    damaged(path, "is damaged or no job store");
  }
}

/// One server at a time. The lock is a file of its own: closing any descriptor of the store itself
/// would drop SQLite's locks.
int lock_store(const fs::path& path) {
  fs::path name = path;
  name += ".lock";
  const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    fail(ErrorKind::kIo, "job store", "cannot open \"", name.string(),
         "\": ", std::strerror(errno));
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    const std::string owner = cat(::getpid(), "\n");
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, owner.data(), owner.size(), 0) < 0) {
      // Only the message of the next one lacks the process.
    }
    return fd;
  }
  char owner[32] = {};
  const ssize_t size = ::pread(fd, owner, sizeof(owner) - 1, 0);
  ::close(fd);
  std::string who(owner, size > 0 ? static_cast<size_t>(size) : 0);
  while (!who.empty() && who.back() == '\n') who.pop_back();
  fail(ErrorKind::kIo, "job store", "\"", path.string(),
       "\" belongs to a server that runs (process ", who.empty() ? "unknown" : who,
       "); stop it or give this one another store");
}

std::string id_bytes(const JobId& id) {
  return {reinterpret_cast<const char*>(id.bytes().data()), id.bytes().size()};
}

constexpr const char* kColumns =
    "seq, id, state, revision, request, model, owner, client_key, fingerprint, priority, work, "
    "inputs, created, deadline, started, finished, expires, attempts, losses, wish, worker, "
    "error_kind, error, results, info, stored_bytes";

std::optional<WallClock::time_point> time_at(const SqliteStatement& row, int column) {
  if (row.is_null(column)) return {};
  return from_us(row.number(column));
}

JobRecord read_record(const SqliteStatement& row) {
  JobRecord job;
  int at = 0;
  const auto text = [&] { return std::string(row.bytes(at++)); };
  job.seq = row.number(at++);
  const std::string id = text();
  const int64_t state = row.number(at++);
  if (id.size() != 16 || state < 0 || state > static_cast<int64_t>(JobState::kExpired)) {
    fail(ErrorKind::kCorruptFile, "job store", "a job has no valid id or state");
  }
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), id.data(), bytes.size());
  job.id = JobId(bytes);
  job.state = static_cast<JobState>(state);
  job.revision = static_cast<uint64_t>(row.number(at++));
  job.request = text();
  job.model = text();
  job.owner = text();
  job.client_key = text();
  job.fingerprint = static_cast<uint64_t>(row.number(at++));
  job.priority = static_cast<int>(row.number(at++));
  job.work = row.real(at++);
  job.inputs = static_cast<size_t>(row.number(at++));
  job.created = from_us(row.number(at++));
  job.deadline = time_at(row, at++);
  job.started = time_at(row, at++);
  job.finished = time_at(row, at++);
  job.results_expire = time_at(row, at++);
  job.attempts = static_cast<int>(row.number(at++));
  job.losses = static_cast<int>(row.number(at++));
  job.wish = static_cast<JobRecord::Wish>(row.number(at++));
  job.worker = text();
  const bool failed = !row.is_null(at);
  const int64_t kind = row.number(at++);
  std::string message = text();
  if (failed) job.error = JobError{static_cast<ErrorKind>(kind), std::move(message)};
  job.results = decode_results(row.bytes(at++));
  job.info = text();
  job.stored_bytes = static_cast<uint64_t>(row.number(at++));
  return job;
}

JobStore::Kept read_kept(const SqliteStatement& row) {
  JobStore::Kept kept;
  kept.seq = row.number(0);
  std::array<uint8_t, 16> bytes{};
  const std::string_view id = row.bytes(1);
  if (id.size() == bytes.size()) std::memcpy(bytes.data(), id.data(), bytes.size());
  kept.id = JobId(bytes);
  kept.finished = time_at(row, 2);
  kept.results_expire = time_at(row, 3);
  kept.stored_bytes = static_cast<uint64_t>(row.number(4));
  return kept;
}

}  // namespace

/// The reading connection and its mutex.
class JobStore::Reader {
 public:
  explicit Reader(const fs::path& path)
      : database_(path, SqliteDatabase::Mode::kReadWrite),
        by_id_(database_, cat("SELECT ", kColumns, " FROM jobs WHERE id = ?").c_str()),
        by_key_(database_, cat("SELECT ", kColumns,
                               " FROM jobs WHERE owner = ? AND client_key = ? "
                               "AND client_key <> X''")
                               .c_str()),
        input_(database_, "SELECT media_type, bytes FROM inputs WHERE key = ?"),
        result_(database_, "SELECT media_type, bytes FROM results WHERE key = ?"),
        inputs_(database_,
                "SELECT media_type, bytes FROM inputs WHERE key >= ? AND key < ? ORDER BY key"),
        steps_(database_, "SELECT bytes FROM steps WHERE key >= ? AND key < ? ORDER BY key") {
    database_.run("PRAGMA query_only = ON");
  }

  /// Calls `read` with this locked.
  template <typename Read>
  auto with(const Read& read) {
    const std::lock_guard lock(mutex_);
    return read(*this);
  }

  std::optional<JobRecord> one(SqliteStatement& statement) {
    const SqliteScope scope(statement);
    if (!statement.step()) return {};
    return read_record(statement);
  }

  SharedBlob blob(SqliteStatement& statement) {
    const SqliteScope scope(statement);
    if (!statement.step()) return {};
    return std::make_shared<Blob>(
        Blob{std::string(statement.bytes(0)), std::string(statement.bytes(1))});
  }

  SqliteDatabase database_;
  SqliteStatement by_id_, by_key_, input_, result_, inputs_, steps_;

 private:
  std::mutex mutex_;
};

JobStore::JobStore(const fs::path& path) {
  lock_ = lock_store(path);
  try {
    if (!fs::exists(path)) {
      fs::path log = path;
      log += "-wal";
      if (fs::exists(log)) {
        damaged(path, "is missing, but its log \"" + log.string() + "\" is there");
      }
      create(path);
    } else if (fs::is_regular_file(path) && fs::file_size(path) == 0) {
      damaged(path, "is empty");
    }
    check_store(path);
    reader_ = std::make_unique<Reader>(path);
    first_free_seq_ = reader_->database_.number("SELECT MAX(seq) FROM jobs") + 1;
    writer_ = std::make_unique<Writer>(path);
  } catch (const fs::filesystem_error& error) {
    ::close(lock_);
    fail(ErrorKind::kIo, "job store", "cannot make \"", path.string(), "\": ", error.what());
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

JobStore::~JobStore() {
  flush();          // answers may read
  reader_.reset();  // the writer, alone then, folds the log into the file
  writer_.reset();
  ::close(lock_);
}

void JobStore::insert(SharedRecord record, std::vector<SharedBlob> inputs, Done done) {
  writer_->add(change::Insert{std::move(record), std::move(inputs)}, std::move(done));
}
void JobStore::mark_started(SharedRecord record) {
  writer_->add(change::Start{std::move(record)}, {});
}
void JobStore::mark_queued(SharedRecord record) {
  writer_->add(change::Requeue{std::move(record)}, {});
}
void JobStore::set_wish(int64_t seq, JobRecord::Wish wish, Done done) {
  writer_->add(change::SetWish{seq, wish}, std::move(done));
}
void JobStore::save_step(int64_t seq, size_t index, SharedBlob bytes) {
  writer_->add(change::SaveStep{seq, index, std::move(bytes)}, {});
}
void JobStore::finish(SharedRecord record, std::vector<SharedBlob> results, Done done) {
  writer_->add(change::Finish{std::move(record), std::move(results)}, std::move(done));
}
void JobStore::remove(std::vector<int64_t> seqs, Done done) {
  writer_->add(change::Remove{std::move(seqs)}, std::move(done));
}
void JobStore::drop_blobs(std::vector<int64_t> seqs, Done done) {
  writer_->add(change::DropBlobs{std::move(seqs)}, std::move(done));
}
bool JobStore::healthy() const { return writer_->healthy(); }
bool JobStore::on_writer_thread() const { return writer_->on_writer_thread(); }

void JobStore::flush() {
  if (on_writer_thread()) return;
  const auto written = std::make_shared<std::promise<void>>();
  writer_->add(change::Nothing{}, [written](const Error*) { written->set_value(); });
  std::future<void> answer = written->get_future();
  do {
    if (answer.wait_for(std::chrono::seconds(2)) == std::future_status::ready) return;
  } while (healthy());
}

std::vector<JobStore::Live> JobStore::live() const {
  return reader_->with([](Reader& reader) {
    SqliteStatement rows(
        reader.database_,
        cat("SELECT ", kColumns,
            ", (SELECT count(*) FROM steps WHERE key >= seq << 16 AND key < (seq + 1) << 16)"
            ", (SELECT total(length(bytes)) FROM steps"
            "   WHERE key >= seq << 16 AND key < (seq + 1) << 16)"
            " FROM jobs WHERE state < 2 ORDER BY seq")
            .c_str());
    std::vector<Live> out;
    while (rows.step()) {
      out.push_back({read_record(rows), static_cast<size_t>(rows.number(26)),
                     static_cast<uint64_t>(rows.number(27))});
    }
    return out;
  });
}

std::optional<JobRecord> JobStore::find(const JobId& id) const {
  return reader_->with([&](Reader& reader) {
    const std::string bytes = id_bytes(id);
    return reader.one(reader.by_id_.bind(std::string_view(bytes)));
  });
}

std::optional<JobRecord> JobStore::find_key(std::string_view owner,
                                            std::string_view client_key) const {
  return reader_->with(
      [&](Reader& reader) { return reader.one(reader.by_key_.bind(owner, client_key)); });
}

std::vector<JobRecord> JobStore::list_final(const Page& page) const {
  return reader_->with([&](Reader& reader) {
    std::string states;
    for (const JobState state : page.states) {
      if (is_final(state)) states += (states.empty() ? "" : ",") + cat(static_cast<int>(state));
    }
    if (states.empty()) states = page.states.empty() ? "2,3,4,5" : "-1";
    const std::string sql = cat("SELECT ", kColumns, " FROM jobs WHERE state IN (", states, ")",
                                page.owner ? " AND owner = ?1" : " AND ?1 = ?1",
                                " AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
    int64_t before = INT64_MAX;
    if (page.before) {
      SqliteStatement place(reader.database_,
                            "SELECT coalesce(max(seq), -1) FROM jobs WHERE id <= ?");
      const std::string id = id_bytes(*page.before);
      place.bind(std::string_view(id));
      // Ids sort as jobs were made, so a page can begin at a job that is gone.
      before = place.step() ? place.number(0) : -1;
      const std::optional<JobRecord> exact = reader.one(reader.by_id_.bind(std::string_view(id)));
      if (!exact) ++before;
    }
    SqliteStatement rows(reader.database_, sql.c_str());
    const std::string owner = page.owner.value_or("");
    rows.bind(std::string_view(owner), before, static_cast<int64_t>(page.limit));
    std::vector<JobRecord> out;
    while (rows.step()) out.push_back(read_record(rows));
    return out;
  });
}

SharedBlob JobStore::input(int64_t seq, size_t index) const {
  if (index >= (size_t{1} << kBlobBits)) return {};
  return reader_->with(
      [&](Reader& reader) { return reader.blob(reader.input_.bind(blob_key(seq, index))); });
}

SharedBlob JobStore::result(int64_t seq, size_t index) const {
  if (index >= (size_t{1} << kBlobBits)) return {};
  return reader_->with(
      [&](Reader& reader) { return reader.blob(reader.result_.bind(blob_key(seq, index))); });
}

std::vector<SharedBlob> JobStore::inputs(int64_t seq) const {
  return reader_->with([&](Reader& reader) {
    SqliteStatement& rows = reader.inputs_.bind(blob_key(seq, 0), blob_key(seq + 1, 0));
    const SqliteScope scope(rows);
    std::vector<SharedBlob> out;
    while (rows.step()) {
      out.push_back(
          std::make_shared<Blob>(Blob{std::string(rows.bytes(0)), std::string(rows.bytes(1))}));
    }
    return out;
  });
}

std::vector<SharedBlob> JobStore::saved_steps(int64_t seq) const {
  return reader_->with([&](Reader& reader) {
    SqliteStatement& rows = reader.steps_.bind(step_key(seq, 0), step_key(seq + 1, 0));
    const SqliteScope scope(rows);
    std::vector<SharedBlob> out;
    while (rows.step()) out.push_back(std::make_shared<Blob>(Blob{"", std::string(rows.bytes(0))}));
    return out;
  });
}

std::vector<JobStore::Kept> JobStore::first_to_expire(size_t limit) const {
  return reader_->with([&](Reader& reader) {
    SqliteStatement rows(reader.database_,
                         "SELECT seq, id, finished, expires, stored_bytes FROM jobs "
                         "WHERE expires IS NOT NULL ORDER BY expires LIMIT ?");
    rows.bind(static_cast<int64_t>(limit));
    std::vector<Kept> out;
    while (rows.step()) out.push_back(read_kept(rows));
    return out;
  });
}

std::vector<JobStore::Kept> JobStore::oldest_final(size_t limit) const {
  return reader_->with([&](Reader& reader) {
    SqliteStatement rows(reader.database_,
                         "SELECT seq, id, finished, expires, stored_bytes FROM jobs "
                         "WHERE state >= 2 ORDER BY seq LIMIT ?");
    rows.bind(static_cast<int64_t>(limit));
    std::vector<Kept> out;
    while (rows.step()) out.push_back(read_kept(rows));
    return out;
  });
}

uint64_t JobStore::stored_bytes() const {
  return reader_->with([](Reader& reader) {
    return static_cast<uint64_t>(
        reader.database_.number("SELECT sum(stored_bytes) FROM jobs WHERE expires IS NOT NULL"));
  });
}

size_t JobStore::final_count() const {
  return reader_->with([](Reader& reader) {
    return static_cast<size_t>(
        reader.database_.number("SELECT count(*) FROM jobs WHERE state >= 2"));
  });
}

}  // namespace tintype
