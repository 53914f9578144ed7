#include "weights/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "tensor/float8.h"

namespace tintype {

namespace {

// Tensor data is used as it lies in the file, which is little-endian by definition.
static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kLengthBytes = 8;
/// The limit of the format's own reader.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
/// Far beyond any file, and small enough that sizes in bits fit in 64 bits and Shape takes it.
constexpr uint64_t kMaxElements = uint64_t{1} << 56;

struct ElementType {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;    ///< unset: part of the format, but nothing here computes with it
  std::string_view stored = {};  ///< our name, when read() widens it to `dtype`
  void (*widen)(std::span<const std::byte>, uint16_t*) = nullptr;
};

/// Both 8-bit floats are exact in f16.
template <uint16_t (*kToF16)(uint8_t)>
void widen(std::span<const std::byte> stored, uint16_t* f16) {
  for (const std::byte byte : stored) *f16++ = kToF16(std::to_integer<uint8_t>(byte));
}

constexpr std::array kElementTypes = {
    ElementType{"F32", 32, DType::kF32},
    ElementType{"F16", 16, DType::kF16},
    ElementType{"BF16", 16, DType::kBF16},
    ElementType{"I8", 8, DType::kI8},
    ElementType{"U8", 8, DType::kU8},
    ElementType{"I32", 32, DType::kI32},
    ElementType{"I64", 64, {}},
    ElementType{"F64", 64, {}},
    ElementType{"BOOL", 8, {}},
    ElementType{"I16", 16, {}},
    ElementType{"U16", 16, {}},
    ElementType{"U32", 32, {}},
    ElementType{"U64", 64, {}},
    ElementType{"C64", 64, {}},
    ElementType{"F8_E4M3", 8, DType::kF16, "f8_e4m3", widen<f8_e4m3_to_f16>},
    ElementType{"F8_E5M2", 8, DType::kF16, "f8_e5m2", widen<f8_e5m2_to_f16>},
    ElementType{"F8_E4M3FNUZ", 8, {}},
    ElementType{"F8_E5M2FNUZ", 8, {}},
    ElementType{"F8_E8M0", 8, {}},
    ElementType{"F6_E2M3", 6, {}},
    ElementType{"F6_E3M2", 6, {}},
    ElementType{"F4", 4, {}}};

const ElementType* find_element_type(std::string_view name) {
  for (const ElementType& type : kElementTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

/// One tensor as the header states it. Offsets count from the end of the header.
struct Record {
  std::string name;
  const ElementType* type = nullptr;
  Shape shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// "'down.0.weight'", safe to print.
std::string quote_name(std::string_view name) { return cat("'", printable(name, 120), "'"); }

/// Bits of a tensor's data; cannot overflow, since kMaxElements was checked.
uint64_t bit_count(const Record& record) {
  return static_cast<uint64_t>(record.shape.numel()) * record.type->bits;
}

/// Turns the header's JSON into records as it is read. The format fixes the structure, so no
/// document is built: memory stays proportional to the header whatever it nests or repeats.
class HeaderReader {
 public:
  std::vector<Record> take() { return std::move(records_); }
  std::vector<std::pair<std::string, std::string>> take_metadata() { return std::move(metadata_); }
  const std::string& problem() const { return problem_; }
  ErrorKind kind() const { return kind_; }

  // The callbacks of nlohmann's SAX interface; false stops the parser.
  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("a boolean"); }
  bool number_integer(int64_t value) { return unexpected(cat("the number ", value)); }
  bool number_float(double, const std::string& token) {
    return unexpected(cat("the number ", printable(token, 40)));
  }
  bool binary(Json::binary_t&) { return unexpected("binary data"); }
  bool number_unsigned(uint64_t value) {
    if (state_ == State::kShape) return add_extent(value);
    if (state_ == State::kOffsets) return add_offset(value);
    return unexpected(cat("the number ", value));
  }

  bool string(std::string& value) {
    if (state_ == State::kMetadataValue) {
      metadata_.back().second = std::move(value);
      return go(State::kMetadata);
    }
    if (state_ != State::kDtype) return unexpected(cat("the text ", quote_name(value)));
    record_.type = find_element_type(value);
    if (record_.type == nullptr) {
      return refuse(cat(quote_name(record_.name),
                        " must have a dtype of the format (F32, F16, BF16, ...), got ",
                        quote_name(value)));
    }
    return go(State::kTensor);
  }

  bool start_object(size_t) {
    switch (state_) {
      case State::kStart:
        return go(State::kRoot);
      case State::kMetadataStart:
        return go(State::kMetadata);
      case State::kTensorStart:
        return go(State::kTensor);
      default:
        return unexpected("an object");
    }
  }
  bool end_object() {
    switch (state_) {
      case State::kTensor:
        return finish_tensor();
      case State::kMetadata:
        return go(State::kRoot);
      default:
        return go(State::kDone);  // kRoot: the parser pairs the braces
    }
  }
  bool start_array(size_t) {
    switch (state_) {
      case State::kShapeStart:
        return go(State::kShape);
      case State::kOffsetsStart:
        return go(State::kOffsets);
      default:
        return unexpected("a list");
    }
  }
  bool end_array() { return state_ == State::kShape ? finish_shape() : finish_offsets(); }

  bool key(std::string& name) {
    if (state_ == State::kMetadata) {
      metadata_.emplace_back(std::move(name), std::string());
      return go(State::kMetadataValue);
    }
    if (state_ == State::kTensor) return tensor_key(name);
    if (name == "__metadata__") {
      if (std::exchange(seen_metadata_, true))
        return refuse("must have __metadata__ once, got two");
      return go(State::kMetadataStart);
    }
    record_ = {};
    record_.name = std::move(name);
    seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    return go(State::kTensorStart);
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) {
    return refuse(cat("header must be valid JSON, got at its byte ", position, ": ",
                      json_error_reason(error)));
  }

 private:
  /// What comes next.
  enum class State {
    kStart,          // the outer object
    kRoot,           // a name, or the end
    kDone,           // nothing
    kMetadataStart,  // "__metadata__": {text: text}
    kMetadata,
    kMetadataValue,
    kTensorStart,  // "name": {"dtype": text, "shape": [...], "data_offsets": [begin, end]}
    kTensor,
    kDtype,
    kShapeStart,
    kShape,
    kOffsetsStart,
    kOffsets
  };

  bool go(State next) {
    state_ = next;
    return true;
  }
  bool refuse(std::string problem, ErrorKind kind = ErrorKind::kCorruptFile) {
    problem_ = std::move(problem);
    kind_ = kind;
    return false;
  }

  bool unexpected(const std::string& found) {
    switch (state_) {
      case State::kStart:
        return refuse("header must be a JSON object, got " + found);
      case State::kMetadataStart:
        return refuse("__metadata__ must be an object of texts, got " + found);
      case State::kMetadataValue:
        return refuse("__metadata__ must map texts to texts, got " + found);
      case State::kTensorStart:
        return refuse(cat(quote_name(record_.name), " must be an object, got ", found));
      case State::kDtype:
        return field_problem("dtype must be a text", found);
      case State::kShapeStart:
      case State::kShape:
        return field_problem("shape must be a list of whole numbers >= 0", found);
      case State::kOffsetsStart:
      case State::kOffsets:
        return field_problem("data_offsets must be two whole numbers >= 0", found);
      case State::kRoot:
      case State::kDone:
      case State::kMetadata:
      case State::kTensor:
        break;  // here the parser lets only keys and braces through
    }
    return refuse("header must follow the format, got " + found);
  }
  bool field_problem(std::string_view expectation, const std::string& found) {
    return refuse(cat(quote_name(record_.name), " ", expectation, ", got ", found));
  }

  bool tensor_key(const std::string& name) {
    bool* seen = nullptr;
    if (name == "dtype") {
      seen = &seen_dtype_;
      state_ = State::kDtype;
    } else if (name == "shape") {
      seen = &seen_shape_;
      state_ = State::kShapeStart;
      rank_ = 0;
    } else if (name == "data_offsets") {
      seen = &seen_offsets_;
      state_ = State::kOffsetsStart;
      offset_count_ = 0;
    } else {
      return field_problem("may have dtype, shape and data_offsets only", quote_name(name));
    }
    if (std::exchange(*seen, true)) return field_problem(cat(name, " must be given once"), "two");
    return true;
  }

  bool add_extent(uint64_t value) {
    if (rank_ == Shape::kMaxRank) {
      return refuse(cat(quote_name(record_.name), " must have at most ", Shape::kMaxRank,
                        " dimensions, got more"),
                    ErrorKind::kUnsupported);
    }
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return field_problem("shape must fit in 63 bits", cat(value));
    }
    dims_[rank_++] = static_cast<int64_t>(value);
    return true;
  }

  bool finish_shape() {
    // Zero extents do not excuse the others: Shape wants the product of the rest to fit as well.
    uint64_t product = 1;
    for (size_t i = 0; i < rank_; ++i) {
      const uint64_t extent = std::max<uint64_t>(1, static_cast<uint64_t>(dims_[i]));
      if (extent > kMaxElements / product) {
        return field_problem(cat("shape must have at most ", kMaxElements, " elements"),
                             cat("more at dimension ", i));
      }
      product *= extent;
    }
    record_.shape = Shape(std::span(dims_).first(rank_));
    return go(State::kTensor);
  }

  bool add_offset(uint64_t value) {
    if (offset_count_ == 2) return field_problem("data_offsets must be two numbers", "more");
    (offset_count_++ == 0 ? record_.begin : record_.end) = value;
    return true;
  }
  bool finish_offsets() {
    if (offset_count_ != 2) {
      return field_problem("data_offsets must be two numbers", cat(offset_count_));
    }
    return go(State::kTensor);
  }

  bool finish_tensor() {
    if (!seen_dtype_ || !seen_shape_ || !seen_offsets_) {
      return field_problem("must have dtype, shape and data_offsets",
                           cat("none for ", !seen_dtype_   ? "dtype"
                                            : !seen_shape_ ? "shape"
                                                           : "data_offsets"));
    }
    records_.push_back(std::move(record_));
    return go(State::kRoot);
  }

  State state_ = State::kStart;
  std::vector<Record> records_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  Record record_;  ///< the one being read
  std::array<int64_t, Shape::kMaxRank> dims_{};
  size_t rank_ = 0;
  int offset_count_ = 0;
  bool seen_metadata_ = false;
  bool seen_dtype_ = false, seen_shape_ = false, seen_offsets_ = false;
  std::string problem_;
  ErrorKind kind_ = ErrorKind::kCorruptFile;
};

/// The header's text, its length checked against the limits and the file.
std::string_view header_text(std::span<const std::byte> file, const std::string& origin) {
  if (file.size() < kLengthBytes) {
    fail(ErrorKind::kCorruptFile, origin, "must start with an 8-byte header length, got ",
         file.size(), " bytes in all");
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  }
  const uint64_t rest = file.size() - kLengthBytes;
  if (length > kMaxHeaderBytes) {
    fail(ErrorKind::kCorruptFile, origin, "header length must be at most ", kMaxHeaderBytes,
         ", got ", length, "; probably not a safetensors file");
  }
  if (length > rest) {
    fail(ErrorKind::kCorruptFile, origin, "header length must be at most the ", rest,
         " bytes that follow it, got ", length, "; probably an incomplete download");
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<size_t>(length));
  if (!text.starts_with('{')) {
    fail(ErrorKind::kCorruptFile, origin, "header must start with '{', got ",
         text.empty() ? "an empty header" : quote_name(text.substr(0, 1)),
         "; probably not a safetensors file");
  }
  // The JSON parser takes a NUL for the end and would not see what another reader finds behind it.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(ErrorKind::kCorruptFile, origin, "header must be text, got a NUL at its byte ", nul);
  }
  return text;
}

/// Each tensor's bytes must fit its shape, and all together must tile the data without a gap: the
/// format forbids holes, so that no file means two things to two readers.
void check_layout(const std::vector<Record>& records, uint64_t data_bytes,
                  const std::string& origin) {
  for (const Record& record : records) {
    if (record.begin > record.end) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record.name),
           " data_offsets must not decrease, got [", record.begin, ", ", record.end, "]");
    }
    if (record.end > data_bytes) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record.name), " must end within the ",
           data_bytes, " bytes of data, got end ", record.end, "; probably an incomplete download");
    }
    const uint64_t bits = bit_count(record);
    if (bits % 8 != 0) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record.name), " must fill whole bytes, got ",
           bits, " bits for ", record.type->name, " ", record.shape);
    }
    if (record.end - record.begin != bits / 8) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record.name), " must take ", bits / 8,
           " bytes for ", record.type->name, " ", record.shape, ", got ",
           record.end - record.begin);
    }
  }
  std::vector<const Record*> order(records.size());
  std::transform(records.begin(), records.end(), order.begin(), [](const Record& r) { return &r; });
  std::sort(order.begin(), order.end(), [](const Record* a, const Record* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t covered = 0;
  const Record* before = nullptr;
  for (const Record* record : order) {
    if (record->begin < covered) {
      fail(ErrorKind::kCorruptFile, origin, quote_name(record->name), " and ",
           quote_name(before->name), " must not share bytes, got [", record->begin, ", ",
           record->end, "] and [", before->begin, ", ", before->end, "]");
    }
    if (record->begin > covered) {
      fail(ErrorKind::kCorruptFile, origin, "tensors must follow each other without a gap, got ",
           record->begin - covered, " unused bytes before ", quote_name(record->name));
    }
    covered = record->end;
    before = record;
  }
  if (covered != data_bytes) {
    fail(ErrorKind::kCorruptFile, origin, "data must end with the last tensor at byte ", covered,
         ", got ", data_bytes - covered, " more bytes");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& origin) {
  const std::string_view text = header_text(file, origin);
  HeaderReader reader;
  bool complete = false;
  try {
    complete = Json::sax_parse(text, &reader);
  } catch (const Json::exception& error) {
    fail(ErrorKind::kCorruptFile, origin,
         "header must be valid JSON, got: ", printable(error.what()));
  }
  if (!complete) fail(reader.kind(), origin, reader.problem());

  std::vector<Record> records = reader.take();
  std::sort(records.begin(), records.end(),
            [](const Record& a, const Record& b) { return a.name < b.name; });
  for (size_t i = 1; i < records.size(); ++i) {
    if (records[i - 1].name == records[i].name) {
      fail(ErrorKind::kCorruptFile, origin, "tensor names must be unique, got ",
           quote_name(records[i].name), " twice");
    }
  }
  const uint64_t data_begin = kLengthBytes + text.size();
  check_layout(records, file.size() - data_begin, origin);

  SafetensorsHeader header;
  header.metadata = reader.take_metadata();
  for (Record& record : records) {
    if (record.type->dtype) {
      const uint64_t bytes = record.end - record.begin;
      header.extents.push_back({data_begin + record.begin, bytes, record.type->widen});
      header.entries.push_back({.name = std::move(record.name),
                                .dtype = *record.type->dtype,
                                .shape = record.shape,
                                .stored = record.type->stored,
                                .stored_bytes = bytes});
    } else {
      header.unreadable.push_back({std::move(record.name), std::string(record.type->name)});
      if (record.type->name == "I64" && record.shape.numel() == 1) {
        int64_t number = 0;
        std::memcpy(&number, file.data() + data_begin + record.begin, sizeof(number));
        header.unreadable.back().number = number;
      }
    }
  }
  return header;
}

}  // namespace tintype
