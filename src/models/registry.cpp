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
std::unique_ptr<Model> build(const Component& component, Device device,
                             std::initializer_list<const char*> ignored, const More&... more) {
  const Config config = Config::from_json(JsonObject(component.config, component.config_origin));
  WeightLoader loader(component.name, component.open(), device, component.precision);
  for (const char* name : ignored) loader.ignore(name);
  if (component.packing) loader.count_packing(*component.packing);
  if (component.sink) loader.record(*component.sink);
  auto model = std::make_unique<Model>(loader.root(), config, more...);
  loader.finish();
  return model;
}

template <typename Role>
struct Entry {
  const char* class_name;
  std::unique_ptr<Role> (*load)(const Component&, Device);
};

std::unique_ptr<TextEncoder> build_clip(const Component& component, Device device,
                                        ClipTextModel::Pooling pooling) {
  // Older files carry the position numbers 0..76 as a tensor. A projection is left over where a
  // model that does not pool was cut out of one that does; the reference skips it too.
  return build<ClipTextModel, ClipTextConfig>(
      component, device,
      {"text_model.embeddings.position_ids", "embeddings.position_ids", "text_projection.weight"},
      pooling);
}

constexpr std::array kTextEncoders = {
    Entry<TextEncoder>{"CLIPTextModel",
                       [](const Component& component, Device device) {
                         return build_clip(component, device, ClipTextModel::Pooling::kNone);
                       }},
    Entry<TextEncoder>{"CLIPTextModelWithProjection",
                       [](const Component& component, Device device) {
                         return build_clip(component, device, ClipTextModel::Pooling::kProjected);
                       }}};

constexpr std::array kDenoisingNetworks = {Entry<DenoisingNetwork>{
    "UNet2DConditionModel", [](const Component& component, Device device) {
      return std::unique_ptr<DenoisingNetwork>(
          build<Unet2dConditionModel, Unet2dConditionConfig>(component, device, {}));
    }}};

constexpr std::array kLatentCodecs = {
    Entry<LatentCodec>{"AutoencoderKL", [](const Component& component, Device device) {
                         return std::unique_ptr<LatentCodec>(
                             build<AutoencoderKl, AutoencoderKlConfig>(component, device, {}));
                       }}};

template <typename Role, size_t N>
std::unique_ptr<Role> load(const std::array<Entry<Role>, N>& table, const Component& component,
                           Device device) {
  std::string known;
  for (const Entry<Role>& entry : table) {
    if (component.class_name == entry.class_name) return entry.load(component, device);
    known += cat(known.empty() ? "" : ", ", entry.class_name);
  }
  fail(ErrorKind::kUnsupported, component.name, "the class must be one of ", known, ", got \"",
       printable(component.class_name), "\"");
}

}  // namespace

std::unique_ptr<TextEncoder> load_text_encoder(const Component& component, Device device) {
  return load(kTextEncoders, component, device);
}

std::unique_ptr<DenoisingNetwork> load_denoising_network(const Component& component,
                                                         Device device) {
  return load(kDenoisingNetworks, component, device);
}

std::unique_ptr<LatentCodec> load_latent_codec(const Component& component, Device device) {
  return load(kLatentCodecs, component, device);
}

Component folder_component(const std::filesystem::path& folder, std::string class_name) {
  const std::filesystem::path config = folder / "config.json";
  // transformers and diffusers name their files differently.
  const char* stem = class_name.starts_with("CLIP") ? "model" : "diffusion_pytorch_model";
  return {.name = folder.filename().string(),
          .class_name = std::move(class_name),
          .config_origin = config.string(),
          .config = read_json_file(config),
          .open = [folder, stem] { return open_component(folder, stem); }};
}

}  // namespace tintype
