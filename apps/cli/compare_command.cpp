#include "cli/compare_command.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>

#include "cli/arguments.h"
#include "cli/effort_flags.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/load_flags.h"
#include "cli/parsed_flag.h"
#include "cli/progress_bar.h"
#include "tintype/contact_sheet.h"
#include "tintype/similarity.h"

namespace tintype::cli {
namespace {

constexpr int kDifferenceGain = 8;  // of the sheet's difference pictures
constexpr size_t kMaxPrompts = 10000;

constexpr const char* kFooter = R"(
Draws every prompt of a file with every profile, each prompt with a seed of its own that is the same
for all profiles, and prints how far the pictures are from those of the first profile:

  PSNR  20 log10(255 / RMS difference) in dB, over all channels; 35 and more can hardly be seen.
        Equal pictures count as 110 in the mean
  SSIM  structural similarity of the luma, 1 is equal (Wang et al. 2004)
  diff  mean absolute difference, in levels of 255

The prompts' file has one prompt a line; empty lines and lines that begin with # are skipped. A
profile is named as for --profile, its parts joined with +: exact,balanced,exact+unet=balanced
docs/profiles.md says what the profiles change, and why there is no learned distance here.

Examples:
  tintype compare -m models/tintype-emoji-128 --prompts bench/prompts/emoji-50.txt
  tintype compare -m sd15 --profiles exact,balanced,balanced+vae=exact --prompts mine.txt \
      --steps 20 -o sheet.png

)";

struct Options {
  std::string model, prompts, output;
  LoadOptions load;
  EngineOptions engine;
  TextToImageRequest request;
  std::vector<std::string> profiles = {"exact", "balanced", "fast"};
  bool json = false;
};

std::vector<std::string> read_prompts(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in)
    throw Error(
        ErrorKind::kNotFound, "--prompts",
        "must name a file with one prompt a line, got \"" + file + "\", which cannot be read");
  std::vector<std::string> prompts = parse_prompts(text);
  if (prompts.empty() || prompts.size() > kMaxPrompts)
    throw Error(ErrorKind::kInvalidArgument, "--prompts",
                "must hold 1 to " + std::to_string(kMaxPrompts) + " prompts, got " +
                    std::to_string(prompts.size()) + " in \"" + file + "\"");
  return prompts;
}

struct Drawn {
  std::vector<Image> pictures;  ///< by prompt
  ProfileDistance distance;
};

/// All prompts under one profile. The model is gone afterwards: two would need twice the memory.
Drawn draw_all(const Options& options, const std::string& profile,
               const std::vector<std::string>& prompts, bool is_first, const RunContext& context) {
  Drawn drawn;
  drawn.distance.profile = profile;
  LoadOptions load = options.load;
  load.profile = profile;
  const Engine engine(options.engine);
  const auto model = engine.load(options.model, context, load);
  TextToImageRequest request = options.request;
  if (is_first) {  // what the others are measured against leaves nothing out
    request.reuse_threshold = 0;
    request.guidance_interval = {};
  }
  for (const std::string& prompt : prompts) {
    request.prompt = prompt;
    TextToImageResult result = engine.text_to_image(*model, request, context);
    count_up(request, 1);
    drawn.pictures.push_back(std::move(result.image));
    const TextToImageSettings& settings = result.settings;
    const double calls = settings.network_calls * static_cast<double>(prompts.size());
    drawn.distance.reused += settings.reused_calls / calls;
    drawn.distance.unguided += settings.unguided_calls / calls;
    drawn.distance.seconds_per_picture +=
        result.timings.total_s / static_cast<double>(prompts.size());
  }
  return drawn;
}

void measure(const Drawn& first, Drawn& drawn) {
  for (size_t i = 0; i < first.pictures.size(); ++i) {
    const Image &a = first.pictures[i], &b = drawn.pictures[i];
    drawn.distance.psnr_db.push_back(psnr(a, b));
    drawn.distance.ssim.push_back(ssim(a, b));
    drawn.distance.mean_difference.push_back(mean_difference(a, b));
  }
}

