#include "caches/key_writer.h"

namespace tintype {

void KeyWriter::add_bytes(const void* data, size_t size) {
  const auto length = static_cast<uint64_t>(size);
  key_.append(reinterpret_cast<const char*>(&length), sizeof(length));
  if (size > 0) key_.append(static_cast<const char*>(data), size);
}

}  // namespace tintype
