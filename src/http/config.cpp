#include "http/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/process_memory.h"
#include "base/text.h"

namespace tintype::http {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{1} << 20;

const Setting* find_setting(std::string_view name) {
  for (const Setting& setting : settings())
    if (setting.name == name) return &setting;
  return nullptr;
}

std::vector<std::string> setting_names(bool as_variables) {
  std::vector<std::string> names;
  for (const Setting& setting : settings())
    names.push_back(as_variables ? setting.variable() : setting.name);
  return names;
}

/// Nearest name alone: the whole list has forty.
std::string did_you_mean(const std::string& given, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(given, known);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

std::string scalar_text(const YAML::Node& node, const std::string& where) {
  if (node.IsNull()) return "";
  TT_REQUIRE(node.IsScalar(), where, "must be a single value, got a list or an object");
  return node.Scalar();
}

/// {name: cpu0, threads: 2} as the flag would write it.
std::string worker_text(const YAML::Node& node, const std::string& where) {
  if (node.IsScalar()) return node.Scalar();
  TT_REQUIRE(node.IsMap(), where, "must be a list of objects such as {name: cpu0, threads: 2}");
  std::string out;
  for (const auto& member : node) {
    const std::string value = scalar_text(member.second, where);
    TT_REQUIRE(value.find_first_of(",;=") == std::string::npos, where,
               "must have values without , ; and =, got \"", printable(value), "\"");
    out += (out.empty() ? "" : ",") + scalar_text(member.first, where) + "=" + value;
  }
  return out;
}

/// Settings that name files: relative ones in a file count from the file's folder.
bool is_path(const std::string& name) {
  static const std::set<std::string> kPaths = {"store",    "models",    "model_folders",
                                               "adapters", "upscalers", "embeddings",
                                               "keys",     "tls_cert",  "tls_key"};
  return kPaths.count(name) > 0;
}

std::string from_folder(const std::string& text, const std::string& setting,
                        const fs::path& folder) {
  if (text.empty()) return text;
  const size_t equals = setting == "models" ? text.find('=') : std::string::npos;
  const std::string prefix = equals == std::string::npos ? "" : text.substr(0, equals + 1);
  const fs::path path = equals == std::string::npos ? text : text.substr(equals + 1);
  return prefix + (path.is_absolute() ? path : folder / path).lexically_normal().string();
}

void set_from_yaml(ServeConfig& config, const Setting& setting, const YAML::Node& value,
                   const std::string& where, const fs::path& folder) {
  const bool is_workers =
      std::holds_alternative<std::vector<WorkerConfig> ServeConfig::*>(setting.member);
  std::vector<std::string> texts;
  if (value.IsSequence()) {
    TT_REQUIRE(value.size() <= 1000, where, "must have at most 1000 items");
    for (const auto& item : value)
      texts.push_back(is_workers ? worker_text(item, where) : scalar_text(item, where));
  } else {
    texts.push_back(is_workers ? worker_text(value, where) : scalar_text(value, where));
  }
  if (is_path(setting.name))
    for (std::string& text : texts) text = from_folder(text, setting.name, folder);
  set_setting(config, setting, texts, where);
}

/// A scalar that YAML reads back as the same text.
std::string yaml_text(const std::string& text) { return Json(text).dump(); }

std::string yaml_value(const ServeConfig& config, const Setting& setting) {
  if (const auto* text = std::get_if<std::string ServeConfig::*>(&setting.member))
    return yaml_text(config.**text);
  if (const auto* whole = std::get_if<int64_t ServeConfig::*>(&setting.member))
    return std::to_string(config.**whole);
  if (const auto* flag = std::get_if<bool ServeConfig::*>(&setting.member))
    return config.**flag ? "true" : "false";
  std::string out;
  if (const auto* list = std::get_if<std::vector<std::string> ServeConfig::*>(&setting.member)) {
    for (const std::string& item : config.**list)
      out += (out.empty() ? "" : ", ") + yaml_text(item);
  } else {
    const auto& workers =
        config.*std::get<std::vector<WorkerConfig> ServeConfig::*>(setting.member);
    for (const WorkerConfig& worker : workers)
      out += (out.empty() ? "{name: " : ", {name: ") + yaml_text(worker.name) +
             ", device: " + yaml_text(worker.device) +
             ", threads: " + std::to_string(worker.threads) +
             ", max_concurrent: " + std::to_string(worker.max_concurrent) + "}";
  }
  return "[" + out + "]";
}

}  // namespace

void parse_config_text(ServeConfig& config, std::string_view text, const std::string& origin,
                       const fs::path& folder) {
  if (text.size() > kMaxFileBytes)
    fail(ErrorKind::kCorruptFile, origin, "must have at most ", kMaxFileBytes, " bytes");
  // Nothing in a configuration is said twice by reference, and a few lines of references can stand
  // for more than any memory holds.
  if (text.find('&') != std::string_view::npos && text.find(": &") != std::string_view::npos)
    fail(ErrorKind::kCorruptFile, origin, "must have no anchors");
  YAML::Node root;
  try {
    root = YAML::Load(std::string(text));
  } catch (const YAML::Exception& error) {
    fail(ErrorKind::kCorruptFile, origin, "must be YAML: ", printable(error.what()));
  }
  if (root.IsNull()) return;
  if (!root.IsMap()) fail(ErrorKind::kCorruptFile, origin, "must be an object of settings");
  std::set<std::string> seen;
  try {
    for (const auto& entry : root) {
      const std::string name = scalar_text(entry.first, origin);
      const Setting* setting = find_setting(name);
      TT_REQUIRE(setting, origin, "\"", printable(name), "\" is no setting",
                 did_you_mean(name, setting_names(false)));
      TT_REQUIRE(seen.insert(name).second, origin, "sets ", name, " twice");
      set_from_yaml(config, *setting, entry.second, origin + ": " + name, folder);
    }
  } catch (const YAML::Exception& error) {
    fail(ErrorKind::kCorruptFile, origin, "must be YAML: ", printable(error.what()));
  }
}

void read_config_file(ServeConfig& config, const fs::path& file) {
  const std::string text = read_text_file(file, kMaxFileBytes);
  parse_config_text(config, text, file.filename().string(), fs::absolute(file).parent_path());
}

void read_environment(ServeConfig& config, const std::vector<std::string>& environment) {
  for (const std::string& line : environment) {
    if (!line.starts_with("TINTYPE_")) continue;
    const size_t equals = std::min(line.find('='), line.size());
    const std::string name = line.substr(0, equals);
    // Names the file, and is read by whoever reads it.
    if (name == "TINTYPE_CONFIG") continue;
    const Setting* found = nullptr;
    for (const Setting& setting : settings())
      if (setting.variable() == name) found = &setting;
    TT_REQUIRE(found, "environment", printable(name), " is no setting",
               did_you_mean(name, setting_names(true)));
    set_setting(config, *found, {line.substr(std::min(equals + 1, line.size()))}, name);
  }
}

void check_config(const ServeConfig& config) {
  TT_REQUIRE(config.tls_cert.empty() == config.tls_key.empty(), "tls_cert",
             "and tls_key must be given together");
  TT_REQUIRE(!config.models.empty() || !config.model_folders.empty(), "models",
             "or model_folders must name a model: --models PATH");
  for (const std::string& origin : config.cors)
    TT_REQUIRE(origin == "*" || origin.starts_with("http://") || origin.starts_with("https://"),
               "cors", "must be an origin such as https://example.org, or *, got \"",
               printable(origin), "\"");
  if (config.keys.empty() && !is_loopback(config.address))
    fail(ErrorKind::kUnsupported, "address",
         "must be a loopback address where no keys are asked "
         "for, got ",
         printable(config.address),
         "; make a key with `tintype serve keys add NAME "
         "--keys FILE` and start with --keys FILE");
  std::set<std::string> names;
  for (const WorkerConfig& worker : config.workers)
    TT_REQUIRE(worker.name.empty() || names.insert(worker.name).second, "workers",
               "must have names of their own, got two of \"", printable(worker.name), "\"");
}

std::string print_config(const ServeConfig& config) {
  std::string out;
  for (const Setting& setting : settings())
    out += "# " + setting.help + "\n" + setting.name + ": " + yaml_value(config, setting) + "\n";
  return out;
}

std::string configuration_markdown() {
  const ServeConfig defaults;
  std::string out =
      "# Configuration of the server\n\nWritten by `http_test` from the program's own table "
      "(`TT_UPDATE_DOCS=1 build/cpu/tests/http/http_test`).\n\n"
      "`tintype serve` takes defaults, then `config.yaml` (`--config FILE`, or `TINTYPE_CONFIG`), "
      "then the environment,\nthen flags; the later wins. An unknown name is an error that "
      "proposes "
      "the nearest. `tintype serve\n--print-config` prints what came of all four as a file that "
      "sets it again. Relative paths in the\nfile count from its folder. The setting `max_queued` "
      "is `TINTYPE_MAX_QUEUED` in the environment\nand `--max-queued` as a flag; lists are "
      "separated by commas there, workers by semicolons.\n\n"
      "| setting | value | default | meaning |\n|---|---|---|---|\n";
  for (const Setting& setting : settings()) {
    std::string range = setting.type_name();
    if (range == "NUMBER") range = std::to_string(setting.min) + ".." + std::to_string(setting.max);
    if (!setting.choices.empty()) {
      range.clear();
      for (const std::string& name : setting.choices)
        range += (range.empty() ? "`" : ", `") + name + "`";
    }
    std::replace(range.begin(), range.end(), '|', ',');
    out += "| `" + setting.name + "` | " + range + " | `" + yaml_value(defaults, setting) + "` | " +
           setting.help + " |\n";
  }
  return out;
}

ServerOptions server_options(const ServeConfig& config) {
  ServerOptions options;
  options.address = config.address;
  options.port = static_cast<uint16_t>(config.port);
  options.io_threads = static_cast<int>(config.io_threads);
  options.max_connections = static_cast<size_t>(config.max_connections);
  options.max_connections_per_address = static_cast<size_t>(config.max_connections_per_address);
  options.tls_certificate = config.tls_cert;
  options.tls_key = config.tls_key;
  options.max_body_bytes_total =
      std::max(options.max_body_bytes_total, static_cast<uint64_t>(config.max_body_bytes) * 2);
  return options;
}

RuntimeOptions runtime_options(const ServeConfig& config) {
  RuntimeOptions options;
  options.store = config.store;
  options.max_queued = static_cast<size_t>(config.max_queued);
  options.max_queued_per_owner = static_cast<size_t>(
      // Without keys everyone is one owner.
      config.keys.empty() ? config.max_queued : config.max_queued_per_key);
  options.max_attempts = static_cast<int>(config.max_attempts);
  options.results_ttl = std::chrono::seconds(config.results_ttl);
  options.results_budget_bytes = static_cast<uint64_t>(config.results_budget);
  options.policy = config.policy;
  return options;
}

CatalogueOptions catalogue_options(const ServeConfig& config) {
  CatalogueOptions options;
  options.load.profile = config.profile;
  options.load.offload = config.offload;
  for (const std::string& text : config.models) {
    const size_t equals = text.find('=');
    const bool is_named = equals != std::string::npos && text.find('/') > equals;
    options.models.push_back({is_named ? text.substr(0, equals) : "",
                              is_named ? text.substr(equals + 1) : text, options.load});
  }
  for (const std::string& folder : config.model_folders) options.model_folders.emplace_back(folder);
  options.adapter_folder = config.adapters;
  options.upscaler_folder = config.upscalers;
  options.embedding_folder = config.embeddings;
  return options;
}

RequestLimits request_limits(const ServeConfig& config) {
  RequestLimits limits;
  limits.max_steps = static_cast<int>(config.max_steps);
  limits.max_side_px = static_cast<int>(config.max_side);
  limits.max_pixels = config.max_pixels;
  limits.max_count = static_cast<int>(config.max_count);
  limits.max_image_bytes = static_cast<uint64_t>(config.max_image_bytes);
  limits.max_adapters = static_cast<size_t>(config.max_adapters);
  return limits;
}

uint64_t worker_memory_bytes(const ServeConfig& config) {
  const uint64_t all =
      config.memory_limit ? static_cast<uint64_t>(config.memory_limit) : physical_memory_bytes();
  return all / std::max<size_t>(1, config.workers.size());
}

std::vector<WorkerConfig> worker_configs(const ServeConfig& config, int cores) {
  std::vector<WorkerConfig> workers = config.workers;
  if (workers.empty()) workers.emplace_back();
  std::set<std::string> taken;
  int64_t open = 0, given = 0;
  for (const WorkerConfig& worker : workers) {
    taken.insert(worker.name);
    if (worker.device != "cpu" && worker.device != "reference") continue;
    (worker.threads == 0 ? open : given) += worker.threads == 0 ? 1 : worker.threads;
  }
  // What the others leave, shared out; at least one thread each.
  const int64_t share = std::max<int64_t>(1, open > 0 ? (cores - given) / open : 1);
  for (WorkerConfig& worker : workers) {
    if (worker.threads == 0) worker.threads = share;
    for (int i = 0; worker.name.empty(); ++i)
      if (taken.insert(worker.device + std::to_string(i)).second)
        worker.name = worker.device + std::to_string(i);
  }
  return workers;
}

}  // namespace tintype::http
