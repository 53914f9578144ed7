/// Keys of caches, as bytes: every part with its length, so that no two lists of parts are the same
/// bytes. Whole and not hashed, so that different things never meet. Single-thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tintype {

class KeyWriter {
 public:
  KeyWriter& add(std::string_view text) {
    add_bytes(text.data(), text.size());
    return *this;
  }
  template <typename T>
  requires std::is_arithmetic_v<T> KeyWriter& add(T value) {
    add_bytes(&value, sizeof(value));
    return *this;
  }
  template <typename T>
  requires std::is_arithmetic_v<T> KeyWriter& add(std::span<const T> values) {
    add_bytes(values.data(), values.size_bytes());
    return *this;
  }
  std::string take() { return std::move(key_); }

 private:
  void add_bytes(const void* data, size_t size);

  std::string key_;
};

}  // namespace tintype
