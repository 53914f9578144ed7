#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "cli/child_process.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// Long enough that only the signal can end it in time.
// The bar skips steps that come faster than the eye; the start of a stage is always shown.
const std::vector<std::string> kLongRun = {"txt2img", "-m",  TT_MODEL, "-p",   "red apple",
                                           "--steps", "500", "-o",     "a.png"};

RunOptions in(const TestFolder& folder) { return {folder.path(), "", {"TERM=xterm"}}; }

TEST(Interrupt, StopsWithinAStepAndLeavesNoFile) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const TestFolder folder;
    TerminalRun run(kLongRun, in(folder));
    ASSERT_TRUE(run.wait_for("drawing 0/500", seconds(120))) << run.screen();
    const auto start = steady_clock::now();
    run.send(signal);
    EXPECT_EQ(run.wait(), 130) << run.screen();
    // One step of the demo model takes well under a second; the rest is for a busy machine.
    EXPECT_LT(steady_clock::now() - start, seconds(10));
    EXPECT_TRUE(folder.names().empty());
    EXPECT_NE(run.screen().find("cancelled"), std::string::npos) << run.screen();
  }
}

TEST(Interrupt, LeavesAnExistingFileAsItWas) {
  const TestFolder folder;
  write_file(folder / "a.png", "old");
  TerminalRun run(kLongRun, in(folder));
  ASSERT_TRUE(run.wait_for("drawing 0/500", seconds(120))) << run.screen();
  run.send(SIGINT);
  EXPECT_EQ(run.wait(), 130);
  EXPECT_EQ(read_file(folder / "a.png"), "old");
  EXPECT_EQ(folder.names().size(), 1u);
}

TEST(Terminal, ShowsStepsRateAndTimeLeft) {
  const TestFolder folder;
  TerminalRun run({"txt2img", "-m", TT_MODEL, "-p", "red apple", "--steps", "4"}, in(folder));
  EXPECT_EQ(run.wait(), 0) << run.screen();
  EXPECT_NE(run.screen().find("drawing 4/4 [====="), std::string::npos) << run.screen();
  EXPECT_NE(run.screen().find("/"), std::string::npos);
  EXPECT_NE(run.screen().find(" left"), std::string::npos) << run.screen();
  EXPECT_NE(run.screen().find("\x1B[36m"), std::string::npos) << "coloured by default";
}

TEST(Terminal, NoColorIsRespected) {
  const TestFolder folder;
  RunOptions options = in(folder);
  options.environment.push_back("NO_COLOR=1");
  TerminalRun run({"txt2img", "-m", TT_MODEL, "-p", "red apple", "--steps", "2"}, options);
  EXPECT_EQ(run.wait(), 0) << run.screen();
  EXPECT_NE(run.screen().find("drawing 2/2"), std::string::npos) << run.screen();
  EXPECT_EQ(run.screen().find("\x1B[36m"), std::string::npos) << run.screen();
}

}  // namespace
}  // namespace tintype
