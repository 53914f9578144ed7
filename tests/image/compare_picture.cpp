/// Says how far a PNG is from a reference picture:
///   compare_picture PICTURE.png REFERENCE.safetensors NAME MAX_MEAN_DIFFERENCE
/// NAME is a u8 tensor [H,W,3]. Exit status 0 when the mean absolute difference, in steps of 1/255,
/// is at most MAX_MEAN_DIFFERENCE; 1 when it is more; 2 when the two cannot be compared.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "image/png_reader.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

Tensor reference_picture(const std::string& file, const std::string& name) {
  const auto source = open_safetensors(file);
  for (const TensorSource::Entry& entry : source->entries()) {
    if (entry.name == name) return source->read(entry);
  }
  fail(ErrorKind::kNotFound, "compare_picture", file, " must hold a picture \"", name,
       "\", got none");
}

struct Difference {
  double mean = 0;
  int max = 0;
};

Difference difference(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  Difference out;
  for (size_t i = 0; i < a.size(); ++i) {
    const int distance = std::abs(int{a[i]} - int{b[i]});
    out.mean += distance;
    out.max = std::max(out.max, distance);
  }
  out.mean /= static_cast<double>(a.size());
  return out;
}

int compare(char** argv) {
  const Image picture = read_png(argv[1]);
  const Tensor reference = reference_picture(argv[2], argv[3]);
  char* end = nullptr;
  const double allowed = std::strtod(argv[4], &end);
  TT_REQUIRE(*argv[4] != '\0' && *end == '\0' && allowed >= 0, "compare_picture",
             "MAX_MEAN_DIFFERENCE must be a number of at least 0, got ", argv[4]);
  const Shape shape{picture.height_px, picture.width_px, 3};
  TT_REQUIRE(reference.shape() == shape && reference.dtype() == DType::kU8, "compare_picture",
             "the reference must be u8 ", shape, ", got ", reference.dtype(), " ",
             reference.shape());
  const Difference found = difference(picture.rgb, reference.span<uint8_t>());
  const bool close = found.mean <= allowed;
  std::printf("%s against \"%s\": mean difference %.4f of 255 (allowed %.4f), largest %d: %s\n",
              argv[1], argv[3], found.mean, allowed, found.max, close ? "ok" : "TOO FAR");
  return close ? 0 : 1;
}

}  // namespace
}  // namespace tintype

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr,
                 "usage: compare_picture PICTURE.png REFERENCE.safetensors NAME MAX_DIFFERENCE\n");
    return 2;
  }
  try {
    return tintype::compare(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
