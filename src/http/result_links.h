/// Addresses of results that open without a key, as OpenAI's clients expect of the ones they are
/// answered: signed, so that they cannot be guessed or altered, and worthless after a restart.
/// Immutable; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serving/job_id.h"

namespace tintype::http {

class ResultLinks {
 public:
  /// With a secret of its own. throws kInternal: the system gives no random bytes
  ResultLinks();

  /// The last three segments of the path: "JOB/INDEX/SIGNATURE".
  std::string path(const JobId& job, size_t index) const;

  struct Target {
    JobId job;
    size_t index = 0;
  };
  /// None: not signed by this.
  std::optional<Target> check(std::string_view job, std::string_view index,
                              std::string_view signature) const;

 private:
  std::string signature(std::string_view job, size_t index) const;
  std::array<uint8_t, 32> secret_{};
};

}  // namespace tintype::http
