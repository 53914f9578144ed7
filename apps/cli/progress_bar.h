/// One line on stderr that shows where a request is: stage, step, rate, time left. Drawn only on a
/// terminal; otherwise silent, so logs and pipes stay clean.
/// Thread-safety: single-thread.
#pragma once

#include <chrono>
#include <string>

#include "tintype/run_context.h"

namespace tintype::cli {

/// The line for `progress` after `elapsed_s` seconds of its stage, at most `columns` wide.
/// "denoise  7/20 [=======>            ]  1.52 it/s  8.6 s left"
std::string progress_line(const Progress& progress, double elapsed_s, int columns);

/// True when stderr is a terminal that understands control sequences.
bool stderr_is_terminal();
/// True when messages on stderr may be coloured: a terminal, and NO_COLOR is unset or empty.
bool stderr_takes_color();

class ProgressBar {
 public:
  ProgressBar() : enabled_(stderr_is_terminal()), color_(stderr_takes_color()) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(const Progress& progress);
  /// Leaves an empty line for what is printed next.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool enabled_;
  bool color_;
  bool drawn_ = false;
  Stage stage_ = Stage::kLoad;
  Clock::time_point stage_start_ = Clock::now();
  Clock::time_point last_draw_{};
};

}  // namespace tintype::cli
