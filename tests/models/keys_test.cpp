/// Single-file checkpoints: the full list of names and shapes of each released layout must map onto
/// exactly the reference's list; and what else a file can be.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/expect_error.h"
#include "models/autoencoder_kl/autoencoder_kl.h"
#include "models/averaged_network.h"
#include "models/clip_text/clip_text.h"
#include "models/single_file.h"
#include "models/unet_2d_condition/config.h"
#include "models/unet_2d_condition/unet_2d_condition.h"
#include "tensor/allocator.h"
#include "weights/find_by_name.h"

namespace tintype {
namespace {

using testing::expect_error;

using Names = std::map<std::string, Shape>;

/// Names and shapes without data; one tensor can have some.
class ListSource final : public TensorSource {
 public:
  explicit ListSource(const Names& names) {
    for (const auto& [name, shape] : names) entries_.push_back({name, DType::kF16, shape});
  }
  void add_unreadable(std::string name, std::optional<int64_t> number = {}) {
    unreadable_.push_back({std::move(name), "I64", {}, number});
  }
  void set(std::string_view name, Tensor tensor) {
    for (Entry& entry : entries_)
      if (entry.name == name) entry.dtype = tensor.dtype();
    tensors_.emplace(name, std::move(tensor));
  }
  std::span<const Entry> entries() const override { return entries_; }
  std::span<const Unreadable> unreadable() const override { return unreadable_; }
  Tensor read(const Entry& entry) const override {
    const auto found = tensors_.find(entry.name);
    if (found != tensors_.end()) return found->second;
    // Transposed on reading, so it needs bytes; the rest is for a device that reads nothing.
    if (entry.name.ends_with("text_projection")) return empty_host(entry.shape, entry.dtype);
    const size_t bytes = static_cast<size_t>(entry.shape.numel()) * size_of(entry.dtype);
    return Tensor(std::make_shared<Storage>(nullptr, bytes, Device::kCpu), 0, entry.dtype,
                  entry.shape);
  }
  const std::string& origin() const override { return origin_; }

