/// The test of the test: small trees, each with one thing wrong, must be found out.
#include "layers/layer_check.h"

#include <gtest/gtest.h>

#include "image/test_folder.h"

namespace tintype {
namespace {

/// A correct little project: base <- tensor <- backend (with an implementation) <- ops <- engine.
class LayerCheck : public ::testing::Test {
 protected:
  LayerCheck() {
    put("include/tintype/error.h", "#include <string>\n");
    put("include/tintype/engine.h", "#include \"tintype/error.h\"\n");
    put("src/base/CMakeLists.txt", "tt_layer(base SOURCES a.cpp)\n");
    put("src/base/check.h", "#include \"tintype/error.h\"\n");
    put("src/tensor/CMakeLists.txt", "tt_layer(tensor SOURCES t.cpp DEPENDS base)");
    put("src/tensor/tensor.h", "#include \"base/check.h\"\n");
    put("src/backend/CMakeLists.txt",
        "tt_layer(backend SOURCES registry.cpp DEPENDS base tensor)\nadd_subdirectory(cpu)\n"
        "target_link_libraries(tintype_backend PRIVATE tintype_backend_cpu)\n");
    put("src/backend/backend.h", "#include \"tensor/tensor.h\"\n");
    put("src/backend/registry.cpp", "#include \"backend/cpu/cpu_backend.h\"\n");
    put("src/backend/cpu/CMakeLists.txt",
        "tt_layer(backend_cpu SOURCES c.cpp\n         DEPENDS backend\n LIBRARIES PkgConfig::HWY)");
    // base and tensor come along with backend.
    put("src/backend/cpu/cpu_backend.h",
        "#include <hwy/highway.h>\n#include \"backend/backend.h\"\n#include \"base/check.h\"\n");
    put("src/ops/CMakeLists.txt",
        "tt_layer(ops SOURCES ops.cpp DEPENDS backend) # not: DEPENDS nn\n");
    put("src/ops/ops.h", "  #  include \"backend/backend.h\"\n// #include \"nn/layers.h\"\n");
    put("src/engine/CMakeLists.txt",
        "add_library(tintype SHARED engine.cpp)\nset(TT_LAYERS ops)\n"
        "list(TRANSFORM TT_LAYERS PREPEND tintype_)\n"
        "target_link_libraries(tintype PRIVATE ${TT_LAYERS} tintype_options)\n");
    put("src/engine/engine.cpp", "#include \"tintype/engine.h\"\n#include \"ops/ops.h\"\n");
    put("apps/cli/CMakeLists.txt", "target_link_libraries(tintype_cli PRIVATE CLI11::CLI11)");
    put("apps/cli/exit_code.h", "#include \"tintype/error.h\"\n");
    put("apps/cli/main.cpp", "#include <CLI/CLI.hpp>\n#include \"cli/exit_code.h\"\n");
    put("examples/CMakeLists.txt", "");
    put("examples/draw.cpp", "#include \"tintype/engine.h\"\n");
  }

  void put(const std::string& name, const std::string& text) { tree_.write(name, text); }

  /// Exactly one problem, and it says `part`.
  void expect_problem(const std::string& part) {
    const LayerReport report = check_layers(tree_.path());
    ASSERT_EQ(report.problems.size(), 1u) << ::testing::PrintToString(report.problems);
    EXPECT_NE(report.problems[0].find(part), std::string::npos) << report.problems[0];
  }

