#include "requests/catalogue.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhere = "catalogue";
constexpr size_t kMaxFolderEntries = 10'000;

bool is_weights_file(const fs::path& path) {
  const std::string ending = path.extension().string();
  return ending == ".safetensors" || ending == ".gguf" || ending == ".tintype";
}

/// What may be a model: folders with a model_index.json, and files of weights. Sorted.
std::vector<fs::path> candidates_in(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    fail(ErrorKind::kNotFound, kWhere, "a model folder must be an existing folder, got ",
         printable(folder.string()));
  std::vector<fs::path> found;
  size_t seen = 0;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (++seen > kMaxFolderEntries)
      fail(ErrorKind::kUnsupported, kWhere, printable(folder.string()), " must hold at most ",
           kMaxFolderEntries, " entries, got more");
    std::error_code ignored;
    const bool model = it->is_directory(ignored)
                           ? fs::exists(it->path() / "model_index.json", ignored)
                           : is_weights_file(it->path());
    if (model) found.push_back(it->path());
  }
  if (error)
    fail(ErrorKind::kIo, kWhere, printable(folder.string()),
         " must be readable, got: ", error.message());
  std::sort(found.begin(), found.end());
  return found;
}

std::string name_of(const fs::path& path) {
  std::error_code error;
  const fs::path last = path.has_filename() ? path : path.parent_path();
  return (fs::is_directory(path, error) ? last.filename() : last.stem()).string();
}

std::string last_part(const std::string& name) {
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? name : name.substr(slash + 1);
}

}  // namespace

Catalogue::Catalogue(const CatalogueOptions& options) : options_(options) {
  std::set<std::string> names;
  for (ModelEntry entry : options.models) {
    if (entry.name.empty()) entry.name = name_of(entry.path);
    TT_REQUIRE(names.insert(entry.name).second, kWhere,
               "models must have names of their own, got \"", printable(entry.name, 80),
               "\" twice");
    models_.push_back({entry, inspect(entry.path, entry.load)});
  }
  for (const fs::path& folder : options.model_folders)
    for (const fs::path& path : candidates_in(folder)) {
      ModelEntry entry{name_of(path), path, options.load};
      // One that is configured, or stands in an earlier folder.
      if (names.count(entry.name)) continue;
      try {
        models_.push_back({entry, inspect(path, entry.load)});
        names.insert(entry.name);
      } catch (const Error& error) {
        skipped_.push_back(cat(path.filename().string(), ": ", error.what()));
      }
    }
}

const CatalogueModel& Catalogue::model(std::string_view name) const {
  if (models_.empty())
    fail(ErrorKind::kNotFound, "model", "the server must have a model, it has none");
  if (name.empty()) return models_.front();
  std::vector<std::string> names;
  for (const CatalogueModel& model : models_) {
    if (model.entry.name == name) return model;
    names.push_back(model.entry.name);
  }
  fail(ErrorKind::kNotFound, "model", unknown_name(name, names));
}

std::vector<std::string> Catalogue::adapters() const {
  if (options_.adapter_folder.empty()) return {};
  try {
    return adapter_names(options_.adapter_folder);
  } catch (const Error& error) {
    // Its message names the folder, which is nobody's business but the owner's.
    fail(error.kind(), "adapters", "the server's folder of adapters must be there and readable");
  }
}

std::string Catalogue::adapter(std::string_view name) const {
  const std::vector<std::string> names = adapters();
  if (names.empty())
    fail(ErrorKind::kNotFound, "adapters", "the server has none, got the name \"",
         printable(name, 80), "\"");
  std::vector<std::string> found, known = names;
  for (const std::string& one : names) {
    if (one == name) return one;
    if (last_part(one) == name) found.push_back(one);
    known.push_back(last_part(one));
  }
  if (found.size() == 1) return found.front();
  TT_REQUIRE(found.empty(), "adapters", "the name must be one adapter's, \"", printable(name, 80),
             "\" is ", printable(found[0], 80), " and ", printable(found[1], 80));
  const std::string nearest = nearest_name(name, known);
  fail(ErrorKind::kNotFound, "adapters", "must be names of the server's ", names.size(),
       " adapters, got \"", printable(name, 80), "\"",
       nearest.empty() ? "" : cat("; did you mean ", printable(nearest, 80), "?"));
}

std::vector<std::string> Catalogue::upscalers() const {
  std::vector<std::string> names;
  std::error_code error;
  if (options_.upscaler_folder.empty()) return names;
  for (fs::directory_iterator it(options_.upscaler_folder, error), end; !error && it != end;
       it.increment(error)) {
    if (names.size() >= kMaxFolderEntries) break;
    if (it->path().extension() == ".safetensors") names.push_back(it->path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path Catalogue::upscaler(std::string_view name) const {
  const std::vector<std::string> names = upscalers();
  // Of what the listing holds: a name with a slash in it is never among them.
  if (std::find(names.begin(), names.end(), name) != names.end())
    return options_.upscaler_folder / (std::string(name) + ".safetensors");
  if (names.empty())
    fail(ErrorKind::kNotFound, "upscaler", "the server has none, got the name \"",
         printable(name, 80), "\"");
  fail(ErrorKind::kNotFound, "upscaler", unknown_name(name, names));
}

CatalogueOptions Catalogue::resolved() const {
  CatalogueOptions options = options_;
  options.model_folders.clear();
  options.models.clear();
  for (const CatalogueModel& model : models_) options.models.push_back(model.entry);
  return options;
}

}  // namespace tintype
