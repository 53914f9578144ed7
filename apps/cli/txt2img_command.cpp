#include "cli/txt2img_command.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "cli/adapter_flags.h"
#include "cli/arguments.h"
#include "cli/effort_flags.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/load_flags.h"
#include "cli/parsed_flag.h"
#include "cli/presets_command.h"
#include "cli/progress_bar.h"
#include "tintype/contact_sheet.h"
#include "tintype/image.h"
#include "tintype/presets.h"

namespace tintype::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxSteps = 1000;
constexpr int kMaxSidePx = 65535;  // what a PNG may have
constexpr int kMaxThreads = 1024;
constexpr int kMaxBatch = 64;
constexpr double kMaxDeadlineS = 1e9;

constexpr const char* kFooter = R"(
Unset flags take the model's own settings; `tintype inspect MODEL` shows them.
A value that begins with a dash is written with an equals sign: --negative=-blurry

Size: a model draws well near the size it was trained at, which is its default. Width and height are
multiples of 8 (for some models more: see inspect). Memory and time grow with the area.
Steps: time is linear in them; 20 to 30 are enough for most samplers.
Guidance: how strongly the prompt is followed; 2 to 8 is usual, more oversaturates, 1 turns it off
and is twice as fast.
Seed: the same seed, settings and model give the same picture, bit for bit, on any thread count.
Without one, a seed is drawn and printed.
Several pictures: --count C and --batch B draw C times B, saved as each batch is done. Seeds count
up from --seed through all of them, or with a variation the variation seeds do; each picture is the
one drawn alone with its seed, which its settings name.

The file carries its settings as text: "parameters" in the form galleries read, "tintype" as JSON
(in JPEG and WebP as EXIF).
An existing file is replaced only by a whole new picture; on failure or Ctrl-C it stays as it was.

Examples:
  tintype txt2img -m models/tintype-emoji-128 -p "red apple"
  tintype txt2img -m models/tintype-emoji-128 -p "panda" -s 7 --steps 25 --guidance 3 -o panda.png
  tintype txt2img -m sd15 -p "a lighthouse at dusk" -n "blurry" -W 512 -H 768 --sampler dpmpp_2m \
      --scheduler karras
  tintype txt2img -m sd15 -p "" -s 1 --json > result.json
  tintype txt2img -m sd15 -p "a fox" -s 1 --count 4 -o fox.png      # fox-1.png to fox-4.png
  tintype txt2img -m sd15 -p "a fox" -s 1 -b 4 -o fox.png           # the same four, side by side
  tintype txt2img -m sd15 -p "a fox" --grid steps=10,20,30 guidance=4,7 -o grid.png
  tintype txt2img -m sd15 -p "a fox" --hires 2 --hires-strength 0.6             # 1024 x 1024
  tintype txt2img -m sd15 -p "a fox" --hires 2 --hires-upscaler 4x-UltraSharp.safetensors
  tintype txt2img -m sd15 -p "a fox" --preset ultra_fast
  tintype txt2img -m sd15 -p "a fox" --preview terminal --preview-every 2

)";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What a finished run tells, beyond the library's results.
struct Outcome {
  std::vector<std::string> files;
  std::vector<TextToImageResult> results;
  double load_s = 0, save_s = 0, total_s = 0;
  std::vector<CacheCounters> caches = {};
  std::string offload = {};
};

OrderedJson picture_json(const TextToImageResult& result) {
  OrderedJson object;
  object["seed"] = result.settings.seed;
  object["settings"] = OrderedJson::parse(settings_json(result.settings));
  object["prompt_truncated"] = result.settings.prompt_truncated;
  OrderedJson& timings = object["timings"];
  timings["encode_prompt_s"] = result.timings.encode_prompt_s;
  timings["encode_image_s"] = result.timings.encode_image_s;
  timings["denoise_s"] = result.timings.denoise_s;
  timings["step_s"] = result.timings.step_s;
  timings["decode_s"] = result.timings.decode_s;
  return object;
}

