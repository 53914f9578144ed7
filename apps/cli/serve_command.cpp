#include "cli/serve_command.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cli/exit_code.h"
#include "cli/json_output.h"
#include "cli/worker_command.h"
#include "http/api_keys.h"
#include "http/serve_app.h"
#include "serving/worker_process.h"
#include "tintype/engine.h"

extern char** environ;  // NOLINT: POSIX

namespace tintype::cli {
namespace {

using http::Setting;

struct ServeFlags {
  std::string config_file;
  std::map<std::string, std::vector<std::string>> given;  ///< texts of flags, by setting
  bool print_config = false;
};

/// Defaults, file, environment, flags.
http::ServeConfig configuration(const ServeFlags& flags) {
  http::ServeConfig config;
  std::string file = flags.config_file;
  if (file.empty())
    if (const char* named = std::getenv("TINTYPE_CONFIG")) file = named;
  if (!file.empty()) http::read_config_file(config, file);
  std::vector<std::string> environment;
  for (char** line = environ; *line; ++line) environment.emplace_back(*line);
  http::read_environment(config, environment);
  for (const Setting& setting : http::settings()) {
    const auto given = flags.given.find(setting.name);
    if (given != flags.given.end())
      http::set_setting(config, setting, given->second, setting.flag());
  }
  return config;
}

/// SIGINT and SIGTERM as something to wait for. Made before any thread, so that all of them leave
/// the signals to it.
class StopSignal {
 public:
  StopSignal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    fd_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
    if (fd_ < 0) throw Error(ErrorKind::kInternal, "serve", "the system must give a signalfd");
  }
  ~StopSignal() { ::close(fd_); }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  void wait() const {
    signalfd_siginfo info{};
    while (::read(fd_, &info, sizeof(info)) != sizeof(info)) {
    }
  }

 private:
  int fd_ = -1;
};

std::vector<std::unique_ptr<Worker>> make_workers(const http::ServeConfig& config,
                                                  const Catalogue& catalogue, http::Log& log) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const std::vector<http::WorkerConfig> rows = http::worker_configs(config, cores);
  for (const std::string& name : config.warm_up) catalogue.model(name);  // throws for unknown ones
  std::vector<std::unique_ptr<Worker>> workers;
  for (const http::WorkerConfig& row : rows) {
    WorkerSettings settings;
    settings.device = row.device;
    settings.threads = static_cast<int>(row.threads);
    settings.max_concurrent = static_cast<int>(row.max_concurrent);
    settings.memory_limit_bytes = http::worker_memory_bytes(config);
    settings.model_memory_bytes = static_cast<uint64_t>(config.model_memory) / rows.size();
    settings.warm_up = config.warm_up;
    WorkerProcessOptions options;
    options.name = row.name;
    options.device = row.device;
    options.capacity = settings.max_concurrent;
    options.command = {"/proc/self/exe"};
    for (std::string& argument : worker_arguments(catalogue.resolved(), settings))
      options.command.push_back(std::move(argument));
    options.log = [&log, name = row.name](std::string_view line) {
      log.info("worker", {{"worker", name}, {"line", std::string(line)}});
    };
    workers.push_back(std::make_unique<WorkerProcess>(std::move(options)));
  }
  return workers;
}

void serve(const ServeFlags& flags) {
  const http::ServeConfig config = configuration(flags);
  if (flags.print_config) {
    std::fputs(http::print_config(config).c_str(), stdout);
    return;
  }
  http::check_config(config);
  const auto stop = std::make_shared<const StopSignal>();
  const std::unique_ptr<http::Log> log = http::make_log(config);
  const Catalogue catalogue(http::catalogue_options(config));
  for (const std::string& skipped : catalogue.skipped())
    log->warning("model_skipped", {{"reason", skipped}});
  http::ServeApp app(config, catalogue, make_workers(config, catalogue, *log), *log);
  log->info("serving", {{"url", app.url()}, {"version", version()}});
  std::printf("Tintype serves %s\n", app.url().c_str());
  std::fflush(stdout);
  stop->wait();
  // Whoever asks twice does not want to wait: jobs are on disk and go on at the next start.
  std::thread([stop] {
    stop->wait();
    ::_exit(kSuccess);
  }).detach();
  app.drain();
}

