#include "tensor/allocator.h"

#include <cstring>
#include <new>

namespace tintype {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector register

class HostStorage final : public Storage {
 public:
  explicit HostStorage(size_t bytes)
      : Storage(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlignment})),
                bytes, Device::kCpu) {}
  ~HostStorage() override { ::operator delete (data(), std::align_val_t{kAlignment}); }
};

template <typename T>
Tensor copied(const Shape& shape, std::span<const T> values) {
  TT_REQUIRE(static_cast<int64_t>(values.size()) == shape.numel(), "host_tensor", shape, " needs ",
             shape.numel(), " values, got ", values.size());
  Tensor result = empty_host(shape, DTypeOf<T>::value);
  if (!values.empty()) std::memcpy(result.mutable_bytes(), values.data(), values.size_bytes());
  return result;
}

}  // namespace

Tensor empty(Allocator& allocator, const Shape& shape, DType dtype) {
  return Tensor(allocator.allocate(bytes_of(dtype, shape)), 0, dtype, shape);
}

Tensor empty_host(const Shape& shape, DType dtype) {
  const size_t bytes = bytes_of(dtype, shape);
  try {
    return Tensor(std::make_shared<HostStorage>(bytes), 0, dtype, shape);
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::kOutOfMemory, "allocator", "needed ", bytes, " bytes of host memory for ",
         shape, " of ", dtype, ", the system refused");
  }
}

Tensor host_tensor(const Shape& shape, std::span<const float> values) {
  return copied(shape, values);
}
Tensor host_tensor(const Shape& shape, std::span<const int32_t> values) {
  return copied(shape, values);
}

}  // namespace tintype
