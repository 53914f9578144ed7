#include "cli/terminal_picture.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tintype::cli {
namespace {

constexpr int kLevels = 6;  // of red, green and blue: the cube of 256-colour terminals
constexpr int kSixelRows = 6;

const uint8_t* pixel(const Image& image, int x, int y) {
  return image.rgb.data() +
         (static_cast<size_t>(y) * static_cast<size_t>(image.width_px) + static_cast<size_t>(x)) *
             3;
}

int cube_index(const uint8_t* rgb) {
  const auto level = [](uint8_t value) { return (value * (kLevels - 1) + 127) / 255; };
  return (level(rgb[0]) * kLevels + level(rgb[1])) * kLevels + level(rgb[2]);
}

/// Select graphic rendition: `ground` 38 (text) or 48 (behind it).
std::string colour(int ground, const uint8_t* rgb, bool true_color) {
  const std::string head = "\x1B[" + std::to_string(ground);
  if (!true_color) return head + ";5;" + std::to_string(16 + cube_index(rgb)) + "m";
  return head + ";2;" + std::to_string(rgb[0]) + ";" + std::to_string(rgb[1]) + ";" +
         std::to_string(rgb[2]) + "m";
}

/// `count` times the sixel `bits`, as a run where that is shorter.
void add_run(std::string& out, int count, int bits) {
  const char sign = static_cast<char>(63 + bits);
  if (count > 3)
    out += "!" + std::to_string(count) + sign;
  else
    out.append(static_cast<size_t>(count), sign);
}

/// The pixels of one colour in a band of six rows.
std::string sixel_line(const std::vector<std::array<int, kSixelRows>>& band, int wanted) {
  std::string out;
  int count = 0, last = 0;
  for (const auto& column : band) {
    int bits = 0;
    for (int i = 0; i < kSixelRows; ++i)
      if (column[static_cast<size_t>(i)] == wanted) bits |= 1 << i;
    if (count > 0 && bits != last) {
      add_run(out, count, last);
      count = 0;
    }
    last = bits;
    ++count;
  }
  if (last != 0) add_run(out, count, last);  // what is empty up to the end need not be said
  return out;
}

/// Puts the terminal into a state in which its answer can be read, and back.
class RawTerminal {
 public:
  RawTerminal() {
    active_ = ::isatty(STDERR_FILENO) == 1 &&
              ::tcgetpgrp(STDERR_FILENO) == ::getpgrp() &&  // else changing it would stop us
              ::tcgetattr(STDERR_FILENO, &before_) == 0;
    if (!active_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    active_ = ::tcsetattr(STDERR_FILENO, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) ::tcsetattr(STDERR_FILENO, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  bool active() const { return active_; }

 private:
  bool active_ = false;
  termios before_{};
};

}  // namespace

Image shrunk(const Image& image, int width_px, int height_px) {
  const int width = std::clamp(width_px, 1, image.width_px);
  const int height = std::clamp(height_px, 1, image.height_px);
  const auto edge = [](int i, int to, int from) {
    return static_cast<int>(int64_t{i} * from / to);
  };
  Image result{.width_px = width, .height_px = height, .rgb = {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int top = edge(y, height, image.height_px),
                bottom = edge(y + 1, height, image.height_px);
      const int left = edge(x, width, image.width_px), right = edge(x + 1, width, image.width_px);
      std::array<int64_t, 3> sum{};
      for (int v = top; v < bottom; ++v)
        for (int u = left; u < right; ++u)
          for (size_t k = 0; k < 3; ++k) sum[k] += pixel(image, u, v)[k];
      const int64_t count = int64_t{bottom - top} * (right - left);
      for (const int64_t value : sum)
        result.rgb.push_back(static_cast<uint8_t>((value + count / 2) / count));
    }
  return result;
}

std::string half_blocks(const Image& image, bool true_color) {
  std::string out;
  for (int y = 0; y < image.height_px; y += 2) {
    for (int x = 0; x < image.width_px; ++x) {
      out += colour(38, pixel(image, x, y), true_color);
      if (y + 1 < image.height_px) out += colour(48, pixel(image, x, y + 1), true_color);
      out += "\u2580";
    }
    out += "\x1B[0m\n";
  }
  return out;
}

std::string sixel(const Image& image) {
  std::string out =
      "\x1BPq\"1;1;" + std::to_string(image.width_px) + ";" + std::to_string(image.height_px);
  std::vector<bool> defined(kLevels * kLevels * kLevels, false);
  for (int top = 0; top < image.height_px; top += kSixelRows) {
    std::vector<std::array<int, kSixelRows>> band(static_cast<size_t>(image.width_px));
    std::vector<bool> used(defined.size(), false);
    for (int x = 0; x < image.width_px; ++x)
      for (int i = 0; i < kSixelRows; ++i) {
        const bool inside = top + i < image.height_px;
        const int index = inside ? cube_index(pixel(image, x, top + i)) : -1;
        band[static_cast<size_t>(x)][static_cast<size_t>(i)] = index;
        if (inside) used[static_cast<size_t>(index)] = true;
      }
    for (int index = 0; index < static_cast<int>(used.size()); ++index) {
      if (!used[static_cast<size_t>(index)]) continue;
      const std::string name = "#" + std::to_string(index);
      if (!defined[static_cast<size_t>(index)]) {
        const auto percent = [](int level) { return std::to_string(level * 100 / (kLevels - 1)); };
        out += name + ";2;" + percent(index / (kLevels * kLevels)) + ";" +
               percent(index / kLevels % kLevels) + ";" + percent(index % kLevels);
        defined[static_cast<size_t>(index)] = true;
      }
      out += name + sixel_line(band, index) + "$";
    }
    out += "-";
  }
  return out + "\x1B\\";
}

bool answer_names_sixel(std::string_view answer) {
  const size_t start = answer.find("\x1B[?");
  if (start == std::string_view::npos) return false;
  const size_t end = answer.find('c', start);
  if (end == std::string_view::npos) return false;
  std::string_view list = answer.substr(start + 3, end - start - 3);
  for (bool first = true; !list.empty(); first = false) {
    const std::string_view entry = list.substr(0, list.find(';'));
    if (!first && entry == "4") return true;  // the first is the terminal's class
    list.remove_prefix(std::min(entry.size() + 1, list.size()));
  }
  return false;
}

bool terminal_has_sixel() {
  using Clock = std::chrono::steady_clock;
  constexpr std::string_view kQuestion = "\x1B[c";
  constexpr size_t kLongestAnswer = 256;
  const RawTerminal terminal;
  if (!terminal.active() || ::write(STDERR_FILENO, kQuestion.data(), kQuestion.size()) !=
                                static_cast<ssize_t>(kQuestion.size()))
    return false;
  const Clock::time_point limit = Clock::now() + std::chrono::milliseconds(200);
  std::string answer;
  while (answer.size() < kLongestAnswer && answer.find('c') == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now()).count();
    pollfd ready{.fd = STDERR_FILENO, .events = POLLIN, .revents = 0};
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) break;
    char text[64];
    const ssize_t count = ::read(STDERR_FILENO, text, sizeof(text));
    if (count <= 0) break;
    answer.append(text, static_cast<size_t>(count));
  }
  return answer_names_sixel(answer);
}

}  // namespace tintype::cli
