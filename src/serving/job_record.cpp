#include "serving/job_record.h"

#include <span>

#include "base/checksum.h"
#include "serving/byte_codec.h"

namespace tintype {
namespace {

constexpr uint32_t kMaxResults = 256;

}  // namespace

JobSnapshot snapshot_of(const JobRecord& record) {
  JobSnapshot out;
  out.id = record.id;
  out.state = record.state;
  out.revision = record.revision;
  out.request = record.request;
  out.model = record.model;
  out.owner = record.owner;
  out.client_key = record.client_key;
  out.priority = record.priority;
  out.inputs = record.inputs;
  out.created = record.created;
  out.started = record.started;
  out.finished = record.finished;
  out.deadline = record.deadline;
  out.results_expire = record.results_expire;
  out.attempts = record.attempts;
  out.worker = record.worker;
  out.error = record.error;
  out.results = record.results;
  out.info = record.info;
  if (record.state == JobState::kSucceeded) out.progress.fraction = 1;
  return out;
}

std::string encode_results(const std::vector<ResultInfo>& results) {
  ByteWriter out;
  out.u32(static_cast<uint32_t>(results.size()));
  for (const ResultInfo& result : results) {
    out.text(result.media_type);
    out.u64(result.bytes);
    out.i32(result.width_px);
    out.i32(result.height_px);
  }
  return out.take();
}

std::vector<ResultInfo> decode_results(std::string_view bytes) {
  if (bytes.empty()) return {};
  ByteReader in(bytes, "job store");
  std::vector<ResultInfo> out(in.count(kMaxResults, 20));
  for (ResultInfo& result : out) {
    result.media_type = in.text(1000);
    result.bytes = in.u64();
    result.width_px = in.i32(0, INT32_MAX);
    result.height_px = in.i32(0, INT32_MAX);
  }
  in.end();
  return out;
}

int64_t to_us(WallClock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

std::optional<int64_t> to_us(const std::optional<WallClock::time_point>& time) {
  if (!time) return {};
  return to_us(*time);
}

WallClock::time_point from_us(int64_t us) {
  return WallClock::time_point(
      std::chrono::duration_cast<WallClock::duration>(std::chrono::microseconds(us)));
}

uint64_t fingerprint_of(const JobSpec& spec) {
  if (spec.client_key.empty()) return 0;
  const auto sum = [](std::string_view text) {
    return checksum64(std::as_bytes(std::span(text.data(), text.size())));
  };
  ByteWriter out;
  if (!spec.fingerprint.empty()) {
    out.text(spec.fingerprint);
  } else {
    out.text(spec.model);
    out.text(spec.request);
    for (const SharedBlob& input : spec.inputs) out.u64(sum(input->bytes));
  }
  return sum(out.bytes());
}

}  // namespace tintype