/// The first picture's fields at the top; with several pictures, each one's under "pictures".
OrderedJson outcome_json(const Outcome& outcome) {
  OrderedJson object;
  object["files"] = outcome.files;
  object.update(picture_json(outcome.results.front()));
  OrderedJson& timings = object["timings"];
  timings["load_s"] = outcome.load_s;
  timings["save_s"] = outcome.save_s;
  timings["total_s"] = outcome.total_s;
  if (outcome.results.size() > 1)
    for (const TextToImageResult& result : outcome.results)
      object["pictures"].push_back(picture_json(result));
  object["offload"] = outcome.offload;
  for (const CacheCounters& cache : outcome.caches)
    object["caches"][cache.name] = cache_json(cache);
  object["peak_memory_bytes"] = peak_memory_bytes();
  object["version"] = version();
  return object;
}

std::string outcome_text(const Outcome& outcome) {
  const TextToImageSettings& settings = outcome.results.front().settings;
  std::string text;
  for (const std::string& file : outcome.files) text += (text.empty() ? "" : "\n") + file;
  const bool several = outcome.results.size() > 1;
  return text + "  (" + (several ? std::to_string(outcome.results.size()) + " pictures of " : "") +
         std::to_string(outcome.results.front().image.width_px) + " x " +
         std::to_string(outcome.results.front().image.height_px) + ", seed " +
         std::to_string(settings.seed) + ", " + std::to_string(settings.steps) + " steps " +
         settings.sampler + ", " + format_seconds(outcome.total_s) + ")";
}

/// The requests of a run: `--count` of them with seeds counting up, or a grid's cells.
std::vector<TextToImageRequest> requests_of(const Txt2ImgOptions& options) {
  std::vector<TextToImageRequest> requests;
  if (!options.grid.empty()) {
    if (options.pictures() > 1)
      throw Error(ErrorKind::kInvalidArgument, "--grid",
                  "draws its own pictures; it takes no --count and no --batch");
    for (GridCell& cell : grid_cells(options.request, options.grid))
      requests.push_back(std::move(cell.request));
    return requests;
  }
  requests.assign(static_cast<size_t>(options.count), options.request);
  const uint64_t first = options.request.seed.value_or(std::random_device{}());
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].seed = first;
    count_up(requests[i], i * static_cast<size_t>(options.request.batch_size));
  }
  return requests;
}

PngText metadata_of(const TextToImageResult& result) {
  return {{"parameters", parameters_text(result.settings)},
          {"tintype", settings_json(result.settings)}};
}

/// Where picture `i` goes: the named file ("apple.png"; of several "apple-1.png", ...), or a free
/// name.
std::filesystem::path file_for(const Txt2ImgOptions& options, size_t i, uint64_t seed) {
  if (options.output.empty()) return free_output_name(".", seed);
  std::filesystem::path file = options.output;
  if (options.pictures() > 1)
    file.replace_filename(file.stem().string() + "-" + std::to_string(i + 1) +
                          file.extension().string());
  return file;
}

/// Saves picture `i`, at once when it is drawn: what a later failure costs is the rest, not all.
void save_picture(const Txt2ImgOptions& options, size_t i, Outcome& outcome) {
  const Clock::time_point start = Clock::now();
  TextToImageResult& result = outcome.results[i];
  const std::filesystem::path file = file_for(options, i, result.settings.seed);
  const UninterruptedSection whole;
  save_image(file, result.image, metadata_of(result), {.quality = options.quality});
  result.image.rgb = {};  // only its size and settings are still needed
  outcome.files.push_back(file.string());
  outcome.save_s += seconds_since(start);
}

