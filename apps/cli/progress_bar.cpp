#include "cli/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cli/format.h"

namespace tintype::cli {
namespace {

constexpr int kMaxBarColumns = 30;
constexpr int kMinBarColumns = 5;

const char* label(Stage stage) {
  switch (stage) {
    case Stage::kLoad:
      return "loading";
    case Stage::kEncodePrompt:
      return "reading the prompt";
    case Stage::kEncodeImage:
      return "reading the picture";
    case Stage::kDenoise:
      return "drawing";
    case Stage::kDecode:
      return "decoding";
    case Stage::kUpscale:
      return "upscaling";
    case Stage::kSave:
      return "saving";
  }
  return "";
}

std::string bar(int step, int steps, int columns) {
  const int filled = steps > 0 ? static_cast<int>(int64_t{columns} * step / steps) : 0;
  std::string out(static_cast<size_t>(filled), '=');
  if (filled < columns) out += '>';
  out.resize(static_cast<size_t>(columns), ' ');
  return " [" + out + "]";
}

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string progress_line(const Progress& progress, double elapsed_s, int columns) {
  const int steps = std::max(progress.steps, 1);
  const int step = std::clamp(progress.step, 0, steps);
  const std::string head =
      std::string(label(progress.stage)) + " " + std::to_string(step) + "/" + std::to_string(steps);
  std::string tail;
  if (step > 0 && elapsed_s > 0) {
    const double rate = step / elapsed_s;
    tail = "  " + format_rate(rate) + "  " + format_seconds((steps - step) / rate) + " left";
  }
  const int room = columns - static_cast<int>(head.size() + tail.size()) - 3;  // " [" and "]"
  std::string line = head;
  if (room >= kMinBarColumns) line += bar(step, steps, std::min(room, kMaxBarColumns));
  line += tail;
  return line.substr(0, static_cast<size_t>(std::max(columns, 0)));
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

bool stderr_takes_color() {
  const char* no_color = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (no_color == nullptr || *no_color == '\0');
}

void ProgressBar::show(const Progress& progress) {
  const Clock::time_point now = Clock::now();
  const bool new_stage = progress.stage != stage_ || progress.step == 0;
  if (new_stage) {
    stage_ = progress.stage;
    stage_start_ = now;
  }
  // Loading reports hundreds of tensors a second; twenty redraws are enough for the eye.
  const bool due = now - last_draw_ >= std::chrono::milliseconds(50);
  if (!enabled_ || !(due || new_stage || progress.step == progress.steps)) return;
  last_draw_ = now;
  const double elapsed_s = std::chrono::duration<double>(now - stage_start_).count();
  // One column less: a terminal wraps when the last one is filled.
  const std::string line = progress_line(progress, elapsed_s, terminal_columns() - 1);
  std::fprintf(stderr, color_ ? "\r\x1B[K\x1B[36m%s\x1B[0m" : "\r\x1B[K%s", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  std::fputs("\r\x1B[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace tintype::cli
