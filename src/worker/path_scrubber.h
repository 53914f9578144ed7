/// Takes the machine's paths out of messages that leave it. Immutable; thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "requests/catalogue.h"

namespace tintype {

class PathScrubber {
 public:
  explicit PathScrubber(const CatalogueOptions& options);

  /// The message with the catalogue's paths replaced by the names that requests know them by.
  std::string scrubbed(std::string message) const;

 private:
  std::vector<std::pair<std::string, std::string>> names_;  ///< by path, the longest first
};

}  // namespace tintype
