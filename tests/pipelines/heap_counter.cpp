#include "pipelines/heap_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<uint64_t> blocks{0}, block_bytes{0}, aligned{0}, aligned_bytes{0}, large{0};

void* counted(void* memory, size_t bytes) {
  if (!memory) throw std::bad_alloc();
  ++blocks;
  block_bytes += bytes;
  return memory;
}

void* aligned_memory(size_t alignment, size_t bytes) {
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, bytes ? bytes : 1) == 0 ? memory : nullptr;
}

}  // namespace

void* operator new(size_t bytes) { return counted(std::malloc(bytes ? bytes : 1), bytes); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  ++aligned;
  aligned_bytes += bytes;
  return counted(aligned_memory(static_cast<size_t>(alignment), bytes), bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

// noexcept and the attributes are the C library's.
extern "C" void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  ++large;
  return aligned_memory(alignment, bytes);
}

namespace tintype::testing {

HeapCounts heap_counts() {
  return {.blocks = blocks,
          .bytes = block_bytes,
          .host_tensors = aligned,
          .host_tensor_bytes = aligned_bytes,
          .large_blocks = large};
}

}  // namespace tintype::testing
