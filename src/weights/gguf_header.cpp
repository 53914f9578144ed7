#include "weights/gguf_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace tintype {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
/// Real names have at most a few hundred bytes.
constexpr uint64_t kMaxNameBytes = 1 << 16;
/// Far beyond any file, and small enough for Shape and for sizes in bits.
constexpr uint64_t kMaxElements = uint64_t{1} << 56;
/// A tensor's record: length of its name, rank, type and offset.
constexpr uint64_t kMinTensorRecord = 8 + 4 + 4 + 8;
/// A setting: length of its key, type and one byte of value.
constexpr uint64_t kMinSetting = 8 + 4 + 1;

/// Types of settings.
constexpr uint32_t kText = 8, kList = 9, kUint32 = 4;
constexpr std::array<uint64_t, 13> kSettingBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct PlainType {
  uint32_t id;
  std::string_view name;
  uint64_t bytes;
  std::optional<DType> dtype;  ///< unset: nothing here computes with it
};
constexpr std::array kPlainTypes = {
    PlainType{0, "f32", 4, DType::kF32},  PlainType{1, "f16", 2, DType::kF16},
    PlainType{24, "i8", 1, DType::kI8},   PlainType{25, "i16", 2, {}},
    PlainType{26, "i32", 4, DType::kI32}, PlainType{27, "i64", 8, {}},
    PlainType{28, "f64", 8, {}},          PlainType{30, "bf16", 2, DType::kBF16}};

const PlainType* find_plain_type(uint32_t id) {
  for (const PlainType& type : kPlainTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

/// One tensor as the header states it.
struct Record {
  std::string name;
  Shape shape;
  const PlainType* plain = nullptr;  ///< exactly one of these two
  const GgufBlockFormat* blocks = nullptr;
  uint64_t begin = 0;  ///< counts from the data's start
  uint64_t bytes = 0;
};

/// "'down.0.weight'", safe to print.
std::string quote_name(std::string_view name) { return cat("'", printable(name, 120), "'"); }

/// Takes values off the front of the file, never past its end.
class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& origin)
      : file_(file), origin_(origin) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }

  template <typename T>
  T take(std::string_view what) {
    T value;
    require_left(sizeof(T), what);
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  void skip(uint64_t bytes, std::string_view what) {
    require_left(bytes, what);
    at_ += bytes;
  }

  std::string_view take_text(std::string_view what, uint64_t max_bytes) {
    const auto length = take<uint64_t>(what);
    if (length > max_bytes) {
      fail(ErrorKind::kCorruptFile, origin_, what, " must have at most ", max_bytes, " bytes, got ",
           length);
    }
    require_left(length, what);
    const std::string_view text(reinterpret_cast<const char*>(file_.data()) + at_,
                                static_cast<size_t>(length));
    at_ += length;
    return text;
  }

 private:
  void require_left(uint64_t bytes, std::string_view what) const {
    if (bytes > left()) {
      fail(ErrorKind::kCorruptFile, origin_, what, " must fit in the file, got ", bytes,
           " bytes where ", left(), " are left; probably an incomplete download");
    }
  }

  std::span<const std::byte> file_;
  const std::string& origin_;
  uint64_t at_ = 0;
};

/// Passes over one value. Only the alignment of the settings matters here.
void skip_value(Reader& reader, uint32_t type, const std::string& origin) {
  if (type >= kSettingBytes.size()) {
    fail(ErrorKind::kCorruptFile, origin, "a setting's type must be below ", kSettingBytes.size(),
         ", got ", type);
  }
  if (type == kText) {
    reader.take_text("a setting's text", reader.left());
    return;
  }
  if (type != kList) return reader.skip(kSettingBytes[type], "a setting");
  const auto item_type = reader.take<uint32_t>("a setting's list");
  const auto count = reader.take<uint64_t>("a setting's list");
  if (item_type >= kSettingBytes.size() || item_type == kList) {
    fail(ErrorKind::kUnsupported, origin, "a setting's list must hold plain values, got type ",
         item_type);
  }
  if (item_type != kText) {
    if (count > reader.left()) reader.skip(count, "a setting's list");
    return reader.skip(count * kSettingBytes[item_type], "a setting's list");
  }
  for (uint64_t i = 0; i < count; ++i) reader.take_text("a setting's text", reader.left());
}

/// Passes over the settings; returns the alignment they state.
uint64_t read_settings(Reader& reader, uint64_t count, const std::string& origin) {
  uint64_t alignment = kDefaultAlignment;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view key = reader.take_text("a setting's key", kMaxNameBytes);
    const auto type = reader.take<uint32_t>("a setting's type");
    if (key != "general.alignment") {
      skip_value(reader, type, origin);
      continue;
    }
    if (type != kUint32) {
      fail(ErrorKind::kCorruptFile, origin, "general.alignment must be a 32-bit number, got type ",
           type);
    }
    alignment = reader.take<uint32_t>("general.alignment");
    if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
      fail(ErrorKind::kCorruptFile, origin, "general.alignment must be a power of two of at most ",
           kMaxAlignment, ", got ", alignment);
    }
  }
  return alignment;
}

/// Dimensions lie innermost first in the file; ours go the other way.
Shape read_shape(Reader& reader, const std::string& name, const std::string& origin) {
  const auto rank = reader.take<uint32_t>("a tensor's rank");
  if (rank > Shape::kMaxRank) {
    fail(ErrorKind::kUnsupported, origin, quote_name(name), " must have at most ", Shape::kMaxRank,
         " dimensions, got ", rank);
  }
  std::array<int64_t, Shape::kMaxRank> dims{};
  uint64_t product = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const auto extent = reader.take<uint64_t>("a tensor's shape");
    const uint64_t factor = std::max<uint64_t>(1, extent);
    if (factor > kMaxElements / product) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(name), " must have at most ", kMaxElements,
           " elements, got more at dimension ", i);
    }
    product *= factor;
    dims[rank - 1 - i] = static_cast<int64_t>(extent);
  }
  return Shape(std::span(dims).first(rank));
}

