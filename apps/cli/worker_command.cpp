#include "cli/worker_command.h"

#include <memory>

#include "cli/arguments.h"
#include "cli/parsed_flag.h"
#include "worker/run_worker.h"

namespace tintype::cli {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxConcurrent = 64;

struct WorkerFlags {
  WorkerSettings settings;
  std::string catalogue = "{}";
};

}  // namespace

void add_worker_command(CLI::App& app, std::function<void()>& run) {
  const auto flags = std::make_shared<WorkerFlags>();
  CLI::App* command = app.add_subcommand(
      "worker", "Runs jobs for `tintype serve`, which starts it; not for the command line");
  command->group("");  // left out of --help
  WorkerSettings& settings = flags->settings;
  command->add_option("--device", settings.device, "See txt2img")->capture_default_str();
  const auto add_count = [&](const char* flag, int& value, int least, int most, const char* help) {
    add_parsed(
        *command, flag,
        [flag, &value, least, most](const std::string& text) {
          value = parse_int(flag, text, least, most);
        },
        help, "N");
  };
  const auto add_bytes = [&](const char* flag, uint64_t& value, const char* help) {
    add_parsed(
        *command, flag,
        [flag, &value](const std::string& text) {
          value = text == "0" ? 0 : parse_bytes(flag, text);
        },
        help, "BYTES");
  };
  add_count("--threads", settings.threads, 0, kMaxThreads, "Compute threads; 0: one per core");
  add_count("--max-concurrent", settings.max_concurrent, 1, kMaxConcurrent, "Jobs at once");
  add_bytes("--memory-limit", settings.memory_limit_bytes,
            "Most memory for weights and activations of a job; 0: what the machine has");
  add_bytes("--model-memory", settings.model_memory_bytes,
            "Most memory for the weights of models that are kept; 0: six tenths of the limit");
  command->add_option("--warm-up", settings.warm_up, "Model to load before the first job")
      ->expected(1)
      ->take_all();
  command->add_option("--catalogue-json", flags->catalogue, "What requests may name");
  command->callback([&run, flags] {
    run = [flags] { run_worker(flags->settings, parse_catalogue_options(flags->catalogue)); };
  });
}

std::vector<std::string> worker_arguments(const CatalogueOptions& catalogue,
                                          const WorkerSettings& settings) {
  std::vector<std::string> arguments{
      "worker",
      "--device=" + settings.device,
      "--threads=" + std::to_string(settings.threads),
      "--max-concurrent=" + std::to_string(settings.max_concurrent),
      "--memory-limit=" + std::to_string(settings.memory_limit_bytes),
      "--model-memory=" + std::to_string(settings.model_memory_bytes)};
  for (const std::string& model : settings.warm_up) arguments.push_back("--warm-up=" + model);
  arguments.push_back("--catalogue-json=" + to_text(catalogue));
  return arguments;
}

}  // namespace tintype::cli
