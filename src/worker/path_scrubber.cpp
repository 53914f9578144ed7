#include "worker/path_scrubber.h"

#include <algorithm>
#include <system_error>

#include "base/check.h"
#include "base/text.h"

namespace tintype {

PathScrubber::PathScrubber(const CatalogueOptions& options) {
  const auto add = [this](const std::filesystem::path& path, const std::string& name) {
    if (path.empty()) return;
    std::error_code error;
    std::vector<std::string> forms{path.string(), std::filesystem::absolute(path, error).string(),
                                   std::filesystem::weakly_canonical(path, error).string()};
    for (const std::string& form : forms) {
      if (form.size() < 2) continue;  // "/" and "." stand in every message
      names_.emplace_back(form, name);
      if (printable(form) != form) names_.emplace_back(printable(form), name);
    }
  };
  for (const ModelEntry& entry : options.models) {
    add(entry.path, entry.name);
    for (const auto& path : entry.load.tokenizers) add(path, "tokenizer");
    add(entry.load.vae, "vae");
    add(entry.load.text_encoder, "text_encoder");
  }
  add(options.adapter_folder, "adapters");
  add(options.upscaler_folder, "upscalers");
  add(options.embedding_folder, "embeddings");
  std::stable_sort(names_.begin(), names_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

std::string PathScrubber::scrubbed(std::string message) const {
  for (const auto& [path, name] : names_)
    for (size_t at = message.find(path); at != std::string::npos;
         at = message.find(path, at + name.size()))
      message.replace(at, path.size(), name);
  return message;
}

}  // namespace tintype
