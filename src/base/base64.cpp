#include "base/base64.h"

#include <array>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kInvalid = 0xff, kSpace = 0xfe, kPadding = 0xfd;

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  values.fill(kInvalid);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  for (const char space : {' ', '\t', '\r', '\n'}) values[static_cast<uint8_t>(space)] = kSpace;
  values['='] = kPadding;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = make_values();

constexpr std::string_view kDataScheme = "data:";
// No media type with its parameters is longer; what is, is not a picture.
constexpr size_t kMaxDataHeader = 256;

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const auto byte = [&](size_t k) -> uint32_t {
      return k < left ? static_cast<uint8_t>(bytes[i + k]) : 0;
    };
    const uint32_t group = byte(0) << 16 | byte(1) << 8 | byte(2);
    text += kAlphabet[group >> 18];
    text += kAlphabet[group >> 12 & 63];
    text += left > 1 ? kAlphabet[group >> 6 & 63] : '=';
    text += left > 2 ? kAlphabet[group & 63] : '=';
  }
  return text;
}

std::string decode_base64(std::string_view text, std::string_view where, uint64_t max_bytes) {
  // White space can only make the text longer, so this bound may be too large but never too small.
  // It is not the limit: that is checked on the bytes themselves.
  std::string bytes;
  const uint64_t most = text.size() / 4 * 3 + 3;
  bytes.reserve(static_cast<size_t>(most < max_bytes ? most : max_bytes));
  uint32_t group = 0;
  int digits = 0, padding = 0;
  const auto put = [&](uint32_t byte) {
    TT_REQUIRE(bytes.size() < max_bytes, where, "must decode to at most ", max_bytes,
               " bytes, got base64 of ", text.size(), " characters");
    bytes += static_cast<char>(byte);
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t value = kValues[static_cast<uint8_t>(text[i])];
    if (value == kSpace) continue;
    if (value == kPadding) {
      TT_REQUIRE(digits >= 2 && digits + ++padding <= 4, where,
                 "must be base64, got padding at character ", i, " where none may be");
      continue;
    }
    TT_REQUIRE(value != kInvalid, where, "must be base64, got \"", printable(text.substr(i, 1)),
               "\" at character ", i);
    TT_REQUIRE(padding == 0, where, "must be base64, got more after its padding, at character ", i);
    group = group << 6 | value;
    if (++digits == 4) {
      put(group >> 16 & 255);
      put(group >> 8 & 255);
      put(group & 255);
      digits = 0;
      group = 0;
    }
  }
  TT_REQUIRE(padding == 0 || digits + padding == 4, where,
             "must be base64, got incomplete padding; was it cut off?");
  TT_REQUIRE(digits != 1, where, "must be base64, got one digit too many; was it cut off?");
  if (digits == 2) put(group >> 4 & 255);
  if (digits == 3) {
    put(group >> 10 & 255);
    put(group >> 2 & 255);
  }
  return bytes;
}

DataUri decode_data_uri(std::string_view text, std::string_view where, uint64_t max_bytes) {
  DataUri uri;
  if (text.starts_with(kDataScheme)) {
    const size_t comma = text.substr(0, kMaxDataHeader).find(',');
    TT_REQUIRE(comma != std::string_view::npos, where,
               "must be base64 or a data URI of it, got a data URI without a comma");
    const std::string_view header = text.substr(kDataScheme.size(), comma - kDataScheme.size());
    TT_REQUIRE(header.ends_with(";base64"), where,
               "must be a base64 data URI, got \"data:", printable(header, 60), "\"");
    uri.media_type = header.substr(0, header.find(';'));
    text.remove_prefix(comma + 1);
  }
  uri.bytes = decode_base64(text, where, max_bytes);
  return uri;
}

}  // namespace tintype
