#include "cli/image_commands.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/parsed_flag.h"
#include "cli/txt2img_command.h"

namespace tintype::cli {
namespace {

constexpr int kMaxPaddingPx = 4096;
constexpr int kMaxMaskPx = 512;

constexpr const char* kImg2ImgFooter = R"(
The picture is a PNG, JPEG or WebP file; its content tells which. Without --width and --height the
result has its size, rounded down to a multiple of 8 (for some models more).
Strength: 0.3 keeps what is where and changes how it looks, 0.8 keeps hardly more than the colours.
Of the steps that many are made: 20 steps at 0.5 take the time of 10.

All other flags are those of txt2img, explained there.

Examples:
  tintype img2img -m sd15 -i sketch.png -p "a lighthouse, oil painting" --strength 0.7
  tintype img2img -m sdxl -i photo.jpg --resize crop -W 1024 -H 1024 -p "a winter day" -o winter.webp

)";

constexpr const char* kInpaintFooter = R"(
The mask is a picture of the same size: white is drawn anew, black is kept. Models made for
inpainting (with nine input channels) see the mask; others are held to the known part at each step.
Pixels outside the mask come back bit for bit, unless --no-composite asks for the decoder's picture
as it is. The edge is feathered inside the mask over --mask-blur pixels; with --mask-grow the mask
covers that much more, so that nothing of what it hid shows through the feather.

All other flags are those of txt2img, explained there.

Examples:
  tintype inpaint -m sd15-inpainting -i room.png --mask lamp.png -p "a plant" --mask-grow 8
  tintype inpaint -m sd15 -i room.png --mask lamp.png -p "a plant" --only-masked --strength 0.8
  tintype inpaint -m sd15-inpainting -i room.png --pad 128,0,128,0 -p "a wide room"    # outpainting

)";

struct ImageOptions {
  Txt2ImgOptions drawing;
  std::string image, mask;
  std::optional<double> strength;
  ResizeMode resize = ResizeMode::kFit;
  MaskOptions masking;
};

