/// SQLite with owners and errors: one connection and its statements. Whose thread uses it is up to
/// the owner; nothing here locks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace tintype {

/// Every member throws: kCorruptFile where the file is damaged or no database, kInvalidArgument
/// where a value does not fit a constraint or a limit, kIo for everything else (full disk,
/// permissions, locked by another program). Messages hold no path.
class SqliteDatabase {
 public:
  enum class Mode { kCreate, kReadWrite };
  SqliteDatabase(const std::filesystem::path& path, Mode mode);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  void run(const char* sql);
  int64_t number(const char* sql);    ///< the first column of the first row; 0 without rows
  std::string text(const char* sql);  ///< likewise
  /// Rows that the last statement changed.
  int64_t changes() const;
  bool in_transaction() const;
  sqlite3* handle() const { return handle_; }

 private:
  sqlite3* handle_ = nullptr;
};

/// A statement that was compiled once. Values bound by reference must live until reset().
class SqliteStatement {
 public:
  SqliteStatement(SqliteDatabase& database, const char* sql);
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  /// Binds from 1 on, in the order of the question marks.
  template <typename... Values>
  SqliteStatement& bind(const Values&... values) {
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }
  /// True: there is a row.
  bool step();
  /// Runs to the end and makes the statement ready for the next values.
  void run();
  void reset();

  int64_t number(int column) const;  ///< columns count from 0
  double real(int column) const;
  bool is_null(int column) const;
  std::string_view bytes(int column) const;  ///< until the next step or reset

 private:
  void bind_one(int index, int64_t value);
  void bind_one(int index, int value) { bind_one(index, int64_t{value}); }
  void bind_one(int index, double value);
  void bind_one(int index, std::optional<int64_t> value);  ///< unset: NULL
  void bind_one(int index, std::string_view blob);
  void check(int code) const;

  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
};

/// Resets a statement at the end of a scope, so that a thrown error leaves it usable.
class SqliteScope {
 public:
  explicit SqliteScope(SqliteStatement& statement) : statement_(statement) {}
  ~SqliteScope() { statement_.reset(); }
  SqliteScope(const SqliteScope&) = delete;
  SqliteScope& operator=(const SqliteScope&) = delete;

 private:
  SqliteStatement& statement_;
};

}  // namespace tintype