Image amplified_difference(const Image& a, const Image& b) {
  Image image{a.width_px, a.height_px, {}};
  for (size_t i = 0; i < a.rgb.size(); ++i)
    image.rgb.push_back(static_cast<uint8_t>(
        std::min(255, kDifferenceGain * std::abs(int{a.rgb[i]} - int{b.rgb[i]}))));
  return image;
}

/// A row a prompt: each profile's picture, then each difference to the first.
Image sheet_of(const std::vector<Drawn>& drawn, const std::vector<std::string>& prompts) {
  ContactSheetLabels labels{.columns = {}, .rows = prompts};
  for (const Drawn& one : drawn) labels.columns.push_back(one.distance.profile);
  for (size_t i = 1; i < drawn.size(); ++i)
    labels.columns.push_back("|diff| x" + std::to_string(kDifferenceGain));
  std::vector<Image> cells;
  for (size_t row = 0; row < prompts.size(); ++row) {
    for (const Drawn& one : drawn) cells.push_back(one.pictures[row]);
    for (size_t i = 1; i < drawn.size(); ++i)
      cells.push_back(amplified_difference(drawn[0].pictures[row], drawn[i].pictures[row]));
  }
  return contact_sheet(cells, static_cast<int>(labels.columns.size()), labels);
}

void run_compare(const Options& options) {
  const std::vector<std::string> prompts = read_prompts(options.prompts);
  if (!options.output.empty()) require_writable(options.output);
  // A wrong name ends the run here and not after an hour; nothing is read but headers.
  for (const std::string& profile : options.profiles) {
    LoadOptions load = options.load;
    load.profile = profile;
    inspect(options.model, load);
  }
  RunContext context;
  ProgressBar bar;
  context.on_progress = [&bar](const Progress& progress) { bar.show(progress); };
  const InterruptGuard guard(context);
  std::vector<Drawn> drawn;
  for (const std::string& profile : options.profiles) {
    drawn.push_back(draw_all(options, profile, prompts, drawn.empty(), context));
    if (drawn.size() > 1) measure(drawn.front(), drawn.back());
  }
  bar.clear();
  if (!options.output.empty()) {
    const UninterruptedSection whole;
    save_png(options.output, sheet_of(drawn, prompts));
  }
  std::vector<ProfileDistance> distances;
  for (Drawn& one : drawn) distances.push_back(std::move(one.distance));
  options.json ? print_json(compare_json(distances, prompts))
               : print_line(compare_text(distances, prompts));
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    parts.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  return parts;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double mean_psnr(const std::vector<double>& values) {
  std::vector<double> finite = values;
  for (double& value : finite) value = std::min(value, kEqualDb);
  return mean_of(finite);
}

size_t worst_of(const std::vector<double>& psnr_db) {
  return static_cast<size_t>(std::min_element(psnr_db.begin(), psnr_db.end()) - psnr_db.begin());
}

template <typename... Values>
std::string formatted(const char* format, Values... values) {
  char text[160];
  std::snprintf(text, sizeof(text), format, values...);
  return text;
}

void add_request_flags(CLI::App& command, Options& options) {
  TextToImageRequest& request = options.request;
  request.seed = 0;
  add_parsed(
      command, "--steps",
      [&request](const std::string& text) { request.steps = parse_int("--steps", text, 1, 1000); },
      "Denoising steps (default: 20)", "N");
  add_parsed(
      command, "--guidance",
      [&request](const std::string& text) {
        request.guidance_scale = static_cast<float>(parse_number("--guidance", text, -1000, 1000));
      },
      "How strongly to follow the prompts (default: the model's)", "G");
  command.add_option("--sampler", request.sampler, "As for txt2img")->type_name("NAME");
  command.add_option("--scheduler", request.scheduler, "As for txt2img")->type_name("NAME");
  add_parsed(
      command, "-s,--seed",
      [&request](const std::string& text) { request.seed = parse_seed("--seed", text); },
      "Seed of the first prompt; each next one's is one more (default: 0)", "N");
  add_parsed(
      command, "-W,--width",
      [&request](const std::string& text) {
        request.width_px = parse_int("--width", text, 1, 65535);
      },
      "Width in pixels (default: the model's)", "PX");
  add_parsed(
      command, "-H,--height",
      [&request](const std::string& text) {
        request.height_px = parse_int("--height", text, 1, 65535);
      },
      "Height in pixels (default: the model's)", "PX");
  add_parsed(
      command, "--threads",
      [&options](const std::string& text) {
        options.engine.threads = parse_int("--threads", text, 0, 1024);
      },
      "Compute threads (default: 0, one per core)", "N");
}

}  // namespace

