#include "weights/gguf.h"

#include <array>
#include <string_view>
#include <utility>

#include "base/mmap.h"
#include "base/text.h"
#include "tensor/allocator.h"
#include "tensor/float16.h"
#include "weights/gguf_header.h"
#include "weights/mapped_tensor.h"
#include "weights/safetensors.h"
#include "weights/weight_scales.h"

namespace tintype {

namespace {

/// Values of `data`, whole blocks of `format`, into `out` of `widened` type.
void dequantize(std::span<const std::byte> data, const GgufBlockFormat& format, Tensor& out) {
  const auto* block = reinterpret_cast<const uint8_t*>(data.data());
  const uint64_t blocks = data.size() / format.bytes;
  if (out.dtype() == DType::kF32) {
    float* values = out.mutable_data<float>();
    for (uint64_t b = 0; b < blocks; ++b)
      format.dequantize(block + b * format.bytes, values + b * format.elements);
    return;
  }
  std::array<float, kMaxGgufBlock> values;
  auto* halves = reinterpret_cast<uint16_t*>(out.mutable_bytes());
  for (uint64_t b = 0; b < blocks; ++b) {
    format.dequantize(block + b * format.bytes, values.data());
    for (uint64_t i = 0; i < format.elements; ++i) *halves++ = f32_to_f16(values[i]);
  }
}

class GgufSource final : public TensorSource {
 public:
  GgufSource(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes,
             std::string origin, const GgufOptions& options)
      : file_(std::move(file)),
        bytes_(bytes),
        origin_(std::move(origin)),
        header_(parse_gguf_header(bytes_, origin_)) {
    TT_REQUIRE(options.widened == DType::kF32 || options.widened == DType::kF16, "gguf",
               "quantised tensors can be widened to f32 and f16, got ", options.widened);
    for (size_t i = 0; i < header_.entries.size(); ++i) {
      if (header_.extents[i].blocks != nullptr) header_.entries[i].dtype = options.widened;
    }
  }

  std::span<const Entry> entries() const override { return header_.entries; }
  std::span<const Unreadable> unreadable() const override { return header_.unreadable; }
  const std::string& origin() const override { return origin_; }

  Tensor read(const Entry& entry) const override {
    const size_t index = index_of(*this, entry);
    if (file_) file_->require_unchanged();
    const Entry& own = header_.entries[index];
    const GgufHeader::Extent& extent = header_.extents[index];
    const auto data =
        bytes_.subspan(static_cast<size_t>(extent.begin), static_cast<size_t>(extent.bytes));
    if (extent.blocks == nullptr) return tensor_in_map(file_, data, own.dtype, own.shape);
    Tensor wide = empty_host(own.shape, own.dtype);
    dequantize(data, *extent.blocks, wide);
    if (file_) file_->release(data);
    return wide;
  }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::string origin_;
  GgufHeader header_;
};

bool is_gguf(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.starts_with("GGUF");
}

}  // namespace

std::shared_ptr<const TensorSource> open_gguf(const std::filesystem::path& file,
                                              const GgufOptions& options) {
  auto map = std::make_shared<const MappedFile>(file);
  const auto bytes = map->bytes();
  return std::make_shared<GgufSource>(std::move(map), bytes, printable(file.string()), options);
}

std::shared_ptr<const TensorSource> open_gguf_bytes(std::span<const std::byte> bytes,
                                                    std::string origin,
                                                    const GgufOptions& options) {
  return std::make_shared<GgufSource>(nullptr, bytes, printable(origin), options);
}

std::shared_ptr<const TensorSource> open_weights_file(const std::filesystem::path& file,
                                                      const GgufOptions& options) {
  // No safetensors file starts so: its first eight bytes would be an impossible length.
  const bool gguf = is_gguf(MappedFile(file).bytes());
  return apply_weight_scales(gguf ? open_gguf(file, options) : open_safetensors(file));
}

}  // namespace tintype
