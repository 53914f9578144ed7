#include "pipelines/request_counts.h"

#include <fstream>
#include <sstream>

#include "backend/registry.h"
#include "base/check.h"
#include "pipelines/heap_counter.h"

namespace tintype::testing {
namespace {

/// 1234567 as "1,234,567".
std::string with_commas(int64_t number) {
  std::string text = std::to_string(number);
  const int64_t first = number < 0 ? 1 : 0;
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > first; at -= 3)
    text.insert(static_cast<size_t>(at), ",");
  return text;
}

std::vector<std::string> lines_of(const std::filesystem::path& document) {
  std::ifstream in(document);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The lines between the table's marks, below its head of two lines.
std::pair<size_t, size_t> place_of(const std::vector<std::string>& lines,
                                   const std::string& table) {
  const std::string mark = "<!-- counted: " + table + " -->";
  size_t begin = 0;
  while (begin < lines.size() && lines[begin] != mark) ++begin;
  size_t end = begin;
  while (end < lines.size() && lines[end] != "<!-- end -->") ++end;
  if (end == lines.size() || end < begin + 3)
    fail(ErrorKind::kNotFound, "request_counts", "the document must hold the table ", table);
  return {begin + 3, end};
}

}  // namespace

Counts operator-(const Counts& after, const Counts& before) {
  return {.tensors = after.tensors - before.tensors,
          .tensor_bytes = after.tensor_bytes - before.tensor_bytes,
          .from_system = after.from_system - before.from_system,
          .heap_blocks = after.heap_blocks - before.heap_blocks,
          .heap_bytes = after.heap_bytes - before.heap_bytes,
          .host_bytes = after.host_bytes - before.host_bytes,
          .joined_bytes = after.joined_bytes - before.joined_bytes,
          .weight_blocks = after.weight_blocks - before.weight_blocks};
}

Counts counts_now() {
  const AllocatorStats tensors = backend_for(Device::kCpu).allocator().stats();
  const HeapCounts heap = heap_counts();
  const auto asked = static_cast<int64_t>(tensors.allocations - tensors.cache_hits);
  return {.tensors = static_cast<int64_t>(tensors.allocations),
          .tensor_bytes = static_cast<int64_t>(tensors.given_bytes),
          .from_system = asked,
          .heap_blocks = static_cast<int64_t>(heap.blocks),
          .heap_bytes = static_cast<int64_t>(heap.bytes),
          .host_bytes = static_cast<int64_t>(heap.host_tensor_bytes),
          .weight_blocks = static_cast<int64_t>(heap.large_blocks) - asked};
}

Counts count(const std::function<void()>& run) {
  const Counts before = counts_now();
  run();
  Counts counts = counts_now() - before;
  Joins joins;
  const ops::ObserveOps watch(joins);
  run();
  counts.joined_bytes = joins.bytes();
  return counts;
}

std::vector<CountedRow> read_counted_rows(const std::filesystem::path& document,
                                          const std::string& table) {
  const std::vector<std::string> lines = lines_of(document);
  const auto [begin, end] = place_of(lines, table);
  std::vector<CountedRow> rows;
  for (size_t i = begin; i < end; ++i) {
    std::istringstream cells(lines[i].substr(1));
    CountedRow row;
    for (std::string cell; std::getline(cells, cell, '|');) {
      cell = cell.substr(1, cell.size() - 2);
      if (row.name.empty()) {
        row.name = cell;
        continue;
      }
      std::erase(cell, ',');
      row.numbers.push_back(std::stoll(cell));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void write_counted_rows(const std::filesystem::path& document, const std::string& table,
                        const std::vector<CountedRow>& rows) {
  std::vector<std::string> lines = lines_of(document);
  const auto [begin, end] = place_of(lines, table);
  std::vector<std::string> fresh;
  for (const CountedRow& row : rows) {
    fresh.push_back(cat("| ", row.name, " |"));
    for (const int64_t number : row.numbers) fresh.back() += cat(" ", with_commas(number), " |");
  }
  lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(begin),
              lines.begin() + static_cast<std::ptrdiff_t>(end));
  lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(begin), fresh.begin(), fresh.end());
  std::ofstream out(document);
  for (const std::string& line : lines) out << line << '\n';
}

}  // namespace tintype::testing
