#include <gtest/gtest.h>
#include <zlib.h>

#include "image/png_reader.h"
#include "image/test_folder.h"
#include "tintype/error.h"

namespace tintype {
namespace {

std::string big_endian(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto sum =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(data.size())) + body +
         big_endian(static_cast<uint32_t>(sum));
}

std::string header(uint32_t width, uint32_t height, char depth = 8, char color = 2) {
  return chunk("IHDR",
               big_endian(width) + big_endian(height) + depth + color + std::string(3, '\0'));
}

const std::string kSignature = "\x89PNG\r\n\x1A\n";

std::string deflate_of(const std::string& data) {
  uLongf size = compressBound(static_cast<uLong>(data.size()));
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
           static_cast<uLong>(data.size()));
  out.resize(size);
  return out;
}

/// A whole 3 x 2 RGB file with a text chunk.
std::string valid_png() {
  const std::string rows = std::string(1, '\0') + "abcdefghi" + std::string(1, '\0') + "jklmnopqr";
  return kSignature + header(3, 2) + chunk("tEXt", std::string("key\0text", 8)) +
         chunk("IDAT", deflate_of(rows)) + chunk("IEND", "");
}

Image decode(const std::string& bytes, PngText* text = nullptr) {
  return decode_png({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "a.png", text);
}

/// The kind and message of the error that decoding ends with; fails the test when it succeeds.
std::pair<ErrorKind, std::string> error_of(const std::string& bytes) {
  try {
    decode(bytes);
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  ADD_FAILURE() << "no error was thrown";
  return {ErrorKind::kInternal, ""};
}

void expect_corrupt(const std::string& bytes, const std::string& message_part) {
  const auto [kind, message] = error_of(bytes);
  EXPECT_EQ(kind, ErrorKind::kCorruptFile) << message;
  EXPECT_NE(message.find(message_part), std::string::npos) << message;
  EXPECT_NE(message.find("a.png"), std::string::npos) << message;
}

TEST(HostilePng, TheValidFileOfTheseTestsDecodes) {
  PngText text;
  const Image image = decode(valid_png(), &text);
  EXPECT_EQ(std::string(image.rgb.begin(), image.rgb.end()), "abcdefghijklmnopqr");
  EXPECT_EQ(text, (PngText{{"key", "text"}}));
}

TEST(HostilePng, EveryTruncationIsAnError) {
  const std::string whole = valid_png();
  for (size_t length = 0; length < whole.size(); ++length) {
    SCOPED_TRACE(length);
    EXPECT_EQ(error_of(whole.substr(0, length)).first, ErrorKind::kCorruptFile);
  }
}

TEST(HostilePng, NoChangeOfOneBitCrashes) {
  const std::string whole = valid_png();
  int refused = 0;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    try {
      const Image image = decode(bytes);
      EXPECT_EQ(image.rgb.size(), 18u);
    } catch (const Error&) {
      ++refused;
    }
  }
  // Checksums catch all but changes inside the ancillary text chunk.
  EXPECT_GT(refused, static_cast<int>(whole.size() * 8) / 2);
}

TEST(HostilePng, OtherFormatsAreNamed) {
  for (const auto& [magic, name] :
       {std::pair<std::string, std::string>{"\xFF\xD8\xFF\xE0 and so on", "JPEG"},
        {"GIF89a and so on", "GIF"},
        {"RIFF1234WEBP", "WebP"}}) {
    const auto [kind, message] = error_of(magic);
    EXPECT_EQ(kind, ErrorKind::kUnsupported);
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }
  expect_corrupt("", "signature");
  expect_corrupt(std::string(100, 'x'), "signature");
}

TEST(HostilePng, AbsurdSizesAreRefusedBeforeAllocation) {
  const std::string rest = chunk("IDAT", deflate_of("x")) + chunk("IEND", "");
  expect_corrupt(kSignature + header(0, 1) + rest, "header");
  expect_corrupt(kSignature + header(1, 0) + rest, "header");
  expect_corrupt(kSignature + header(65536, 1) + rest, "header");
  expect_corrupt(kSignature + header(0xFFFFFFFF, 0xFFFFFFFF) + rest, "header");
  EXPECT_EQ(error_of(kSignature + header(65535, 65535) + rest).first, ErrorKind::kUnsupported);
  // Within the pixel bound, 768 MB once decoded, but the file has 100 bytes.
  expect_corrupt(kSignature + header(16384, 16384) + rest, "too short");
}

TEST(HostilePng, ContradictionsInsideTheFileAreErrors) {
  const std::string pixels = chunk("IDAT", deflate_of(std::string(20, '\0')));
  const std::string end = chunk("IEND", "");
  expect_corrupt(kSignature + pixels + header(3, 2) + end, "header");           // order
  expect_corrupt(kSignature + header(3, 2) + end, "header");                    // no pixels
  expect_corrupt(kSignature + header(3, 2, 3) + pixels + end, "header");        // depth 3
  expect_corrupt(kSignature + header(3, 2, 8, 5) + pixels + end, "header");     // colour type 5
  expect_corrupt(kSignature + header(3, 2, 8, 3) + pixels + end, "header");     // no palette
  expect_corrupt(kSignature + header(3, 9) + pixels + end, "pixels");           // too few rows
  expect_corrupt(kSignature + header(3, 2) + chunk("IDAT", "junk") + end, "");  // not deflate
  expect_corrupt(kSignature + header(3, 2) + chunk("ABCD", "") + pixels + end, "header");
  std::string filter(20, '\0');
  filter[0] = 9;  // no such row filter
  expect_corrupt(kSignature + header(3, 2) + chunk("IDAT", deflate_of(filter)) + end, "pixels");
}

TEST(HostilePng, CompressedTextCannotGrowWithoutBound) {
  // 64 MB of text in a 64 KB chunk: beyond the chunk limit, so the text is left out.
  const std::string bomb = std::string("key\0\0", 5) + deflate_of(std::string(64 << 20, 'x'));
  const std::string rows(20, '\0');
  PngText text;
  const Image image = decode(kSignature + header(3, 2) + chunk("zTXt", bomb) +
                                 chunk("IDAT", deflate_of(rows)) + chunk("IEND", ""),
                             &text);
  EXPECT_EQ(image.rgb.size(), 18u);
  for (const auto& entry : text) EXPECT_LT(entry.second.size(), size_t{9} << 20);
}

TEST(HostilePng, ThousandsOfTextChunksDoNotPileUp) {
  std::string bytes = kSignature + header(3, 2);
  for (int i = 0; i < 5000; ++i) bytes += chunk("tEXt", std::string("key\0text", 8));
  bytes += chunk("IDAT", deflate_of(std::string(20, '\0'))) + chunk("IEND", "");
  PngText text;
  decode(bytes, &text);
  EXPECT_LE(text.size(), 256u);
}

TEST(HostilePng, BrokenUtf8InTextIsReplaced) {
  const std::string itxt = std::string("key\0\0\0\0\0", 8) + "a\xFF";
  PngText text;
  decode(kSignature + header(3, 2) + chunk("iTXt", itxt) +
             chunk("IDAT", deflate_of(std::string(20, '\0'))) + chunk("IEND", ""),
         &text);
  EXPECT_EQ(text, (PngText{{"key", "a\xEF\xBF\xBD"}}));
}

TEST(HostilePng, MissingFilesAreNotFound) {
  const TestFolder folder;
  try {
    read_png(folder / "none.png");
    FAIL() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
  }
}

}  // namespace
}  // namespace tintype