void save_grid(const Txt2ImgOptions& options, Outcome& outcome) {
  const Clock::time_point start = Clock::now();
  std::vector<Image> pictures;
  for (TextToImageResult& result : outcome.results) pictures.push_back(std::move(result.image));
  ContactSheetLabels labels{.columns = axis_labels(options.grid[0]), .rows = {}};
  if (options.grid.size() == 2) labels.rows = axis_labels(options.grid[1]);
  const Image sheet =
      contact_sheet(pictures, static_cast<int>(options.grid[0].values.size()), labels);
  const TextToImageResult& first = outcome.results.front();
  const std::filesystem::path file = file_for(options, 0, first.settings.seed);
  const UninterruptedSection whole;
  save_image(file, sheet, metadata_of(first), {.quality = options.quality});
  outcome.files.push_back(file.string());
  outcome.save_s += seconds_since(start);
}

/// A refiner in one file has the base's second text encoder, and so its tokenizer.
LoadOptions refiner_load(const Txt2ImgOptions& options) {
  LoadOptions load{.profile = options.load.profile, .offload = options.load.offload};
  if (!options.load.tokenizers.empty() && !std::filesystem::is_directory(options.refiner))
    load.tokenizers = {options.load.tokenizers.back()};
  return load;
}

}  // namespace

void run_drawing(Txt2ImgOptions options, const Draw& draw,
                 const std::function<void(const Engine& engine)>& prepare) {
  const Clock::time_point start = Clock::now();
  if (!options.preset.empty())
    apply_preset(find_preset(options.preset), options.request, options.load);
  if (options.merge) merge_adapters(options.request, options.load);
  const std::vector<TextToImageRequest> requests = requests_of(options);
  // Before the minutes of drawing, not after them.
  const size_t files =
      options.grid.empty() ? static_cast<size_t>(options.pictures()) : requests.size();
  for (size_t i = 0; i < files && !options.output.empty(); ++i)
    require_writable(file_for(options, i, 0));
  if (options.output.empty()) require_writable("tintype.png");
  image_format_of(options.output);

  RunContext context;
  if (options.deadline_s)
    context.deadline = start + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(*options.deadline_s));
  ProgressBar bar;
  context.on_progress = [&bar](const Progress& progress) { bar.show(progress); };
  PreviewOutput previews(options.preview, bar, context);
  const InterruptGuard guard(context);

  const Engine engine(options.engine);
  if (prepare) prepare(engine);
  const auto model = engine.load(options.model, context, options.load);
  const auto refiner = options.refiner.empty()
                           ? nullptr
                           : engine.load(options.refiner, context, refiner_load(options));
  Outcome outcome;
  outcome.load_s = seconds_since(start);
  for (const TextToImageRequest& request : requests) {
    const size_t drawn = outcome.results.size();
    previews.start_batch(drawn);
    for (auto& result : draw(engine, *model, request, context, refiner.get()))
      outcome.results.push_back(std::move(result));
    context.report(Stage::kSave, 0, 1);
    for (size_t i = drawn; i < outcome.results.size() && options.grid.empty(); ++i)
      save_picture(options, i, outcome);
  }
  if (!options.grid.empty()) save_grid(options, outcome);
  outcome.caches = engine.caches();
  outcome.caches.push_back(model->adapter_cache());
  outcome.offload = model->info().offload;
  outcome.total_s = seconds_since(start);
  bar.clear();
  if (outcome.results.front().settings.prompt_truncated)
    std::fputs(
        "tintype: warning: the prompt is longer than the model's text window; its end was "
        "not used\n",
        stderr);
  for (const std::string& reason : outcome.results.front().settings.skipped_embeddings)
    std::fputs(("tintype: warning: an embedding was left out: " + reason + "\n").c_str(), stderr);
  options.json ? print_json(outcome_json(outcome)) : print_line(outcome_text(outcome));
}

namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void add_picture_flags(CLI::App& command, TextToImageRequest& request) {
  command.add_option("-p,--prompt", request.prompt, "What to draw; may be empty (\"\")")
      ->required()
      ->type_name("TEXT");
  // Through a function, since an empty text and an absent one differ.
  add_parsed(
      command, "-n,--negative",
      [&request](const std::string& text) { request.negative_prompt = text; },
      "What to steer away from; used when guidance is above 1. Some models (SDXL) "
      "take none at all for something else than an empty one (\"\")",
      "TEXT");
  command
      .add_option("--prompt-2", request.prompt_2,
                  "SDXL: what its second text encoder reads instead of --prompt")
      ->type_name("TEXT");
  command
      .add_option("--negative-2", request.negative_prompt_2,
                  "SDXL: what its second text encoder reads instead of --negative")
      ->type_name("TEXT");
  add_parsed(
      command, "-W,--width",
      [&request](const std::string& text) {
        request.width_px = parse_int("--width", text, 1, kMaxSidePx);
      },
      "Width in pixels, a multiple of 8 (default: the model's)", "PX");
  add_parsed(
      command, "-H,--height",
      [&request](const std::string& text) {
        request.height_px = parse_int("--height", text, 1, kMaxSidePx);
      },
      "Height in pixels, a multiple of 8 (default: the model's)", "PX");
  add_parsed(
      command, "--steps",
      [&request](const std::string& text) {
        request.steps = parse_int("--steps", text, 1, kMaxSteps);
      },
      "Denoising steps, 1 to 1000 (default: 20)", "N");
  add_parsed(
      command, "--guidance",
      [&request](const std::string& text) {
        constexpr double kMax = std::numeric_limits<float>::max();
        request.guidance_scale = static_cast<float>(parse_number("--guidance", text, -kMax, kMax));
      },
      "How strongly to follow the prompt (default: 7.5)", "G");
  command
      .add_option("--sampler", request.sampler,
                  joined(sampler_names()) +
                      "; also as galleries write them, with or without a scheduler: \"DPM++ 2M "
                      "Karras\" (default: the model's)")
      ->type_name("NAME");
  command
      .add_option("--scheduler", request.scheduler,
                  "Spacing of the noise levels: " + joined(scheduler_names()) +
                      " (default: the sampler's own)")
      ->type_name("NAME");
  add_parsed(
      command, "-s,--seed",
      [&request](const std::string& text) { request.seed = parse_seed("--seed", text); },
      "Start of the noise, 0 to 2^64-1 (default: drawn and printed)", "N");
  command
      .add_option("--syntax", request.prompt_syntax,
                  "How prompts are read: plain, or a1111 or comfy for (weights:1.2), BREAK, "
                  "[editing:by:0.5] and prompts beyond one window; see `tintype tokens`")
      ->type_name("NAME")
      ->capture_default_str();
  add_parsed(
      command, "--embeddings", [&request](const std::string& text) { request.embeddings = text; },
      "Textual inversions that the prompts may name: a safetensors file, or a folder of them",
      "PATH");
  add_parsed(
      command, "--variation-seed",
      [&request](const std::string& text) {
        request.variation_seed = parse_seed("--variation-seed", text);
      },
      "A second seed, mixed in by --variation-strength", "N");
  add_parsed(
      command, "--variation-strength",
      [&request](const std::string& text) {
        request.variation_strength =
            static_cast<float>(parse_number("--variation-strength", text, 0, 1));
      },
      "0 keeps to --seed, 1 to --variation-seed (default: 0)", "X");
  command
      .add_option(
          "--rng", request.rng,
          "Noise contract: torch is PyTorch's CPU generator (diffusers, ComfyUI), philox its "
          "GPU generator (A1111)")
      ->type_name("NAME")
      ->capture_default_str();
}

