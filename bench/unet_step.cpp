// One denoising step (a UNet forward) by itself: `unet_step -m MODEL`. With --serve it waits for
// the words of bench/peers (step, decode, memory, quit), so that resident programs can take turns.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "backend/registry.h"
#include "base/process_memory.h"
#include "models/precision.h"
#include "models/registry.h"
#include "ops/ops.h"

namespace {

using namespace tintype;

/// Runs and times.
template <typename Run>
double seconds_of(const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Tensor pattern(const Shape& shape, float scale) {
  Tensor x = empty_host(shape);
  uint32_t state = 1;
  for (float& value : x.mutable_span<float>()) {
    state = state * 1664525u + 1013904223u;
    value = scale * (static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
  return x;
}

struct Options {
  std::string model, profile = "exact";
  int64_t batch = 2, latent = 64, tokens = 77;
  int repeat = 5, threads = 0;
  bool serve = false;
};

int run(const Options& o) {
  const Backend& backend = backend_for(Device::kCpu);
  backend.use_threads(o.threads ? o.threads
                                : static_cast<int>(std::thread::hardware_concurrency()));
  Component component =
      folder_component(std::filesystem::path(o.model) / "unet", "UNet2DConditionModel");
  component.precision = precision_plan(o.profile, component.class_name);
  const auto unet = load_denoising_network(component, Device::kCpu);
  const Tensor x = pattern(Shape{1, o.latent, o.latent, unet->traits().in_channels}, 1.7f);
  // As in a request: keys and values of the text are kept from the first call on.
  const Conditioning conditioning{
      .context = pattern(Shape{o.batch, o.tokens, unet->traits().context_width}, 1.7f),
      .projections = std::make_shared<ContextProjections>()};
  const auto step = [&] { return seconds_of([&] { unet->forward(x, 501.0f, conditioning); }); };
  std::unique_ptr<LatentCodec> vae;  // loaded when first asked for
  const auto decode = [&] {
    if (!vae) {
      Component codec = folder_component(std::filesystem::path(o.model) / "vae", "AutoencoderKL");
      codec.precision = precision_plan(o.profile, codec.class_name);
      vae = load_latent_codec(codec, Device::kCpu);
    }
    const Tensor latents =
        pattern(Shape{1, o.latent, o.latent, vae->traits().latent_channels}, 1.7f);
    return seconds_of([&] { vae->decode(latents); });
  };
  step();  // warm-up: first touch of the weights and of the activation cache
  if (!o.serve) {
    std::vector<double> seconds;
    for (int i = 0; i < o.repeat; ++i) seconds.push_back(step());
    std::sort(seconds.begin(), seconds.end());
    std::cout << "step: median " << seconds[seconds.size() / 2] << " s, min " << seconds.front()
              << " s, max " << seconds.back() << " s; peak memory " << (peak_resident_bytes() >> 20)
              << " MiB\n";
    return 0;
  }
  std::cout << "ready" << std::endl;
  for (std::string word; std::cin >> word && word != "quit";) {
    if (word == "step") std::cout << step() << std::endl;
    if (word == "decode") std::cout << decode() << std::endl;
    if (word == "memory") std::cout << peak_resident_bytes() << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Times one UNet forward"};
  app.add_option("-m,--model", options.model, "diffusers folder")->required();
  app.add_option("--profile", options.profile, "exact, balanced");
  app.add_option("--batch", options.batch, "rows of conditioning of one image, two with guidance");
  app.add_option("--latent", options.latent, "height and width of the latents");
  app.add_option("--tokens", options.tokens, "text positions");
  app.add_option("--repeat", options.repeat)->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads);
  app.add_flag("--serve", options.serve, "answer step, decode, memory, quit on standard input");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
