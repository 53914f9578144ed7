/// What each failure means to a script. The one home of the exit codes: --help prints this table
/// and a test holds README.md to it. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "tintype/error.h"

namespace tintype::cli {

inline constexpr int kSuccess = 0;

int exit_code(ErrorKind kind);

struct ExitCodeRow {
  int code;
  std::string name;  ///< "ok", or the kind as printed in JSON
  std::string meaning;
};

/// Every code, ascending.
std::vector<ExitCodeRow> exit_code_table();

/// The table as lines of text for --help.
std::string exit_code_help();

}  // namespace tintype::cli
