// What is allocated for a picture that comes in: nothing of its size when it needs no resizing.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "models/fixture_files.h"
#include "pipelines/image_to_image.h"
#include "pipelines/text_to_image.h"

namespace {

std::atomic<size_t> watched_bytes{0};
std::atomic<int> watched_count{0};

}  // namespace

void* operator new(size_t bytes) {
  if (bytes == watched_bytes.load()) ++watched_count;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tintype::testing {
namespace {

// An odd number of pixels' bytes that nothing else of the run has.
constexpr int kWidth = 56, kHeight = 40;
constexpr size_t kBytes = size_t{kWidth} * kHeight * 3;

template <typename Run>
int allocations_of_a_picture(const Run& run) {
  run();  // what is made once
  watched_count = 0;
  watched_bytes = kBytes;
  run();
  watched_bytes = 0;
  return watched_count;
}

TEST(Copies, AnImageThatNeedsNoResizeIsNotCopied) {
  const DiffusionModel model = DiffusionModel::load(
      CheckpointLayout::read(fixtures() / "models" / "four-level"), Device::kCpu, RunContext());
  const TextToImageRequest drawing{.prompt = "red apple",
                                   .width_px = kWidth,
                                   .height_px = kHeight,
                                   .steps = 2,
                                   .guidance_scale = 1.0f,
                                   .seed = 1};
  const int for_the_result = allocations_of_a_picture(
      [&] { text_to_images(model, resolve_settings(model, drawing), RunContext()); });
  EXPECT_GE(for_the_result, 1) << "the count sees pictures";

  const auto from = [&](int width, int height) {
    ImageToImageRequest request{.drawing = drawing, .strength = 0.5};
    request.image = std::make_shared<Image>(
        Image{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), 90)});
    return allocations_of_a_picture([&] {
      image_to_images(model, resolve_settings(model, request), request.image, RunContext());
    });
  };
  EXPECT_EQ(from(kWidth, kHeight), for_the_result);
  EXPECT_GT(from(kWidth + 3, kHeight), for_the_result) << "the count sees a resized picture";
}

}  // namespace
}  // namespace tintype::testing
