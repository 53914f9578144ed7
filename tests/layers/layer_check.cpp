#include "layers/layer_check.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace tintype {
namespace {

namespace fs = std::filesystem;

/// Headers of packages and the word that the folder's CMakeLists.txt must then contain.
const std::vector<std::pair<std::string, std::string>> kPackages = {
    {"png.h", "PNG::"},         {"jpeglib.h", "JPEG::"},
    {"webp/", "WEBP"},          {"hwy/", "HWY"},
    {"omp.h", "OpenMP::"},      {"pcre2.h", "PCRE2"},
    {"utf8proc.h", "UTF8PROC"}, {"nlohmann/", "nlohmann_json"},
    {"CLI/", "CLI11"},          {"zlib.h", "ZLIB::"},
    {"dnnl", "dnnl"},           {"benchmark/", "benchmark::"},
    {"spdlog/", "spdlog"},      {"sqlite3.h", "SQLite3"},
    {"boost/", "Boost::"},      {"openssl/", "OpenSSL::"},
    {"yaml-cpp/", "yaml-cpp"}};

struct Layer {
  std::string name;    ///< as in DEPENDS
  std::string folder;  ///< "src/backend/cpu"
  std::string cmake;   ///< text of its CMakeLists.txt
  std::set<std::string> depends, private_depends;
  std::string public_packages;  ///< words that its users may rely on too
  bool over_engine = false;     ///< links the shared library: a user of the public headers
};

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

/// The words between the parentheses of every call of `command`.
std::vector<std::vector<std::string>> calls_of(const std::string& cmake,
                                               const std::string& command) {
  const std::regex call("(^|\\s)" + command + "\\s*\\(([^)]*)\\)");
  std::vector<std::vector<std::string>> out;
  for (std::sregex_iterator it(cmake.begin(), cmake.end(), call), end; it != end; ++it) {
    std::istringstream words((*it)[2].str());
    out.emplace_back(std::istream_iterator<std::string>(words),
                     std::istream_iterator<std::string>());
  }
  return out;
}

/// The words of `set(NAME ...)` when `word` is ${NAME}; otherwise `word` alone.
std::vector<std::string> expand(const std::string& cmake, const std::string& word) {
  if (!starts_with(word, "${")) return {word};
  const std::string name = word.substr(2, word.size() - 3);
  const bool prefixed =
      std::regex_search(cmake, std::regex("TRANSFORM\\s+" + name + "\\s+PREPEND\\s+tintype_"));
  std::vector<std::string> out;
  for (const auto& words : calls_of(cmake, "set")) {
    if (words.empty() || words[0] != name) continue;
    for (size_t i = 1; i < words.size(); ++i)
      out.push_back((prefixed ? "tintype_" : "") + words[i]);
  }
  return out;
}

/// Names of layers in one argument of a link list, also inside a generator expression.
std::set<std::string> layer_names(const std::string& word) {
  static const std::regex kName("tintype_([a-z0-9_]+)");
  std::set<std::string> out;
  for (std::sregex_iterator it(word.begin(), word.end(), kName), end; it != end; ++it)
    if ((*it)[1] != "options") out.insert((*it)[1]);
  return out;
}

/// The layer that a CMakeLists.txt declares; an empty name when it declares none.
Layer parse_layer(const fs::path& cmake_file, const fs::path& root) {
  Layer layer;
  layer.folder = fs::relative(cmake_file.parent_path(), root).generic_string();
  layer.cmake = std::regex_replace(read_text(cmake_file), std::regex("#[^\n]*"), "");
  for (const auto& words : calls_of(layer.cmake, "tt_layer")) {
    layer.name = words.empty() ? "" : words[0];
    std::string section;
    for (const std::string& word : words) {
      if (word == "SOURCES" || word == "DEPENDS" || word == "LIBRARIES")
        section = word;
      else if (section == "DEPENDS")
        layer.depends.insert(word);
      else if (section == "LIBRARIES" && word == "tintype")
        layer.over_engine = true;
    }
  }
  // The engine is the shared library itself: a plain target whose link list is its rule.
  if (layer.name.empty() && !calls_of(layer.cmake, "add_library").empty())
    layer.name = fs::path(layer.folder).filename().string();
  for (const auto& words : calls_of(layer.cmake, "target_link_libraries")) {
    bool is_private = false;
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "PRIVATE" || words[i] == "PUBLIC") is_private = words[i] == "PRIVATE";
      if (!is_private) layer.public_packages += words[i] + " ";
      for (const std::string& word : expand(layer.cmake, words[i])) {
        const std::set<std::string> names = layer_names(word);
        (is_private ? layer.private_depends : layer.depends).insert(names.begin(), names.end());
      }
    }
  }
  return layer;
}