Record read_record(Reader& reader, uint64_t alignment, const std::string& origin) {
  Record record;
  record.name = reader.take_text("a tensor's name", kMaxNameBytes);
  record.shape = read_shape(reader, record.name, origin);
  const auto type = reader.take<uint32_t>("a tensor's type");
  record.begin = reader.take<uint64_t>("a tensor's offset");
  record.plain = find_plain_type(type);
  record.blocks = find_gguf_block_format(type);
  const auto elements = static_cast<uint64_t>(record.shape.numel());
  if (record.plain != nullptr) {
    record.bytes = elements * record.plain->bytes;
  } else if (record.blocks != nullptr) {
    const auto row = record.shape.rank() == 0 ? 1 : static_cast<uint64_t>(record.shape[-1]);
    if (row % record.blocks->elements != 0) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record.name), " in ", record.blocks->name,
           " must have rows of whole blocks of ", record.blocks->elements, ", got ", record.shape);
    }
    record.bytes = elements / record.blocks->elements * record.blocks->bytes;
  } else {
    const std::string_view name = foreign_gguf_type(type);
    fail(ErrorKind::kUnsupported, origin, quote_name(record.name),
         " must be stored as f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1 or q2_k to q6_k, got ",
         name.empty() ? cat("type ", type) : std::string(name));
  }
  if (record.begin % alignment != 0) {
    fail(ErrorKind::kCorruptFile, origin, quote_name(record.name), " must start at a multiple of ",
         alignment, ", got ", record.begin);
  }
  return record;
}

/// Every tensor must lie within the data, and no two may share bytes. Gaps are padding.
void check_layout(std::vector<Record>& records, uint64_t data_bytes, const std::string& origin) {
  std::vector<const Record*> order;
  for (const Record& record : records) {
    if (record.bytes > data_bytes || record.begin > data_bytes - record.bytes) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record.name), " must end within the ",
           data_bytes, " bytes of data, got ", record.bytes, " bytes at ", record.begin,
           "; probably an incomplete download");
    }
    if (record.bytes != 0) order.push_back(&record);
  }
  std::sort(order.begin(), order.end(),
            [](const Record* a, const Record* b) { return a->begin < b->begin; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->begin + order[i - 1]->bytes > order[i]->begin) {
      fail(ErrorKind::kCorruptFile, origin, "tensors must not share bytes, got ",
           quote_name(order[i - 1]->name), " over ", quote_name(order[i]->name));
    }
  }
}

/// Magic and version. Returns nothing that later parts need: versions 2 and 3 differ in byte order
/// only.
void check_start(Reader& reader, const std::string& origin) {
  std::array<char, 4> magic = reader.take<std::array<char, 4>>("the format's mark");
  if (std::string_view(magic.data(), magic.size()) != kMagic) {
    fail(ErrorKind::kCorruptFile, origin, "must start with \"GGUF\", got ",
         quote_name(std::string_view(magic.data(), magic.size())));
  }
  const auto version = reader.take<uint32_t>("the version");
  if (version != 2 && version != 3) {
    const bool swapped = version != 0 && (version & 0xffffu) == 0;
    fail(ErrorKind::kUnsupported, origin,
         "must be GGUF version 2 or 3 in little-endian order, got ",
         swapped ? std::string("big-endian numbers") : cat("version ", version));
  }
}

}  // namespace

GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& origin) {
  Reader reader(file, origin);
  check_start(reader, origin);
  const auto tensors = reader.take<uint64_t>("the number of tensors");
  const auto settings = reader.take<uint64_t>("the number of settings");
  if (tensors > reader.left() / kMinTensorRecord || settings > reader.left() / kMinSetting) {
    fail(ErrorKind::kCorruptFile, origin, tensors, " tensors and ", settings,
         " settings must fit in the ", reader.left(),
         " bytes that follow, they do not; probably an incomplete download");
  }
  const uint64_t alignment = read_settings(reader, settings, origin);
  std::vector<Record> records;
  for (uint64_t i = 0; i < tensors; ++i) records.push_back(read_record(reader, alignment, origin));
  const uint64_t padding = (alignment - reader.at() % alignment) % alignment;
  // A file without tensor data may end with its header.
  const uint64_t data_begin = reader.at() + std::min(padding, reader.left());
  check_layout(records, file.size() - data_begin, origin);

  std::sort(records.begin(), records.end(),
            [](const Record& a, const Record& b) { return a.name < b.name; });
  GgufHeader header;
  for (size_t i = 0; i < records.size(); ++i) {
    Record& record = records[i];
    if (i + 1 < records.size() && records[i + 1].name == record.name) {
      fail(ErrorKind::kCorruptFile, origin, "tensor names must be unique, got ",
           quote_name(record.name), " twice");
    }
    if (record.plain != nullptr && !record.plain->dtype) {
      header.unreadable.push_back({std::move(record.name), std::string(record.plain->name)});
      continue;
    }
    TensorSource::Entry entry{.name = std::move(record.name),
                              .dtype = record.plain ? *record.plain->dtype : DType::kF32,
                              .shape = record.shape};
    if (record.blocks != nullptr) {
      entry.stored = record.blocks->name;
      entry.stored_bytes = record.bytes;
    }
    header.entries.push_back(std::move(entry));
    header.extents.push_back({data_begin + record.begin, record.bytes, record.blocks});
  }
  return header;
}

}  // namespace tintype
