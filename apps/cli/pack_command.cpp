#include "cli/pack_command.h"

#include <chrono>
#include <memory>
#include <string>

#include "cli/adapter_flags.h"
#include "cli/format.h"
#include "cli/inspect_command.h"
#include "cli/interrupt.h"
#include "cli/load_flags.h"
#include "cli/progress_bar.h"
#include "tintype/image.h"

namespace tintype::cli {
namespace {

struct Flags {
  std::string model, output;
  LoadOptions load;
  bool json = false;
};

void run_pack(const Flags& flags) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  require_writable(flags.output);
  RunContext context;
  ProgressBar bar;
  context.on_progress = [&bar](const Progress& progress) { bar.show(progress); };
  const InterruptGuard guard(context);
  // Stopping takes a moment, leaving the half-written file behind would take more to notice.
  const UninterruptedSection writing;
  const ModelInfo info = pack(flags.model, flags.output, flags.load, context);
  bar.clear();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (flags.json) {
    OrderedJson object = inspect_json(info);
    object["file"] = flags.output;
    object["seconds"] = seconds;
    return print_json(object);
  }
  print_line("wrote " + flags.output + " in " + format_seconds(seconds) + "\n" +
             inspect_text(info));
}

}  // namespace

void add_pack_command(CLI::App& app, std::function<void()>& run) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "pack", "Write a model as one file that later runs map and draw from at once");
  command->add_option("MODEL", flags->model, kModelHelp)->required();
  command->add_option("-o,--output", flags->output, "File to write")->required()->type_name("FILE");
  add_load_flags(*command, flags->load);
  add_profile_flag(*command, flags->load);
  add_merged_adapter_flags(*command, flags->load);
  command->add_flag("--json", flags->json, "Print one JSON object on stdout");
  command->footer(
      "\nThe file suits machines with the instruction set of this one; others refuse it and say "
      "so.\n\nExamples:\n  tintype pack sd15/ -o sd15.tintype --profile balanced\n  tintype "
      "txt2img "
      "-m sd15.tintype -p \"a fox\"");
  command->callback([&run, flags] { run = [flags] { run_pack(*flags); }; });
}

}  // namespace tintype::cli