/// One of a few words.
template <typename Value>
Value parse_word(const char* flag, const std::string& text,
                 const std::vector<std::pair<const char*, Value>>& words) {
  std::string list;
  for (const auto& [word, value] : words) {
    if (text == word) return value;
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  throw Error(ErrorKind::kInvalidArgument, flag,
              "must be one of " + list + ", got \"" + text.substr(0, 80) + "\"");
}

void add_image_flags(CLI::App& command, ImageOptions& options, const char* strength_help) {
  command
      .add_option("-i,--image", options.image, "Picture to start from: a PNG, JPEG or WebP file")
      ->required()
      ->type_name("FILE");
  add_parsed(
      command, "--strength",
      [&options](const std::string& text) {
        options.strength = parse_number("--strength", text, 0, 1);
      },
      strength_help, "X");
  add_parsed(
      command, "--resize",
      [&options](const std::string& text) {
        options.resize = parse_word<ResizeMode>(
            "--resize", text,
            {{"fit", ResizeMode::kFit}, {"crop", ResizeMode::kCrop}, {"pad", ResizeMode::kPad}});
      },
      "A picture of another size than --width and --height is stretched (fit), cut (crop) or "
      "continued at its edges (pad) (default: fit)",
      "MODE");
}

void add_mask_flags(CLI::App& command, ImageOptions& options) {
  MaskOptions& masking = options.masking;
  command.add_option("--mask", options.mask, "What to draw anew, in white; the picture's size")
      ->type_name("FILE");
  command.add_flag("--invert-mask", masking.invert, "Draw what is black instead");
  const auto add_px = [&command](const char* flag, int& value, int most, const char* help) {
    add_parsed(
        command, flag,
        [&value, flag, most](const std::string& text) { value = parse_int(flag, text, 0, most); },
        help, "PX");
  };
  add_px("--mask-grow", masking.grow_px, kMaxMaskPx, "Widen the mask (default: 0)");
  add_px("--mask-blur", masking.blur_px, kMaxMaskPx,
         "Width of the feathered edge inside the mask (default: 4)");
  command.add_flag(
      "--only-masked", masking.only_masked,
      "Draw the rectangle around the mask alone, at --width and --height (default: the "
      "model's size), and put it back in its place");
  add_px("--only-masked-padding", masking.only_masked_padding_px, kMaxPaddingPx,
         "Pixels of the picture seen around the mask then (default: 32)");
  add_parsed(
      command, "--fill",
      [&masking](const std::string& text) {
        masking.fill = parse_word<MaskFill>("--fill", text,
                                            {{"original", MaskFill::kOriginal},
                                             {"noise", MaskFill::kNoise},
                                             {"blur", MaskFill::kBlur}});
      },
      "What lies under the mask at the start, seen below strength 1: original, noise, or blur, the "
      "colours around it (default: original)",
      "NAME");
  add_parsed(
      command, "--pad",
      [&masking](const std::string& text) { masking.padding = parse_padding(text); },
      "Outpainting: grow the picture by LEFT,TOP,RIGHT,BOTTOM pixels, or by as many on all sides; "
      "what is new is drawn",
      "PX");
  command.add_flag(
      "--no-composite", [&masking](int64_t) { masking.composite = false; },
      "Leave the decoder's picture as it is, also outside the mask");
}

/// Read before any model is loaded, and once for all pictures of a run.
ImageToImageRequest request_of(const ImageOptions& options, double default_strength) {
  return {.drawing = {},
          .image = std::make_shared<const Image>(load_image(options.image)),
          .strength = options.strength.value_or(default_strength),
          .resize = options.resize};
}

void run_img2img(const ImageOptions& options) {
  ImageToImageRequest from = request_of(options, ImageToImageRequest{}.strength);
  run_drawing(options.drawing,
              [&from](const Engine& engine, const Model& model, const TextToImageRequest& drawing,
                      const RunContext& context, const Model* refiner) {
                from.drawing = drawing;
                return engine.image_to_images(model, from, context, refiner);
              });
}

void run_inpaint(const ImageOptions& options) {
  if (options.mask.empty() && options.masking.padding.none())
    throw Error(
        ErrorKind::kInvalidArgument, "--mask",
        "says what to draw, --pad by how much the picture grows; one of them is needed, got "
        "neither");
  InpaintRequest from{.picture = request_of(options, InpaintRequest{}.picture.strength),
                      .mask = nullptr,
                      .options = options.masking};
  if (!options.mask.empty()) from.mask = std::make_shared<const Mask>(load_mask(options.mask));
  run_drawing(options.drawing,
              [&from](const Engine& engine, const Model& model, const TextToImageRequest& drawing,
                      const RunContext& context, const Model* refiner) {
                from.picture.drawing = drawing;
                return engine.inpaint(model, from, context, refiner);
              });
}

}  // namespace

Padding parse_padding(const std::string& text) {
  std::vector<int> sides;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    sides.push_back(parse_int("--pad", text.substr(at, comma - at), 0, kMaxPaddingPx));
    at = comma + 1;
  }
  if (sides.size() == 1) return {sides[0], sides[0], sides[0], sides[0]};
  if (sides.size() == 4) return {sides[0], sides[1], sides[2], sides[3]};
  throw Error(ErrorKind::kInvalidArgument, "--pad",
              "must be one number, or LEFT,TOP,RIGHT,BOTTOM, got \"" + text.substr(0, 80) + "\"");
}

void add_img2img_command(CLI::App& app, std::function<void()>& run) {
  const auto options = std::make_shared<ImageOptions>();
  CLI::App* command = app.add_subcommand("img2img", "Draw a picture from a picture and a prompt");
  add_drawing_flags(*command, options->drawing);
  add_image_flags(*command, *options, "Part of the steps that are made, 0 to 1 (default: 0.8)");
  command->footer(kImg2ImgFooter + exit_code_help());
  command->callback([&run, options] { run = [options] { run_img2img(*options); }; });
}

void add_inpaint_command(CLI::App& app, std::function<void()>& run) {
  const auto options = std::make_shared<ImageOptions>();
  CLI::App* command =
      app.add_subcommand("inpaint", "Draw a part of a picture anew, or beyond its edges");
  add_drawing_flags(*command, options->drawing);
  add_image_flags(*command, *options,
                  "Part of the steps that are made, 0 to 1; at 1 nothing of what the mask covers "
                  "is kept (default: 1)");
  add_mask_flags(*command, *options);
  command->footer(kInpaintFooter + exit_code_help());
  command->callback([&run, options] { run = [options] { run_inpaint(*options); }; });
}

}  // namespace tintype::cli
