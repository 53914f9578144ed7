/// Pictures drawn beside the program's own work: jobs with priorities, progress and cancellation.
///   example_background_jobs MODEL PROMPT FILE.png [STEPS]
#include <cstdio>
#include <cstdlib>

#include "tintype/tintype.h"

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s MODEL PROMPT FILE.png [STEPS]\n", argv[0]);
    return 2;
  }
  try {
    const tintype::Engine engine;
    const auto model = engine.load(argv[1]);

    tintype::TextToImageRequest request;
    request.prompt = argv[2];
    request.seed = 7;
    if (argc > 4) request.steps = std::atoi(argv[4]);

    tintype::JobOptions options;
    options.on_progress = [](const tintype::Progress& progress) {
      if (progress.stage == tintype::Stage::kDenoise)
        std::fprintf(stderr, "step %d of %d\n", progress.step, progress.steps);
    };
    const tintype::Job wanted = engine.submit(model, request, options);
    const tintype::Job unwanted = engine.submit(model, request);
    unwanted.cancel();

    // Time for something else; get() waits and throws what the job ended with.
    const auto results = wanted.get();
    tintype::save_png(argv[3], results.front().image,
                      {{"parameters", tintype::parameters_text(results.front().settings)}});
    const bool stopped = unwanted.state() == tintype::SubmittedState::kCancelled;
    std::fprintf(stderr, "the other job was %s\n", stopped ? "cancelled" : "too fast to cancel");
  } catch (const tintype::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
