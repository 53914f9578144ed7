/// What a piece of a request takes and copies, and tables of it in a document. Test code only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ops/observer.h"

namespace tintype::testing {

struct Counts {
  int64_t tensors = 0, tensor_bytes = 0;  ///< from the CPU backend's allocator
  int64_t from_system = 0;                ///< of these, those for which it had to ask the system
  int64_t heap_blocks = 0, heap_bytes = 0;
  int64_t host_bytes = 0;     ///< of the heap's, tensors laid out on the host: noise, pictures
  int64_t joined_bytes = 0;   ///< written by ops that only move numbers
  int64_t weight_blocks = 0;  ///< packed weights

  int64_t copied_bytes() const { return host_bytes + joined_bytes; }
};
Counts operator-(const Counts& after, const Counts& before);

/// All so far, without joined_bytes.
Counts counts_now();

/// Bytes that joins and repetitions of tensors write, each once.
class Joins final : public ops::OpObserver {
 public:
  size_t begin(ops::OpCall call) override {
    if (call.op == "concat") bytes_ += static_cast<int64_t>(call.bytes / 2);  // read, and written
    return 0;
  }
  void end(size_t, double) noexcept override {}
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

/// Runs it twice: being told of ops takes memory itself.
Counts count(const std::function<void()>& run);

/// A line of a table: its first cell, and numbers.
struct CountedRow {
  std::string name;
  std::vector<int64_t> numbers;
};

/// The lines of "| name | 1,234 | 5 |" between "<!-- counted: TABLE -->" and "<!-- end -->".
std::vector<CountedRow> read_counted_rows(const std::filesystem::path& document,
                                          const std::string& table);
/// Replaces them.
void write_counted_rows(const std::filesystem::path& document, const std::string& table,
                        const std::vector<CountedRow>& rows);

}  // namespace tintype::testing