 private:
  std::vector<Entry> entries_;
  std::vector<Unreadable> unreadable_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::string origin_ = "model.safetensors";
};

/// One line of a list that tools/reference/export_keys.py wrote: an indented tree, a tensor's line
/// ends in its shape and, in diffusers' lists, the number of the original tensor that it is.
struct Line {
  std::string name;
  Shape shape;
  size_t original = 0;
};

std::vector<Line> read_lines(const std::string& file) {
  std::ifstream in(std::string(TT_FIXTURES) + "/keys/" + file + ".keys");
  EXPECT_TRUE(in) << file;
  std::vector<Line> lines;
  std::vector<std::string> path;
  for (std::string text; std::getline(in, text);) {
    const size_t depth = text.find_first_not_of(' ');
    const size_t shape = text.find(" [", depth);
    path.resize(depth);
    path.push_back(text.substr(depth, shape - depth));
    if (shape == std::string::npos) continue;
    Line line;
    for (const std::string& segment : path) line.name += (line.name.empty() ? "" : ".") + segment;
    const size_t end = text.find(']', shape);
    std::vector<int64_t> dims;
    for (size_t at = shape + 2; at < end;) {
      size_t used = 0;
      dims.push_back(std::stoll(text.substr(at), &used));
      at += used + (text[at + used] == ',' ? 1 : 0);
    }
    line.shape = Shape(dims);
    if (end + 1 < text.size()) line.original = std::stoull(text.substr(end + 1));
    lines.push_back(std::move(line));
  }
  return lines;
}

Names read_names(const std::string& file) {
  Names names;
  for (Line& line : read_lines(file)) names.emplace(std::move(line.name), line.shape);
  return names;
}

/// `names` whose first `prefix` becomes `with`.
Names with_prefix(const Names& names, std::string_view prefix, const std::string& with) {
  Names result;
  for (const auto& [name, shape] : names)
    result.emplace(name.starts_with(prefix) ? with + name.substr(prefix.size()) : name, shape);
  return result;
}

void erase_below(Names& names, std::string_view prefix) {
  std::erase_if(names, [&](const auto& item) { return item.first.starts_with(prefix); });
}

/// All tensors of all parts under their folder's name, as the reference's lists have them.
std::map<std::string, TensorSource::Entry> mapped_entries(
    const std::shared_ptr<const TensorSource>& source, const SingleFileCheckpoint& checkpoint) {
  std::map<std::string, TensorSource::Entry> entries;
  const auto add = [&](const std::string& folder, const std::optional<CheckpointPart>& part) {
    if (!part) return;
    const auto component = component_source(source, *part);
    for (const auto& entry : component->entries())
      EXPECT_TRUE(entries.emplace(folder + "." + entry.name, entry).second) << entry.name;
    EXPECT_TRUE(component->unreadable().empty());
  };
  add("unet", checkpoint.unet);
  add("vae", checkpoint.vae);
  add("text_encoder", checkpoint.text_encoders[0]);
  add("text_encoder_2", checkpoint.text_encoders[1]);
  return entries;
}

Names mapped(const std::shared_ptr<const TensorSource>& source,
             const SingleFileCheckpoint& checkpoint) {
  Names names;
  for (const auto& [name, entry] : mapped_entries(source, checkpoint))
    names.emplace(name, entry.shape);
  return names;
}

/// Every name on one side only, so that a failure reads well.
std::vector<std::string> differences(const Names& got, const Names& wanted) {
  std::vector<std::string> lines;
  for (const auto& [name, shape] : got) {
    const auto found = wanted.find(name);
    if (found == wanted.end())
      lines.push_back(cat("not in the reference: ", name, " ", shape));
    else if (found->second != shape)
      lines.push_back(cat(name, " must be ", found->second, ", got ", shape));
  }
  for (const auto& [name, shape] : wanted)
    if (!got.contains(name)) lines.push_back(cat("missing: ", name, " ", shape));
  return lines;
}

class EveryLayout : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryLayout, MapsOntoExactlyTheReferencesNamesAndShapes) {
  const auto source = std::make_shared<ListSource>(read_names(GetParam() + ".original"));
  const SingleFileCheckpoint checkpoint = identify_single_file(*source);
  EXPECT_EQ(differences(mapped(source, checkpoint), read_names(GetParam() + ".diffusers")),
            std::vector<std::string>());
  EXPECT_EQ(checkpoint.unclaimed, std::vector<std::string>());
  EXPECT_TRUE(checkpoint.unet && checkpoint.vae);
  EXPECT_EQ(checkpoint.unet->undecided, "");
}

TEST_P(EveryLayout, EachTensorComesFromWhereTheReferenceTakesIt) {
  const std::vector<Line> original = read_lines(GetParam() + ".original");
  const auto source = std::make_shared<ListSource>(read_names(GetParam() + ".original"));
  const auto entries = mapped_entries(source, identify_single_file(*source));
  std::vector<std::string> wrong;
  for (const Line& line : read_lines(GetParam() + ".diffusers")) {
    const std::string& from = entries.at(line.name).file_name;
    const std::string& wanted = original.at(line.original).name;
    if (from != wanted) wrong.push_back(cat(line.name, " must be ", wanted, ", got ", from));
  }
  EXPECT_EQ(wrong, std::vector<std::string>());
}

TEST_P(EveryLayout, ConfigsAreAcceptedByTheModels) {
  const ListSource source(read_names(GetParam() + ".original"));
  const SingleFileCheckpoint checkpoint = identify_single_file(source);
  const auto vae = AutoencoderKlConfig::from_json(JsonObject(checkpoint.vae->config, "vae"));
  EXPECT_EQ(vae.block_out_channels, (std::vector<int64_t>{128, 256, 512, 512}));
  EXPECT_EQ(vae.layers_per_block, 2);
  EXPECT_TRUE(vae.use_quant_conv && vae.mid_block_add_attention);
  for (const auto& part : checkpoint.text_encoders) {
    if (!part) continue;
    EXPECT_EQ(part->undecided, "");
    const auto text = ClipTextConfig::from_json(JsonObject(part->config, "text"));
    EXPECT_EQ(text.hidden_size, 64 * text.num_attention_heads);
    EXPECT_EQ(text.intermediate_size, 4 * text.hidden_size);
  }
}

/// The constructors themselves, strictly, on the device that only counts.
template <typename Model, typename Config, typename... More>
void expect_loads(const std::shared_ptr<const TensorSource>& source, const CheckpointPart& part,
                  const More&... more) {
  const Config config = Config::from_json(JsonObject(part.config, part.class_name));
  WeightLoader loader(part.class_name, component_source(source, part), Device::kMeta);
  const Model model(loader.root(), config, more...);
  EXPECT_NO_THROW(loader.finish()) << part.class_name;
}

class LoadedLayout : public EveryLayout {};

TEST_P(LoadedLayout, NetworksLoadFromItUnchanged) {
  const auto source = std::make_shared<ListSource>(read_names(GetParam() + ".original"));
  const SingleFileCheckpoint checkpoint = identify_single_file(*source);
  expect_loads<Unet2dConditionModel, Unet2dConditionConfig>(source, *checkpoint.unet);
  expect_loads<AutoencoderKl, AutoencoderKlConfig>(source, *checkpoint.vae);
  for (const auto& part : checkpoint.text_encoders)
    if (part)
      expect_loads<ClipTextModel, ClipTextConfig>(source, *part,
                                                  part->class_name == "CLIPTextModelWithProjection"
                                                      ? ClipTextModel::Pooling::kProjected
                                                      : ClipTextModel::Pooling::kNone);
}

INSTANTIATE_TEST_SUITE_P(Keys, LoadedLayout,
                         ::testing::Values("sd15", "sd21", "sdxl", "sdxl-refiner"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

INSTANTIATE_TEST_SUITE_P(Keys, EveryLayout,
                         ::testing::Values("sd15", "sd21", "sdxl", "sdxl-refiner"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

SingleFileCheckpoint identify(const Names& names) {
  return identify_single_file(ListSource(names));
}

TEST(SingleFile, Sd15ConfigIsTheReleasedOne) {
  const auto checkpoint = identify(read_names("sd15.original"));
  const Json& unet = checkpoint.unet->config;
  EXPECT_EQ(unet["block_out_channels"], Json({320, 640, 1280, 1280}));
  EXPECT_EQ(unet["down_block_types"], Json({"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                            "CrossAttnDownBlock2D", "DownBlock2D"}));
  EXPECT_EQ(unet["up_block_types"],
            Json({"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}));
  EXPECT_EQ(unet["attention_head_dim"], Json({8, 8, 8, 8}));
  EXPECT_EQ(unet["cross_attention_dim"], 768);
  EXPECT_EQ(unet["use_linear_projection"], false);
  EXPECT_FALSE(unet.contains("addition_embed_type"));
  EXPECT_EQ(checkpoint.text_encoders[0]->config["hidden_act"], "quick_gelu");
  EXPECT_EQ(checkpoint.text_encoders[0]->config["num_attention_heads"], 12);
  EXPECT_EQ(checkpoint.vae->config["scaling_factor"], 0.18215);
  EXPECT_EQ(checkpoint.scheduler["_class_name"], "PNDMScheduler");
  EXPECT_FALSE(checkpoint.ambiguous_prediction);
  EXPECT_NO_THROW(Unet2dConditionConfig::from_json(JsonObject(unet, "unet")));
}

TEST(SingleFile, Sd21ConfigHasOneTextLayerLessAndAnOpenPrediction) {
  const auto checkpoint = identify(read_names("sd21.original"));
  const Json& unet = checkpoint.unet->config;
  EXPECT_EQ(unet["attention_head_dim"], Json({5, 10, 20, 20}));
  EXPECT_EQ(unet["cross_attention_dim"], 1024);
  EXPECT_EQ(unet["use_linear_projection"], true);
  const Json& text = checkpoint.text_encoders[0]->config;
  EXPECT_EQ(text["num_hidden_layers"], 23);
  EXPECT_EQ(text["hidden_act"], "gelu");
  EXPECT_EQ(text["num_attention_heads"], 16);
  EXPECT_TRUE(checkpoint.ambiguous_prediction);
}

TEST(SingleFile, SdxlConfigsAreTheReleasedOnes) {
  const auto base = identify(read_names("sdxl.original"));
  EXPECT_EQ(base.unet->config["transformer_layers_per_block"], Json({1, 2, 10}));
  EXPECT_EQ(base.unet->config["attention_head_dim"], Json({5, 10, 20}));
  EXPECT_EQ(base.unet->config["projection_class_embeddings_input_dim"], 2816);
  EXPECT_EQ(base.unet->config["addition_time_embed_dim"], 256);
  EXPECT_EQ(base.unet->config["sample_size"], 128);
  EXPECT_EQ(base.text_encoders[0]->class_name, "CLIPTextModel");
  EXPECT_EQ(base.text_encoders[1]->class_name, "CLIPTextModelWithProjection");
  EXPECT_EQ(base.text_encoders[1]->config["projection_dim"], 1280);
  EXPECT_EQ(base.text_encoders[1]->config["num_hidden_layers"], 32);
  EXPECT_EQ(base.vae->config["scaling_factor"], 0.13025);
  EXPECT_EQ(base.scheduler["_class_name"], "EulerDiscreteScheduler");
  EXPECT_TRUE(base.family.zero_absent_negative);

  const auto refiner = identify(read_names("sdxl-refiner.original"));
  EXPECT_EQ(refiner.unet->config["attention_head_dim"], Json({6, 12, 24, 24}));
  EXPECT_EQ(refiner.unet->config["transformer_layers_per_block"], Json({1, 4, 4, 4}));
  EXPECT_EQ(refiner.unet->config["addition_time_embed_dim"], 256);
  EXPECT_FALSE(refiner.text_encoders[0].has_value());
  EXPECT_TRUE(refiner.family.requires_aesthetics_score);
  EXPECT_FALSE(refiner.family.zero_absent_negative);
}

TEST(SingleFile, NineInputsAreInpaintingAndEightAreRefused) {
  Names names = read_names("sd15.original");
  names["model.diffusion_model.input_blocks.0.0.weight"] = Shape{320, 9, 3, 3};
  const auto checkpoint = identify(names);
  EXPECT_TRUE(checkpoint.inpainting);
  EXPECT_EQ(checkpoint.unet->config["in_channels"], 9);
  names["model.diffusion_model.input_blocks.0.0.weight"] = Shape{320, 8, 3, 3};
  expect_error(ErrorKind::kUnsupported, {"instruct-pix2pix"}, [&] { identify(names); });
}

TEST(SingleFile, MarkersOfVelocityPredictionAreRead) {
  Names names = read_names("sdxl.original");
  names["v_pred"] = Shape{};
  auto checkpoint = identify(names);
  EXPECT_EQ(checkpoint.scheduler["prediction_type"], "v_prediction");
  EXPECT_FALSE(checkpoint.scheduler.contains("rescale_betas_zero_snr"));
  EXPECT_EQ(checkpoint.unclaimed, std::vector<std::string>());
  names["ztsnr"] = Shape{};
  checkpoint = identify(names);
  EXPECT_EQ(checkpoint.scheduler["rescale_betas_zero_snr"], true);
  EXPECT_EQ(checkpoint.scheduler["timestep_spacing"], "trailing");
}

TEST(SingleFile, PredictionOfSd2IsProbedSaidAndOverridden) {
  const Names names = read_names("sd21.original");
  const std::string bias =
      "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
  for (const auto& [spread, wanted] : {std::pair(0.01f, "epsilon"), {0.2f, "v_prediction"}}) {
    ListSource source(names);
    std::vector<float> values(320);
    for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? spread : -spread;
    source.set(bias, host_tensor(Shape{320}, std::span<const float>(values)));
    auto checkpoint = identify_single_file(source);
    const std::string said = settle_prediction(checkpoint, source);
    EXPECT_NE(said.find(wanted), std::string::npos) << said;
    EXPECT_EQ(checkpoint.scheduler["prediction_type"], wanted);
    EXPECT_EQ(checkpoint.unet->config["sample_size"],
              checkpoint.prediction_type == "epsilon" ? 64 : 96);
    EXPECT_FALSE(checkpoint.ambiguous_prediction);
    settle_prediction(checkpoint, source, "v_prediction");
    EXPECT_EQ(checkpoint.scheduler["prediction_type"], "v_prediction");
    EXPECT_EQ(checkpoint.scheduler["_class_name"], "DDIMScheduler");
  }
  ListSource source(names);
  auto checkpoint = identify_single_file(source);
  expect_error(ErrorKind::kInvalidArgument, {"velocity"},
               [&] { settle_prediction(checkpoint, source, "velocity"); });
}

TEST(SingleFile, TrainingStepOfSd20BaseMeansEpsilon) {
  const std::string bias =
      "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
  std::vector<float> values(320, 0.5f);  // by itself a sign of v_prediction
  for (size_t i = 0; i < values.size(); i += 2) values[i] = -0.5f;
  const Tensor spread = host_tensor(Shape{320}, std::span<const float>(values));
  const auto settled = [&](const ListSource& source) {
    auto checkpoint = identify_single_file(source);
    settle_prediction(checkpoint, source);
    return checkpoint.prediction_type;
  };
  Names names = read_names("sd21.original");
  for (const auto& [step, wanted] :
       {std::pair<int64_t, const char*>{875000, "epsilon"}, {110000, "v_prediction"}}) {
    ListSource source(names);
    source.set(bias, spread);
    source.add_unreadable("global_step", step);
    EXPECT_EQ(settled(source), wanted) << step;
  }
  names["global_step"] = Shape{1};
  ListSource source(names);
  source.set(bias, spread);
  source.set("global_step", host_tensor(Shape{1}, std::span<const float>({875000.0f})));
  EXPECT_EQ(settled(source), "epsilon");
}

TEST(SingleFile, AveragedCopyReplacesTheNetworkOnRequest) {
  const std::string plain = "model.diffusion_model.out.0.bias";
  const std::string average = "model_ema.diffusion_modelout0bias";
  Names names = read_names("sd15.original");
  const auto without = std::make_shared<ListSource>(names);
  expect_error(ErrorKind::kUnsupported, {"model_ema"}, [&] { with_averaged_network(without); });
  names[average] = Shape{320};
  const auto partial = std::make_shared<ListSource>(names);
  expect_error(ErrorKind::kCorruptFile, {"model_ema.diffusion_model", "none"},
               [&] { with_averaged_network(partial); });
  for (const auto& [name, shape] : read_names("sd15.original")) {
    if (!name.starts_with("model.diffusion_model.")) continue;
    std::string flat = name.substr(6);
    std::erase(flat, '.');
    names["model_ema." + flat] = shape;
  }
  const auto source = std::make_shared<ListSource>(names);
  const std::vector<float> ones(320, 1.0f), twos(320, 2.0f);
  source->set(plain, host_tensor(Shape{320}, std::span<const float>(ones)));
  source->set(average, host_tensor(Shape{320}, std::span<const float>(twos)));
  const auto first_of = [](const TensorSource& from, const std::string& name) {
    return from.read(*find_by_name(from.entries(), name)).data<float>()[0];
  };
  const auto averaged = with_averaged_network(source);
  EXPECT_EQ(first_of(*source, plain), 1.0f);
  EXPECT_EQ(first_of(*averaged, plain), 2.0f);
  const auto checkpoint = identify_single_file(*averaged);
  EXPECT_EQ(first_of(*component_source(averaged, *checkpoint.unet), "conv_norm_out.bias"), 2.0f);
  EXPECT_EQ(differences(mapped(averaged, checkpoint), read_names("sd15.diffusers")),
            std::vector<std::string>());
}

TEST(SingleFile, OtherFilesAreRefusedByTheTensorThatTold) {
  const auto refused = [](const Names& names, std::string_view told) {
    expect_error(ErrorKind::kUnsupported, {told}, [&] { identify(names); });
  };
  refused({}, "no tensors");
  refused({{"double_blocks.0.img_attn.qkv.weight", Shape{3, 3}}}, "double_blocks.0.");
  refused({{"model.diffusion_model.joint_blocks.0.x", Shape{3}}},
          "model.diffusion_model.joint_blocks");
  refused({{"lora_unet_input_blocks_1_0.alpha", Shape{}}}, "LoRA");
  refused({{"control_model.input_blocks.0.0.weight", Shape{3}}}, "ControlNet");
  refused({{"something.else", Shape{7}}}, "something.else [7]");
  Names names = read_names("sdxl.original");
  names["edm_mean"] = Shape{1, 4, 1, 1};
  refused(names, "edm_mean");
  names = read_names("sdxl.original");
  names["edm_vpred.sigma_max"] = Shape{};
  refused(names, "edm_vpred.sigma_max");
  names = read_names("sdxl.original");
  erase_below(names, "model.diffusion_model.middle_block.1.");
  refused(names, "SSD-1B");
  names = read_names("sd15.original");
  erase_below(names, "model.diffusion_model.input_blocks.5.");
  EXPECT_ANY_THROW(identify(names));
}

TEST(SingleFile, AveragedCopiesAndPositionNumbersAreNoPart) {
  Names names = read_names("sd15.original");
  names["model_ema.diffusion_modelinput_blocks00weight"] = Shape{320, 4, 3, 3};
  erase_below(names, "cond_stage_model.transformer.text_model.embeddings.position_ids");
  auto source = std::make_shared<ListSource>(names);
  source->add_unreadable("cond_stage_model.transformer.text_model.embeddings.position_ids");
  source->add_unreadable("global_step");
  const auto checkpoint = identify_single_file(*source);
  EXPECT_TRUE(checkpoint.has_ema);
  EXPECT_EQ(checkpoint.unclaimed, std::vector<std::string>());
  EXPECT_EQ(differences(mapped(source, checkpoint), read_names("sd15.diffusers")),
            std::vector<std::string>());
}

TEST(SingleFile, StrangersAreNamed) {
  Names names = read_names("sd15.original");
  names["extra.weight"] = Shape{1};
  EXPECT_EQ(identify(names).unclaimed, std::vector<std::string>{"extra.weight"});
  // Inside a part a stranger stays in its list, for the strict loader to report.
  names["model.diffusion_model.extra.weight"] = Shape{1};
  const auto source = std::make_shared<ListSource>(names);
  const auto unet = component_source(source, *identify_single_file(*source).unet);
  EXPECT_TRUE(std::any_of(unet->entries().begin(), unet->entries().end(), [](const auto& entry) {
    return entry.name == "extra.weight" && entry.file_name == "model.diffusion_model.extra.weight";
  }));
}

TEST(SingleFile, OlderAndForeignSpellingsMapAlike) {
  const Names wanted = read_names("sd15.diffusers");
  for (const auto& names :
       {with_prefix(read_names("sd15.original"), "cond_stage_model.transformer.text_model.",
                    "cond_stage_model.transformer."),
        with_prefix(read_names("sd15.original"), "first_stage_model.", "vae.")}) {
    const auto source = std::make_shared<ListSource>(names);
    EXPECT_EQ(differences(mapped(source, identify_single_file(*source)), wanted),
              std::vector<std::string>());
  }
}

TEST(SingleFile, OpenClipWrittenFromAFolderKeepsAllItsLayers) {
  Names names = read_names("sd21.original");
  erase_below(names, "cond_stage_model.model.transformer.resblocks.23.");
  const auto source = std::make_shared<ListSource>(names);
  EXPECT_EQ(
      differences(mapped(source, identify_single_file(*source)), read_names("sd21.diffusers")),
      std::vector<std::string>());
}

TEST(SingleFile, HeadsThatNoRuleTellsAreLeftOpen) {
  Names names;
  for (const auto& [name, shape] : read_names("sdxl.original")) {
    std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
    for (int64_t& extent : dims)
      if (extent >= 320 && extent % 320 == 0) extent = extent / 320 * 24;
    names.emplace(name, Shape(dims));
  }
  // The pooled text is 96 wide now and the added embedding must follow.
  names["model.diffusion_model.label_emb.0.0.weight"] = Shape{96, 96 + 6 * 8};
  const auto checkpoint = identify(names);
  EXPECT_NE(checkpoint.unet->undecided.find("heads cannot be told"), std::string::npos);
  EXPECT_FALSE(checkpoint.unet->config.contains("attention_head_dim"));
  EXPECT_EQ(checkpoint.unet->config["addition_time_embed_dim"], 8);
}

/// What one part of a layout is called in a file of its own.
Names part_of(const Names& names, std::string_view prefix, const std::string& with = "") {
  Names part;
  for (const auto& [name, shape] : names)
    if (name.starts_with(prefix)) part.emplace(with + name.substr(prefix.size()), shape);
  return part;
}

Names listed(const std::shared_ptr<const TensorSource>& source) {
  Names names;
  for (const auto& entry : source->entries()) names.emplace(entry.name, entry.shape);
  return names;
}

TEST(SeparateFiles, AutoencodersInEitherSpelling) {
  const Names original = read_names("sd15.original"), reference = read_names("sd15.diffusers");
  const Names wanted = part_of(reference, "vae.");
  for (const Names& names : {part_of(original, "first_stage_model."), wanted, original}) {
    const auto source = std::make_shared<ListSource>(names);
    const CheckpointPart vae = identify_vae_file(*source, 0.18215);
    EXPECT_EQ(differences(listed(component_source(source, vae)), wanted),
              std::vector<std::string>());
    EXPECT_EQ(vae.config["block_out_channels"], Json({128, 256, 512, 512}));
    EXPECT_EQ(vae.config["layers_per_block"], 2);
  }
  expect_error(ErrorKind::kUnsupported, {"autoencoder"}, [] {
    identify_vae_file(ListSource({{"a", Shape{1}}}), 1.0);
  });
}

TEST(SeparateFiles, TextEncodersInEverySpelling) {
  const Names original = read_names("sdxl.original"), reference = read_names("sdxl.diffusers");
  const auto first = part_of(reference, "text_encoder."),
             second = part_of(reference, "text_encoder_2.");
  const auto check = [](const Names& names, const TextTowerOptions& options, const Names& wanted) {
    const auto source = std::make_shared<ListSource>(names);
    const CheckpointPart tower = identify_text_encoder_file(*source, options);
    EXPECT_EQ(differences(listed(component_source(source, tower)), wanted),
              std::vector<std::string>());
  };
  const TextTowerOptions clip_l{.quick_gelu = true}, big_g{.projection = true};
  Names with_projection = first;
  with_projection["text_projection.weight"] = Shape{768, 768};
  check(first, clip_l, first);
  check(with_projection, clip_l, first);
  check(part_of(first, "text_model."), clip_l, first);
  check(second, big_g, second);
  check(part_of(original, "conditioner.embedders.1.model."), big_g, second);
  check(original, big_g, second);
  check(original, clip_l, first);
  expect_error(ErrorKind::kUnsupported, {"text encoder"}, [] {
    identify_text_encoder_file(ListSource({{"a", Shape{1}}}), {});
  });
}

}  // namespace
}  // namespace tintype
