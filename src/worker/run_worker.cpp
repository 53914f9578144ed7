#include "worker/run_worker.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "serving/worker_channel.h"

namespace tintype {
namespace {

/// Where the system must kill something for want of memory, it is the worker: the server starts
/// another and loses nothing.
void offer_to_be_killed_first() {
  if (std::FILE* file = std::fopen("/proc/self/oom_score_adj", "we")) {
    std::fputs("500\n", file);
    std::fclose(file);
  }
}

}  // namespace

void run_worker(const WorkerSettings& settings, const CatalogueOptions& catalogue) {
  // A terminal and a service manager tell the whole group; the server decides when workers end.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  offer_to_be_killed_first();
  const int fd = WorkerChannel::fd_from_environment();

  std::optional<WorkerChannel> channel;
  const auto on = [&channel](auto send) {
    if (channel) send(*channel);  // nothing is told before the channel is there
  };
  Executor executor(
      settings, catalogue,
      {.progress = [&](const JobId& id,
                       const JobProgress& p) { on([&](auto& c) { c.progress(id, p); }); },
       .preview =
           [&](const JobId& id, int step, std::vector<SharedBlob> previews) {
             on([&](auto& c) { c.preview(id, step, std::move(previews)); });
           },
       .step_saved =
           [&](const JobId& id, SharedBlob bytes) {
             on([&](auto& c) { c.step_saved(id, std::move(bytes)); });
           },
       .succeeded =
           [&](const JobId& id, JobResult result) {
             on([&](auto& c) { c.succeeded(id, std::move(result)); });
           },
       .failed = [&](const JobId& id,
                     JobError error) { on([&](auto& c) { c.failed(id, std::move(error)); }); },
       .status =
           [&](std::vector<std::string> models, uint64_t bytes,
               std::vector<std::pair<std::string, double>> counters) {
             on([&](auto& c) { c.status(std::move(models), bytes, std::move(counters)); });
           }});
  executor.warm_up();
  channel.emplace(fd);
  executor.report_status();
  channel->serve({.run = [&](Assignment assignment) { executor.run(std::move(assignment)); },
                  .cancel = [&](const JobId& id) { executor.cancel(id); }});
  std::fflush(nullptr);
  std::_Exit(EXIT_SUCCESS);
}

}  // namespace tintype
