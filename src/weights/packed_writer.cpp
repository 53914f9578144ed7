#include <charconv>
#include <utility>

#include "base/check.h"
#include "weights/packed_file.h"
#include "weights/packed_format.h"

namespace tintype {
namespace {

/// JSON numbers are doubles to many readers, so 64 bits go as text.
std::string hexadecimal(uint64_t value) {
  std::array<char, 17> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, 16).ptr;
  return {text.data(), end};
}

Json shape_json(const Shape& shape) {
  return Json(std::vector<int64_t>(shape.dims().begin(), shape.dims().end()));
}

void pad(ReplacedFile& file) {
  constexpr std::array<std::byte, kPackedAlignment> kZeros{};
  file.write(std::span(kZeros).first(packed_aligned(file.size()) - file.size()));
}

}  // namespace

/// One component: weights to the file, what they are to the index.
class PackedWriter::Sink final : public PackedSink {
 public:
  Sink(ReplacedFile& file, Json component) : file_(file), component_(std::move(component)) {
    component_["weights"] = Json::array();
  }

  void add(const PackedParts& weight) override {
    Json parts = Json::array();
    for (const Tensor& part : weight.parts) {
      const std::span bytes(part.bytes(), part.nbytes());
      parts.push_back({{"dtype", to_string(part.dtype())},
                       {"shape", shape_json(part.shape())},
                       {"offset", file_.size()},
                       {"checksum", hexadecimal(checksum64(bytes))}});
      file_.write(bytes);
      pad(file_);
    }
    component_["weights"].push_back({{"name", weight.name},
                                     {"shape", shape_json(weight.shape)},
                                     {"layout", weight.layout},
                                     {"element", weight.element},
                                     {"parts", std::move(parts)}});
  }

  const Json& component() const { return component_; }

 private:
  ReplacedFile& file_;
  Json component_;
};

PackedWriter::PackedWriter(const std::filesystem::path& path) : file_(path) {
  // Until the end it names nothing, so that half a file is none.
  const std::array<std::byte, sizeof(PackedHeader)> nothing{};
  file_.write(nothing);
}

PackedWriter::~PackedWriter() = default;

PackedSink& PackedWriter::component(std::string name, std::string class_name, Json config) {
  sinks_.push_back(std::make_unique<Sink>(file_, Json{{"name", std::move(name)},
                                                      {"class", std::move(class_name)},
                                                      {"config", std::move(config)}}));
  return *sinks_.back();
}

uint64_t PackedWriter::finish(Json model) {
  Json index{{"model", std::move(model)}, {"components", Json::array()}};
  for (const auto& sink : sinks_) index["components"].push_back(sink->component());
  const std::string text = index.dump(-1, ' ', true, Json::error_handler_t::replace);
  const auto bytes = std::as_bytes(std::span(text));
  PackedHeader header{.file_bytes = file_.size() + bytes.size(),
                      .index_offset = file_.size(),
                      .index_bytes = bytes.size(),
                      .index_checksum = checksum64(bytes)};
  header.header_checksum = header.checksum();
  file_.write(bytes);
  file_.overwrite(0, std::as_bytes(std::span(&header, 1)));
  file_.commit();
  return header.file_bytes;
}

}  // namespace tintype
