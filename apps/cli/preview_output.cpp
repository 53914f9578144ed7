#include "cli/preview_output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cli/arguments.h"
#include "cli/interrupt.h"
#include "cli/parsed_flag.h"
#include "cli/terminal_picture.h"
#include "tintype/error.h"

namespace tintype::cli {
namespace {

constexpr int kMaxPreviewPx = 2048;
constexpr int kMaxSteps = 1000;

/// In characters and, where the terminal tells, in pixels.
winsize terminal_size() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  return size;
}

/// Smaller, with its proportions, so that it fits.
Image fitting(const Image& image, int width_px, int height_px) {
  const double scale = std::min({1.0, static_cast<double>(width_px) / image.width_px,
                                 static_cast<double>(height_px) / image.height_px});
  return shrunk(image, static_cast<int>(image.width_px * scale),
                static_cast<int>(image.height_px * scale));
}

bool takes_true_color() {
  const char* kind = std::getenv("COLORTERM");
  return kind && (std::string_view(kind) == "truecolor" || std::string_view(kind) == "24bit");
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code status;
  std::filesystem::create_directories(folder, status);
  if (status)
    throw Error(
        ErrorKind::kIo, "--preview",
        "must name a folder that can be made, got " + folder.string() + ": " + status.message());
  require_writable(folder / preview_file_name(0, 0));
}

}  // namespace

void add_preview_flags(CLI::App& command, PreviewOptions& options) {
  command
      .add_option(
          "--preview", options.where,
          "Show the picture while it is drawn: terminal (or blocks, sixel), or a folder for "
          "preview-PICTURE-STEP.png; may be given twice")
      ->type_name("WHERE")
      ->expected(1)
      ->take_all();
  add_parsed(
      command, "--preview-every",
      [&options](const std::string& text) {
        options.every = parse_int("--preview-every", text, 1, kMaxSteps);
      },
      "Steps from one preview to the next (default: 1)", "N");
  add_parsed(
      command, "--preview-size",
      [&options](const std::string& text) {
        options.size_px = parse_int("--preview-size", text, 1, kMaxPreviewPx);
      },
      "Longer side of previews (default: 256); in the terminal at most what fits", "PX");
}

std::string preview_file_name(size_t picture, int step) {
  char text[64];
  std::snprintf(text, sizeof(text), "preview-%zu-%03d.png", picture + 1, step);
  return text;
}

PreviewOutput::PreviewOutput(const PreviewOptions& options, ProgressBar& bar, RunContext& context)
    : bar_(bar) {
  if (options.where.empty()) return;
  for (const std::string& where : options.where) {
    if (where.empty())
      throw Error(ErrorKind::kInvalidArgument, "--preview",
                  "must be terminal, blocks, sixel or a folder, got an empty name");
    if (where != "terminal" && where != "blocks" && where != "sixel") {
      make_folder(where);
      folders_.emplace_back(where);
      continue;
    }
    if (!stderr_is_terminal())
      throw Error(ErrorKind::kInvalidArgument, "--preview",
                  where + " needs stderr to be a terminal, it is not; name a folder for files");
    const bool as_sixel = where == "sixel" || (where == "terminal" && terminal_has_sixel());
    terminal_ = as_sixel ? Terminal::kSixel : Terminal::kBlocks;
  }
  context.preview_every = options.every;
  context.preview_size_px = options.size_px;
  context.on_preview = [this](const Preview& preview) { show(preview); };
}

void PreviewOutput::show(const Preview& preview) {
  const size_t picture = before_ + static_cast<size_t>(preview.picture);
  for (const std::filesystem::path& folder : folders_) {
    const UninterruptedSection whole;
    save_png(folder / preview_file_name(picture, preview.step), preview.image);
  }
  // Of a batch the terminal shows the first.
  if (terminal_ != Terminal::kNone && preview.picture == 0) draw(preview.image);
}

void PreviewOutput::draw(const Image& image) {
  bar_.clear();
  if (terminal_ == Terminal::kSixel) return draw_sixel(image);
  const winsize size = terminal_size();
  const Image small = fitting(image, size.ws_col - 1, 2 * std::max(size.ws_row - 3, 1));
  std::string text = "\r";
  if (drawn_rows_) text += "\x1B[" + std::to_string(drawn_rows_) + "A";
  text += half_blocks(small, takes_true_color());
  drawn_rows_ = (small.height_px + 1) / 2;
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void PreviewOutput::draw_sixel(const Image& image) {
  constexpr int kUsualRowPx = 20;
  const winsize size = terminal_size();
  const int row_px = size.ws_ypixel ? std::max(size.ws_ypixel / size.ws_row, 1) : kUsualRowPx;
  const int most_rows = std::max(size.ws_row - 3, 1);
  const Image small =
      fitting(image, size.ws_xpixel ? size.ws_xpixel : image.width_px, most_rows * row_px);
  const int rows = std::min((small.height_px + row_px - 1) / row_px, most_rows);
  std::string text = "\r";
  if (drawn_rows_) text += "\x1B[" + std::to_string(drawn_rows_) + "A";
  // Room first, so that nothing scrolls between saving the cursor and coming back to it.
  text += std::string(static_cast<size_t>(rows), '\n') + "\x1B[" + std::to_string(rows) + "A\x1B" +
          "7" + sixel(small) + "\x1B" + "8\x1B[" + std::to_string(rows) + "B";
  drawn_rows_ = rows;
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace tintype::cli