class Checker {
 public:
  explicit Checker(const fs::path& root) : root_(root) {}

  LayerReport run() {
    read_layers();
    check_declarations();
    for (const char* top : {"include", "src", "apps", "examples"}) check_files_of(top);
    return std::move(report_);
  }

 private:
  void problem(const std::string& where, const std::string& what) {
    report_.problems.push_back(where + ": " + what);
  }

  void read_layers() {
    for (const auto& entry : fs::recursive_directory_iterator(root_ / "src")) {
      if (entry.path().filename() != "CMakeLists.txt") continue;
      const Layer layer = parse_layer(entry.path(), root_);
      if (layer.name.empty()) continue;
      report_.folders.push_back(layer.folder);
      layers_[layer.name] = layer;
    }
    std::sort(report_.folders.begin(), report_.folders.end());
  }

  void check_declarations() {
    for (const auto& [name, layer] : layers_) {
      for (const auto* list : {&layer.depends, &layer.private_depends})
        for (const std::string& other : *list)
          if (!layers_.count(other)) problem(layer.folder, "depends on unknown layer " + other);
      find_cycle(name, {name});
    }
  }

  /// Dependencies that must not lead back. A registry's private link to an implementation inside
  /// its own folder may: the interface's headers cannot use it.
  std::set<std::string> edges_of(const Layer& layer) const {
    std::set<std::string> out = layer.depends;
    for (const std::string& other : layer.private_depends) {
      const auto found = layers_.find(other);
      if (found == layers_.end() || !starts_with(found->second.folder, layer.folder + "/"))
        out.insert(other);
    }
    return out;
  }

  /// Reports each cycle once, at its alphabetically first member.
  void find_cycle(const std::string& first, const std::vector<std::string>& path) {
    for (const std::string& next : edges_of(layers_.at(path.back()))) {
      if (next == first) {
        std::string chain;
        for (const std::string& name : path) chain += name + " -> ";
        problem(layers_.at(first).folder, "layers form a cycle: " + chain + first);
      } else if (next > first && layers_.count(next) &&
                 std::find(path.begin(), path.end(), next) == path.end()) {
        std::vector<std::string> longer = path;
        longer.push_back(next);
        find_cycle(first, longer);
      }
    }
  }

  /// The layer of a file: the one with the deepest folder above it. Null when there is none.
  const Layer* layer_of(const std::string& file) const {
    const Layer* best = nullptr;
    for (const auto& [name, layer] : layers_)
      if (starts_with(file, layer.folder + "/") &&
          (!best || layer.folder.size() > best->folder.size()))
        best = &layer;
    return best;
  }

  bool reaches(const std::string& from, const std::string& to, std::set<std::string>& seen) const {
    const auto found = layers_.find(from);
    if (found == layers_.end() || !seen.insert(from).second) return false;
    for (const std::string& next : found->second.depends)
      if (next == to || reaches(next, to, seen)) return true;
    return false;
  }

  /// True when the layer names the package, or a layer below hands it on.
  bool has_package(const Layer& layer, const std::string& word) const {
    if (layer.cmake.find(word) != std::string::npos) return true;
    for (const auto& [name, other] : layers_) {
      std::set<std::string> seen;
      if (other.public_packages.find(word) != std::string::npos && reaches(layer.name, name, seen))
        return true;
    }
    return false;
  }

  bool may_include(const Layer& from, const Layer& to, bool is_header) const {
    if (from.name == to.name || from.depends.count(to.name)) return true;
    // The engine's headers are its own: it is the top, and users see include/ only.
    const bool own_headers = from.name == "engine";
    if ((!is_header || own_headers) && from.private_depends.count(to.name)) return true;
    std::set<std::string> seen;
    return (to.name == "base" || to.name == "tensor") && reaches(from.name, to.name, seen);
  }

