/// What the names in an adapter's file mean: kohya's, PEFT's and diffusers' spellings. Names only;
/// which layers a model has is matched elsewhere. Pure functions over any bytes.
/// source  diffusers `loaders/lora_conversion_utils.py`; LyCORIS `lycoris/modules`; PEFT
///         `tuners/{lora,loha,lokr}/layer.py`
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace tintype {

/// What a tensor is to its layer. The names are those of LyCORIS' formulas.
enum class AdapterTensor : uint8_t {
  kDown,
  kUp,
  kMid,  // LoRA, LoCon
  kAlpha,
  kMagnitude,  // DoRA, of each output
  kDoraScale,  // DoRA, of each output or input
  kHadaW1A,
  kHadaW1B,
  kHadaW2A,
  kHadaW2B,
  kHadaT1,
  kHadaT2,  // LoHa
  kLokrW1,
  kLokrW1A,
  kLokrW1B,
  kLokrW2,
  kLokrW2A,
  kLokrW2B,
  kLokrT2,  // LoKr
  kDiff,    // the change itself
};
inline constexpr size_t kAdapterTensorKinds = static_cast<size_t>(AdapterTensor::kDiff) + 1;

struct AdapterKey {
  std::string
      component;  ///< "unet", "text_encoder", "text_encoder_2"; "" where the name leaves it open
  std::string module;  ///< the layer's path as module_key() writes it
  AdapterTensor tensor = AdapterTensor::kDown;
};

/// Nothing for a name in no known spelling.
std::optional<AdapterKey> parse_adapter_key(std::string_view name);

/// A layer's path in the form in which spellings agree: underscores for dots, without the level
/// "text_model" that text encoders have or lack.
std::string module_key(std::string_view path);

}  // namespace tintype