  TestFolder tree_;
};

TEST_F(LayerCheck, AcceptsTheCorrectTree) {
  const LayerReport report = check_layers(tree_.path());
  EXPECT_EQ(report.problems, std::vector<std::string>{});
  EXPECT_EQ(report.folders, (std::vector<std::string>{"src/backend", "src/backend/cpu", "src/base",
                                                      "src/engine", "src/ops", "src/tensor"}));
  EXPECT_EQ(report.files, 12);
  EXPECT_EQ(report.edges, 13);
}

TEST_F(LayerCheck, FindsAnIncludeThatPointsUp) {
  put("src/base/bad.cpp", "#include \"ops/ops.h\"\n");
  expect_problem("src/base/bad.cpp: \"ops/ops.h\" makes base depend on ops");
}

TEST_F(LayerCheck, FindsAnIncludeOfAPeer) {
  put("src/nn/CMakeLists.txt", "tt_layer(nn SOURCES x.cpp DEPENDS base ops)");
  put("src/samplers/CMakeLists.txt", "tt_layer(samplers SOURCES x.cpp DEPENDS base ops)");
  put("src/nn/layers.h", "");
  put("src/samplers/diffusion/ddim.cpp", "#include \"nn/layers.h\"\n");
  expect_problem("src/samplers/diffusion/ddim.cpp: \"nn/layers.h\" makes samplers depend on nn");
}

TEST_F(LayerCheck, FindsAnIncludePastADirectDependency) {
  put("src/engine/peek.cpp", "#include \"backend/backend.h\"\n");
  expect_problem("makes engine depend on backend");
}

TEST_F(LayerCheck, FindsAnImplementationIncludedByAHeader) {
  put("src/backend/leak.h", "#include \"backend/cpu/cpu_backend.h\"\n");
  expect_problem("does not allow in a header");
}

TEST_F(LayerCheck, FindsAnImplementationIncludedFromAbove) {
  put("src/ops/fast.cpp", "#include \"backend/cpu/cpu_backend.h\"\n");
  expect_problem("makes ops depend on backend_cpu");
}

TEST_F(LayerCheck, FindsACycleOfDeclarations) {
  put("src/tensor/CMakeLists.txt", "tt_layer(tensor SOURCES t.cpp DEPENDS base ops)");
  expect_problem("layers form a cycle: backend -> tensor -> ops -> backend");
}

TEST_F(LayerCheck, FindsACycleThroughPrivateLinks) {
  put("src/base/CMakeLists.txt",
      "tt_layer(base SOURCES a.cpp)\ntarget_link_libraries(tintype_base PRIVATE tintype_tensor)\n");
  expect_problem("layers form a cycle: base -> tensor -> base");
}

TEST_F(LayerCheck, FindsAnUnknownLayerInADeclaration) {
  put("src/ops/CMakeLists.txt", "tt_layer(ops SOURCES ops.cpp DEPENDS backend bakend)");
  expect_problem("src/ops: depends on unknown layer bakend");
}

TEST_F(LayerCheck, FindsAnUnknownFileAndARelativeInclude) {
  put("src/ops/bad.cpp", "#include \"ops.h\"\n");
  expect_problem("\"ops.h\" is no file of a layer");
}

TEST_F(LayerCheck, FindsAFileOutsideEveryLayer) {
  put("src/stray/x.cpp", "");
  expect_problem("src/stray/x.cpp: lies in no layer");
}

TEST_F(LayerCheck, FindsAPublicHeaderThatIncludesTheInside) {
  put("include/tintype/leak.h", "#include \"base/check.h\"\n");
  expect_problem("include/tintype/leak.h: public header includes \"base/check.h\"");
}

TEST_F(LayerCheck, FindsAPackageInAPublicHeader) {
  put("include/tintype/json.h", "#include <nlohmann/json.hpp>\n");
  expect_problem("only the standard library");
}

TEST_F(LayerCheck, FindsAMissingPublicHeader) {
  put("examples/old.cpp", "#include \"tintype/gone.h\"\n");
  expect_problem("\"tintype/gone.h\" is no public header");
}

TEST_F(LayerCheck, FindsTheEngineIncludedFromBelow) {
  put("src/ops/bad.cpp", "#include \"tintype/engine.h\"\n");
  expect_problem("is for the engine, the pipelines and users");
}

TEST_F(LayerCheck, FindsAnAppThatReachesInside) {
  put("apps/cli/bad.cpp", "#include \"base/check.h\"\n");
  expect_problem("apps/cli/bad.cpp: \"base/check.h\": an app includes");
}

TEST_F(LayerCheck, AcceptsALayerOverTheEngineAndTheAppThatLinksIt) {
  put("src/worker/CMakeLists.txt", "tt_layer(worker SOURCES w.cpp DEPENDS base LIBRARIES tintype)");
  put("src/worker/worker.h", "#include \"tintype/engine.h\"\n#include \"base/check.h\"\n");
  put("apps/cli/CMakeLists.txt",
      "target_link_libraries(tintype_cli PRIVATE CLI11::CLI11 tintype_worker)");
  put("apps/cli/worker_command.cpp", "#include \"worker/worker.h\"\n");
  EXPECT_EQ(check_layers(tree_.path()).problems, std::vector<std::string>{});
  put("src/worker/bad.cpp", "#include \"ops/ops.h\"\n");
  expect_problem("makes worker depend on ops");
}

TEST_F(LayerCheck, FindsAnAppThatReachesIntoAnother) {
  put("apps/web/page.h", "");
  put("apps/cli/bad.cpp", "#include \"web/page.h\"\n");
  expect_problem("apps/cli/bad.cpp: \"web/page.h\": an app includes");
}

TEST_F(LayerCheck, FindsAnExampleThatReachesInside) {
  put("examples/bad.cpp", "#include \"ops/ops.h\"\n");
  expect_problem("examples include tintype/ headers");
}

TEST_F(LayerCheck, FindsAProjectFileInAngleBrackets) {
  put("src/base/bad.cpp", "#include <ops/ops.h>\n");
  expect_problem("include it with quotes");
}

TEST_F(LayerCheck, FollowsAPackageThatALayerBelowHandsOn) {
  put("src/ops/json.cpp", "#include <nlohmann/json.hpp>\n");
  expect_problem("<nlohmann/json.hpp> needs nlohmann_json");
  put("src/base/CMakeLists.txt",
      "tt_layer(base SOURCES a.cpp)\n"
      "target_link_libraries(tintype_base PUBLIC nlohmann_json::nlohmann_json)\n");
  EXPECT_EQ(check_layers(tree_.path()).problems, std::vector<std::string>{});
}

TEST_F(LayerCheck, FindsAPackageThatTheFolderDoesNotName) {
  put("src/ops/bad.cpp", "#include <hwy/highway.h>\n");
  expect_problem("<hwy/highway.h> needs HWY");
}

}  // namespace
}  // namespace tintype
