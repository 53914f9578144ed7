#include "cli/bench_adapters.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/load_flags.h"
#include "cli/parsed_flag.h"
#include "tintype/engine.h"

namespace tintype::cli {
namespace {

struct Flags {
  std::string model;
  LoadOptions load;
  EngineOptions engine;
  AdapterMeasureRequest request;
  bool json = false;
};

struct Spread {
  double median = 0, least = 0, most = 0, p99 = 0;
};

Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t last = values.size() - 1;
  return {values[values.size() / 2], values[0], values[last], values[last * 99 / 100]};
}

/// Each pair's own, so that what slows the machine for a while slows both.
std::vector<double> overheads(const AdapterTimes& times) {
  std::vector<double> parts;
  for (size_t i = 0; i < times.plain_step_s.size(); ++i)
    parts.push_back(times.adapted_step_s[i] / times.plain_step_s[i] - 1);
  return parts;
}

template <typename... Args>
std::string print(const char* format, const Args&... args) {
  char text[256];
  std::snprintf(text, sizeof(text), format, args...);
  return text;
}

std::string times_text(const AdapterTimes& times) {
  std::string text;
  for (size_t i = 0; i < times.adapters.size(); ++i) {
    const AdapterInfo& a = times.adapters[i];
    text += a.name + ": " + a.kind + ", " + std::to_string(a.layers) + " layers of the network, " +
            std::to_string(a.text_layers) + " of text encoders, " +
            print("%.1f MB, read in %.3f s\n", static_cast<double>(a.bytes) / 1e6, times.read_s[i]);
  }
  const Spread change = spread(times.switch_s), plain = spread(times.plain_request_s);
  text += print(
      "request with another resident adapter to its first kernel: %.3f ms "
      "(%.3f to %.3f, 99 %% under %.3f, %zu requests)\n",
      1e3 * change.median, 1e3 * change.least, 1e3 * change.most, 1e3 * change.p99,
      times.switch_s.size());
  text += print(
      "the same without an adapter:                               %.3f ms "
      "(%.3f to %.3f)\n",
      1e3 * plain.median, 1e3 * plain.least, 1e3 * plain.most);
  const Spread step = spread(times.plain_step_s), adapted = spread(times.adapted_step_s),
               more = spread(overheads(times));
  text += print("step of %d x %d with guidance: %.3f s (%.3f to %.3f)\n", times.width_px,
                times.height_px, step.median, step.least, step.most);
  text += "  with " + times.adapters[0].name +
          print(": %.3f s (%.3f to %.3f), %+.1f %% (%+.1f to %+.1f in %zu pairs)", adapted.median,
                adapted.least, adapted.most, 1e2 * more.median, 1e2 * more.least, 1e2 * more.most,
                times.plain_step_s.size());
  return text;
}

OrderedJson times_json(const AdapterTimes& times) {
  OrderedJson object;
  for (size_t i = 0; i < times.adapters.size(); ++i) {
    const AdapterInfo& a = times.adapters[i];
    object["adapters"].push_back({{"name", a.name},
                                  {"kind", a.kind},
                                  {"layers", a.layers},
                                  {"text_layers", a.text_layers},
                                  {"bytes", a.bytes},
                                  {"read_s", times.read_s[i]}});
  }
  object["width_px"] = times.width_px;
  object["height_px"] = times.height_px;
  object["switch_s"] = times.switch_s;
  object["plain_request_s"] = times.plain_request_s;
  object["plain_step_s"] = times.plain_step_s;
  object["adapted_step_s"] = times.adapted_step_s;
  object["switch_median_s"] = spread(times.switch_s).median;
  object["step_overhead_median"] = spread(overheads(times)).median;
  return object;
}

void measure(const Flags& flags) {
  RunContext context;
  const InterruptGuard guard(context);
  const Engine engine(flags.engine);
  const auto model = engine.load(flags.model, context, flags.load);
  const AdapterTimes times = engine.measure_adapters(*model, flags.request, context);
  flags.json ? print_json(times_json(times)) : print_line(times_text(times));
}

}  // namespace

void add_bench_adapters(CLI::App& bench, std::function<void()>& run) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = bench.add_subcommand(
      "adapters", "Switching between adapters, and what the first adds to a denoising step");
  command->add_option("-m,--model", flags->model, kModelHelp)->required()->type_name("PATH");
  command
      ->add_option("--lora", flags->request.files,
                   "Adapter: a .safetensors file or a PEFT folder; two or more")
      ->required()
      ->type_name("FILE")
      ->expected(1)
      ->take_all();
  add_load_flags(*command, flags->load);
  add_profile_flag(*command, flags->load);
  const auto number = [&](const char* name, int& value, int min, int max, const char* description) {
    add_parsed(
        *command, name,
        [&value, name, min, max](const std::string& text) {
          value = parse_int(name, text, min, max);
        },
        description, "N");
  };
  constexpr int kMaxSidePx = 1 << 16;
  number("--width", flags->request.width_px, 1, kMaxSidePx, "Width (default: the model's)");
  number("--height", flags->request.height_px, 1, kMaxSidePx, "Height (default: the model's)");
  number("--switches", flags->request.switches, 1, 100'000, "Switches to time (default: 50)");
  number("--repeat", flags->request.repeat, 1, 1000, "Pairs of steps to time (default: 5)");
  number("--threads", flags->engine.threads, 0, 1024, "Compute threads (default: 0, one per core)");
  command->add_flag("--json", flags->json, "Print one JSON object on stdout");
  command->callback([&run, flags] { run = [flags] { measure(*flags); }; });
}

}  // namespace tintype::cli
