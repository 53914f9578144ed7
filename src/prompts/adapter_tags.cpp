#include "prompts/adapter_tags.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

[[noreturn]] void refuse(std::string_view tag, std::string_view why) {
  fail(ErrorKind::kInvalidArgument, "prompt", "a tag must be <lora:NAME:WEIGHT>, got \"",
       printable(tag, 120), "\": ", why);
}

float number(std::string_view text, std::string_view tag) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    refuse(tag, "its weight is no number");
  return value;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

/// `inside` is what follows "<lora:".
AdapterTag parse(std::string_view inside, std::string_view tag) {
  std::vector<std::string_view> parts;
  for (size_t colon; (colon = inside.find(':')) != std::string_view::npos;) {
    parts.push_back(trimmed(inside.substr(0, colon)));
    inside.remove_prefix(colon + 1);
  }
  parts.push_back(trimmed(inside));
  if (parts.front().empty()) refuse(tag, "it has no name");
  AdapterTag result{.name = std::string(parts.front())};
  std::optional<float> text, network;
  size_t place = 0;  // of the numbers without a name
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].starts_with("te="))
      text = number(parts[i].substr(3), tag);
    else if (parts[i].starts_with("unet="))
      network = number(parts[i].substr(5), tag);
    else if (const size_t at = place++; at < 2)
      (at == 0 ? text : network) = number(parts[i], tag);
    else
      refuse(tag, "it has more than two weights");
  }
  result.weight = network.value_or(text.value_or(1.0f));
  if (text && *text != result.weight) result.text_weight = text;
  if (!text && network) result.text_weight = 1.0f;  // "unet=" alone says nothing about the text
  return result;
}

}  // namespace

TaggedPrompt take_adapter_tags(std::string_view prompt) {
  TaggedPrompt result;
  while (true) {
    const size_t lora = prompt.find("<lora:"), lyco = prompt.find("<lyco:");
    const size_t open = std::min(lora, lyco);
    const size_t close = open == std::string_view::npos ? open : prompt.find('>', open);
    result.text += prompt.substr(0, close == std::string_view::npos ? close : open);
    if (close == std::string_view::npos) return result;
    const std::string_view tag = prompt.substr(open, close + 1 - open);
    result.tags.push_back(parse(tag.substr(6, tag.size() - 7), tag));
    prompt.remove_prefix(close + 1);
  }
}

}  // namespace tintype
