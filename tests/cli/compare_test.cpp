#include "cli/compare_command.h"

#include <gtest/gtest.h>

#include <limits>

#include "cli/effort_flags.h"
#include "tintype/error.h"

namespace tintype::cli {
namespace {

TEST(Compare, PromptsAreLinesWithoutCommentsAndEmptyOnes) {
  EXPECT_EQ(parse_prompts("# title\nred apple\r\n\n  \na fox, #2\nlast"),
            (std::vector<std::string>{"red apple", "a fox, #2", "last"}));
  EXPECT_TRUE(parse_prompts("").empty());
}

TEST(Compare, EqualPicturesCountAsAHighNumberAndAreNullInJson) {
  ProfileDistance first, other;
  first.profile = "exact";
  other.profile = "fast";
  other.psnr_db = {40, std::numeric_limits<double>::infinity()};
  other.ssim = {0.5, 1};
  other.mean_difference = {2, 0};
  const OrderedJson json = compare_json({first, other}, {"a", "b"});
  EXPECT_FALSE(json["profiles"][0].contains("psnr_mean_db"));
  EXPECT_EQ(json["profiles"][1]["psnr_mean_db"], (40 + kEqualDb) / 2);
  EXPECT_EQ(json["profiles"][1]["psnr_min_db"], 40);
  EXPECT_TRUE(json["profiles"][1]["psnr_db"][1].is_null());
  EXPECT_EQ(json["profiles"][1]["mean_difference"], 1);
  EXPECT_NE(compare_text({first, other}, {"a", "b"}).find("furthest of fast: \"a\""),
            std::string::npos);
}

TEST(Compare, GuidanceIntervalsAreTwoLevels) {
  EXPECT_FLOAT_EQ(parse_guidance_interval("0.28,5.42").high, 5.42f);
  EXPECT_TRUE(parse_guidance_interval("0,inf").everywhere());
  for (const char* bad : {"", "1", "1;2", "a,2", "1,", "-1,2"})
    EXPECT_THROW(parse_guidance_interval(bad), Error) << bad;
}

}  // namespace
}  // namespace tintype::cli
