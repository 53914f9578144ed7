#include "serving/sqlite_database.h"

#include <sqlite3.h>

#include "base/check.h"

namespace tintype {
namespace {

[[noreturn]] void fail_with(sqlite3* database, int code) {
  const std::string reason =
      database != nullptr ? sqlite3_errmsg(database) : std::string(sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      fail(ErrorKind::kCorruptFile, "job store", "the file is damaged: ", reason);
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
      fail(ErrorKind::kInvalidArgument, "job store", reason);
    case SQLITE_FULL:
      fail(ErrorKind::kIo, "job store", "the disk is full");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      fail(ErrorKind::kIo, "job store", "the file is locked by another program");
    default:
      fail(ErrorKind::kIo, "job store", reason, " (SQLite code ", code, ")");
  }
}

}  // namespace

SqliteDatabase::SqliteDatabase(const std::filesystem::path& path, Mode mode) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (mode == Mode::kCreate ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr);
  if (code != SQLITE_OK) {
    try {
      fail_with(handle_, code);
    } catch (...) {
      sqlite3_close_v2(handle_);
      throw;
    }
  }
  sqlite3_busy_timeout(handle_, 5000);
}

SqliteDatabase::~SqliteDatabase() { sqlite3_close_v2(handle_); }

void SqliteDatabase::run(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail_with(handle_, code);
}

int64_t SqliteDatabase::number(const char* sql) {
  SqliteStatement statement(*this, sql);
  return statement.step() ? statement.number(0) : 0;
}

std::string SqliteDatabase::text(const char* sql) {
  SqliteStatement statement(*this, sql);
  return statement.step() ? std::string(statement.bytes(0)) : std::string();
}

int64_t SqliteDatabase::changes() const { return sqlite3_changes(handle_); }

bool SqliteDatabase::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

SqliteStatement::SqliteStatement(SqliteDatabase& database, const char* sql)
    : database_(database.handle()) {
  check(sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr));
}

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

bool SqliteStatement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) check(code);
  return false;
}

void SqliteStatement::run() {
  const SqliteScope scope(*this);
  while (step()) {
  }
}

void SqliteStatement::reset() {
  sqlite3_reset(statement_);  // repeats the error that step() threw
  sqlite3_clear_bindings(statement_);
}

int64_t SqliteStatement::number(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double SqliteStatement::real(int column) const { return sqlite3_column_double(statement_, column); }

bool SqliteStatement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::string_view SqliteStatement::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(size)};
}

void SqliteStatement::bind_one(int index, int64_t value) {
  check(sqlite3_bind_int64(statement_, index, value));
}

void SqliteStatement::bind_one(int index, double value) {
  check(sqlite3_bind_double(statement_, index, value));
}

void SqliteStatement::bind_one(int index, std::optional<int64_t> value) {
  if (value) return bind_one(index, *value);
  check(sqlite3_bind_null(statement_, index));
}

void SqliteStatement::bind_one(int index, std::string_view blob) {
  // A null pointer would bind NULL.
  check(sqlite3_bind_blob64(statement_, index, blob.empty() ? "" : blob.data(), blob.size(),
                            SQLITE_STATIC));
}

void SqliteStatement::check(int code) const {
  if (code != SQLITE_OK) fail_with(database_, code);
}

}  // namespace tintype
