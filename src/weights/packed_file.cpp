#include "weights/packed_file.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/file_handle.h"
#include "base/text.h"
#include "weights/find_by_name.h"
#include "weights/mapped_tensor.h"
#include "weights/packed_format.h"

namespace tintype {
namespace {

// SDXL's index takes 1.3 MB, of which its tokenizers' tables may take as much again.
constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxParts = 8;
/// Far beyond any file, and small enough that no size overflows.
constexpr int64_t kMaxElements = int64_t{1} << 48;
constexpr unsigned kMaxVerifyThreads = 8;

/// Bytes of a part, all inside the file.
struct Extent {
  uint64_t offset, bytes, checksum;
};

template <typename... What>
void require(bool good, const std::string& origin, const What&... what) {
  if (!good) fail(ErrorKind::kCorruptFile, origin, what...);
}

PackedHeader read_header(std::span<const std::byte> bytes, const std::string& origin) {
  PackedHeader header;
  require(bytes.size() >= sizeof(header), origin, "must be a packed model of ", sizeof(header),
          " bytes or more, got ", bytes.size());
  std::memcpy(&header, bytes.data(), sizeof(header));
  require(header.magic == kPackedMagic, origin,
          "must start as packed models do, it does not; probably another kind of file, or one that "
          "was not written to its end");
  if (header.version != kPackedVersion)
    fail(ErrorKind::kUnsupported, origin, "must be version ", kPackedVersion,
         " of the packed form, got ", header.version, "; pack the model again with this program");
  require(header.header_checksum == header.checksum(), origin, "the header is damaged");
  require(header.file_bytes == bytes.size(), origin, "must have ", header.file_bytes,
          " bytes, got ", bytes.size(), "; probably an incomplete copy");
  require(header.reserved == 0 && header.reserved_too == 0 &&
              header.index_offset % kPackedAlignment == 0 &&
              header.index_offset >= sizeof(header) && header.index_offset <= bytes.size() &&
              header.index_bytes == bytes.size() - header.index_offset &&
              header.index_bytes <= kMaxIndexBytes,
          origin, "the header contradicts itself");
  return header;
}

Shape shape_of(const JsonObject& json) {
  const std::vector<int64_t> dims = json.integers("shape", 0, kMaxElements, Shape::kMaxRank);
  int64_t elements = 1;
  for (const int64_t extent : dims) {
    // A zero does not excuse the others: Shape wants the product of the rest to fit as well.
    if (extent > 0 && elements > kMaxElements / extent)
      fail(ErrorKind::kCorruptFile, json.origin(), "shape must have at most ", kMaxElements,
           " elements");
    elements *= std::max<int64_t>(extent, 1);
  }
  return Shape(dims);
}

DType dtype_of(const JsonObject& json) {
  const std::string name = json.text("dtype");
  for (const DType dtype :
       {DType::kU8, DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kI32})
    if (name == to_string(dtype)) return dtype;
  fail(ErrorKind::kCorruptFile, json.origin(),
       "dtype must be u8, i8, i32, f32, f16 or bf16, got \"", printable(name, 60), "\"");
}

uint64_t checksum_of(const JsonObject& json) {
  const std::string text = json.text("checksum");
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size())
    fail(ErrorKind::kCorruptFile, json.origin(), "checksum must be hexadecimal, got \"",
         printable(text, 60), "\"");
  return value;
}

/// The list under `key`. throws kCorruptFile: none
const Json& list_of(const JsonObject& json, const char* key) {
  const auto list = json.json().find(key);
  if (list == json.json().end() || !list->is_array())
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must be a list, got ",
         list == json.json().end() ? "nothing" : list->type_name());
  return *list;
}

/// The object under `key`. throws kCorruptFile: none
const Json& object_of(const JsonObject& json, const char* key) {
  const auto object = json.json().find(key);
  if (object == json.json().end() || !object->is_object())
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must be an object, got ",
         object == json.json().end() ? "nothing" : object->type_name());
  return *object;
}

}  // namespace

struct PackedFile::Weight {
  struct Part {
    DType dtype;
    Shape shape;
    Extent extent;
  };
  std::string name, layout, element;
  Shape shape;
  std::vector<Part> parts;

  bool packed() const { return !layout.empty(); }
};

/// Reads the index. Parts lie back to back in the order in which they are listed.
struct PackedFile::Index {
  const std::string& origin;
  uint64_t end;                              ///< of the data
  uint64_t expected = sizeof(PackedHeader);  ///< where the next part lies

