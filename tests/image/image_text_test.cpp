#include "tintype/image_text.h"

#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

using testing::expect_error;

PngText texts_of(const std::string& bytes) {
  return image_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

class ImageText : public ::testing::Test {
 protected:
  /// The bytes of a small picture saved with these texts.
  std::string saved(const std::string& name, const PngText& text) {
    Image image{2, 2, std::vector<uint8_t>(12, 100)};
    const auto path = folder_.path() / name;
    save_image(path, image, text);
    return read_file(path);
  }
  TestFolder folder_;
};

const PngText kTexts = {{"parameters", "apple, na\xC3\xAFve \xF0\x9F\x8D\x8E\nSteps: 3"},
                        {"tintype", "{\"seed\": 7}"}};

TEST_F(ImageText, EveryFormatGivesBackWhatWasSaved) {
  for (const char* name : {"a.png", "a.jpg", "a.webp"})
    EXPECT_EQ(texts_of(saved(name, kTexts)), kTexts) << name;
}

TEST_F(ImageText, PicturesWithoutTextHaveNone) {
  for (const char* name : {"a.png", "a.jpg", "a.webp"})
    EXPECT_TRUE(texts_of(saved(name, {})).empty()) << name;
}

TEST_F(ImageText, CutFilesGiveWhatIsThere) {
  for (const char* name : {"a.png", "a.jpg", "a.webp"}) {
    const std::string whole = saved(name, kTexts);
    for (size_t size = 12; size < whole.size(); ++size)
      EXPECT_LE(texts_of(whole.substr(0, size)).size(), kTexts.size()) << name << " " << size;
  }
}

TEST(ImageTextFormats, LittleEndianExifIsReadToo) {
  using namespace std::string_literals;
  // One folder with a link to the EXIF folder, whose UserComment is "hi" in UTF-16.
  const std::string tiff = "II*\0\x08\0\0\0"s +
                           "\x01\0\x69\x87\x04\0\x01\0\0\0\x1A\0\0\0\0\0\0\0"s +
                           "\x01\0\x86\x92\x07\0\x0C\0\0\0\x2C\0\0\0\0\0\0\0"s + "UNICODE\0h\0i\0"s;
  const std::string segment = "Exif\0\0"s + tiff;
  const auto size = static_cast<char>(segment.size() + 2);
  const PngText texts = texts_of("\xFF\xD8\xFF\xE1\0"s + size + segment + "\xFF\xD9");
  EXPECT_EQ(texts, (PngText{{"parameters", "hi"}}));
}

TEST(ImageTextFormats, OthersAreRefused) {
  for (const char* bytes : {"", "GIF89a", "RIFF1234WAVE"})
    expect_error(ErrorKind::kUnsupported, {"[image]"}, [&] { texts_of(bytes); });
}

}  // namespace
}  // namespace tintype