/// "WIDTHxHEIGHT", or "LEFTxTOP" with `least` 0, into two members.
struct PairFlag {
  std::string name, description;
  int least = 1;
};
void add_pair(CLI::App& command, const PairFlag& flag, std::function<void(int, int)> store) {
  add_parsed(
      command, flag.name,
      [flag, store](const std::string& text) {
        const size_t cross = text.find('x');
        if (cross == std::string::npos)
          throw Error(ErrorKind::kInvalidArgument, flag.name,
                      "must be two numbers joined by x, such as 1024x768, got \"" + text + "\"");
        store(parse_int(flag.name.c_str(), text.substr(0, cross), flag.least, kMaxSidePx),
              parse_int(flag.name.c_str(), text.substr(cross + 1), flag.least, kMaxSidePx));
      },
      flag.description, flag.least ? "WxH" : "XxY");
}

/// Flags for those who know what they reach for.
void add_conditioning_flags(CLI::App& command, TextToImageRequest& request) {
  add_parsed(
      command, "--guidance-rescale",
      [&request](const std::string& text) {
        request.guidance_rescale =
            static_cast<float>(parse_number("--guidance-rescale", text, 0, 1));
      },
      "Take back this much of guidance's gain in contrast, 0 to 1; 0.7 for models trained to zero "
      "signal (default: 0)",
      "R");
  add_parsed(
      command, "--eta",
      [&request](const std::string& text) { request.eta = parse_number("--eta", text, 0, 1); },
      "Sampler tcd: how far steps go below their level and back up with noise, 0 to 1; 0.3 is "
      "advised (default: 0)",
      "X");
  add_parsed(
      command, "--clip-skip",
      [&request](const std::string& text) {
        request.clip_skip = parse_int("--clip-skip", text, 0, kMaxSteps);
      },
      "Last layers of the text encoder to leave out, counted as diffusers does (default: 0)", "N");
  SizeConditioning& size = request.size_conditioning;
  add_pair(command, {"--original-size", "SDXL: size to imitate (default: the picture's)"},
           [&size](int width, int height) {
             size.original_width_px = width;
             size.original_height_px = height;
           });
  add_pair(command, {"--target-size", "SDXL: size to compose for (default: the picture's)"},
           [&size](int width, int height) {
             size.target_width_px = width;
             size.target_height_px = height;
           });
  add_pair(command, {"--crop", "SDXL: left and top of the crop to imitate (default: 0x0)", 0},
           [&size](int left, int top) {
             size.crop_left_px = left;
             size.crop_top_px = top;
           });
}

void add_refiner_flags(CLI::App& command, Txt2ImgOptions& options) {
  command
      .add_option("--refiner", options.refiner,
                  "Model that removes the last of the noise, such as SDXL's refiner; with the "
                  "samplers ddim, euler and euler_a")
      ->type_name("MODEL");
  add_parsed(
      command, "--refiner-start",
      [&options](const std::string& text) {
        options.request.refiner_start = parse_number("--refiner-start", text, 0, 1);
      },
      "Part of the noise removed when the refiner takes over (default: 0.8)", "PART");
}

