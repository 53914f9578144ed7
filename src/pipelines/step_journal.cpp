#include "pipelines/step_journal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "base/checksum.h"
#include "ops/ops.h"

namespace tintype {
namespace {

static_assert(std::endian::native == std::endian::little);

/// Layout of a record: this, `flags` bytes (reused or not), the prediction, a checksum of all.
struct Header {
  std::array<char, 8> magic = {'T', 'T', 'S', 'T', 'E', 'P', '0', '1'};
  uint64_t name = 0, question = 0;
  uint32_t index = 0;
  std::array<uint32_t, 4> shape = {};
  uint32_t flags = 0;
};

constexpr uint32_t kMaxSide = 1u << 16;

uint64_t checksum(std::string_view bytes) { return checksum64(std::as_bytes(std::span(bytes))); }

}  // namespace

std::string encode_saved_call(uint64_t name, uint32_t index, const SavedCall& call) {
  Header header{.name = name,
                .question = call.question,
                .index = index,
                .flags = static_cast<uint32_t>(call.reused.size())};
  for (int i = 0; i < 4; ++i)
    header.shape[static_cast<size_t>(i)] = static_cast<uint32_t>(call.prediction.dim(i));
  const std::span<const float> values = call.prediction.span<float>();
  std::string bytes;
  bytes.reserve(sizeof(header) + call.reused.size() + values.size_bytes() + sizeof(uint64_t));
  bytes.append(reinterpret_cast<const char*>(&header), sizeof(header));
  for (const bool reused : call.reused) bytes.push_back(reused ? 1 : 0);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  const uint64_t sum = checksum(bytes);
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  return bytes;
}

std::optional<SavedCall> decode_saved_call(std::string_view bytes, uint64_t name, uint32_t index) {
  Header header;
  uint64_t sum = 0;
  if (bytes.size() < sizeof(header) + sizeof(sum)) return {};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != Header().magic || header.name != name || header.index != index) return {};
  if (header.flags != 0 && header.flags != header.shape[0]) return {};
  uint64_t numbers = 1;
  for (const uint32_t side : header.shape) {
    if (side == 0 || side > kMaxSide) return {};
    numbers *= side;
    if (numbers > bytes.size()) return {};
  }
  if (bytes.size() != sizeof(header) + header.flags + numbers * sizeof(float) + sizeof(sum))
    return {};
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof(sum));
  std::memcpy(&sum, bytes.data() + body.size(), sizeof(sum));
  if (checksum(body) != sum) return {};

  SavedCall call{.question = header.question};
  const char* at = body.data() + sizeof(header);
  for (uint32_t i = 0; i < header.flags; ++i) call.reused.push_back(*at++ != 0);
  call.prediction =
      empty_host({header.shape[0], header.shape[1], header.shape[2], header.shape[3]});
  const std::span<float> values = call.prediction.mutable_span<float>();
  std::memcpy(values.data(), at, values.size_bytes());
  return call;
}

StepJournal::StepJournal(const RunContext& context, uint64_t name)
    : context_(context), name_(name) {
  for (const std::string& bytes : context.saved_steps) {
    auto call = decode_saved_call(bytes, name, static_cast<uint32_t>(calls_.size()));
    if (call) calls_.push_back(std::move(*call));
  }
  if (calls_.empty() || calls_.back().reused.empty()) return;
  const auto some_reused = [](const SavedCall& call) {
    return std::find(call.reused.begin(), call.reused.end(), true) != call.reused.end();
  };
  // The next call might reuse features of the last one computed whole, which are not saved: that
  // one is computed again.
  while (!calls_.empty() && some_reused(calls_.back())) calls_.pop_back();
  if (!calls_.empty()) calls_.pop_back();
}

std::optional<SavedCall> StepJournal::replay(uint64_t question) {
  if (next_ >= calls_.size()) return {};
  if (calls_[next_].question != question) {
    calls_.resize(next_);
    return {};
  }
  return std::move(calls_[next_++]);
}

void StepJournal::record(const SavedCall& call) {
  if (context_.on_step_saved)
    context_.on_step_saved(encode_saved_call(name_, static_cast<uint32_t>(next_), call));
  ++next_;
}

}  // namespace tintype
