/// The table of settings, and values as texts.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "http/config.h"
#include "tintype/engine.h"

namespace tintype::http {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 50;

/// Names that may stand before a size.
int64_t byte_unit(char letter) {
  switch (letter) {
    case 'k':
    case 'K':
      return 1000;
    case 'M':
      return 1'000'000;
    case 'G':
      return 1'000'000'000;
    case 'T':
      return 1'000'000'000'000;
    default:
      return 0;
  }
}

int64_t second_unit(char letter) {
  switch (letter) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86400;
    default:
      return 0;
  }
}

/// "6G", "90m", "1.5h", "1000".
std::optional<int64_t> parse_amount(std::string_view text, SettingUnit unit) {
  int64_t factor = 1;
  if (!text.empty() && unit != SettingUnit::kPlain) {
    const int64_t named =
        unit == SettingUnit::kBytes ? byte_unit(text.back()) : second_unit(text.back());
    if (named > 0) {
      factor = named;
      text.remove_suffix(1);
    }
  }
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  const double amount = value * static_cast<double>(factor);
  if (error != std::errc() || end != text.data() + text.size() || std::fabs(amount) > 1e18 ||
      amount != std::floor(amount))
    return std::nullopt;
  return static_cast<int64_t>(amount);
}

bool parse_switch(std::string_view text, std::string_view where) {
  for (const char* yes : {"true", "yes", "on", "1"})
    if (text == yes) return true;
  for (const char* no : {"false", "no", "off", "0"})
    if (text == no) return false;
  fail(ErrorKind::kInvalidArgument, where, "must be true or false, got \"", printable(text), "\"");
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

/// "name=cpu0,threads=2"
WorkerConfig parse_worker(const std::string& text, std::string_view where) {
  static const std::vector<std::string> kNames = {"name", "device", "threads", "max_concurrent"};
  WorkerConfig worker;
  for (const std::string& pair : split(text, ',')) {
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string name = pair.substr(0, equals);
    const std::string value = equals < pair.size() ? pair.substr(equals + 1) : "";
    const auto whole = [&](int64_t least, int64_t most) {
      const auto number = parse_amount(value, SettingUnit::kPlain);
      TT_REQUIRE(number && *number >= least && *number <= most, where, name, " must be ", least,
                 "..", most, ", got \"", printable(value), "\"");
      return *number;
    };
    if (name == "name")
      worker.name = value;
    else if (name == "device")
      worker.device = value;
    else if (name == "threads")
      worker.threads = whole(0, 1024);
    else if (name == "max_concurrent")
      worker.max_concurrent = whole(1, 64);
    else
      fail(ErrorKind::kInvalidArgument, where, "a worker's member ", unknown_name(name, kNames));
  }
  return worker;
}

}  // namespace

