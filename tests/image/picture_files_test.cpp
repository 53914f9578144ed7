// Every kind of picture file against the pixels that Pillow reads, hostile bytes, and what the
// writers write.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/json.h"
#include "image/exif.h"
#include "image/picture_reader.h"
#include "image/test_folder.h"
#include "models/fixture_files.h"
#include "tintype/error.h"
#include "tintype/image.h"

namespace tintype::testing {
namespace {

const std::filesystem::path kImages = fixtures() / "images";

Image decode(const std::string& bytes, const PictureLimits& limits = {}) {
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "a.file",
                      limits);
}

/// The kind of error that decoding ends with; fails the test when it succeeds.
ErrorKind error_of(const std::string& bytes, const PictureLimits& limits = {}) {
  try {
    decode(bytes, limits);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorKind::kInternal;
}

double mean_difference(const std::vector<uint8_t>& a, std::span<const uint8_t> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(int{a[i]} - int{b[i]});
  return sum / static_cast<double>(a.size());
}

Image gradient(int width, int height) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i)
    for (const int factor : {3, 5, 7}) image.rgb.push_back(static_cast<uint8_t>(i / factor % 256));
  return image;
}

TEST(PictureFiles, EveryKindHasThePixelsThatPillowReads) {
  const Dump pixels(kImages / "pixels.safetensors");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kImages)) {
    if (entry.path().extension() == ".safetensors") continue;
    const std::string name = entry.path().filename().string();
    const Tensor expected = pixels.raw(name);
    const Image image = load_image(entry.path());
    ASSERT_EQ(Shape({image.height_px, image.width_px, 3}), expected.shape()) << name;
    // Other releases of the same decoders may round otherwise; PNG leaves no freedom.
    const double tolerance = name.ends_with(".png") ? 0 : 0.5;
    EXPECT_LE(mean_difference(image.rgb, expected.span<uint8_t>()), tolerance) << name;
    ++files;
  }
  EXPECT_GE(files, 25);
}

TEST(PictureFiles, ContentDecidesAndNotTheName) {
  const TestFolder folder;
  write_file(folder / "really.png", read_file(kImages / "rgb.jpg"));
  EXPECT_EQ(load_image(folder / "really.png").width_px, 23);
  EXPECT_EQ(error_of("GIF89a........."), ErrorKind::kUnsupported);
  EXPECT_EQ(error_of("II*........."), ErrorKind::kUnsupported);
  EXPECT_EQ(error_of(""), ErrorKind::kCorruptFile);
  EXPECT_EQ(error_of("no picture at all"), ErrorKind::kCorruptFile);
  try {
    load_image(folder / "nothing.jpg");
    ADD_FAILURE() << "read a file that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
  }
}

TEST(PictureFiles, EveryTruncationIsAnError) {
  for (const char* name : {"rgb.jpg", "progressive.jpg", "cmyk.jpg", "lossy.webp", "lossless.webp",
                           "alpha.webp", "rgb.png", "grey-16.png"}) {
    const std::string whole = read_file(kImages / name);
    // The last bytes of a JPEG may be its end marker and padding alone.
    for (size_t size = 0; size + 4 < whole.size(); ++size) {
      const ErrorKind kind = error_of(whole.substr(0, size));
      EXPECT_TRUE(kind == ErrorKind::kCorruptFile || kind == ErrorKind::kUnsupported)
          << name << " cut to " << size;
    }
  }
}

/// The JPEG with another size in its frame header.
std::string resized_header(std::string jpeg, uint16_t width, uint16_t height) {
  const size_t frame = jpeg.find("\xFF\xC0");
  EXPECT_NE(frame, std::string::npos);
  for (const auto& [at, value] : {std::pair{5, height}, std::pair{7, width}}) {
    jpeg[frame + static_cast<size_t>(at)] = static_cast<char>(value >> 8);
    jpeg[frame + static_cast<size_t>(at) + 1] = static_cast<char>(value & 0xff);
  }
  return jpeg;
}

TEST(PictureFiles, ClaimedSizesAreRefusedBeforeAnythingIsAllocated) {
  const std::string jpeg = read_file(kImages / "rgb.jpg");
  EXPECT_EQ(error_of(resized_header(jpeg, 65500, 65500)), ErrorKind::kUnsupported);
  // Within the limit, but no 900 bytes hold so much.
  EXPECT_EQ(error_of(resized_header(jpeg, 10000, 10000)), ErrorKind::kCorruptFile);
  for (const char* name : {"rgb.jpg", "lossy.webp", "lossless.webp", "rgb.png"})
    EXPECT_EQ(error_of(read_file(kImages / name), {.max_pixels = 100}), ErrorKind::kUnsupported)
        << name;
}

