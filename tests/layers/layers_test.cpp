#include <gtest/gtest.h>

#include "layers/layer_check.h"

namespace tintype {
namespace {

TEST(Layers, EveryIncludeOfThisProjectPointsDownwards) {
  const LayerReport report = check_layers(TT_SOURCE_DIR);
  for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
  // Guards against a checker that looked at nothing.
  EXPECT_GT(report.files, 50);
  EXPECT_GT(report.edges, 100);
  EXPECT_GE(report.folders.size(), 12u);
}

}  // namespace
}  // namespace tintype
