/// Files in deploy/: what they name exists.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "base/json.h"
#include "http/config.h"
#include "http/metrics.h"

namespace tintype::http {
namespace {

std::string deploy_file(const std::string& name) {
  return read_text_file(std::string(TT_SOURCE_DIR) + "/deploy/" + name);
}

/// Every metric's name, with the suffixes of histograms.
std::set<std::string> metric_names() {
  const HttpMetrics http;
  const std::string text = prometheus_text({}, http, true, false);
  const std::regex type("# TYPE (tintype_[a-z_]+) ([a-z]+)");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), type), end; it != end; ++it) {
    if ((*it)[2] != "histogram") {
      names.insert((*it)[1]);
      continue;
    }
    for (const char* suffix : {"_bucket", "_sum", "_count"}) names.insert((*it)[1].str() + suffix);
  }
  return names;
}

TEST(Deploy, DashboardShowsMetricsThatExist) {
  const Json dashboard = parse_json(deploy_file("grafana-dashboard.json"), "dashboard");
  const std::set<std::string> names = metric_names();
  EXPECT_GT(names.size(), 30u);
  const std::regex metric("tintype_[a-z_]+");
  int seen = 0;
  for (const Json& panel : dashboard["panels"])
    for (const Json& target : panel["targets"]) {
      const std::string query = target["expr"].get<std::string>();
      for (std::sregex_iterator it(query.begin(), query.end(), metric), end; it != end; ++it) {
        EXPECT_TRUE(names.count(it->str())) << it->str();
        ++seen;
      }
    }
  EXPECT_GT(seen, 20);
}

TEST(Deploy, FilesNameSettingsThatExist) {
  std::set<std::string> variables, flags = {"--config"};
  for (const Setting& setting : settings()) {
    variables.insert(setting.variable());
    flags.insert(setting.flag());
  }
  const std::regex variable("TINTYPE_[A-Z_]+(?==|-)"), flag(" (--[a-z-]+)");
  for (const char* name : {"Dockerfile", "container-start.sh"}) {
    const std::string text = deploy_file(name);
    for (std::sregex_iterator it(text.begin(), text.end(), variable), end; it != end; ++it)
      if (it->str() != "TINTYPE_TESTS" && it->str() != "TINTYPE_BENCHMARKS") {
        EXPECT_TRUE(variables.count(it->str())) << it->str();
      }
  }
  const std::string unit = deploy_file("tintype.service");
  const std::regex start("ExecStart=[^\n]*");
  std::smatch line;
  ASSERT_TRUE(std::regex_search(unit, line, start));
  const std::string command = line.str();
  for (std::sregex_iterator it(command.begin(), command.end(), flag), end; it != end; ++it)
    EXPECT_TRUE(flags.count((*it)[1])) << (*it)[1];
  // systemd waits longer than the drain takes.
  std::smatch stop;
  ASSERT_TRUE(std::regex_search(unit, stop, std::regex("TimeoutStopSec=([0-9]+)")));
  EXPECT_GT(std::stoll(stop[1]), ServeConfig().drain_seconds);
}

}  // namespace
}  // namespace tintype::http
