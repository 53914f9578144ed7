/// The configuration's four sources and what is refused.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "base/expect_error.h"
#include "base/json.h"
#include "base/temporary_folder.h"
#include "http/config.h"

namespace tintype::http {
namespace {

using tintype::testing::expect_error;
using tintype::testing::TemporaryFolder;

const Setting& setting_of(const std::string& name) {
  for (const Setting& setting : settings())
    if (setting.name == name) return setting;
  throw std::runtime_error("no setting " + name);
}

TEST(Config, LaterSourcesWin) {
  const TemporaryFolder folder;
  const auto file = folder.write("config.yaml",
                                 "port: 1000\nmax_queued: 7\nadapters: loras\nresults_ttl: 2d\n"
                                 "cors: [https://a.example, 'https://b.example']\n"
                                 "workers:\n  - {name: one, threads: 2}\n  - device: cpu\n");
  ServeConfig config;
  read_config_file(config, file);
  read_environment(config, {"HOME=/x", "TINTYPE_PORT=2000", "TINTYPE_MEMORY_LIMIT=6G"});
  set_setting(config, setting_of("port"), {"3000"}, "--port");
  EXPECT_EQ(config.port, 3000);
  EXPECT_EQ(config.max_queued, 7);
  EXPECT_EQ(config.memory_limit, 6'000'000'000);
  EXPECT_EQ(config.results_ttl, 2 * 86400);
  EXPECT_EQ(config.adapters, (folder.path() / "loras").string());
  EXPECT_EQ(config.cors, (std::vector<std::string>{"https://a.example", "https://b.example"}));
  const std::vector<WorkerConfig> workers = worker_configs(config, 8);
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].name, "one");
  EXPECT_EQ(workers[0].threads, 2);
  EXPECT_EQ(workers[1].name, "cpu0");
  EXPECT_EQ(workers[1].threads, 6);
}

TEST(Config, PrintedConfigurationSetsItselfAgain) {
  ServeConfig config;
  config.port = 1234;
  config.cors = {"*"};
  config.keys = "a \"quoted\": name";
  config.workers = {{.name = "x", .device = "cpu", .threads = 3, .max_concurrent = 2}};
  const std::string printed = print_config(config);
  ServeConfig again;
  parse_config_text(again, printed, "printed", "");
  EXPECT_EQ(print_config(again), printed);
  for (const Setting& setting : settings())
    EXPECT_NE(printed.find("\n" + setting.name + ": "), std::string::npos) << setting.name;
}

TEST(Config, MistakesAreNamed) {
  const auto parse = [](std::string_view text) {
    ServeConfig config;
    parse_config_text(config, text, "config.yaml", "");
  };
  expect_error(ErrorKind::kInvalidArgument, {"prot", "did you mean port"},
               [&] { parse("prot: 1"); });
  expect_error(ErrorKind::kInvalidArgument, {"config.yaml: port", "0..65535", "70000"},
               [&] { parse("port: 70000"); });
  expect_error(ErrorKind::kInvalidArgument, {"port"}, [&] { parse("port: [1, 2]"); });
  expect_error(ErrorKind::kInvalidArgument, {"twice"}, [&] { parse("port: 1\nport: 2"); });
  expect_error(ErrorKind::kInvalidArgument, {"true or false"}, [&] { parse("openai: perhaps"); });
  expect_error(ErrorKind::kInvalidArgument, {"least_busy"}, [&] { parse("policy: least_bussy"); });
  expect_error(ErrorKind::kInvalidArgument, {"thread"}, [&] { parse("workers: [{thread: 1}]"); });
  expect_error(ErrorKind::kCorruptFile, {"YAML"}, [&] { parse("port: [1"); });
  expect_error(ErrorKind::kCorruptFile, {"object"}, [&] { parse("- 1"); });
  expect_error(ErrorKind::kCorruptFile, {"anchors"}, [&] { parse("a: &x [1]\nb: *x"); });
  expect_error(ErrorKind::kCorruptFile, {"bytes"},
               [&] { parse(std::string(size_t{2} << 20, ' ')); });
  ServeConfig config;
  expect_error(ErrorKind::kInvalidArgument, {"TINTYPE_PROT", "did you mean TINTYPE_PORT"},
               [&] { read_environment(config, {"TINTYPE_PROT=1"}); });
}

TEST(Config, KeysAreNeededBeyondLoopback) {
  ServeConfig config;
  expect_error(ErrorKind::kInvalidArgument, {"models"}, [&] { check_config(config); });
  config.models = {"m"};
  check_config(config);
  config.address = "0.0.0.0";
  expect_error(ErrorKind::kUnsupported, {"loopback", "keys add"}, [&] { check_config(config); });
  config.keys = "keys.json";
  check_config(config);
  config.tls_cert = "x";
  expect_error(ErrorKind::kInvalidArgument, {"tls_key"}, [&] { check_config(config); });
}

TEST(Config, DocumentationIsTheTable) {
  const std::string path = std::string(TT_SOURCE_DIR) + "/docs/configuration.md";
  if (std::getenv("TT_UPDATE_DOCS")) std::ofstream(path) << configuration_markdown();
  EXPECT_EQ(read_text_file(path), configuration_markdown());
}

}  // namespace
}  // namespace tintype::http
