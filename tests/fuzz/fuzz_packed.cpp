/// Any bytes as a packed model: refused with an Error, or every weight can be read in full. Also
/// the tokenizers that its description may hold.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "fuzz/fuzz_check.h"
#include "tokenizers/clip_files_json.h"
#include "tokenizers/clip_tokenizer.h"
#include "weights/packed_file.h"
#include "weights/packed_format.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace tintype {
namespace {

/// Touches every byte, so that a sanitizer sees each wrong one.
void read_all(const Tensor& tensor) {
  uint8_t sum = 0;
  for (const std::byte byte : std::span(tensor.bytes(), tensor.nbytes()))
    sum = static_cast<uint8_t>(sum + std::to_integer<uint8_t>(byte));
  volatile uint8_t sink = sum;
  (void)sink;
}

void check_component(const PackedFile::Component& component) {
  const auto source = component.source();
  const auto entries = source->entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    fuzz::require(i == 0 || entries[i - 1].name < entries[i].name, "names are sorted and unique");
    if (!entries[i].packed) {
      const Tensor tensor = source->read(entries[i]);
      fuzz::require(tensor.shape() == entries[i].shape && tensor.dtype() == entries[i].dtype,
                    "a tensor is what its entry says");
      read_all(tensor);
      continue;
    }
    const PackedParts packed = source->read_packed(entries[i]);
    fuzz::require(!packed.parts.empty() && packed.shape == entries[i].shape, "a weight has parts");
    for (const Tensor& part : packed.parts) read_all(part);
  }
  summarize(*source);
}

void check_tokenizers(const Json& model) {
  const auto list = model.find("tokenizers");
  if (list == model.end() || !list->is_array() || list->size() > 2) return;
  for (const Json& entry : *list) {
    const ClipFiles files = clip_files_from_json(JsonObject(entry, "tokenizer"));
    for (const int32_t id : ClipTokenizer::from_files(files).encode("a red fox!"))
      fuzz::require(id >= 0 && id < files.vocabulary_size, "ids are in the vocabulary");
  }
}

template <typename Check>
void expect_file_error_at_most(const Check& check) {
  try {
    check();
  } catch (const Error& error) {
    fuzz::require_file_error(error);
  }
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  expect_file_error_at_most([&] {
    const auto file = PackedFile::open_bytes(std::as_bytes(std::span(data, size)), "input");
    expect_file_error_at_most([&] { file->verify(); });
    for (const auto& component : file->components()) check_component(component);
    check_tokenizers(file->model());
  });
  return 0;
}

/// A mutated file fails its checksums, and a reader that stops there is not exercised further. So
/// two in three inputs get a header that suits what follows: the index starts at the first aligned
/// brace that opens an object with a key.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  using namespace tintype;
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size <= sizeof(PackedHeader) || seed % 3 == 0) return size;
  size_t index = sizeof(PackedHeader);
  while (index + 1 < size && !(data[index] == '{' && data[index + 1] == '"'))
    index += kPackedAlignment;
  if (index >= size) return size;
  PackedHeader header{.file_bytes = size, .index_offset = index, .index_bytes = size - index};
  header.index_checksum = checksum64(std::as_bytes(std::span(data + index, size - index)));
  header.header_checksum = header.checksum();
  std::memcpy(data, &header, sizeof(header));
  return size;
}
