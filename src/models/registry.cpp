#include "models/registry.h"

#include <array>

#include "base/json.h"
#include "base/text.h"
#include "models/autoencoder_kl/autoencoder_kl.h"
#include "models/clip_text/clip_text.h"
#include "models/unet_2d_condition/unet_2d_condition.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

/// Builds Model from its config and weights, strictly.
template <typename Model, typename Config, typename... More>
std::unique_ptr<Model> build(const ComponentLocation& location, Device device,
                             std::initializer_list<const char*> ignored, const More&... more) {
  const std::filesystem::path config_path = location.folder / "config.json";
  const Json json = read_json_file(config_path);
  const Config config = Config::from_json(JsonObject(json, config_path.string()));
  WeightLoader loader(location.folder.filename().string(),
                      open_component(location.folder, weights_stem(location.class_name)), device);
  for (const char* name : ignored) loader.ignore(name);
  auto model = std::make_unique<Model>(loader.root(), config, more...);
  loader.finish();
  return model;
}

template <typename Role>
struct Entry {
  const char* class_name;
  std::unique_ptr<Role> (*load)(const ComponentLocation&, Device);
};

std::unique_ptr<TextEncoder> build_clip(const ComponentLocation& location, Device device,
                                        ClipTextModel::Pooling pooling) {
  // Older files carry the position numbers 0..76 as a tensor. A projection is left over where a
  // model that does not pool was cut out of one that does; the reference skips it too.
  return build<ClipTextModel, ClipTextConfig>(
      location, device,
      {"text_model.embeddings.position_ids", "embeddings.position_ids", "text_projection.weight"},
      pooling);
}

constexpr std::array kTextEncoders = {
    Entry<TextEncoder>{"CLIPTextModel",
                       [](const ComponentLocation& location, Device device) {
                         return build_clip(location, device, ClipTextModel::Pooling::kNone);
                       }},
    Entry<TextEncoder>{"CLIPTextModelWithProjection",
                       [](const ComponentLocation& location, Device device) {
                         return build_clip(location, device, ClipTextModel::Pooling::kProjected);
                       }}};

constexpr std::array kDenoisingNetworks = {Entry<DenoisingNetwork>{
    "UNet2DConditionModel", [](const ComponentLocation& location, Device device) {
      return std::unique_ptr<DenoisingNetwork>(
          build<Unet2dConditionModel, Unet2dConditionConfig>(location, device, {}));
    }}};

constexpr std::array kLatentCodecs = {
    Entry<LatentCodec>{"AutoencoderKL", [](const ComponentLocation& location, Device device) {
                         return std::unique_ptr<LatentCodec>(
                             build<AutoencoderKl, AutoencoderKlConfig>(location, device, {}));
                       }}};

template <typename Role, size_t N>
std::unique_ptr<Role> load(const std::array<Entry<Role>, N>& table,
                           const ComponentLocation& location, Device device) {
  std::string known;
  for (const Entry<Role>& entry : table) {
    if (location.class_name == entry.class_name) return entry.load(location, device);
    known += cat(known.empty() ? "" : ", ", entry.class_name);
  }
  fail(ErrorKind::kUnsupported, location.folder.string(), "the class must be one of ", known,
       ", got \"", printable(location.class_name), "\"");
}

}  // namespace

std::unique_ptr<TextEncoder> load_text_encoder(const ComponentLocation& location, Device device) {
  return load(kTextEncoders, location, device);
}

std::unique_ptr<DenoisingNetwork> load_denoising_network(const ComponentLocation& location,
                                                         Device device) {
  return load(kDenoisingNetworks, location, device);
}

std::unique_ptr<LatentCodec> load_latent_codec(const ComponentLocation& location, Device device) {
  return load(kLatentCodecs, location, device);
}

std::string weights_stem(const std::string& class_name) {
  // transformers and diffusers name their files differently.
  return class_name.starts_with("CLIP") ? "model" : "diffusion_pytorch_model";
}

}  // namespace tintype
