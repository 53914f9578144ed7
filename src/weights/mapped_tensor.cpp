#include "weights/mapped_tensor.h"

#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "tensor/allocator.h"
#include "weights/find_by_name.h"

namespace tintype {

namespace {

/// A tensor's bytes inside a map, which it keeps alive; its pages go when the last handle goes.
class MappedStorage final : public Storage {
 public:
  MappedStorage(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes)
      : Storage(const_cast<std::byte*>(bytes.data()), bytes.size(), Device::kCpu),
        file_(std::move(file)) {}
  ~MappedStorage() override {
    if (file_) file_->release({data(), bytes()});
  }

 private:
  std::shared_ptr<const MappedFile> file_;
};

}  // namespace

Tensor tensor_in_map(std::shared_ptr<const MappedFile> file, std::span<const std::byte> data,
                     DType dtype, const Shape& shape) {
  auto storage = std::make_shared<MappedStorage>(std::move(file), data);
  if (std::bit_cast<uintptr_t>(data.data()) % size_of(dtype) == 0) {
    return Tensor(std::move(storage), 0, dtype, shape);
  }
  // Safetensors only pads the header, and not every writer does that.
  Tensor copy = empty_host(shape, dtype);
  if (!data.empty()) std::memcpy(copy.mutable_bytes(), data.data(), data.size());
  return copy;
}

size_t index_of(const TensorSource& source, const TensorSource::Entry& entry) {
  const auto* own = find_by_name(source.entries(), entry.name);
  if (own == nullptr) {
    fail(ErrorKind::kInternal, source.origin(), "read() must get one of entries(), got '",
         printable(entry.name), "'");
  }
  return static_cast<size_t>(own - source.entries().data());
}

}  // namespace tintype
