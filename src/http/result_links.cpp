#include "http/result_links.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <charconv>

#include "base/check.h"

namespace tintype::http {
namespace {

/// Bytes of the signature that are sent: 128 bits.
constexpr size_t kSignatureBytes = 16;

}  // namespace

ResultLinks::ResultLinks() {
  if (RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) != 1)
    fail(ErrorKind::kInternal, "result links", "need random bytes, got none from the system");
}

std::string ResultLinks::signature(std::string_view job, size_t index) const {
  const std::string text = cat(job, "/", index);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < kSignatureBytes && i < size; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 15];
  }
  return hex;
}

std::string ResultLinks::path(const JobId& job, size_t index) const {
  const std::string id = job.text();
  return cat(id, "/", index, "/", signature(id, index));
}

std::optional<ResultLinks::Target> ResultLinks::check(std::string_view job, std::string_view index,
                                                      std::string_view given) const {
  const std::optional<JobId> id = JobId::parse(job);
  size_t number = 0;
  const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), number);
  if (!id || error != std::errc() || end != index.data() + index.size()) return std::nullopt;
  const std::string expected = signature(id->text(), number);
  // In constant time: how far a guess was right must not be measurable.
  if (given.size() != expected.size() ||
      CRYPTO_memcmp(given.data(), expected.data(), expected.size()) != 0)
    return std::nullopt;
  return Target{*id, number};
}

}  // namespace tintype::http
