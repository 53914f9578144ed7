#include "cli/bench_command.h"

#include <memory>
#include <string>

#include "cli/arguments.h"
#include "cli/bench_adapters.h"
#include "cli/bench_report.h"
#include "cli/interrupt.h"
#include "cli/load_flags.h"
#include "tintype/engine.h"

namespace tintype::cli {
namespace {

constexpr int kMaxThreads = 1024, kMaxSidePx = 1 << 16, kMaxBatch = 64, kMaxPasses = 1000;

struct Flags {
  std::string model;
  LoadOptions load;
  EngineOptions engine;
  MeasureRequest request;
  bool one_row = false;
  bool json = false;
};

/// A whole number in min..max; unset leaves `value`.
void add_number(CLI::App& command, const std::string& name, int& value, int min, int max,
                const std::string& description, const std::string& unit) {
  command
      .add_option_function<std::string>(
          name,
          [&value, name, min, max](const std::string& text) {
            value = parse_int(name, text, min, max);
          },
          description)
      ->type_name(unit);
}

void add_shared_flags(CLI::App& command, Flags& flags) {
  add_number(command, "--threads", flags.engine.threads, 0, kMaxThreads,
             "Compute threads (default: 0, one per core)", "N");
  command.add_flag("--json", flags.json, "Print one JSON object on stdout");
}

void measure_machine(const Flags& flags) {
  const MachineSpeed machine = Engine(flags.engine).measure_machine();
  flags.json ? print_json(machine_json(machine)) : print_line(machine_text(machine));
}

void measure_part(const Flags& flags) {
  RunContext context;
  const InterruptGuard guard(context);
  const Engine engine(flags.engine);
  MeasureRequest request = flags.request;
  request.guidance = !flags.one_row;
  const auto model = engine.load(flags.model, context, flags.load);
  const MachineSpeed machine = engine.measure_machine();
  const PartTimes times = engine.measure_part(*model, request, context);
  flags.json ? print_json(part_json(times, machine)) : print_line(part_text(times, machine));
}

void add_part(CLI::App& bench, std::function<void()>& run, ModelPart part, const char* name,
              const char* description) {
  const auto flags = std::make_shared<Flags>();
  flags->request.part = part;
  CLI::App* command = bench.add_subcommand(name, description);
  command->add_option("-m,--model", flags->model, kModelHelp)->required()->type_name("PATH");
  add_load_flags(*command, flags->load);
  add_profile_flag(*command, flags->load);
  if (part != ModelPart::kEncode) {
    add_number(*command, "--width", flags->request.width_px, 1, kMaxSidePx,
               "Width in pixels (default: the model's)", "PX");
    add_number(*command, "--height", flags->request.height_px, 1, kMaxSidePx,
               "Height in pixels (default: the model's)", "PX");
  }
  if (part == ModelPart::kStep)
    add_number(*command, "--batch", flags->request.batch_size, 1, kMaxBatch,
               "Pictures side by side, two rows each (default: 1)", "N");
  if (part != ModelPart::kDecode)
    command->add_flag("--no-guidance", flags->one_row, "One row for each picture instead of two");
  add_number(*command, "--repeat", flags->request.repeat, 1, kMaxPasses,
             "Passes after one to warm up; the one of median time is told (default: 3)", "N");
  command->add_flag("--by-shape", flags->request.by_shape,
                    "A row for each shape instead of one for each kind of op");
  add_shared_flags(*command, *flags);
  command->callback([&run, flags] { run = [flags] { measure_part(*flags); }; });
}

}  // namespace

void add_bench_command(CLI::App& app, std::function<void()>& run) {
  CLI::App* bench =
      app.add_subcommand("bench", "Measure the machine, or where the time of a part of a run goes");
  bench->require_subcommand(1);

  const auto flags = std::make_shared<Flags>();
  CLI::App* machine = bench->add_subcommand(
      "machine", "What this machine's arithmetic and memory reach at best (about 2 s)");
  add_shared_flags(*machine, *flags);
  machine->callback([&run, flags] { run = [flags] { measure_machine(*flags); }; });

  add_part(*bench, run, ModelPart::kStep, "step",
           "One denoising step op by op: time, operations, bytes, share of the machine's peak");
  add_part(*bench, run, ModelPart::kDecode, "decode", "The same for decoding one picture");
  add_part(*bench, run, ModelPart::kEncode, "encode", "The same for encoding the prompts");
  add_bench_adapters(*bench, run);
}

}  // namespace tintype::cli
