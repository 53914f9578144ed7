#include "adapters/adapter_file.h"

#include <cmath>
#include <system_error>

#include "base/json.h"
#include "base/text.h"
#include "ops/ops.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = 4u << 20;
constexpr size_t kMaxTensors = 100'000;  // SDXL with every layer and kind of tensor: below 10,000
/// Where diffusers keeps PEFT's config inside a file.
constexpr const char* kMetadataKey = "lora_adapter_metadata";

/// A tensor that keeps no file mapped.
Tensor owned(const Tensor& x) {
  Tensor copy = empty_host(x.shape(), x.dtype());
  std::copy_n(x.bytes(), x.nbytes(), copy.mutable_bytes());
  return copy;
}

void require_finite(const Tensor& x, const std::string& origin, const std::string& name) {
  const Tensor wide = ops::cast(x, DType::kF32);
  // Of numbers, a zero; of anything else, not a number.
  float sum = 0;
  for (const float value : wide.span<float>()) sum += value - value;
  if (sum != 0 || std::isnan(sum))
    fail(ErrorKind::kCorruptFile, origin,
         "an adapter must be made of numbers, got NaN or infinity ", "in '", printable(name, 120),
         "'; the training probably diverged");
}

/// PEFT's settings that decide how much a layer's change counts.
class PeftScales {
 public:
  /// `text` as adapter_config.json, or as diffusers' metadata with "unet." and the like before each
  /// key. "" changes nothing. throws kCorruptFile
  PeftScales(const std::string& text, const std::string& origin) {
    if (text.empty()) return;
    if (text.size() > kMaxConfigBytes)
      fail(ErrorKind::kCorruptFile, origin, "the adapter's config must have at most ",
           kMaxConfigBytes, " bytes, got ", text.size());
    json_ = parse_json(text, origin);
    if (!json_.is_object())
      fail(ErrorKind::kCorruptFile, origin, "the adapter's config must be a JSON object");
  }

  /// Nothing where the config says nothing, or the file's own alpha should count.
  std::optional<double> scale(const std::string& component, const std::string& module,
                              int64_t rank) const {
    const Json* alpha = find(component, "lora_alpha");
    if (!alpha) alpha = find(component, "alpha");  // LoHa and LoKr
    if (!alpha || !alpha->is_number()) return {};
    const double value = in_pattern(component, "alpha_pattern", module, alpha->get<double>());
    double used = static_cast<double>(rank);
    if (const Json* r = find(component, "r");
        r && r->is_number() && (rank == 0 || !find(component, "lora_alpha")))
      used = in_pattern(component, "rank_pattern", module, r->get<double>());
    if (!(used > 0)) return {};
    const Json* rs = find(component, "use_rslora");
    return value / (rs && rs->is_boolean() && rs->get<bool>() ? std::sqrt(used) : used);
  }

 private:
  const Json* find(const std::string& component, const std::string& key) const {
    if (!json_.is_object()) return nullptr;
    auto found = json_.find(component + "." + key);
    if (found == json_.end()) found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  /// A pattern is the end of a layer's path; the longest that fits counts.
  double in_pattern(const std::string& component, const std::string& key, const std::string& module,
                    double otherwise) const {
    const Json* patterns = find(component, key);
    if (!patterns || !patterns->is_object()) return otherwise;
    size_t longest = 0;
    for (const auto& [pattern, value] : patterns->items()) {
      const std::string end = module_key(pattern);
      const bool fits = module == end || module.ends_with("_" + end);
      if (!fits || end.size() < longest || !value.is_number()) continue;
      longest = end.size();
      otherwise = value.get<double>();
    }
    return otherwise;
  }

  Json json_;
};

double single_number(const Tensor& x, const std::string& origin, const std::string& name) {
  if (x.numel() != 1)
    fail(ErrorKind::kCorruptFile, origin, "'", printable(name, 120), "' must be one number, got ",
         x.shape());
  return static_cast<double>(ops::cast(x, DType::kF32).span<float>()[0]);
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace

AdapterFile read_adapter(const TensorSource& source, const std::string& peft_config) {
  AdapterFile file;
  file.origin = source.origin();
  file.name = fs::path(file.origin).stem().string();
  if (source.entries().size() > kMaxTensors)
    fail(ErrorKind::kUnsupported, file.origin, "an adapter must have at most ", kMaxTensors,
         " tensors, got ", source.entries().size());
  const auto layer_of = [&](const AdapterKey& key, const std::string& name) -> LayerTensors& {
    AdapterFile::Layer& layer = file.layers[{key.component, key.module}];
    layer.names.push_back(name);
    return layer.tensors;
  };
  for (const TensorSource::Entry& entry : source.entries()) {
    const auto key = parse_adapter_key(entry.name);
    if (!key || !is_float(entry.dtype) || entry.packed) {
      file.unknown.push_back(entry.name);
      continue;
    }
    const Tensor tensor = owned(source.read(entry));
    require_finite(tensor, file.origin, entry.name);
    LayerTensors& layer = layer_of(*key, entry.name);
    if (key->tensor == AdapterTensor::kAlpha) {
      layer.alpha = single_number(tensor, file.origin, entry.name);
      continue;
    }
    if (layer.has(key->tensor))
      fail(ErrorKind::kCorruptFile, file.origin, "each part of a layer must be there once, got '",
           printable(entry.name, 120), "' for a second time under another name");
    layer[key->tensor] = tensor;
  }
  for (const TensorSource::Unreadable& other : source.unreadable()) {
    const auto key = parse_adapter_key(other.name);
    if (key && key->tensor == AdapterTensor::kAlpha && other.number)
      layer_of(*key, other.name).alpha = static_cast<double>(*other.number);
    else
      file.unknown.push_back(other.name);
  }
  const PeftScales scales(peft_config.empty() ? source.metadata(kMetadataKey) : peft_config,
                          file.origin);
  for (auto& [key, layer] : file.layers)
    if (!layer.tensors.alpha)
      layer.tensors.scale = scales.scale(key.first, key.second, layer_rank(layer.tensors));
  return file;
}

AdapterFile read_adapter_file(const fs::path& path) {
  std::error_code error;
  fs::path file = path, config;
  if (fs::is_directory(path, error)) {
    file = path / "adapter_model.safetensors";
    if (!fs::exists(file, error)) file = path / "pytorch_lora_weights.safetensors";
  }
  if (file.filename() == "adapter_model.safetensors")
    config = file.parent_path() / "adapter_config.json";
  const bool configured = !config.empty() && fs::exists(config, error);
  AdapterFile read = read_adapter(*open_safetensors(file),
                                  configured ? read_text_file(config, kMaxConfigBytes) : "");
  if (file != path) read.name = fs::weakly_canonical(path, error).filename().string();
  return read;
}

}  // namespace tintype
