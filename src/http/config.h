/// Configuration of the server: defaults, then config.yaml, then the environment, then flags. One
/// table names every setting; the file's keys, the variables, the flags, --print-config and
/// docs/configuration.md come from it. Plain values; functions throw kInvalidArgument naming the
/// setting and where it was set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/http_server.h"
#include "requests/catalogue.h"
#include "requests/job_request.h"
#include "serving/job_runtime.h"

namespace tintype::http {

struct WorkerConfig {
  std::string name;  ///< "cpu0"; "": device and number
  std::string device = "cpu";
  int64_t threads = 0;         ///< 0: an equal share of the cores
  int64_t max_concurrent = 1;  ///< jobs at once
};

/// Names are those of the settings.
struct ServeConfig {
  std::string address = "127.0.0.1";
  int64_t port = 7860;
  std::string store = "tintype.db";

  std::vector<std::string> models, model_folders;
  std::string adapters, upscalers, embeddings;
  std::string profile, offload;
  int64_t memory_limit = 0, model_memory = 0;
  std::vector<std::string> warm_up;

  std::vector<WorkerConfig> workers;
  std::string policy = "model_affinity";
  int64_t max_attempts = 3;

  int64_t max_queued = 1000, max_queued_per_key = 200;
  int64_t results_ttl = 24 * 3600;
  int64_t results_budget = int64_t{4} << 30;

  int64_t max_steps = 150, max_side = 4096, max_pixels = int64_t{4} << 20, max_count = 8;
  int64_t max_adapters = 8;
  int64_t max_image_bytes = int64_t{32} << 20;
  int64_t max_body_bytes = int64_t{96} << 20;

  int64_t preview_every = 5, preview_size = 256;

  std::string keys;
  std::string tls_cert, tls_key;
  std::vector<std::string> cors, host_names;
  int64_t max_connections = 4096, max_connections_per_address = 3000;
  int64_t io_threads = 1;

  std::string log_format = "text", log_level = "info";
  bool access_log = true;
  int64_t drain_seconds = 30;
  bool openai = true, a1111 = true, cancel_on_disconnect = true;
};

/// How a setting is written.
enum class SettingUnit { kPlain, kBytes, kSeconds };

struct Setting {
  using Member = std::variant<std::string ServeConfig::*, int64_t ServeConfig::*,
                              bool ServeConfig::*, std::vector<std::string> ServeConfig::*,
                              std::vector<WorkerConfig> ServeConfig::*>;
  std::string name;  ///< key of the file; TINTYPE_NAME in the environment; --name, with dashes
  Member member;
  std::string help;
  int64_t min = 0, max = 0;  ///< of whole numbers
  SettingUnit unit = SettingUnit::kPlain;
  std::vector<std::string> choices = {};  ///< of texts; empty: any
  std::string type_name() const;          ///< "TEXT", "NUMBER", "BYTES", "SECONDS", ...
  std::string flag() const;               ///< "--max-queued"
  std::string variable() const;           ///< "TINTYPE_MAX_QUEUED"
};

const std::vector<Setting>& settings();

/// Sets one setting from texts: one for single values, any number for lists, where a text may also
/// hold several with commas between. `where` names its source: "--port".
void set_setting(ServeConfig& config, const Setting& setting, const std::vector<std::string>& texts,
                 std::string_view where);

/// Sets what the file says; paths in it count from its folder. throws kNotFound, kIo, kCorruptFile:
/// not YAML, over 1 MB; kInvalidArgument: an unknown key (names the nearest), a bad value
void read_config_file(ServeConfig& config, const std::filesystem::path& file);
void parse_config_text(ServeConfig& config, std::string_view text, const std::string& origin,
                       const std::filesystem::path& folder);

/// Sets what TINTYPE_... variables say; one that is no setting is refused with the nearest name.
/// `environment` has "NAME=value" lines as environ has.
void read_environment(ServeConfig& config, const std::vector<std::string>& environment);

/// What does not go together. throws kInvalidArgument; kUnsupported: without keys beyond loopback
void check_config(const ServeConfig& config);

/// The whole configuration as a config.yaml that sets it again.
std::string print_config(const ServeConfig& config);
/// docs/configuration.md.
std::string configuration_markdown();

/// What the parts of the server are made with.
ServerOptions server_options(const ServeConfig& config);
RuntimeOptions runtime_options(const ServeConfig& config);
CatalogueOptions catalogue_options(const ServeConfig& config);
RequestLimits request_limits(const ServeConfig& config);
/// With names and threads filled in: the cores are shared out among those that leave it open.
std::vector<WorkerConfig> worker_configs(const ServeConfig& config, int cores);
/// Each worker's equal share of memory_limit, or of what the machine has.
uint64_t worker_memory_bytes(const ServeConfig& config);

}  // namespace tintype::http
