#include "cli/upscale_command.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/parsed_flag.h"
#include "cli/progress_bar.h"
#include "tintype/engine.h"

namespace tintype::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxSidePx = 32768;
constexpr int kMaxThreads = 1024;
constexpr double kMaxDeadlineS = 1e9;

constexpr const char* kFooter = R"(
The file is a safetensors file of the ESRGAN family (RRDBNet), in any of its three namings; its scale
is in its shapes. Pickled files (.pth) are refused: convert them first.

Examples:
  tintype upscale -i fox.png -m RealESRGAN_x4plus.safetensors -o fox-large.png
  tintype upscale -i photo.jpg -m 4x-UltraSharp.safetensors --tile 256    # less memory

)";

struct UpscaleFlags {
  std::string input, model, output;
  EngineOptions engine;
  UpscaleOptions upscale;
  std::optional<double> deadline_s;
  bool json = false;
};

/// "fox.png" at scale 4 -> "fox-x4.png"
std::filesystem::path output_of(const UpscaleFlags& flags, int scale) {
  if (!flags.output.empty()) return flags.output;
  const std::filesystem::path input = flags.input;
  return input.stem().string() + "-x" + std::to_string(scale) + ".png";
}

void run_upscale(const UpscaleFlags& flags) {
  const Clock::time_point start = Clock::now();
  RunContext context;
  if (flags.deadline_s)
    context.deadline = start + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(*flags.deadline_s));
  ProgressBar bar;
  context.on_progress = [&bar](const Progress& progress) { bar.show(progress); };
  const InterruptGuard guard(context);

  const Engine engine(flags.engine);
  const auto upscaler = engine.load_upscaler(flags.model);
  const std::filesystem::path output = output_of(flags, upscaler->info().scale);
  require_writable(output);
  image_format_of(output);  // an ending that cannot be written is refused before the work
  const Image image = engine.upscale(*upscaler, load_image(flags.input), flags.upscale, context);
  context.report(Stage::kSave, 0, 1);
  {
    const UninterruptedSection whole;
    save_image(output, image);
  }
  bar.clear();
  const double total_s = std::chrono::duration<double>(Clock::now() - start).count();
  if (!flags.json)
    return print_line(output.string() + "  (" + std::to_string(image.width_px) + " x " +
                      std::to_string(image.height_px) + ", " + upscaler->info().name + " x" +
                      std::to_string(upscaler->info().scale) + ", " + format_seconds(total_s) +
                      ")");
  OrderedJson object;
  object["files"] = {output.string()};
  object["width_px"] = image.width_px;
  object["height_px"] = image.height_px;
  object["upscaler"]["name"] = upscaler->info().name;
  object["upscaler"]["scale"] = upscaler->info().scale;
  object["upscaler"]["parameters"] = upscaler->info().parameters;
  object["upscaler"]["receptive_field_px"] = upscaler->info().receptive_field_px;
  object["timings"]["total_s"] = total_s;
  object["peak_memory_bytes"] = peak_memory_bytes();
  object["version"] = version();
  print_json(object);
}

}  // namespace

void add_upscale_command(CLI::App& app, std::function<void()>& run) {
  const auto flags = std::make_shared<UpscaleFlags>();
  CLI::App* command = app.add_subcommand("upscale", "Make a picture larger with an upscaler");
  command->add_option("-i,--input", flags->input, "Picture: PNG, JPEG or WebP")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("-m,--model", flags->model, "Upscaler: a safetensors file of the ESRGAN family")
      ->required()
      ->type_name("FILE");
  add_parsed(
      *command, "-o,--output",
      [flags](const std::string& text) {
        if (text.empty())
          throw Error(ErrorKind::kInvalidArgument, "--output",
                      "must name a file, got an empty name");
        flags->output = text;
      },
      "File to write or replace: PNG, JPEG or WebP by its ending (default: the input's name with "
      "-x4, here)",
      "FILE");
  add_parsed(
      *command, "--tile",
      [flags](const std::string& text) {
        flags->upscale.tile_px = parse_int("--tile", text, 0, kMaxSidePx);
      },
      "Side of the tiles worked on at once, at least 16; 0: no tiles (default: 512)", "PX");
  add_parsed(
      *command, "--overlap",
      [flags](const std::string& text) {
        flags->upscale.overlap_px = parse_int("--overlap", text, 0, kMaxSidePx);
      },
      "How far tiles look beyond their edge (default: 32)", "PX");
  add_parsed(
      *command, "--scale",
      [flags](const std::string& text) {
        flags->upscale.scale = parse_number("--scale", text, 1, 8);
      },
      "Times the picture's size, 1..8 (default: the network's own)", "X");
  add_parsed(
      *command, "--threads",
      [flags](const std::string& text) {
        flags->engine.threads = parse_int("--threads", text, 0, kMaxThreads);
      },
      "Compute threads (default: 0, one per core)", "N");
  command->add_option("--device", flags->engine.device, "cpu, or reference (slow, for checking)")
      ->type_name("NAME")
      ->capture_default_str();
  add_parsed(
      *command, "--memory-limit",
      [flags](const std::string& text) {
        flags->engine.memory_limit_bytes = parse_bytes("--memory-limit", text);
      },
      "Most memory for weights, pictures and tiles, such as 2G (default: what the machine has)",
      "BYTES");
  add_parsed(
      *command, "--deadline",
      [flags](const std::string& text) {
        flags->deadline_s = parse_number("--deadline", text, 0, kMaxDeadlineS);
      },
      "Give up after this many seconds (default: never)", "SECONDS");
  command->add_flag("--json", flags->json, "Print one JSON object on stdout");
  command->footer(kFooter + exit_code_help());
  command->callback([&run, flags] { run = [flags] { run_upscale(*flags); }; });
}

}  // namespace tintype::cli