  void check_files_of(const std::string& top) {
    if (!fs::exists(root_ / top)) return;
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".hpp" || extension == ".cpp" || extension == ".cc" ||
          extension == ".inc")
        files.push_back(fs::relative(entry.path(), root_).generic_string());
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) check_file(file);
  }

  void check_file(const std::string& file) {
    static const std::regex kInclude(R"(^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">])");
    ++report_.files;
    const Layer* layer = layer_of(file);
    if (starts_with(file, "src/") && !layer)
      problem(file, "lies in no layer; its folder's CMakeLists.txt must have a tt_layer");
    std::istringstream lines(read_text(root_ / file));
    for (std::string line; std::getline(lines, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, kInclude)) continue;
      const std::string target = match[2];
      if (match[1] == "<")
        check_package(file, layer, target);
      else
        check_project_include(file, layer, target);
    }
  }

  void check_package(const std::string& file, const Layer* layer, const std::string& target) {
    if (fs::exists(root_ / "src" / target) || fs::exists(root_ / "include" / target))
      return problem(file, "<" + target + "> is a project file; include it with quotes");
    const bool extended = target.find_first_of("./") != std::string::npos;
    if (starts_with(file, "include/") && extended)
      return problem(file, "<" + target + "> in a public header; only the standard library may be");
    for (const auto& [header, word] : kPackages) {
      if (!starts_with(target, header)) continue;
      const bool named =
          layer ? has_package(*layer, word)
                : read_text((root_ / file).parent_path() / "CMakeLists.txt").find(word) !=
                      std::string::npos;
      if (!named)
        problem(file, "<" + target + "> needs " + word + " in the folder's CMakeLists.txt");
    }
  }

  void check_project_include(const std::string& file, const Layer* layer,
                             const std::string& target) {
    ++report_.edges;
    const bool is_public = starts_with(target, "tintype/");
    const std::string quoted = "\"" + target + "\"";
    if (is_public) {
      if (!fs::exists(root_ / "include" / target)) problem(file, quoted + " is no public header");
      const bool uses = !layer || layer->over_engine;
      const bool may_implement = layer && (layer->name == "engine" || layer->name == "pipelines");
      if (target == "tintype/engine.h" && !may_implement && !uses)
        problem(file, quoted + " is for the engine, the pipelines and users");
      if (target == "tintype/tintype.h" && !uses) problem(file, quoted + " is for users");
      return;
    }
    if (starts_with(file, "include/"))
      return problem(file, "public header includes " + quoted + ", which is not public");
    if (starts_with(file, "apps/")) return check_app_include(file, target);
    if (starts_with(file, "examples/")) {
      if (!fs::exists(root_ / "examples" / target))
        problem(file, quoted + ": examples include tintype/ headers and packages only");
      return;
    }
    const Layer* other = layer_of("src/" + target);
    if (!fs::exists(root_ / "src" / target) || !other)
      return problem(file, quoted + " is no file of a layer; write includes from src/");
    const bool is_header = fs::path(file).extension() != ".cpp";
    if (layer && !may_include(*layer, *other, is_header))
      problem(file, quoted + " makes " + layer->name + " depend on " + other->name +
                        ", which its link list does not allow" +
                        (layer->private_depends.count(other->name) ? " in a header" : ""));
  }

  void check_app_include(const std::string& file, const std::string& target) {
    // "apps/cli/main.cpp" -> "cli/"
    const std::string app = file.substr(5, file.find('/', 5) - 4);
    if (starts_with(target, app) && fs::exists(root_ / "apps" / target)) return;
    // Or what stands over the engine, where the app's link list names it.
    const Layer* other = fs::exists(root_ / "src" / target) ? layer_of("src/" + target) : nullptr;
    if (other) {
      const std::string cmake = read_text((root_ / file).parent_path() / "CMakeLists.txt");
      for (const auto& words : calls_of(cmake, "target_link_libraries"))
        for (const std::string& word : words)
          if (layer_names(word).count(other->name)) return;
    }
    problem(file, "\"" + target +
                      "\": an app includes its own folder, tintype/ headers, packages and the "
                      "layers that its CMakeLists.txt links");
  }

  fs::path root_;
  std::map<std::string, Layer> layers_;
  LayerReport report_;
};

}  // namespace

LayerReport check_layers(const fs::path& root) { return Checker(root).run(); }

}  // namespace tintype
