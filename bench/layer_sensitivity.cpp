// How far pictures move when only one class of layers is 8-bit: the measurement behind the tables
// of src/models/precision.cpp, written down in docs/profiles.md.
//   layer_sensitivity MODEL PROMPTS.txt [COUNT [STEPS [GUIDANCE]]]
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "backend/registry.h"
#include "pipelines/text_to_image.h"
#include "tintype/similarity.h"

namespace {

using namespace tintype;

struct Case {
  const char* name;
  std::vector<const char*> network, codec;  ///< patterns of the layers that are 8-bit
};

const std::vector<Case> kCases = {
    {"UNet: all", {"*"}, {}},
    {"UNet: conv_in", {"conv_in"}, {}},
    {"UNet: conv_out", {"conv_out"}, {}},
    {"UNet: time_embedding", {"time_embedding.*"}, {}},
    {"UNet: time_emb_proj", {"*.time_emb_proj"}, {}},
    {"UNet: resnets' conv1", {"*resnets*.conv1"}, {}},
    {"UNet: resnets' conv2", {"*resnets*.conv2"}, {}},
    {"UNet: conv_shortcut", {"*.conv_shortcut"}, {}},
    {"UNet: down- and upsamplers", {"*samplers*"}, {}},
    {"UNet: proj_in, proj_out", {"*.proj_in", "*.proj_out"}, {}},
    {"UNet: attn1 q, k", {"*.attn1.to_q", "*.attn1.to_k"}, {}},
    {"UNet: attn1 v", {"*.attn1.to_v"}, {}},
    {"UNet: attn2 q", {"*.attn2.to_q"}, {}},
    {"UNet: attn2 k, v", {"*.attn2.to_k", "*.attn2.to_v"}, {}},
    {"UNet: to_out", {"*.to_out.0"}, {}},
    {"UNet: ff.net.0", {"*.ff.net.0.proj"}, {}},
    {"UNet: ff.net.2", {"*.ff.net.2"}, {}},
    {"VAE: all", {}, {"*"}},
    {"VAE: post_quant_conv", {}, {"post_quant_conv"}},
    {"VAE: conv_in", {}, {"decoder.conv_in"}},
    {"VAE: mid_block", {}, {"decoder.mid_block.*"}},
    {"VAE: up_blocks", {}, {"decoder.up_blocks.*"}},
    {"VAE: conv_out", {}, {"decoder.conv_out"}},
};

PrecisionPlan only(const std::vector<const char*>& patterns) {
  PrecisionPlan plan;
  for (const char* pattern : patterns) plan.rules.push_back({pattern, WeightFormat::kInt8});
  return plan;
}

struct Options {
  std::vector<std::string> prompts;
  int steps = 20;
  float guidance = 2.5f;
};

std::vector<Image> draw(const CheckpointLayout& layout, const Options& options) {
  const DiffusionModel model = DiffusionModel::load(layout, Device::kCpu, RunContext());
  std::vector<Image> pictures;
  TextToImageRequest request{.steps = options.steps, .guidance_scale = options.guidance, .seed = 0};
  for (const std::string& prompt : options.prompts) {
    request.prompt = prompt;
    auto results = text_to_images(model, resolve_settings(model, request), RunContext());
    pictures.push_back(std::move(results.front().image));
    count_up(request, 1);
  }
  return pictures;
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "layer_sensitivity MODEL PROMPTS.txt [COUNT [STEPS [GUIDANCE]]]\n";
    return 1;
  }
  Options options;
  const size_t count = argc > 3 ? static_cast<size_t>(std::atoi(argv[3])) : 10;
  if (argc > 4) options.steps = std::atoi(argv[4]);
  if (argc > 5) options.guidance = static_cast<float>(std::atof(argv[5]));
  std::ifstream file(argv[2]);
  for (std::string line; std::getline(file, line) && options.prompts.size() < count;)
    if (!line.empty() && line[0] != '#') options.prompts.push_back(line);
  CheckpointLayout layout = CheckpointLayout::read(argv[1]);
  const std::vector<Image> exact = draw(layout, options);
  std::cout << "| 8-bit layers | PSNR mean | min |\n|---|---|---|\n";
  for (const Case& one : kCases) {
    layout.network.precision = only(one.network);
    layout.codec.precision = only(one.codec);
    const std::vector<Image> pictures = draw(layout, options);
    double sum = 0, least = 1e9;
    for (size_t i = 0; i < exact.size(); ++i) {
      const double db = std::min(110.0, psnr(exact[i], pictures[i]));
      sum += db;
      least = std::min(least, db);
    }
    std::cout.precision(3);
    std::cout << "| " << one.name << " | " << sum / static_cast<double>(exact.size()) << " | "
              << least << " |" << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const tintype::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
