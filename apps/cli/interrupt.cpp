#include "cli/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "cli/exit_code.h"

namespace tintype::cli {
namespace {

// A signal handler takes no arguments, so what it needs is global; all of it lock-free.
std::atomic<RunContext*> current_context{nullptr};
std::atomic<int> signals_seen{0};
std::atomic<bool> may_exit{true};
static_assert(std::atomic<RunContext*>::is_always_lock_free);

extern "C" void tintype_cli_on_signal(int) {
  const int saved_errno = errno;
  if (signals_seen.fetch_add(1) > 0 && may_exit.load()) ::_exit(exit_code(ErrorKind::kCancelled));
  if (RunContext* context = current_context.load()) context->cancel();
  errno = saved_errno;
}

}  // namespace

InterruptGuard::InterruptGuard(RunContext& context) {
  signals_seen.store(0);
  current_context.store(&context);
  struct sigaction action {};
  action.sa_handler = tintype_cli_on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &previous_int_);
  ::sigaction(SIGTERM, &action, &previous_term_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &previous_int_, nullptr);
  ::sigaction(SIGTERM, &previous_term_, nullptr);
  current_context.store(nullptr);
}

UninterruptedSection::UninterruptedSection() { may_exit.store(false); }

UninterruptedSection::~UninterruptedSection() { may_exit.store(true); }

}  // namespace tintype::cli
