/// Entry point: flags to a command, errors to a message and an exit code. One of the three places
/// that handle errors.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <string_view>

#include "cli/bench_command.h"
#include "cli/compare_command.h"
#include "cli/exit_code.h"
#include "cli/image_commands.h"
#include "cli/inspect_command.h"
#include "cli/json_output.h"
#include "cli/pack_command.h"
#include "cli/presets_command.h"
#include "cli/progress_bar.h"
#include "cli/samplers_command.h"
#include "cli/serve_command.h"
#include "cli/tokens_command.h"
#include "cli/txt2img_command.h"
#include "cli/upscale_command.h"
#include "cli/worker_command.h"

namespace tintype::cli {
namespace {

/// Message to stderr, with --json also one object to stdout. Returns the exit code.
int report_failure(ErrorKind kind, std::string_view message, bool json) {
  const bool color = stderr_takes_color();
  std::fprintf(stderr, "tintype: %serror:%s %.*s\n", color ? "\x1B[1;31m" : "",
               color ? "\x1B[0m" : "", static_cast<int>(message.size()), message.data());
  if (json) {
    try {
      print_json(error_json(kind, message));
    } catch (const Error&) {
      // stdout cannot take it; stderr and the exit code already tell.
    }
  }
  return exit_code(kind);
}

/// What is wrong with a command line that CLI11 refused, as our own error.
Error usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const auto chosen = app.get_subcommands();
  if (!chosen.empty()) {
    const std::string& name = chosen[0]->get_name();
    return {ErrorKind::kInvalidArgument, name,
            std::string(error.what()) + "; see tintype " + name + " --help"};
  }
  std::string names;
  const auto listed = [](const CLI::App* command) { return !command->get_group().empty(); };
  for (const CLI::App* command : app.get_subcommands(listed))
    names += (names.empty() ? "" : ", ") + command->get_name();
  return {ErrorKind::kInvalidArgument, "usage",
          "the first argument must be one of " + names + ", got " +
              (argc > 1 ? "\"" + std::string(argv[1]) + "\"" : "none") + "; see tintype --help"};
}

/// Parses, then runs the chosen command. throws Error
int run(int argc, char** argv) {
  CLI::App app(
      "Tintype draws pictures from text and pictures with Stable Diffusion models on the CPU.",
      "tintype");
  std::function<void()> command;
  add_txt2img_command(app, command);
  add_img2img_command(app, command);
  add_inpaint_command(app, command);
  add_inspect_command(app, command);
  add_compare_command(app, command);
  add_pack_command(app, command);
  add_samplers_command(app, command);
  add_presets_command(app, command);
  add_upscale_command(app, command);
  add_tokens_command(app, command);
  add_bench_command(app, command);
  add_serve_command(app, command);
  add_worker_command(app, command);
  app.set_version_flag("--version", "tintype " + version());
  app.require_subcommand(1);
  app.get_formatter()->column_width(28);
  app.footer("\n`tintype COMMAND --help` explains each command, with examples.\n\n" +
             exit_code_help());
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    throw usage_error(app, error, argc, argv);
  }
  command();
  return kSuccess;
}

int run_and_report(int argc, char** argv) {
  // Read ahead of the parser, which may be what fails.
  const bool json = std::any_of(argv, argv + argc,
                                [](const char* arg) { return std::string_view(arg) == "--json"; });
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    return report_failure(error.kind(), error.what(), json);
  } catch (const std::bad_alloc&) {
    return report_failure(ErrorKind::kOutOfMemory,
                          "[memory] must hold the model and the picture, got no more; try a "
                          "smaller size",
                          json);
  } catch (const std::exception& error) {
    return report_failure(ErrorKind::kInternal,
                          std::string("[tintype] unexpected: ") + error.what(), json);
  }
}

}  // namespace
}  // namespace tintype::cli

int main(int argc, char** argv) { return tintype::cli::run_and_report(argc, argv); }
