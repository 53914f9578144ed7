/// A worker process from its socket to its end.
#pragma once

#include "requests/catalogue.h"
#include "worker/executor.h"

namespace tintype {

/// Serves the socket named in TINTYPE_WORKER_FD until the other end is gone or says quit, then ends
/// the process at once: nobody waits for what still runs, and the next server may need its memory.
/// throws kInvalidArgument: settings, no socket; kCorruptFile, kIo: the socket
[[noreturn]] void run_worker(const WorkerSettings& settings, const CatalogueOptions& catalogue);

}  // namespace tintype