void add_run_flags(CLI::App& command, Txt2ImgOptions& options) {
  add_parsed(
      command, "--threads",
      [&options](const std::string& text) {
        options.engine.threads = parse_int("--threads", text, 0, kMaxThreads);
      },
      "Compute threads (default: 0, one per core)", "N");
  command.add_option("--device", options.engine.device, "cpu, or reference (slow, for checking)")
      ->type_name("NAME")
      ->capture_default_str();
  add_parsed(
      command, "--memory-limit",
      [&options](const std::string& text) {
        options.engine.memory_limit_bytes = parse_bytes("--memory-limit", text);
      },
      "Most memory for weights and activations, such as 6G or 800M; large pictures are then "
      "decoded in bands (default: what the machine has)",
      "BYTES");
  add_parsed(
      command, "--deadline",
      [&options](const std::string& text) {
        options.deadline_s = parse_number("--deadline", text, 0, kMaxDeadlineS);
      },
      "Give up after this many seconds (default: never)", "SECONDS");
  add_parsed(
      command, "--count",
      [&options](const std::string& text) { options.count = parse_int("--count", text, 1, 10000); },
      "Batches to draw one after the other (default: 1); with --batch 1, pictures", "N");
  add_parsed(
      command, "-b,--batch",
      [&options](const std::string& text) {
        options.request.batch_size = parse_int("--batch", text, 1, kMaxBatch);
      },
      "Pictures drawn side by side, 1 to 64; takes more memory (default: 1)", "N");
  command
      .add_option_function<std::vector<std::string>>(
          "--grid",
          [&options](const std::vector<std::string>& axes) {
            for (const std::string& axis : axes) options.grid.push_back(parse_grid_axis(axis));
          },
          "One sheet with a picture for each combination, e.g. steps=10,20 guidance=4,7 "
          "(settings: " +
              grid_keys() + ")")
      ->type_name("SETTING=VALUES ...")
      ->expected(1, 2);
  add_parsed(
      command, "-o,--output",
      [&options](const std::string& text) {
        if (text.empty())
          throw Error(ErrorKind::kInvalidArgument, "--output",
                      "must name a file, got an empty name");
        options.output = text;
      },
      "File to write or replace; its ending says the format: .png, .jpg or .webp (default: a new "
      "tintype-SEED.png here)",
      "FILE");
  add_parsed(
      command, "--quality",
      [&options](const std::string& text) {
        options.quality = parse_int("--quality", text, 1, 100);
      },
      "Of JPEG and WebP files, 1 to 100; a WebP of 100 is lossless (default: 90)", "Q");
  command.add_flag("--json", options.json,
                   "Print one JSON object on stdout: files, settings, timings");
}

}  // namespace

std::filesystem::path free_output_name(const std::filesystem::path& folder, uint64_t seed) {
  const std::string stem = "tintype-" + std::to_string(seed);
  std::filesystem::path name = stem + ".png";
  for (int number = 2; std::filesystem::exists(folder / name); ++number)
    name = stem + "-" + std::to_string(number) + ".png";
  return folder == "." ? name : folder / name;
}

void add_drawing_flags(CLI::App& command, Txt2ImgOptions& options) {
  command.add_option("-m,--model", options.model, kModelHelp)->required()->type_name("MODEL");
  add_load_flags(command, options.load);
  add_profile_flag(command, options.load);
  add_offload_flag(command, options.load);
  add_preset_flag(command, options.preset);
  add_picture_flags(command, options.request);
  add_adapter_flags(command, options.request);
  command.add_flag("--merge", options.merge,
                   "Merge the adapters of --lora into the weights as they are loaded, for runs "
                   "that draw many pictures with them: no cost for each step, some for loading");
  add_effort_flags(command, options.request);
  add_conditioning_flags(command, options.request);
  add_refiner_flags(command, options);
  add_run_flags(command, options);
  add_preview_flags(command, options.preview);
}

namespace {

void run_txt2img(const Txt2ImgOptions& options) {
  std::shared_ptr<const Upscaler> upscaler;
  run_drawing(
      options,
      [&](const Engine& engine, const Model& model, const TextToImageRequest& request,
          const RunContext& context, const Model* refiner) {
        if (!options.hires.scale) return engine.text_to_images(model, request, context, refiner);
        return engine.hires_images(model, hires_request(options.hires, request, upscaler), context,
                                   refiner);
      },
      [&](const Engine& engine) { upscaler = load_hires_upscaler(options.hires, engine); });
}

}  // namespace

void add_txt2img_command(CLI::App& app, std::function<void()>& run) {
  const auto options = std::make_shared<Txt2ImgOptions>();
  CLI::App* command = app.add_subcommand("txt2img", "Draw one picture from a prompt");
  add_drawing_flags(*command, *options);
  add_hires_flags(*command, options->hires);
  command->footer(kFooter + exit_code_help());
  command->callback([&run, options] { run = [options] { run_txt2img(*options); }; });
}

}  // namespace tintype::cli
