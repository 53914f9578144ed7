/// Base64 (RFC 4648, section 4) of pictures inside JSON. Input is untrusted: its decoded size is
/// known and bounded before anything is allocated. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tintype {

/// With padding, without line breaks.
std::string encode_base64(std::string_view bytes);

/// The bytes of `text`, whose padding may be missing and which may hold white space (clients wrap
/// lines). throws kInvalidArgument naming `where`: other characters, a length that no encoder
/// makes, more than `max_bytes` of result
std::string decode_base64(std::string_view text, std::string_view where, uint64_t max_bytes);

/// A picture as clients send it: base64, or a data URI of it ("data:image/png;base64,...").
struct DataUri {
  std::string media_type;  ///< "image/png"; "" where it is plain base64
  std::string bytes;
};

/// throws kInvalidArgument naming `where`: as decode_base64; a data URI that is not base64
DataUri decode_data_uri(std::string_view text, std::string_view where, uint64_t max_bytes);

}  // namespace tintype
