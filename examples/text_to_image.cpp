/// The smallest whole program: one picture from one prompt.
///   example_text_to_image MODEL PROMPT FILE.png [STEPS]
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

    tintype::RunContext context;
    context.on_progress = [](const tintype::Progress& progress) {
      if (progress.stage == tintype::Stage::kDenoise)
        std::fprintf(stderr, "step %d of %d\n", progress.step, progress.steps);
    };
    const auto result = engine.text_to_image(*model, request, context);
    tintype::save_png(argv[3], result.image,
                      {{"parameters", tintype::parameters_text(result.settings)}});
  } catch (const tintype::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
