/// Keys of the API: who may do what, at which rate. Only their SHA-256 is kept; a key itself is
/// shown once, when it is made (32 random bytes, so a plain hash cannot be searched). ApiKeys is
/// thread-safe; the functions on files are for one process at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace tintype::http {

/// One line of the key file.
struct ApiKey {
  std::string id = {};      ///< "k_1f2e3d4c5b6a": owner of its jobs
  std::string name = {};    ///< unique, the server owner's word for it
  std::string sha256 = {};  ///< of the key, 64 hex digits
  std::set<Scope> scopes = {Scope::kRead, Scope::kSubmit};
  int max_priority = 0;            ///< of its jobs, -10..10
  size_t max_queued = 0;           ///< jobs waiting at once; 0: the server's own limit
  double requests_per_second = 0;  ///< 0: no limit; bursts of ten seconds' worth are let through
  std::string created = {};        ///< "2026-11-21T20:04:27Z"
};

/// "read", "submit", "metrics", "admin". throws kInvalidArgument naming the nearest
Scope parse_scope(std::string_view text);

/// SHA-256 as 64 hex digits.
std::string sha256_hex(std::string_view bytes);

/// throws kNotFound, kIo, kCorruptFile
std::vector<ApiKey> read_keys(const std::filesystem::path& file);
/// Readable by its owner alone. throws kIo
void write_keys(const std::filesystem::path& file, const std::vector<ApiKey>& keys);
/// Makes a key, adds its hash to the file (which may be missing) and returns the key.
/// throws kInvalidArgument: a name that is taken, empty or over 100 characters; as read_keys
std::string add_key(const std::filesystem::path& file, ApiKey key);
/// By name or id. throws kNotFound naming the nearest
void remove_key(const std::filesystem::path& file, std::string_view name);

class ApiKeys {
 public:
  /// An empty path: no keys are asked for, everyone is the one caller with every scope.
  /// throws as read_keys; kInvalidArgument: a file without keys
  explicit ApiKeys(std::filesystem::path file);

  bool required() const { return !file_.empty(); }
  /// Whose key it is; none: nobody's. The file is read again when it has changed, so that keys can
  /// be added and removed while the server runs. Every key of the file is compared, in constant
  /// time.
  std::optional<Caller> find(std::string_view key);
  /// The one caller of a server without keys.
  static Caller everyone();
  /// Takes one request from the key's allowance. returns the seconds to wait for the next, or 0
  double take_request(const Caller& caller);

 private:
  void reload_if_changed();

  struct Bucket {
    double tokens = 0;
    std::chrono::steady_clock::time_point filled;
  };
  std::filesystem::path file_;
  std::mutex mutex_;
  std::vector<ApiKey> keys_;
  std::filesystem::file_time_type modified_;
  std::chrono::steady_clock::time_point looked_;
  std::map<std::string, Bucket> buckets_;  ///< by key id
};

}  // namespace tintype::http
