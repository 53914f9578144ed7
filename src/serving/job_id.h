/// Identity of a job: a UUIDv7 (RFC 9562) of 16 bytes, copied as a value; text only on the wire.
/// Ids made by one process sort in the order they were made. Thread-safe.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tintype {

class JobId {
 public:
  JobId() = default;  ///< all zeros: no job
  explicit JobId(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}

  /// A new one. Random bits come from the system, so ids cannot be guessed.
  static JobId make();
  /// "018f4e5c-7b1a-7cc3-98c4-dc0c0c07398f", either case; none for anything else.
  static std::optional<JobId> parse(std::string_view text);

  std::string text() const;  ///< lower case
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  auto operator<=>(const JobId&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

}  // namespace tintype

template <>
struct std::hash<tintype::JobId> {
  size_t operator()(const tintype::JobId& id) const noexcept;
};
