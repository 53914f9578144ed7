#include "adapters/adapter_keys.h"

#include <algorithm>

namespace tintype {
namespace {

struct Suffix {
  std::string_view text;
  AdapterTensor tensor;
};

/// PEFT may write the adapter's name ("default") before "weight"; see without_adapter_name().
constexpr std::array kSuffixes = {
    Suffix{".lora_down.weight", AdapterTensor::kDown},
    Suffix{".lora_up.weight", AdapterTensor::kUp},
    Suffix{".lora_mid.weight", AdapterTensor::kMid},
    Suffix{".lora_A.weight", AdapterTensor::kDown},
    Suffix{".lora_B.weight", AdapterTensor::kUp},
    Suffix{".lora.down.weight", AdapterTensor::kDown},
    Suffix{".lora.up.weight", AdapterTensor::kUp},
    Suffix{".lora_linear_layer.down.weight", AdapterTensor::kDown},
    Suffix{".lora_linear_layer.up.weight", AdapterTensor::kUp},
    Suffix{"_lora.down.weight", AdapterTensor::kDown},
    Suffix{"_lora.up.weight", AdapterTensor::kUp},
    Suffix{".alpha", AdapterTensor::kAlpha},
    Suffix{".lora_magnitude_vector", AdapterTensor::kMagnitude},
    Suffix{".lora_magnitude_vector.weight", AdapterTensor::kMagnitude},
    Suffix{".dora_scale", AdapterTensor::kDoraScale},
    Suffix{".hada_w1_a", AdapterTensor::kHadaW1A},
    Suffix{".hada_w1_b", AdapterTensor::kHadaW1B},
    Suffix{".hada_w2_a", AdapterTensor::kHadaW2A},
    Suffix{".hada_w2_b", AdapterTensor::kHadaW2B},
    Suffix{".hada_t1", AdapterTensor::kHadaT1},
    Suffix{".hada_t2", AdapterTensor::kHadaT2},
    Suffix{".lokr_w1", AdapterTensor::kLokrW1},
    Suffix{".lokr_w1_a", AdapterTensor::kLokrW1A},
    Suffix{".lokr_w1_b", AdapterTensor::kLokrW1B},
    Suffix{".lokr_w2", AdapterTensor::kLokrW2},
    Suffix{".lokr_w2_a", AdapterTensor::kLokrW2A},
    Suffix{".lokr_w2_b", AdapterTensor::kLokrW2B},
    Suffix{".lokr_t2", AdapterTensor::kLokrT2},
    Suffix{".diff", AdapterTensor::kDiff}};

struct Prefix {
  std::string_view text, component;
};
constexpr std::array kPrefixes = {Prefix{"lora_unet_", "unet"},
                                  Prefix{"lora_te1_", "text_encoder"},
                                  Prefix{"lora_te2_", "text_encoder_2"},
                                  Prefix{"lora_te_", "text_encoder"},
                                  Prefix{"unet.", "unet"},
                                  Prefix{"text_encoder_2.", "text_encoder_2"},
                                  Prefix{"text_encoder.", "text_encoder"},
                                  Prefix{"model.diffusion_model.", "unet"},
                                  Prefix{"diffusion_model.", "unet"}};

void strip_prefix(std::string_view& name, std::string_view prefix) {
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

void replace_end(std::string& text, std::string_view from, std::string_view to) {
  if (text.ends_with(from)) text.replace(text.size() - from.size(), from.size(), to);
}

/// "x.lora_A.default.weight" -> "x.lora_A.weight"
std::string without_adapter_name(std::string_view name) {
  std::string text(name);
  for (const std::string_view part : {".lora_A.", ".lora_B.", ".lora_magnitude_vector."}) {
    const size_t at = text.rfind(part);
    if (at == std::string::npos) continue;
    const size_t begin = at + part.size(), dot = text.find('.', begin);
    if (dot != std::string::npos && text.substr(dot) == ".weight")
      text.erase(begin, dot + 1 - begin);
  }
  return text;
}

/// The attention processors of older diffusers: `attn1.processor.to_out_lora` is `attn1.to_out.0`,
/// and in text encoders `self_attn.to_q_lora` is `self_attn.q_proj`.
std::string modern_path(std::string_view path, std::string_view suffix, bool text_encoder) {
  std::string text(path);
  replace_all(text, ".processor.", ".");
  if (suffix.front() != '_') return text;
  if (!text_encoder) {
    replace_end(text, ".to_out", ".to_out.0");
    return text;
  }
  for (const auto& [from, to] : {Prefix{".to_q", ".q_proj"}, Prefix{".to_k", ".k_proj"},
                                 Prefix{".to_v", ".v_proj"}, Prefix{".to_out", ".out_proj"}})
    replace_end(text, from, to);
  return text;
}

}  // namespace

std::string module_key(std::string_view path) {
  strip_prefix(path, "text_model.");
  strip_prefix(path, "text_model_");
  std::string key(path);
  std::replace(key.begin(), key.end(), '.', '_');
  return key;
}

std::optional<AdapterKey> parse_adapter_key(std::string_view given) {
  const std::string whole = without_adapter_name(given);
  std::string_view name = whole;
  strip_prefix(name, "base_model.model.");
  const Suffix* suffix = nullptr;
  for (const Suffix& one : kSuffixes)
    if (name.ends_with(one.text) && name.size() > one.text.size()) suffix = &one;
  if (!suffix) return {};
  name.remove_suffix(suffix->text.size());
  AdapterKey key{.component = {}, .module = {}, .tensor = suffix->tensor};
  for (const Prefix& prefix : kPrefixes) {
    if (!name.starts_with(prefix.text)) continue;
    key.component = prefix.component;
    name.remove_prefix(prefix.text.size());
    break;
  }
  key.module = module_key(modern_path(name, suffix->text, key.component.starts_with("text")));
  return key;
}

}  // namespace tintype
