#include "cli/arguments.h"
#include "cli/image_commands.h"

#include <gtest/gtest.h>

#include "cli/txt2img_command.h"
#include "image/test_folder.h"
#include "tintype/error.h"

namespace tintype::cli {
namespace {

template <typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

TEST(Arguments, WholeNumbersWithinBoundsAreTaken) {
  EXPECT_EQ(parse_int("--steps", "1", 1, 1000), 1);
  EXPECT_EQ(parse_int("--steps", "1000", 1, 1000), 1000);
  EXPECT_EQ(parse_int("--x", "-3", -5, 5), -3);
}

TEST(Arguments, EverythingElseIsRefusedWithFlagBoundsAndValue) {
  for (const char* text : {"", " 5", "5 ", "0", "1001", "-1", "5.0", "1e2", "0x10", "five", "+5",
                           "99999999999999999999", "5\n"}) {
    EXPECT_EQ(message_of([&] { parse_int("--steps", text, 1, 1000); }),
              "[--steps] must be a whole number from 1 to 1000, got \"" + std::string(text) + "\"");
  }
}

TEST(Arguments, SeedsCoverAllOfUint64) {
  EXPECT_EQ(parse_seed("--seed", "0"), 0u);
  EXPECT_EQ(parse_seed("--seed", "18446744073709551615"), UINT64_MAX);
  for (const char* text : {"", "-1", "18446744073709551616", "1.0", "seven", "7 "})
    EXPECT_NE(message_of([&] { parse_seed("--seed", text); }), "no error") << text;
}

TEST(Arguments, BytesTakeAUnit) {
  EXPECT_EQ(parse_bytes("--memory-limit", "6G"), 6'000'000'000u);
  EXPECT_EQ(parse_bytes("--memory-limit", "1.5M"), 1'500'000u);
  EXPECT_EQ(parse_bytes("--memory-limit", "800"), 800u);
  for (const char* text : {"", "G", "0", "-1G", "6g", "6GB", "6 G", "1e30", "nan", "infG"})
    EXPECT_EQ(message_of([&] { parse_bytes("--memory-limit", text); }),
              "[--memory-limit] must be a number of bytes such as 6G or 800M, got \"" +
                  std::string(text) + "\"");
}

TEST(Arguments, NumbersMustBeFinite) {
  EXPECT_EQ(parse_number("--guidance", "7.5", -10, 10), 7.5);
  EXPECT_EQ(parse_number("--guidance", "1e-3", -10, 10), 1e-3);
  for (const char* text : {"", "nan", "-nan", "inf", "-inf", "1e999", "7,5", "seven", "11"})
    EXPECT_NE(message_of([&] { parse_number("--guidance", text, -10, 10); }), "no error") << text;
}

TEST(FreeOutputName, SkipsNamesThatAreTaken) {
  const TestFolder folder;
  EXPECT_EQ(free_output_name(folder.path(), 7), folder / "tintype-7.png");
  write_file(folder / "tintype-7.png", "");
  EXPECT_EQ(free_output_name(folder.path(), 7), folder / "tintype-7-2.png");
  write_file(folder / "tintype-7-2.png", "");
  EXPECT_EQ(free_output_name(folder.path(), 7), folder / "tintype-7-3.png");
}

TEST(ImageFlags, PaddingIsOneNumberOrFour) {
  const Padding all = parse_padding("64"), four = parse_padding("1,2,3,4");
  EXPECT_EQ(all.left + all.top + all.right + all.bottom, 256);
  EXPECT_EQ(four.top, 2);
  EXPECT_EQ(four.bottom, 4);
  for (const char* text : {"", "1,2", "1,2,3,4,5", "a", "1,,2,3", "-1", "1,2,3,5000"})
    EXPECT_THROW(parse_padding(text), Error) << text;
}

}  // namespace
}  // namespace tintype::cli