  Weight::Part part(const Json& json, const std::string& name) {
    const JsonObject object(json, cat(origin, ": ", printable(name, 120)));
    Weight::Part part{.dtype = dtype_of(object), .shape = shape_of(object), .extent = {}};
    part.extent = {.offset = static_cast<uint64_t>(
                       object.integer("offset", 0, std::numeric_limits<int64_t>::max())),
                   .bytes = static_cast<uint64_t>(part.shape.numel()) * size_of(part.dtype),
                   .checksum = checksum_of(object)};
    require(part.extent.offset == expected, object.origin(), "must lie at offset ", expected,
            ", got ", part.extent.offset);
    require(part.extent.bytes <= end - expected, object.origin(), "must end within the data of ",
            end, " bytes, got ", part.extent.bytes, " bytes at ", expected);
    // `end` is aligned, so this cannot pass it.
    expected = packed_aligned(expected + part.extent.bytes);
    return part;
  }

  Weight weight(const Json& json) {
    const JsonObject object(json, cat(origin, ": weights"));
    Weight weight{.name = object.text("name"),
                  .layout = object.text("layout"),
                  .element = object.text("element"),
                  .shape = shape_of(object),
                  .parts = {}};
    require(!weight.name.empty() && weight.name.size() <= kMaxNameBytes &&
                weight.layout.size() <= kMaxNameBytes && weight.element.size() <= kMaxNameBytes,
            object.origin(), "names must have 1 to ", kMaxNameBytes, " bytes");
    const Json& parts = list_of(object, "parts");
    require(!parts.empty() && parts.size() <= kMaxParts, object.origin(),
            "a weight must have 1 to ", kMaxParts, " parts, got ", parts.size());
    for (const Json& entry : parts) weight.parts.push_back(part(entry, weight.name));
    require(weight.packed() || (weight.parts.size() == 1 && weight.parts[0].shape == weight.shape),
            object.origin(), "'", printable(weight.name, 120),
            "' is not packed and must be one part of its shape");
    return weight;
  }

  std::vector<Weight> weights(const JsonObject& component) {
    std::vector<Weight> list;
    for (const Json& entry : list_of(component, "weights")) list.push_back(weight(entry));
    std::sort(list.begin(), list.end(),
              [](const Weight& a, const Weight& b) { return a.name < b.name; });
    for (size_t i = 1; i < list.size(); ++i)
      require(list[i - 1].name != list[i].name, component.origin(),
              "each weight must be there once, '", printable(list[i].name, 120),
              "' is there twice");
    return list;
  }
};

/// The weights of one component.
class PackedFile::Source final : public TensorSource {
 public:
  Source(std::shared_ptr<const PackedFile> file, size_t component)
      : file_(std::move(file)), weights_(file_->weights_[component]) {
    for (const Weight& weight : weights_) {
      uint64_t bytes = 0;
      for (const Weight::Part& part : weight.parts) bytes += part.extent.bytes;
      entries_.push_back(
          {.name = weight.name,
           .dtype = weight.parts[0].dtype,
           .shape = weight.shape,
           .stored = weight.packed() ? std::string_view(weight.element) : std::string_view(),
           .stored_bytes = weight.packed() ? bytes : 0,
           .packed = weight.packed()});
    }
  }

  std::span<const Entry> entries() const override { return entries_; }
  const std::string& origin() const override { return file_->origin(); }
  bool stays_mapped() const override { return true; }

  Tensor read(const Entry& entry) const override {
    const Weight& weight = weights_[index_of(*this, entry)];
    if (weight.packed())
      fail(ErrorKind::kInternal, origin(), "read() must get plain tensors, got '",
           printable(weight.name), "'");
    return tensor(weight.parts[0]);
  }

  PackedParts read_packed(const Entry& entry) const override {
    const Weight& weight = weights_[index_of(*this, entry)];
    if (!weight.packed()) return TensorSource::read_packed(entry);
    PackedParts result{.name = weight.name,
                       .shape = weight.shape,
                       .layout = weight.layout,
                       .element = weight.element,
                       .parts = {}};
    for (const Weight::Part& part : weight.parts) result.parts.push_back(tensor(part));
    return result;
  }

