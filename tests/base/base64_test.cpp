#include "base/base64.h"

#include <gtest/gtest.h>

#include <utility>

#include "base/expect_error.h"

namespace tintype {
namespace {

using testing::expect_error;

constexpr uint64_t kAny = 1 << 20;

TEST(Base64, IsThatOfTheStandard) {
  // RFC 4648, section 10.
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text, "t", kAny), bytes);
  }
}

TEST(Base64, EveryByteComesBack) {
  std::string bytes;
  for (int length = 0; length < 300; ++length) {
    EXPECT_EQ(decode_base64(encode_base64(bytes), "t", kAny), bytes);
    bytes += static_cast<char>(length * 37 + 200);
  }
}

TEST(Base64, TakesLineBreaksAndMissingPadding) {
  EXPECT_EQ(decode_base64("Zm9v\r\nYg==\n", "t", kAny), "foob");
  EXPECT_EQ(decode_base64(" Zm9vYg", "t", kAny), "foob");
  EXPECT_EQ(decode_base64("Zm9vYmE", "t", kAny), "fooba");
}

TEST(Base64, RefusesWhatNoEncoderMakes) {
  for (const char* text : {"Zg=", "Zg=a", "Z", "Zm9vZ", "=", "Z===", "Zg===", "Zm9v=", "Zm_v",
                           "Zg==Zg==", "\xff", "data:"}) {
    expect_error(ErrorKind::kInvalidArgument, {"[image]"},
                 [&] { decode_base64(text, "image", kAny); });
  }
}

TEST(Base64, KeepsToItsLimit) {
  EXPECT_EQ(decode_base64("Zm9vYmFy", "t", 6), "foobar");
  expect_error(ErrorKind::kInvalidArgument, {"at most 5"},
               [&] { decode_base64("Zm9vYmFy", "t", 5); });
  expect_error(ErrorKind::kInvalidArgument, {"at most 0"}, [&] { decode_base64("Zg", "t", 0); });
}

TEST(Base64, DataUrisNameTheirMediaType) {
  const DataUri png = decode_data_uri("data:image/png;charset=x;base64,Zm9v", "t", kAny);
  EXPECT_EQ(png.media_type, "image/png");
  EXPECT_EQ(png.bytes, "foo");
  const DataUri plain = decode_data_uri("Zm9v", "t", kAny);
  EXPECT_EQ(plain.media_type, "");
  EXPECT_EQ(plain.bytes, "foo");
  EXPECT_EQ(decode_data_uri("data:;base64,Zm9v", "t", kAny).bytes, "foo");
  expect_error(ErrorKind::kInvalidArgument, {"base64 data URI"},
               [&] { decode_data_uri("data:image/png,foo", "t", kAny); });
  expect_error(ErrorKind::kInvalidArgument, {"without a comma"},
               [&] { decode_data_uri("data:" + std::string(1 << 20, 'x'), "t", kAny); });
}

}  // namespace
}  // namespace tintype
