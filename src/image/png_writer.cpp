#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/text.h"
#include "image/image_writer.h"
#include "image/png_limits.h"
#include "image/png_text.h"
#include "tintype/image.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "save_png";

/// A text chunk as the file holds it.
struct Chunk {
  std::string keyword, text;
  bool latin1 = true;
};

/// What the libpng calls work on. Lives outside the function that calls setjmp, and every C++
/// object lives here, so that a longjmp crosses nothing with a destructor.
struct Encoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::vector<uint8_t> bytes;
  std::vector<png_bytep> rows;
  std::vector<png_text> text;
  bool out_of_memory = false;
  char message[200] = "";

  Encoder() = default;
  ~Encoder() { png_destroy_write_struct(&png, &info); }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* encoder = static_cast<Encoder*>(png_get_error_ptr(png));
  std::snprintf(encoder->message, sizeof(encoder->message), "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_write(png_structp png, png_bytep data, size_t size) {
  auto* encoder = static_cast<Encoder*>(png_get_io_ptr(png));
  try {
    encoder->bytes.insert(encoder->bytes.end(), data, data + size);
  } catch (const std::bad_alloc&) {
    encoder->out_of_memory = true;
  }
  // Outside the handler: a longjmp out of one would leave the exception alive.
  if (encoder->out_of_memory) png_error(png, "out of memory");
}

void on_flush(png_structp) {}

/// The only frame that libpng's errors return to. False: see Encoder::message.
bool encode(Encoder& encoder, uint32_t width, uint32_t height) {
  if (setjmp(png_jmpbuf(encoder.png))) return false;
  png_set_write_fn(encoder.png, &encoder, on_write, on_flush);
  png_set_user_limits(encoder.png, kMaxPngSidePx, kMaxPngSidePx);
  png_set_IHDR(encoder.png, encoder.info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!encoder.text.empty())
    png_set_text(encoder.png, encoder.info, encoder.text.data(),
                 static_cast<int>(encoder.text.size()));
  png_set_rows(encoder.png, encoder.info, encoder.rows.data());
  png_write_png(encoder.png, encoder.info, PNG_TRANSFORM_IDENTITY, nullptr);
  return true;
}

std::vector<Chunk> to_chunks(const PngText& text) {
  std::vector<Chunk> chunks;
  for (const auto& [keyword, utf8] : text) {
    TT_REQUIRE(is_png_keyword(keyword), kWhere,
               "keyword of a text chunk must be 1 to 79 printable characters, got \"",
               printable(keyword), "\"");
    std::string repaired = repair_utf8(utf8);
    if (auto latin1 = latin1_from_utf8(repaired))
      chunks.push_back({keyword, std::move(*latin1), true});
    else
      chunks.push_back({keyword, std::move(repaired), false});
  }
  return chunks;
}

png_text to_png_text(Chunk& chunk) {
  png_text out{};
  out.compression = chunk.latin1 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
  out.key = chunk.keyword.data();
  out.text = chunk.text.data();
  (chunk.latin1 ? out.text_length : out.itxt_length) = chunk.text.size();
  return out;
}

void check_size(const Image& image) {
  const bool sides_fit = image.width_px >= 1 && image.height_px >= 1 &&
                         image.width_px <= static_cast<int>(kMaxPngSidePx) &&
                         image.height_px <= static_cast<int>(kMaxPngSidePx);
  const uint64_t pixels =
      sides_fit ? static_cast<uint64_t>(image.width_px) * static_cast<uint64_t>(image.height_px)
                : 0;
  TT_REQUIRE(sides_fit && pixels <= kMaxPngPixels, kWhere, "sides must be 1 to ", kMaxPngSidePx,
             " pixels, at most ", kMaxPngPixels, " pixels together, got ", image.width_px, " x ",
             image.height_px);
  TT_REQUIRE(image.rgb.size() == pixels * 3, kWhere, "a picture of ", image.width_px, " x ",
             image.height_px, " must hold ", pixels * 3, " bytes, got ", image.rgb.size());
}

}  // namespace

std::vector<uint8_t> encode_png(const Image& image, const PngText& text) {
  check_size(image);
  std::vector<Chunk> chunks = to_chunks(text);
  Encoder encoder;
  for (Chunk& chunk : chunks) encoder.text.push_back(to_png_text(chunk));
  const size_t stride = static_cast<size_t>(image.width_px) * 3;
  for (size_t y = 0; y < static_cast<size_t>(image.height_px); ++y)
    // libpng takes pointers to mutable rows and only reads them.
    encoder.rows.push_back(const_cast<png_bytep>(image.rgb.data() + y * stride));

  encoder.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &encoder, on_error, on_warning);
  if (encoder.png) encoder.info = png_create_info_struct(encoder.png);
  if (!encoder.info)
    fail(ErrorKind::kOutOfMemory, kWhere, "libpng must start, got no memory for it");
  const bool done = encode(encoder, static_cast<uint32_t>(image.width_px),
                           static_cast<uint32_t>(image.height_px));
  if (encoder.out_of_memory)
    fail(ErrorKind::kOutOfMemory, kWhere, "the encoded picture must fit in memory, got no more");
  if (!done)
    fail(ErrorKind::kInternal, kWhere, "libpng must encode the picture, got: ", encoder.message);
  return std::move(encoder.bytes);
}

void save_png(const std::filesystem::path& path, const Image& image, const PngText& text) {
  write_file_atomically(path, encode_png(image, text));
}

void require_writable(const std::filesystem::path& path) { require_replaceable(path); }

}  // namespace tintype