std::vector<std::string> parse_prompts(std::string_view text) {
  std::vector<std::string> prompts;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (!line.empty() && line.front() != '#') prompts.emplace_back(line);
  }
  return prompts;
}

std::string compare_text(const std::vector<ProfileDistance>& distances,
                         const std::vector<std::string>& prompts) {
  size_t width = 7;
  for (const ProfileDistance& one : distances) width = std::max(width, one.profile.size());
  const int column = static_cast<int>(width);
  std::string text = formatted(
      "%-*s  s/picture  reused  PSNR mean    min   SSIM mean     min   diff", column, "profile");
  for (const ProfileDistance& one : distances) {
    text += formatted("\n%-*s  %9.2f  %5.0f%%", column, one.profile.c_str(),
                      one.seconds_per_picture, 100 * one.reused);
    if (one.psnr_db.empty()) continue;
    text += formatted("  %9.2f  %5.2f  %10.4f  %6.4f  %5.3f", mean_psnr(one.psnr_db),
                      std::min(kEqualDb, one.psnr_db[worst_of(one.psnr_db)]), mean_of(one.ssim),
                      *std::min_element(one.ssim.begin(), one.ssim.end()),
                      mean_of(one.mean_difference));
  }
  for (const ProfileDistance& one : distances)
    if (!one.psnr_db.empty())
      text += "\nfurthest of " + one.profile + ": \"" + prompts[worst_of(one.psnr_db)] + "\"";
  return text;
}

OrderedJson compare_json(const std::vector<ProfileDistance>& distances,
                         const std::vector<std::string>& prompts) {
  OrderedJson object;
  object["prompts"] = prompts;
  object["profiles"] = OrderedJson::array();
  for (const ProfileDistance& one : distances) {
    OrderedJson& entry = object["profiles"].emplace_back();
    entry["profile"] = one.profile;
    entry["seconds_per_picture"] = one.seconds_per_picture;
    entry["reused"] = one.reused;
    entry["unguided"] = one.unguided;
    if (one.psnr_db.empty()) continue;
    entry["psnr_mean_db"] = mean_psnr(one.psnr_db);
    entry["psnr_min_db"] = std::min(kEqualDb, one.psnr_db[worst_of(one.psnr_db)]);
    entry["ssim_mean"] = mean_of(one.ssim);
    entry["ssim_min"] = *std::min_element(one.ssim.begin(), one.ssim.end());
    entry["mean_difference"] = mean_of(one.mean_difference);
    for (const double value : one.psnr_db)  // JSON has no infinity
      entry["psnr_db"].push_back(std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr));
    entry["ssim"] = one.ssim;
    entry["mean_differences"] = one.mean_difference;
  }
  object["version"] = version();
  return object;
}

void add_compare_command(CLI::App& app, std::function<void()>& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "Draw prompts with several profiles and measure the distance");
  command->add_option("-m,--model", options->model, kModelHelp)->required()->type_name("MODEL");
  add_load_flags(*command, options->load);
  add_parsed(
      *command, "--profiles",
      [options](const std::string& text) { options->profiles = split(text); },
      "Profiles to draw with; the first is what the others are measured against (default: "
      "exact,balanced,fast)",
      "NAME,NAME,...");
  command->add_option("--prompts", options->prompts, "File with one prompt a line")
      ->required()
      ->type_name("FILE");
  add_request_flags(*command, *options);
  add_effort_flags(*command, options->request);
  command
      ->add_option("-o,--output", options->output,
                   "Sheet to write: a row a prompt, a column a profile, then the differences")
      ->type_name("FILE.png");
  command->add_flag("--json", options->json, "Print one JSON object on stdout");
  command->footer(kFooter + exit_code_help());
  command->callback([&run, options] { run = [options] { run_compare(*options); }; });
}

}  // namespace tintype::cli
