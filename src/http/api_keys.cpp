#include "http/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/json.h"
#include "base/text.h"

namespace tintype::http {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxKeys = 10'000;
/// Buckets hold this many seconds of requests.
constexpr double kBurstSeconds = 10;

std::string hex(const uint8_t* bytes, size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

std::string random_hex(size_t bytes) {
  std::vector<uint8_t> random(bytes);
  if (RAND_bytes(random.data(), static_cast<int>(bytes)) != 1)
    fail(ErrorKind::kInternal, "keys", "the system must give random numbers, got none");
  return hex(random.data(), random.size());
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

ApiKey parse_key(const Json& item, const std::string& origin) {
  const JsonObject object(item, origin);
  ApiKey key;
  key.id = object.text("id");
  key.name = object.text("name");
  key.sha256 = object.text("sha256");
  if (key.id.empty() || key.sha256.size() != 64 ||
      key.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
    fail(ErrorKind::kCorruptFile, origin, "sha256 must be 64 hex digits and id must not be empty");
  key.scopes.clear();
  for (const std::string& scope : object.texts("scopes")) key.scopes.insert(parse_scope(scope));
  key.max_priority = static_cast<int>(object.integer("max_priority", -10, 10, 0));
  key.max_queued = static_cast<size_t>(object.integer("max_queued", 0, 1'000'000, 0));
  key.requests_per_second = object.number("requests_per_second", 0, 1e6, 0);
  key.created = object.text("created", "");
  return key;
}

Json key_json(const ApiKey& key) {
  Json scopes = Json::array();
  for (const Scope scope : key.scopes) scopes.push_back(to_string(scope));
  return {{"id", key.id},
          {"name", key.name},
          {"sha256", key.sha256},
          {"scopes", std::move(scopes)},
          {"max_priority", key.max_priority},
          {"max_queued", key.max_queued},
          {"requests_per_second", key.requests_per_second},
          {"created", key.created}};
}

}  // namespace

Scope parse_scope(std::string_view text) {
  static const std::vector<std::string> kNames = {"read", "submit", "metrics", "admin"};
  for (const Scope scope : {Scope::kRead, Scope::kSubmit, Scope::kMetrics, Scope::kAdmin})
    if (to_string(scope) == text) return scope;
  fail(ErrorKind::kInvalidArgument, "scope", unknown_name(text, kNames));
}

std::string sha256_hex(std::string_view bytes) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    fail(ErrorKind::kInternal, "keys", "SHA-256 must be available, got none");
  return hex(digest.data(), size);
}

std::vector<ApiKey> read_keys(const fs::path& file) {
  const std::string origin = file.filename().string();
  const Json json = read_json_file(file, size_t{8} << 20);
  const auto list = json.is_object() ? json.find("keys") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array() || list->size() > kMaxKeys)
    fail(ErrorKind::kCorruptFile, origin, "must be an object whose \"keys\" is a list of at most ",
         kMaxKeys);
  std::vector<ApiKey> keys;
  for (const Json& item : *list) keys.push_back(parse_key(item, origin));
  return keys;
}

void write_keys(const fs::path& file, const std::vector<ApiKey>& keys) {
  Json list = Json::array();
  for (const ApiKey& key : keys) list.push_back(key_json(key));
  const std::string text = Json{{"keys", std::move(list)}}.dump(2) + "\n";
  write_file_atomically(file, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
}

std::string add_key(const fs::path& file, ApiKey key) {
  std::vector<ApiKey> keys;
  if (fs::exists(file)) keys = read_keys(file);
  TT_REQUIRE(!key.name.empty() && key.name.size() <= 100 && printable(key.name) == key.name, "name",
             "must have 1 to 100 printable characters, got \"", printable(key.name), "\"");
  TT_REQUIRE(keys.size() < kMaxKeys, "keys", "must be at most ", kMaxKeys);
  for (const ApiKey& other : keys)
    TT_REQUIRE(other.name != key.name, "name", "must be new, got \"", key.name,
               "\", which is the name of ", other.id);
  const std::string secret = "tt_" + random_hex(32);
  key.id = "k_" + random_hex(6);
  key.sha256 = sha256_hex(secret);
  key.created = now_text();
  keys.push_back(std::move(key));
  write_keys(file, keys);
  return secret;
}

void remove_key(const fs::path& file, std::string_view name) {
  std::vector<ApiKey> keys = read_keys(file);
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const ApiKey& key) {
    return key.name == name || key.id == name;
  });
  if (found == keys.end()) {
    std::vector<std::string> names;
    for (const ApiKey& key : keys) names.push_back(key.name);
    fail(ErrorKind::kNotFound, "keys",
         names.empty() ? "the file has no keys" : unknown_name(name, names));
  }
  keys.erase(found);
  write_keys(file, keys);
}

ApiKeys::ApiKeys(fs::path file) : file_(std::move(file)) {
  if (!required()) return;
  keys_ = read_keys(file_);
  TT_REQUIRE(!keys_.empty(), "keys",
             "the key file must have a key; make one with `tintype serve keys add NAME`");
  modified_ = fs::last_write_time(file_);
  looked_ = std::chrono::steady_clock::now();
}

Caller ApiKeys::everyone() {
  return {.id = "",
          .name = "",
          .scopes = {Scope::kRead, Scope::kSubmit, Scope::kMetrics, Scope::kAdmin},
          .max_priority = 10,
          .max_queued = 0};
}

void ApiKeys::reload_if_changed() {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < std::chrono::seconds(1)) return;
  looked_ = now;
  std::error_code error;
  const auto modified = fs::last_write_time(file_, error);
  if (error || modified == modified_) return;
  try {
    keys_ = read_keys(file_);
    modified_ = modified;
  } catch (const Error&) {
    // A file that somebody is in the middle of editing: the keys that were there stay.
  }
}

std::optional<Caller> ApiKeys::find(std::string_view key) {
  const std::string digest = sha256_hex(key);
  const std::lock_guard lock(mutex_);
  reload_if_changed();
  const ApiKey* found = nullptr;
  for (const ApiKey& known : keys_)
    if (CRYPTO_memcmp(known.sha256.data(), digest.data(), digest.size()) == 0) found = &known;
  if (!found) return std::nullopt;
  return Caller{.id = found->id,
                .name = found->name,
                .scopes = found->scopes,
                .max_priority = found->max_priority,
                .max_queued = found->max_queued};
}

double ApiKeys::take_request(const Caller& caller) {
  const std::lock_guard lock(mutex_);
  const auto key = std::find_if(keys_.begin(), keys_.end(),
                                [&](const ApiKey& known) { return known.id == caller.id; });
  if (key == keys_.end() || key->requests_per_second <= 0) return 0;
  const double rate = key->requests_per_second;
  const double capacity = std::max(1.0, rate * kBurstSeconds);
  const auto now = std::chrono::steady_clock::now();
  const auto [entry, is_new] = buckets_.try_emplace(key->id, Bucket{capacity, now});
  Bucket& bucket = entry->second;
  const double passed = std::chrono::duration<double>(now - bucket.filled).count();
  bucket.tokens = std::min(capacity, bucket.tokens + passed * rate);
  bucket.filled = now;
  if (bucket.tokens < 1) return (1 - bucket.tokens) / rate;
  bucket.tokens -= 1;
  return 0;
}

}  // namespace tintype::http