std::string Setting::flag() const {
  std::string out = "--" + name;
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

std::string Setting::variable() const {
  std::string out = "TINTYPE_" + name;
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

std::string Setting::type_name() const {
  if (unit == SettingUnit::kBytes) return "BYTES";
  if (unit == SettingUnit::kSeconds) return "SECONDS";
  if (std::holds_alternative<int64_t ServeConfig::*>(member)) return "NUMBER";
  if (std::holds_alternative<bool ServeConfig::*>(member)) return "true|false";
  if (std::holds_alternative<std::vector<WorkerConfig> ServeConfig::*>(member)) return "WORKER";
  if (!choices.empty()) return "NAME";
  return std::holds_alternative<std::string ServeConfig::*>(member) ? "TEXT" : "LIST";
}

const std::vector<Setting>& settings() {
  using C = ServeConfig;
  const auto number = [](std::string name, int64_t C::*member, int64_t min, int64_t max,
                         std::string help, SettingUnit unit = SettingUnit::kPlain) {
    return Setting{std::move(name), member, std::move(help), min, max, unit};
  };
  const auto choice = [](std::string name, std::string C::*member, std::vector<std::string> names,
                         std::string help) {
    return Setting{std::move(name),     member,          std::move(help), 0, 0,
                   SettingUnit::kPlain, std::move(names)};
  };
  constexpr auto kBytes = SettingUnit::kBytes;
  constexpr auto kSeconds = SettingUnit::kSeconds;
  static const std::vector<Setting> kTable = {
      {"address", &C::address, "Address to listen on; beyond loopback only with keys"},
      number("port", &C::port, 0, 65535, "Port to listen on; 0 takes any that is free"),
      {"store", &C::store, "File that keeps the jobs; made where it is missing"},
      {"models", &C::models,
       "Models: folders or single files, NAME=PATH gives one another name; "
       "the first is the default"},
      {"model_folders", &C::model_folders, "Folders whose entries are models"},
      {"adapters", &C::adapters, "Folder of adapters (LoRA and its relatives)"},
      {"upscalers", &C::upscalers, "Folder of upscalers"},
      {"embeddings", &C::embeddings, "Folder of textual inversions, which every prompt may name"},
      {"profile", &C::profile,
       "Precision of models: " + joined(profile_names()) +
           "; parts may have another (fast,vae=exact)"},
      choice("offload", &C::offload, offload_names(),
             "Whether a model's parts are loaded in turn; empty: where memory needs it"),
      number("memory_limit", &C::memory_limit, 0, kMaxBytes,
             "Memory of all workers' models and runs together; 0: what the machine has", kBytes),
      number("model_memory", &C::model_memory, 0, kMaxBytes,
             "Memory of that for models that stay loaded, the least recently used going first; 0: "
             "six tenths",
             kBytes),
      {"warm_up", &C::warm_up,
       "Models that every worker loads, and draws a step with, at its start"},
      {"workers", &C::workers,
       "Workers, each its own process: name=cpu0,device=cpu,threads=2,"
       "max_concurrent=1; none given: one CPU worker with all cores"},
      choice("policy", &C::policy, placement_policies(), "Which worker gets a job"),
      number("max_attempts", &C::max_attempts, 1, 100,
             "Runs of one job before workers that die with it fail it"),
      number("max_queued", &C::max_queued, 1, 1'000'000, "Jobs that the queue takes"),
      number("max_queued_per_key", &C::max_queued_per_key, 1, 1'000'000,
             "Jobs that it takes of one key"),
      number("results_ttl", &C::results_ttl, 1, 10 * 365 * 86400LL, "How long results are kept",
             kSeconds),
      number("results_budget", &C::results_budget, 0, kMaxBytes,
             "Disk that results may take; the oldest go first", kBytes),
      number("max_steps", &C::max_steps, 1, 1000, "Most steps of a request"),
      number("max_side", &C::max_side, 8, 65536, "Most pixels of a picture's side"),
      number("max_pixels", &C::max_pixels, 64, int64_t{1} << 40,
             "Most pixels of all pictures of a request"),
      number("max_count", &C::max_count, 1, 1000, "Most pictures of a request"),
      number("max_adapters", &C::max_adapters, 0, 1000, "Most adapters of a request"),
      number("max_image_bytes", &C::max_image_bytes, 1024, int64_t{1} << 32,
             "Most bytes of a picture in a request", kBytes),
      number("max_body_bytes", &C::max_body_bytes, 1024, int64_t{1} << 32,
             "Most bytes of a request's body", kBytes),
      number("preview_every", &C::preview_every, 0, 1000,
             "Steps between previews where a request says nothing; 0: none"),
      number("preview_size", &C::preview_size, 16, 4096, "Their longer side in pixels"),
      {"keys", &C::keys, "File of API keys (tintype serve keys); none: loopback alone"},
      {"tls_cert", &C::tls_cert, "Certificate chain in PEM; TLS where it is given"},
      {"tls_key", &C::tls_key, "Its private key in PEM"},
      {"cors", &C::cors, "Origins whose pages may call (https://example.org), or *"},
      {"host_names", &C::host_names,
       "Names beside localhost under which a server without keys may be called"},
      number("max_connections", &C::max_connections, 1, 1'000'000, "Most connections"),
      number("max_connections_per_address", &C::max_connections_per_address, 1, 1'000'000,
             "Most connections of one address"),
      number("io_threads", &C::io_threads, 1, 64, "Threads that serve connections"),
      choice("log_format", &C::log_format, {"text", "json"}, "How log lines are written"),
      choice("log_level", &C::log_level, {"debug", "info", "warning", "error"},
             "Least level of lines that are written"),
      {"access_log", &C::access_log, "Whether each request is logged"},
      number("drain_seconds", &C::drain_seconds, 0, 86400,
             "How long running jobs may go on when the server is told to stop", kSeconds),
      {"openai", &C::openai, "Whether OpenAI's images API is served"},
      {"a1111", &C::a1111, "Whether A1111's API is served"},
      {"cancel_on_disconnect", &C::cancel_on_disconnect,
       "Whether a client of these two that goes away before its answer cancels its job"},
  };
  return kTable;
}

void set_setting(ServeConfig& config, const Setting& setting, const std::vector<std::string>& texts,
                 std::string_view where) {
  const auto single = [&]() -> const std::string& {
    TT_REQUIRE(texts.size() == 1, where, "must be one value, got ", texts.size());
    return texts[0];
  };
  if (const auto* member = std::get_if<std::string ServeConfig::*>(&setting.member)) {
    const std::string& text = single();
    const auto& choices = setting.choices;
    TT_REQUIRE(choices.empty() || text.empty() ||
                   std::find(choices.begin(), choices.end(), text) != choices.end(),
               where, unknown_name(text, choices));
    config.** member = text;
  } else if (const auto* whole = std::get_if<int64_t ServeConfig::*>(&setting.member)) {
    const auto value = parse_amount(single(), setting.unit);
    const char* form = setting.unit == SettingUnit::kBytes     ? " bytes, such as 800M or 6G"
                       : setting.unit == SettingUnit::kSeconds ? " seconds, such as 90, 30m or 1d"
                                                               : "";
    TT_REQUIRE(value && *value >= setting.min && *value <= setting.max, where, "must be ",
               setting.min, "..", setting.max, form, ", got \"", printable(texts[0]), "\"");
    config.** whole = *value;
  } else if (const auto* flag = std::get_if<bool ServeConfig::*>(&setting.member)) {
    config.** flag = parse_switch(single(), where);
  } else if (const auto* list =
                 std::get_if<std::vector<std::string> ServeConfig::*>(&setting.member)) {
    std::vector<std::string> items;
    for (const std::string& text : texts)
      for (std::string& item : split(text, ',')) items.push_back(std::move(item));
    TT_REQUIRE(items.size() <= 1000, where, "must have at most 1000 items, got ", items.size());
    config.** list = std::move(items);
  } else {
    std::vector<WorkerConfig> workers;
    for (const std::string& text : texts)
      for (const std::string& one : split(text, ';')) workers.push_back(parse_worker(one, where));
    TT_REQUIRE(workers.size() <= 256, where, "must be at most 256 workers, got ", workers.size());
    config.*std::get<std::vector<WorkerConfig> ServeConfig::*>(setting.member) = std::move(workers);
  }
}

}  // namespace tintype::http
