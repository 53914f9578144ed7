#include "requests/canonical_request.h"

#include "base/json.h"
#include "requests/read_members.h"

namespace tintype {
namespace {

constexpr const char* kOrigin = "request";

std::span<const uint8_t> picture_of(const Json& request, const char* name,
                                    std::span<const SharedBlob> inputs) {
  const size_t index = request.at(name).get<size_t>();
  if (index >= inputs.size() || !inputs[index])
    fail(ErrorKind::kCorruptFile, kOrigin, name, " must be one of ", inputs.size(),
         " pictures, got number ", index);
  const std::string& bytes = inputs[index]->bytes;
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

std::shared_ptr<const Image> image_of(const Json& request, std::span<const SharedBlob> inputs) {
  return std::make_shared<const Image>(decode_image(picture_of(request, "image", inputs)));
}

template <typename Value>
void set(const Json& request, const char* name, Value& value) {
  if (const auto found = request.find(name); found != request.end()) value = found->get<Value>();
}
template <typename Value>
void set(const Json& request, const char* name, std::optional<Value>& value) {
  if (const auto found = request.find(name); found != request.end()) value = found->get<Value>();
}

void set_size_conditioning(const Json& json, SizeConditioning& size) {
  set(json, "original_width", size.original_width_px);
  set(json, "original_height", size.original_height_px);
  set(json, "target_width", size.target_width_px);
  set(json, "target_height", size.target_height_px);
  set(json, "crop_left", size.crop_left_px);
  set(json, "crop_top", size.crop_top_px);
}

TextToImageRequest drawing_of(const Json& json, const CatalogueOptions& catalogue) {
  TextToImageRequest drawing;
  set(json, "prompt", drawing.prompt);
  set(json, "negative_prompt", drawing.negative_prompt);
  set(json, "prompt_2", drawing.prompt_2);
  set(json, "negative_prompt_2", drawing.negative_prompt_2);
  set(json, "width", drawing.width_px);
  set(json, "height", drawing.height_px);
  set(json, "steps", drawing.steps);
  set(json, "guidance_scale", drawing.guidance_scale);
  set(json, "guidance_rescale", drawing.guidance_rescale);
  set(json, "eta", drawing.eta);
  set(json, "clip_skip", drawing.clip_skip);
  set(json, "sampler", drawing.sampler);
  set(json, "scheduler", drawing.scheduler);
  set(json, "reuse_threshold", drawing.reuse_threshold);
  set(json, "rng", drawing.rng);
  set(json, "prompt_syntax", drawing.prompt_syntax);
  set(json, "variation_strength", drawing.variation_strength);
  set(json, "refiner_start", drawing.refiner_start);
  drawing.seed = read_seed(json.at("seed"), "seed");
  if (json.contains("variation_seed"))
    drawing.variation_seed = read_seed(json["variation_seed"], "variation_seed");
  if (json.contains("guidance_interval"))
    drawing.guidance_interval = {json["guidance_interval"].at(0).get<float>(),
                                 json["guidance_interval"].at(1).get<float>()};
  if (json.contains("size_conditioning"))
    set_size_conditioning(json["size_conditioning"], drawing.size_conditioning);
  for (const Json& use : json.value("adapters", Json::array())) {
    AdapterUse& adapter = drawing.adapters.emplace_back();
    adapter.name = use.at("name").get<std::string>();
    set(use, "weight", adapter.weight);
    set(use, "text_weight", adapter.text_weight);
  }
  drawing.adapter_folder = catalogue.adapter_folder;
  drawing.embeddings = catalogue.embedding_folder;
  return drawing;
}

ImageToImageRequest from_picture(const Json& json, std::span<const SharedBlob> inputs,
                                 const CatalogueOptions& catalogue) {
  ImageToImageRequest request{.drawing = drawing_of(json, catalogue),
                              .image = image_of(json, inputs)};
  set(json, "strength", request.strength);
  const std::string resize = json.value("resize", "fit");
  request.resize = resize == "crop"  ? ResizeMode::kCrop
                   : resize == "pad" ? ResizeMode::kPad
                                     : ResizeMode::kFit;
  return request;
}

InpaintRequest inpainting_of(const Json& json, std::span<const SharedBlob> inputs,
                             const CatalogueOptions& catalogue) {
  InpaintRequest request{.picture = from_picture(json, inputs, catalogue)};
  if (json.contains("mask"))
    request.mask = std::make_shared<const Mask>(decode_mask(picture_of(json, "mask", inputs)));
  const auto found = json.find("mask_options");
  if (found == json.end()) return request;
  MaskOptions& options = request.options;
  set(*found, "invert", options.invert);
  set(*found, "grow", options.grow_px);
  set(*found, "blur", options.blur_px);
  set(*found, "only_masked", options.only_masked);
  set(*found, "only_masked_padding", options.only_masked_padding_px);
  set(*found, "composite", options.composite);
  const std::string fill = found->value("fill", "original");
  options.fill = fill == "noise"  ? MaskFill::kNoise
                 : fill == "blur" ? MaskFill::kBlur
                                  : MaskFill::kOriginal;
  if (const auto pad = found->find("padding"); pad != found->end())
    options.padding = {pad->at(0).get<int>(), pad->at(1).get<int>(), pad->at(2).get<int>(),
                       pad->at(3).get<int>()};
  return request;
}

HiresRequest hires_of(const Json& json, const CatalogueOptions& catalogue, std::string& upscaler) {
  HiresRequest request{.drawing = drawing_of(json, catalogue)};
  const Json& hires = json.at("hires");
  set(hires, "scale", request.scale);
  set(hires, "strength", request.strength);
  set(hires, "method", request.method);
  set(hires, "upscaler", upscaler);
  return request;
}

JobRequest parsed(const Json& json, std::span<const SharedBlob> inputs,
                  const CatalogueOptions& catalogue) {
  JobRequest job;
  set(json, "model", job.model);
  set(json, "refiner", job.refiner);
  set(json, "preset", job.preset);
  set(json, "count", job.count);
  switch (request_type(json)) {
    case kTxt2Img:
      if (json.contains("hires"))
        job.request = hires_of(json, catalogue, job.upscaler);
      else
        job.request = drawing_of(json, catalogue);
      break;
    case kImg2Img:
      job.request = from_picture(json, inputs, catalogue);
      break;
    case kInpaint:
      job.request = inpainting_of(json, inputs, catalogue);
      break;
    default: {
      UpscaleRequest request{.image = image_of(json, inputs)};
      set(json, "tile", request.options.tile_px);
      set(json, "overlap", request.options.overlap_px);
      set(json, "upscaler", job.upscaler);
      job.request = std::move(request);
    }
  }
  if (const auto output = json.find("output"); output != json.end()) {
    const std::string format = output->value("format", "png");
    job.format = format == "jpeg"   ? ImageFormat::kJpeg
                 : format == "webp" ? ImageFormat::kWebp
                                    : ImageFormat::kPng;
    set(*output, "quality", job.quality);
  }
  if (const auto preview = json.find("preview"); preview != json.end()) {
    set(*preview, "every", job.preview_every);
    set(*preview, "size", job.preview_size_px);
  }
  return job;
}

}  // namespace

TextToImageRequest* JobRequest::drawing() {
  return const_cast<TextToImageRequest*>(std::as_const(*this).drawing());
}

const TextToImageRequest* JobRequest::drawing() const {
  struct Finder {
    const TextToImageRequest* operator()(const TextToImageRequest& r) const { return &r; }
    const TextToImageRequest* operator()(const ImageToImageRequest& r) const { return &r.drawing; }
    const TextToImageRequest* operator()(const InpaintRequest& r) const {
      return &r.picture.drawing;
    }
    const TextToImageRequest* operator()(const HiresRequest& r) const { return &r.drawing; }
    const TextToImageRequest* operator()(const UpscaleRequest&) const { return nullptr; }
  };
  return std::visit(Finder{}, request);
}

JobRequest parse_canonical(std::string_view request, std::span<const SharedBlob> inputs,
                           const CatalogueOptions& catalogue) {
  const Json json = parse_json(request, kOrigin);
  try {
    return parsed(json, inputs, catalogue);
  } catch (const Json::exception& error) {
    fail(ErrorKind::kCorruptFile, kOrigin,
         "must be one that the server made, got: ", json_error_reason(error));
  }
}

}  // namespace tintype
