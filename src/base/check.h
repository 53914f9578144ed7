/// Argument checks and message building for the whole library. No tensors, no threads.
#pragma once

#include <sstream>
#include <string>

#include "tintype/error.h"

namespace tintype {

/// Concatenates anything that streams. (std::format needs GCC 13; Debian 12 has 12.)
template <typename... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, std::string_view where, const Args&... args) {
  throw Error(kind, where, cat(args...));
}

}  // namespace tintype

/// Throws kInvalidArgument with the message built from the remaining arguments.
#define TT_REQUIRE(condition, where, ...)                                            \
  do {                                                                               \
    if (!(condition)) [[unlikely]]                                                   \
      ::tintype::fail(::tintype::ErrorKind::kInvalidArgument, (where), __VA_ARGS__); \
  } while (false)

/// Programmer faults: checked in builds without NDEBUG only.
#ifdef NDEBUG
#define TT_DCHECK(condition, where) ((void)0)
#else
#define TT_DCHECK(condition, where)                                                     \
  do {                                                                                  \
    if (!(condition)) [[unlikely]]                                                      \
      ::tintype::fail(::tintype::ErrorKind::kInternal, (where), "failed: " #condition); \
  } while (false)
#endif
