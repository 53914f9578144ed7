/// Adapters named in a prompt, as AUTOMATIC1111 writes them: `<lora:ink:0.8>`. Pure function over
/// any bytes.
/// source  A1111 `modules/extra_networks.py`, `extensions-builtin/Lora/extra_networks_lora.py`
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

struct AdapterTag {
  std::string name;
  float weight = 1;                       ///< of the denoising network's part
  std::optional<float> text_weight = {};  ///< of the text encoders' part; unset: the same
};

struct TaggedPrompt {
  std::string text;  ///< without the tags
  std::vector<AdapterTag> tags;
};

/// `<lora:NAME>`, `<lora:NAME:WEIGHT>`, `<lora:NAME:TEXT:NETWORK>`, also with `te=` and `unet=`
/// before the numbers, and `lyco` for `lora`. Anything else stays text.
/// throws kInvalidArgument: a tag without a name, or with something else than numbers
TaggedPrompt take_adapter_tags(std::string_view prompt);

}  // namespace tintype