 private:
  Tensor tensor(const Weight::Part& part) const {
    if (file_->map_) file_->map_->require_unchanged();
    return tensor_in_map(file_->map_,
                         file_->bytes_.subspan(static_cast<size_t>(part.extent.offset),
                                               static_cast<size_t>(part.extent.bytes)),
                         part.dtype, part.shape);
  }

  std::shared_ptr<const PackedFile> file_;
  const std::vector<Weight>& weights_;
  std::vector<Entry> entries_;
};

std::shared_ptr<const TensorSource> PackedFile::Component::source() const {
  return std::make_shared<const Source>(std::shared_ptr(file_), index_);
}

PackedFile::PackedFile(std::shared_ptr<const MappedFile> map, std::span<const std::byte> bytes,
                       std::string origin)
    : map_(std::move(map)), bytes_(bytes), origin_(std::move(origin)) {
  const PackedHeader header = read_header(bytes_, origin_);
  const auto text = bytes_.subspan(static_cast<size_t>(header.index_offset));
  require(checksum64(text) == header.index_checksum, origin_, "the index is damaged");
  Json json = parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, origin_);
  const JsonObject root(json, origin_);
  Index index{.origin = origin_, .end = header.index_offset};
  model_ = object_of(root, "model");
  for (const Json& entry : list_of(root, "components")) {
    const JsonObject object(entry, cat(origin_, ": components"));
    Component& component = components_.emplace_back();
    component.name = object.text("name");
    component.class_name = object.text("class");
    component.config = object_of(object, "config");
    component.index_ = components_.size() - 1;
    weights_.push_back(index.weights(object));
  }
  require(index.expected == index.end, origin_, "weights must fill the data of ", index.end,
          " bytes, they end at ", index.expected);
}

PackedFile::~PackedFile() = default;

std::shared_ptr<const PackedFile> PackedFile::finish(std::shared_ptr<PackedFile> file) {
  for (Component& component : file->components_) component.file_ = file;
  return file;
}

std::shared_ptr<const PackedFile> PackedFile::open(const std::filesystem::path& path) {
  auto map = std::make_shared<const MappedFile>(path, MappedFile::Use::kOften);
  const auto bytes = map->bytes();
  return finish(
      std::shared_ptr<PackedFile>(new PackedFile(std::move(map), bytes, printable(path.string()))));
}

std::shared_ptr<const PackedFile> PackedFile::open_bytes(std::span<const std::byte> bytes,
                                                         std::string origin) {
  return finish(std::shared_ptr<PackedFile>(new PackedFile(nullptr, bytes, printable(origin))));
}

std::vector<std::string> PackedFile::layouts() const {
  std::set<std::string> names;
  for (const auto& component : weights_)
    for (const Weight& weight : component)
      if (weight.packed()) names.insert(weight.layout);
  return {names.begin(), names.end()};
}

void PackedFile::verify() const {
  struct Item {
    const Weight* weight;
    const Extent* extent;
  };
  std::vector<Item> items;
  for (const auto& component : weights_)
    for (const Weight& weight : component)
      for (const Weight::Part& part : weight.parts) items.push_back({&weight, &part.extent});
  // As they lie in the file: one read of the disk from front to back.
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.extent->offset < b.extent->offset; });
  if (map_) map_->require_unchanged();

  std::atomic<size_t> next{0}, damaged{items.size()};
  const auto work = [&] {
    for (size_t i = next++; i < items.size(); i = next++) {
      const Extent& extent = *items[i].extent;
      const auto bytes =
          bytes_.subspan(static_cast<size_t>(extent.offset), static_cast<size_t>(extent.bytes));
      if (checksum64(bytes) == extent.checksum) continue;
      size_t first = damaged;
      while (i < first && !damaged.compare_exchange_weak(first, i)) {
      }
    }
  };
  {
    const unsigned count = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxVerifyThreads);
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < count; ++i) helpers.emplace_back(work);
    work();
  }
  if (damaged < items.size())
    fail(ErrorKind::kCorruptFile, origin_, "every weight must have its checksum, '",
         printable(items[damaged].weight->name, 120),
         "' has another; the file was damaged after it was written");
}

bool is_packed_file(const std::filesystem::path& path) {
  std::array<char, kPackedMagic.size()> start{};
  try {
    const FileHandle file(path);
    return file.read_at(0, std::as_writable_bytes(std::span(start))) == start.size() &&
           start == kPackedMagic;
  } catch (const Error&) {
    return false;  // whoever opens it next says why
  }
}

}  // namespace tintype