void add_settings(CLI::App& command, const std::shared_ptr<ServeFlags>& flags) {
  for (const Setting& setting : http::settings()) {
    command
        .add_option_function<std::vector<std::string>>(
            setting.flag(),
            [flags, name = setting.name](const std::vector<std::string>& texts) {
              flags->given[name] = texts;
            },
            setting.help + " (" + setting.variable() + ")")
        ->type_name(setting.type_name())
        ->expected(1)
        ->take_all();
  }
}

void add_keys_commands(CLI::App& serve_command, std::function<void()>& run) {
  CLI::App* keys = serve_command.add_subcommand("keys", "Make, list and take back API keys");
  keys->require_subcommand(1);
  struct KeyFlags {
    std::string file;
    http::ApiKey key;
    std::vector<std::string> scopes;
    std::string name;
    bool json = false;
  };
  const auto flags = std::make_shared<KeyFlags>();
  const auto add_file = [flags](CLI::App* command) {
    command->add_option("--keys", flags->file, "File of the keys")
        ->required()
        ->envname("TINTYPE_KEYS")
        ->type_name("FILE");
  };
  CLI::App* add = keys->add_subcommand("add", "Make a key; it is printed once and kept nowhere");
  add_file(add);
  add->add_option("name", flags->key.name, "Whose key it is")->required();
  add->add_option("--scope", flags->scopes,
                  "read, submit, metrics or admin, any number (default: read and submit)")
      ->expected(1)
      ->take_all()
      ->delimiter(',');
  add->add_option("--max-priority", flags->key.max_priority,
                  "Highest priority of its jobs, -10..10")
      ->check(CLI::Range(-10, 10));
  add->add_option("--max-queued", flags->key.max_queued, "Jobs of it that may wait at once")
      ->check(CLI::Range(0, 1'000'000));
  add->add_option("--rate", flags->key.requests_per_second, "Requests a second; 0: no limit")
      ->check(CLI::Range(0.0, 1e6));
  add->callback([&run, flags] {
    run = [flags] {
      if (!flags->scopes.empty()) flags->key.scopes.clear();
      for (const std::string& scope : flags->scopes)
        flags->key.scopes.insert(http::parse_scope(scope));
      print_line(http::add_key(flags->file, flags->key));
    };
  });
  CLI::App* list = keys->add_subcommand("list", "Names, ids and scopes of the keys");
  add_file(list);
  list->callback([&run, flags] {
    run = [flags] {
      for (const http::ApiKey& key : http::read_keys(flags->file)) {
        std::string line = key.id + "  " + key.created + "  " + key.name + " ";
        for (const http::Scope scope : key.scopes) line += " " + std::string(to_string(scope));
        print_line(line);
      }
    };
  });
  CLI::App* remove = keys->add_subcommand("remove", "Take a key back; works on a running server");
  add_file(remove);
  remove->add_option("name", flags->name, "Its name or id")->required();
  remove->callback(
      [&run, flags] { run = [flags] { http::remove_key(flags->file, flags->name); }; });
}

}  // namespace

void add_serve_command(CLI::App& app, std::function<void()>& run) {
  CLI::App* command = app.add_subcommand(
      "serve", "Run jobs for everyone who speaks HTTP, with a page at /; docs/server.md");
  const auto flags = std::make_shared<ServeFlags>();
  command->add_option("--config", flags->config_file, "Configuration: a YAML file (TINTYPE_CONFIG)")
      ->type_name("FILE");
  command->add_flag("--print-config", flags->print_config,
                    "Print the whole configuration as a file that sets it, and end");
  add_settings(*command, flags);
  add_keys_commands(*command, run);
  command->final_callback([&run, flags, command] {
    if (command->get_subcommands().empty()) run = [flags] { serve(*flags); };
  });
  command->footer(
      "\nExamples:\n"
      "  tintype serve --model-folders models --adapters models/adapters\n"
      "  tintype serve keys add alice --keys keys.json\n"
      "  tintype serve --address 0.0.0.0 --keys keys.json --tls-cert chain.pem --tls-key key.pem "
      "--model-folders models");
}

}  // namespace tintype::cli
