/// Ctrl-C and SIGTERM: the first asks the request to stop, the second ends the process at once.
/// Thread-safety: at most one InterruptGuard at a time.
#pragma once

#include <csignal>

#include "tintype/run_context.h"

namespace tintype::cli {

/// While it lives, the first signal calls `context.cancel()` and the second exits with 130.
/// Restores the previous handlers. `context` must outlive it.
class InterruptGuard {
 public:
  explicit InterruptGuard(RunContext& context);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
};

/// While it lives, no signal of ours ends the process: a picture that is being written is either
/// there or not, and its temporary file is gone (the write takes milliseconds).
class UninterruptedSection {
 public:
  UninterruptedSection();
  ~UninterruptedSection();
  UninterruptedSection(const UninterruptedSection&) = delete;
  UninterruptedSection& operator=(const UninterruptedSection&) = delete;
};

}  // namespace tintype::cli
