/// `tintype worker`: the inside of one of the server's worker processes. The server starts it; it
/// is not listed in --help. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "requests/catalogue.h"
#include "worker/executor.h"

namespace tintype::cli {

void add_worker_command(CLI::App& app, std::function<void()>& run);

/// The arguments after the program's name that start a worker with these settings: what
/// WorkerProcess runs. `catalogue` names every model (Catalogue::resolved).
std::vector<std::string> worker_arguments(const CatalogueOptions& catalogue,
                                          const WorkerSettings& settings);

}  // namespace tintype::cli
