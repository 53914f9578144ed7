/// Progress, cancellation and deadline of one request. Public.
/// Thread-safety: `cancel()` may be called from any thread (also from a signal handler); the rest
/// belongs to the thread that runs the request.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tintype/image.h"

namespace tintype {

/// The parts of a request, in the order they run.
enum class Stage { kLoad, kEncodePrompt, kEncodeImage, kDenoise, kDecode, kUpscale, kSave };

/// Stable lower-case name of a stage ("denoise"), as printed in JSON.
std::string_view to_string(Stage stage) noexcept;

/// One report: `step` of `steps` parts of `stage` are done (0 of n announces the stage).
struct Progress {
  Stage stage;
  int step;
  int steps;
};

/// What a picture will look like, guessed after a step from the network's latest answer by a linear
/// map of the latents' channels to colours.
struct Preview {
  int picture;  ///< index in the batch
  int step;     ///< network calls done, of `steps`
  int steps;
  Image image;
};

class RunContext {
 public:
  using Clock = std::chrono::steady_clock;

  /// Called on the running thread after each step. An exception it throws ends the request.
  std::function<void(const Progress&)> on_progress;
  /// Called on the running thread after every `preview_every` network calls, once for each picture
  /// of the batch, before that step's progress. Unset: no previews, and nothing is computed.
  std::function<void(const Preview&)> on_preview;
  int preview_every = 1;    ///< at least 1
  int preview_size_px = 0;  ///< longer side, 0..2048; 0: one pixel a latent
  /// Called on the running thread after each network call of a drawing, with what brings another
  /// run of the same request to this point: bytes whose form is this version's own, as large as the
  /// latents. Unset: nothing is computed for it.
  std::function<void(std::string)> on_step_saved;
  /// What on_step_saved told an earlier run of the same request, in that order, as much of it as
  /// there is. Those network calls are not made again, and the pictures are the same bit for bit.
  /// Records that do not fit the request are made anew. Their calls bring progress and no previews.
  std::vector<std::string> saved_steps = {};
  /// Checked between steps; unset means no limit.
  std::optional<Clock::time_point> deadline;

  /// Ask the request to stop; it ends with ErrorKind::kCancelled within one step.
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  /// throws kCancelled or kDeadlineExceeded; called between steps, never inside kernels
  void check() const;
  /// Reports progress, then checks.
  void report(Stage stage, int step, int steps) const;

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace tintype
