/// A request of any JSON: it becomes a job that a worker can read, whose canonical form is its own,
/// or it is refused with a message that is safe to print. The first byte chooses the limits.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "fuzz/fuzz_check.h"
#include "requests/canonical_request.h"
#include "requests/demo_catalogue.h"
#include "requests/job_request.h"

namespace tintype {
namespace {

void require_refusal(const Error& error) {
  const std::string_view message = error.what();
  const ErrorKind kind = error.kind();
  fuzz::require(kind == ErrorKind::kInvalidArgument || kind == ErrorKind::kNotFound ||
                    kind == ErrorKind::kUnsupported || kind == ErrorKind::kCorruptFile,
                "a bad request is the caller's fault", message);
  fuzz::require(!message.empty() && message.size() < 20'000, "messages are short", message);
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    fuzz::require((byte >= 0x20 && byte != 0x7f) || c == '\n', "messages are safe to print");
  }
}

/// As a submission once more: its pictures in the place of their indices.
Json resubmitted(const JobSpec& spec) {
  Json request = Json::parse(spec.request);
  for (const char* name : {"image", "mask"})
    if (request.contains(name))
      request[name] = encode_base64(spec.inputs.at(request[name].get<size_t>())->bytes);
  return request;
}

void check(std::string_view text, const RequestLimits& limits) {
  JobSpec spec;
  try {
    spec = make_job(parse_json(text, "request"), demo_catalogue(), limits);
  } catch (const Error& error) {
    return require_refusal(error);
  }
  fuzz::require(spec.work > 0 && spec.work < 1e12, "work is bounded");
  const JobSpec again = make_job(resubmitted(spec), demo_catalogue(), limits);
  fuzz::require(again.request == spec.request, "the canonical form is its own", spec.request);
  try {
    const JobRequest job = parse_canonical(spec.request, spec.inputs, {});
    fuzz::require(job.count >= 1 && job.count <= limits.max_count, "count is bounded");
  } catch (const Error& error) {
    fuzz::require(!spec.inputs.empty(), "only pictures may still be broken", error.what());
    require_refusal(error);
  }
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  tintype::RequestLimits limits;
  // Pictures small enough to be decoded each time.
  limits.max_input_pixels = 1 << 16;
  if (data[0] % 2)
    limits = {.max_steps = 20,
              .max_side_px = 256,
              .max_pixels = 256 * 256,
              .max_count = 2,
              .max_image_bytes = 4096,
              .max_input_pixels = 4096};
  tintype::check(text, limits);
  return 0;
}
