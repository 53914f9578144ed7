#include "tintype/run_context.h"

#include "base/check.h"

namespace tintype {

std::string_view to_string(Stage stage) noexcept {
  switch (stage) {
    case Stage::kLoad:
      return "load";
    case Stage::kEncodePrompt:
      return "encode_prompt";
    case Stage::kEncodeImage:
      return "encode_image";
    case Stage::kDenoise:
      return "denoise";
    case Stage::kDecode:
      return "decode";
    case Stage::kUpscale:
      return "upscale";
    case Stage::kSave:
      return "save";
  }
  return "unknown";
}

void RunContext::check() const {
  if (cancelled()) fail(ErrorKind::kCancelled, "run", "the request was cancelled");
  if (deadline && Clock::now() >= *deadline)
    fail(ErrorKind::kDeadlineExceeded, "run", "the deadline passed before the request finished");
}

void RunContext::report(Stage stage, int step, int steps) const {
  if (on_progress) on_progress({stage, step, steps});
  check();
}

}  // namespace tintype
