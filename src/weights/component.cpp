/// Finding a component's weights in its folder: open_component().
#include <algorithm>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "weights/pickle_refusal.h"
#include "weights/safetensors.h"

namespace tintype {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNamesInMessage = 5;

/// Names of the regular files in `folder`, sorted. throws kNotFound, kIo
std::vector<std::string> list_files(const fs::path& folder) {
  const std::string where = printable(folder.string());
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fail(ErrorKind::kNotFound, where, "must be an existing folder with weights, got ",
         fs::exists(folder, error) ? "a file" : "nothing there");
  }
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) names.push_back(it->path().filename().string());
  }
  if (error) fail(ErrorKind::kIo, where, "must be a readable folder, got: ", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

/// "a, b, c and 4 more"
std::string join_some(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMaxNamesInMessage); ++i) {
    text += (i == 0 ? "" : ", ") + printable(names[i], 80);
  }
  if (names.size() > kMaxNamesInMessage)
    text += cat(" and ", names.size() - kMaxNamesInMessage, " more");
  return text;
}

/// The part of `name` between `prefix` and `suffix` when it can be a variant's name: one word, and
/// not the numbering of a shard ("fp16-00001-of-00002").
std::string variant_of(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix)) {
    return {};
  }
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  const bool word = name.find('.') == std::string_view::npos;
  const bool shard = name.find("-of-") != std::string_view::npos;
  return word && !shard ? std::string(name) : std::string();
}

bool is_index(std::string_view name) { return name.ends_with(".json"); }

}  // namespace

std::shared_ptr<const TensorSource> open_component(const std::filesystem::path& folder,
                                                   std::string_view stem) {
  const std::vector<std::string> files = list_files(folder);
  const auto has = [&](const std::string& name) {
    return std::binary_search(files.begin(), files.end(), name);
  };
  const std::string plain = cat(stem, ".safetensors");
  if (has(plain)) return open_safetensors(folder / plain);
  if (has(plain + ".index.json")) return open_sharded_safetensors(folder / (plain + ".index.json"));

  std::map<std::string, std::string> variants;  // variant -> its file; one file beats an index
  for (const std::string& name : files) {
    const std::string sharded = variant_of(name, plain + ".index.", ".json");
    if (!sharded.empty()) variants.emplace(sharded, name);
    const std::string single = variant_of(name, cat(stem, "."), ".safetensors");
    if (!single.empty()) variants[single] = name;
  }
  const std::string where = printable(folder.string());
  if (variants.size() > 1) {
    std::vector<std::string> names;
    for (const auto& [variant, name] : variants) names.push_back(name);
    fail(ErrorKind::kUnsupported, where, "must hold ", plain, " or a single variant of it, got ",
         join_some(names), "; remove or rename all but the wanted one");
  }
  if (!variants.empty()) {
    const std::string& name = variants.begin()->second;
    return is_index(name) ? open_sharded_safetensors(folder / name)
                          : open_safetensors(folder / name);
  }
  const auto pickled = std::find_if(
      files.begin(), files.end(), [](const std::string& name) { return has_pickle_suffix(name); });
  if (pickled != files.end()) fail_pickled(folder / *pickled);
  fail(ErrorKind::kNotFound, where, "must hold ", plain, ", got ",
       files.empty() ? std::string("an empty folder") : join_some(files));
}

}  // namespace tintype