TEST(PictureFiles, MasksAreLuma) {
  const Mask mask = load_mask(kImages / "grey.png");
  const Image image = load_image(kImages / "grey.png");
  ASSERT_EQ(mask.grey.size() * 3, image.rgb.size());
  for (size_t i = 0; i < mask.grey.size(); ++i) EXPECT_EQ(mask.grey[i], image.rgb[3 * i]);
  // Pillow's convert("L") of pure colours.
  const Mask pure = to_mask({3, 1, {255, 0, 0, 0, 255, 0, 0, 0, 255}});
  EXPECT_EQ(pure.grey, (std::vector<uint8_t>{76, 150, 29}));
}

TEST(PictureFiles, SavedPicturesComeBackAndKeepTheirSettings) {
  const TestFolder folder;
  const Image image = gradient(40, 24);
  const PngText text = {{"parameters", "a fox, Üben 🦊\nSteps: 20"},
                        {"tintype", "{\"seed\":7}"}};
  for (const char* name : {"a.png", "a.jpg", "a.JPEG", "a.webp", "plain"}) {
    save_image(folder / name, image, text, {.quality = 95});
    EXPECT_LE(mean_difference(load_image(folder / name).rgb, image.rgb), 6.0) << name;
    const std::string bytes = read_file(folder / name);
    EXPECT_NE(bytes.find("{\"seed\":7}"), std::string::npos) << name;
    if (image_format_of(name) == ImageFormat::kPng) continue;
    const std::string fox("a\0 \0f\0o\0x", 9);  // UTF-16
    EXPECT_NE(bytes.find("UNICODE"), std::string::npos) << name;
    EXPECT_NE(bytes.find(fox), std::string::npos) << name;
  }
  EXPECT_EQ(read_file(folder / "plain").substr(1, 3), "PNG");
  save_image(folder / "exact.webp", image, {}, {.quality = 100});
  EXPECT_EQ(load_image(folder / "exact.webp").rgb, image.rgb);
  save_image(folder / "small.jpg", image, {}, {.quality = 20});
  save_image(folder / "large.jpg", image, {}, {.quality = 95});
  EXPECT_LT(read_file(folder / "small.jpg").size(), read_file(folder / "large.jpg").size());
}

