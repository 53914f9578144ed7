#include "adapters/adapter_registry.h"

#include <algorithm>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 10'000;

/// What tells a file's content apart without reading it.
std::string key_of(const fs::path& path) {
  std::error_code error;
  fs::path file = path;
  if (fs::is_directory(file, error)) {  // PEFT's folder
    file /= "adapter_model.safetensors";
    if (!fs::exists(file, error)) file = path / "pytorch_lora_weights.safetensors";
  }
  const auto size = fs::file_size(file, error);
  if (error)
    fail(ErrorKind::kNotFound, printable(path.string()),
         "an adapter must exist here, found: ", error.message());
  const auto changed = fs::last_write_time(file, error).time_since_epoch().count();
  return cat(fs::absolute(path, error).lexically_normal().string(), '\n', size, '\n', changed);
}

struct Listed {
  std::string stem, path_name;  ///< "ink", "styles/ink"
  fs::path file;
};

std::vector<Listed> list(const fs::path& folder) {
  std::error_code error;
  const std::string where = printable(folder.string());
  if (!fs::is_directory(folder, error))
    fail(ErrorKind::kNotFound, where, "must be an existing folder of adapters, got ",
         fs::exists(folder, error) ? "a file" : "nothing there");
  std::vector<Listed> files;
  size_t seen = 0;
  for (fs::recursive_directory_iterator
           it(folder, fs::directory_options::skip_permission_denied, error),
       end;
       !error && it != end; it.increment(error)) {
    if (++seen > kMaxFiles)
      fail(ErrorKind::kUnsupported, where, "must hold at most ", kMaxFiles, " files, got more");
    if (it->path().extension() != ".safetensors") continue;
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    fs::path relative = it->path().lexically_relative(folder);
    files.push_back(
        {it->path().stem().string(), relative.replace_extension().generic_string(), it->path()});
  }
  if (error) fail(ErrorKind::kIo, where, "must be a readable folder, got: ", error.message());
  return files;
}

}  // namespace

AdapterRegistry::AdapterRegistry(size_t budget_bytes, Load load)
    : load_(std::move(load)), cache_("adapters", budget_bytes) {}

std::shared_ptr<const Adapter> AdapterRegistry::get(const fs::path& file) {
  return *cache_.find_or_make(key_of(file), [&] {
    std::shared_ptr<const Adapter> adapter = load_(file);
    const uint64_t bytes = adapter->bytes();
    return std::pair(std::move(adapter), bytes);
  });
}

std::vector<std::string> adapter_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (Listed& file : list(folder)) names.push_back(std::move(file.path_name));
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_adapter(const fs::path& folder, const std::string& name) {
  const std::vector<Listed> files = list(folder);
  std::vector<const Listed*> found;
  std::vector<std::string> names;
  for (const Listed& file : files) {
    if (file.path_name == name) return file.file;
    if (file.stem == name) found.push_back(&file);
    names.push_back(file.stem);
  }
  if (found.size() == 1) return found.front()->file;
  const std::string where = printable(folder.string());
  TT_REQUIRE(found.empty(), where, "the adapter's name must be one file's, \"", printable(name, 80),
             "\" is ", printable(found[0]->path_name, 80), " and ",
             printable(found[1]->path_name, 80));
  const std::string nearest = nearest_name(name, names);
  fail(ErrorKind::kNotFound, where, "must hold an adapter named \"", printable(name, 80),
       "\" (a .safetensors file), got ", files.size(), " others",
       nearest.empty() ? "" : cat("; did you mean ", printable(nearest, 80), "?"));
}

}  // namespace tintype