TEST(PictureFiles, SettingsTooLongForJpegAreLeftOut) {
  const TestFolder folder;
  const PngText text = {{"parameters", "a fox"}, {"tintype", std::string(100'000, 'x')}};
  save_image(folder / "a.jpg", gradient(8, 8), text);
  EXPECT_LT(read_file(folder / "a.jpg").size(), 10'000u);
  EXPECT_NE(read_file(folder / "a.jpg").find("UNICODE"), std::string::npos);
}

TEST(PictureFiles, WritersRefuseWhatTheirFormatsCannotHold) {
  const TestFolder folder;
  const auto kind_of = [&](const char* name, const Image& image, int quality) {
    try {
      save_image(folder / name, image, {}, {.quality = quality});
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kInternal;
  };
  EXPECT_EQ(kind_of("a.bmp", gradient(2, 2), 90), ErrorKind::kUnsupported);
  EXPECT_EQ(kind_of("a.jpg", gradient(2, 2), 0), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of("a.jpg", gradient(2, 2), 101), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of("a.webp", gradient(16384, 1), 90), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of("a.jpg", gradient(65501, 1), 90), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind_of("a.jpg", {2, 2, {1, 2, 3}}, 90), ErrorKind::kInvalidArgument);
  EXPECT_TRUE(folder.names().empty());
}

TEST(Exif, BrokenStructuresAreUpright) {
  const std::vector<uint8_t> whole = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0,
                                      3,   0,   0, 0,  1, 0, 6, 0, 0, 0, 0,    0,    0};
  EXPECT_EQ(exif_orientation(whole), 6);
  for (size_t size = 0; size < 22; ++size)
    EXPECT_EQ(exif_orientation(std::span(whole).first(size)), 1) << size;
  std::vector<uint8_t> odd = whole;
  odd[19] = 9;  // no such orientation
  EXPECT_EQ(exif_orientation(odd), 1);
  odd[7] = 0xff;  // the folder lies beyond the end
  EXPECT_EQ(exif_orientation(odd), 1);
}

std::span<const uint8_t> bytes_of(const std::string& file) {
  return {reinterpret_cast<const uint8_t*>(file.data()), file.size()};
}

TEST(PictureFiles, MasksMayBeAPicturesOpacity) {
  const Dump opacity(kImages / "opacity.safetensors");
  int transparent = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kImages)) {
    const std::string name = entry.path().filename().string();
    if (!opacity.has(name)) continue;
    const Tensor expected = opacity.raw(name);
    const auto pixels = expected.span<uint8_t>();
    const std::string bytes = read_file(kImages / name);
    const Mask mask = decode_mask(bytes_of(bytes), 1 << 20, MaskFrom::kAlpha);
    EXPECT_EQ(mask.height_px, expected.dim(0)) << name;
    EXPECT_EQ(mask.grey, std::vector<uint8_t>(pixels.begin(), pixels.end())) << name;
    const bool is_opaque =
        std::all_of(pixels.begin(), pixels.end(), [](uint8_t value) { return value == 255; });
    const Mask automatic = decode_mask(bytes_of(bytes), 1 << 20, MaskFrom::kAuto);
    EXPECT_EQ(automatic.grey, is_opaque ? decode_mask(bytes_of(bytes)).grey : mask.grey) << name;
    transparent += is_opaque ? 0 : 1;
  }
  EXPECT_GE(transparent, 4);
  const Mask jpeg =
      decode_mask(bytes_of(read_file(kImages / "rgb.jpg")), 1 << 20, MaskFrom::kAlpha);
  EXPECT_EQ(jpeg.grey, std::vector<uint8_t>(jpeg.grey.size(), 255));
}

TEST(PictureFiles, OpacityIsReadWithinTheSameLimits) {
  for (const char* name : {"rgba.png", "alpha.webp"}) {
    const std::string whole = read_file(kImages / name);
    for (size_t size = 0; size + 16 < whole.size(); ++size)
      EXPECT_THROW(decode_mask(bytes_of(whole.substr(0, size)), 1 << 20, MaskFrom::kAlpha), Error)
          << name << " cut to " << size;
    EXPECT_THROW(decode_mask(bytes_of(whole), 100, MaskFrom::kAlpha), Error) << name;
  }
  std::string png = read_file(kImages / "rgba.png");
  png.replace(16, 8, std::string("\0\0\x27\x10\0\0\x27\x10", 8));  // 10,000 pixels each way
  EXPECT_THROW(decode_mask(bytes_of(png), uint64_t{1} << 27, MaskFrom::kAlpha), Error);
}

TEST(PicturesInMemory, HeadersTellTheSizeThatDecodingGives) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kImages)) {
    if (entry.path().extension() == ".safetensors") continue;
    const std::string file = read_file(entry.path());
    const ImageFileInfo info = inspect_image(bytes_of(file));
    const Image image = decode_image(bytes_of(file));
    EXPECT_EQ(info.width_px, image.width_px) << entry.path();
    EXPECT_EQ(info.height_px, image.height_px) << entry.path();
    EXPECT_EQ(image.rgb, load_image(entry.path()).rgb) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 10);
}

TEST(PicturesInMemory, HeadersAreReadFromTheirBeginningAlone) {
  // Large enough for half of a file to hold all of its headers.
  const Image image = gradient(400, 300);
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg}) {
    std::vector<uint8_t> file = encode_image(image, format);
    file.resize(file.size() / 2);
    const ImageFileInfo info = inspect_image(file);
    EXPECT_EQ(info.format, format);
    EXPECT_EQ(info.width_px, 400);
    EXPECT_EQ(info.height_px, 300);
    EXPECT_THROW(decode_image(file), Error);
  }
}

TEST(PicturesInMemory, EncodingGivesTheFileThatSavingWrites) {
  const TestFolder folder;
  const Image image = gradient(33, 21);
  const PngText text{{"parameters", "a fox"}, {"tintype", "{}"}};
  for (const char* name : {"a.png", "a.jpg", "a.webp"}) {
    save_image(folder / name, image, text, {.quality = 70});
    const std::vector<uint8_t> bytes =
        encode_image(image, image_format_of(name), text, {.quality = 70});
    const std::string file = read_file(folder / name);
    EXPECT_TRUE(
        std::equal(bytes.begin(), bytes.end(), bytes_of(file).begin(), bytes_of(file).end()))
        << name;
  }
  EXPECT_THROW(encode_image(image, ImageFormat::kJpeg, {}, {.quality = 0}), Error);
}

TEST(PicturesInMemory, EveryCutOfAFileIsReadOrRefused) {
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const std::vector<uint8_t> file = encode_image(gradient(9, 7), format);
    for (size_t size = 0; size < file.size(); ++size) {
      try {
        const ImageFileInfo info = inspect_image(std::span(file).first(size));
        EXPECT_EQ(info.width_px, 9);
        EXPECT_EQ(info.height_px, 7);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kCorruptFile) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace tintype::testing
