#include "serving/frames.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "serving/byte_codec.h"

namespace tintype {
namespace {

constexpr size_t kMaxText = 64 << 10;     // messages, names
constexpr size_t kMaxRequest = 16 << 20;  // without pictures
constexpr size_t kMaxMediaType = 100;
constexpr size_t kMaxList = 1024;  // models, counters
constexpr int kMaxSide = 1 << 20;
constexpr ErrorKind kLastKind = ErrorKind::kInternal;

// Order of types on the wire: the index in Message.
template <typename T, size_t I = 0>
constexpr uint8_t type_of() {
  if constexpr (std::is_same_v<T, std::variant_alternative_t<I, Message>>) {
    return I;
  } else {
    return type_of<T, I + 1>();
  }
}

std::string_view cut(std::string_view text, size_t max_bytes) { return text.substr(0, max_bytes); }

void write_blob(ByteWriter& out, const SharedBlob& blob) {
  static const Blob kNone;
  const Blob& value = blob ? *blob : kNone;
  out.text(cut(value.media_type, kMaxMediaType));
  out.text(value.bytes);
}

void write_blobs(ByteWriter& out, const std::vector<SharedBlob>& blobs, size_t max) {
  const size_t count = std::min(blobs.size(), max);
  out.u32(static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) write_blob(out, blobs[i]);
}

struct Encoder {
  ByteWriter& out;

  void operator()(const message::Run& m) const {
    const Assignment& a = m.assignment;
    out.id(a.id);
    out.i32(a.attempt);
    out.text(a.request);
    write_blobs(out, a.inputs, kMaxBlobs);
    write_blobs(out, a.saved_steps, kMaxSavedSteps);
  }
  void operator()(const message::Cancel& m) const { out.id(m.id); }
  void operator()(const message::Quit&) const {}
  void operator()(const message::Hello& m) const { out.u32(m.version); }
  void operator()(const message::Status& m) const {
    const size_t models = std::min(m.models.size(), kMaxList);
    out.u32(static_cast<uint32_t>(models));
    for (size_t i = 0; i < models; ++i) out.text(cut(m.models[i], kMaxText));
    out.u64(m.resident_bytes);
    const size_t counters = std::min(m.counters.size(), kMaxList);
    out.u32(static_cast<uint32_t>(counters));
    for (size_t i = 0; i < counters; ++i) {
      out.text(cut(m.counters[i].first, kMaxText));
      out.f64(std::isfinite(m.counters[i].second) ? m.counters[i].second : 0);
    }
  }
  void operator()(const message::Progress& m) const {
    const JobProgress& p = m.progress;
    out.id(m.id);
    out.text(cut(p.stage, kMaxText));
    out.i32(std::max(p.step, 0));
    out.i32(std::max(p.steps, 0));
    out.f64(std::isfinite(p.fraction) ? std::clamp(p.fraction, 0.0, 1.0) : 0);
    const bool pace = p.seconds_left && std::isfinite(*p.seconds_left);
    out.u8(pace);
    if (pace) out.f64(std::max(*p.seconds_left, 0.0));
  }
  void operator()(const message::Preview& m) const {
    out.id(m.id);
    out.i32(std::max(m.step, 0));
    write_blobs(out, m.previews, kMaxBlobs);
  }
  void operator()(const message::StepSaved& m) const {
    out.id(m.id);
    write_blob(out, m.bytes);
  }
  void operator()(const message::Succeeded& m) const {
    out.id(m.id);
    if (m.result.files.size() > kMaxBlobs) {
      fail(ErrorKind::kInvalidArgument, "worker message", "at most ", kMaxBlobs,
           " results a job, got ", m.result.files.size());
    }
    out.u32(static_cast<uint32_t>(m.result.files.size()));
    for (const auto& [info, blob] : m.result.files) {
      out.i32(info.width_px);
      out.i32(info.height_px);
      write_blob(out, blob);
    }
    out.text(m.result.info);
  }
  void operator()(const message::Failed& m) const {
    out.id(m.id);
    out.u8(static_cast<uint8_t>(m.error.kind));
    out.text(cut(m.error.message, kMaxText));
  }
};

SharedBlob read_blob(ByteReader& in) {
  auto blob = std::make_shared<Blob>();
  blob->media_type = in.text(kMaxMediaType);
  // It becomes an HTTP header's value.
  for (const char c : blob->media_type) {
    if (c <= ' ' || c >= 0x7f) in.broken("a media type must be printable ASCII without blanks");
  }
  blob->bytes = in.text(kMaxFrameBytes);
  return blob;
}

std::vector<SharedBlob> read_blobs(ByteReader& in, uint32_t max) {
  std::vector<SharedBlob> out(in.count(max, 8));
  for (SharedBlob& blob : out) blob = read_blob(in);
  return out;
}

/// Texts that are shown to people.
std::string read_printable(ByteReader& in) { return printable(in.text(kMaxText), kMaxText); }

message::Run read_run(ByteReader& in) {
  message::Run m;
  m.assignment.id = in.id();
  m.assignment.attempt = in.i32(1, INT32_MAX);
  m.assignment.request = in.text(kMaxRequest);
  m.assignment.inputs = read_blobs(in, kMaxBlobs);
  m.assignment.saved_steps = read_blobs(in, kMaxSavedSteps);
  return m;
}

message::Status read_status(ByteReader& in) {
  message::Status m;
  m.models.resize(in.count(kMaxList, 4));
  for (std::string& name : m.models) name = printable(in.text(kMaxText), kMaxText);
  m.resident_bytes = in.u64();
  m.counters.resize(in.count(kMaxList, 12));
  for (auto& [name, value] : m.counters) {
    name = read_printable(in);
    value = in.f64();
  }
  return m;
}

message::Progress read_progress(ByteReader& in) {
  message::Progress m;
  m.id = in.id();
  m.progress.stage = read_printable(in);
  m.progress.step = in.i32(0, INT32_MAX);
  m.progress.steps = in.i32(0, INT32_MAX);
  m.progress.fraction = in.f64();
  if (m.progress.fraction < 0 || m.progress.fraction > 1) in.broken("a fraction must be 0..1");
  if (in.flag()) m.progress.seconds_left = std::max(in.f64(), 0.0);
  return m;
}

message::Succeeded read_succeeded(ByteReader& in) {
  message::Succeeded m;
  m.id = in.id();
  m.result.files.resize(in.count(kMaxBlobs, 16));
  for (auto& [info, blob] : m.result.files) {
    info.width_px = in.i32(0, kMaxSide);
    info.height_px = in.i32(0, kMaxSide);
    blob = read_blob(in);
    info.media_type = blob->media_type;
    info.bytes = blob->bytes.size();
  }
  m.result.info = in.text(kMaxRequest);
  return m;
}

message::Failed read_failed(ByteReader& in) {
  message::Failed m;
  m.id = in.id();
  const uint8_t kind = in.u8();
  if (kind > static_cast<uint8_t>(kLastKind)) in.broken(cat("unknown error kind ", int{kind}));
  m.error.kind = static_cast<ErrorKind>(kind);
  m.error.message = read_printable(in);
  return m;
}

Message read_message(uint8_t type, ByteReader& in) {
  switch (type) {
    case type_of<message::Run>():
      return read_run(in);
    case type_of<message::Cancel>():
      return message::Cancel{in.id()};
    case type_of<message::Quit>():
      return message::Quit{};
    case type_of<message::Hello>():
      return message::Hello{in.u32()};
    case type_of<message::Status>():
      return read_status(in);
    case type_of<message::Progress>():
      return read_progress(in);
    case type_of<message::Preview>(): {
      message::Preview m;
      m.id = in.id();
      m.step = in.i32(0, INT32_MAX);
      m.previews = read_blobs(in, kMaxBlobs);
      return m;
    }
    case type_of<message::StepSaved>(): {
      message::StepSaved m;
      m.id = in.id();
      m.bytes = read_blob(in);
      return m;
    }
    case type_of<message::Succeeded>():
      return read_succeeded(in);
    case type_of<message::Failed>():
      return read_failed(in);
    default:
      in.broken(cat("unknown type ", int{type}));
  }
}

}  // namespace

std::string encode_frame(const Message& message) {
  ByteWriter out;
  out.u32(0);
  out.u8(static_cast<uint8_t>(message.index()));
  std::visit(Encoder{out}, message);
  const size_t payload = out.bytes().size() - 4;
  if (payload > kMaxFrameBytes) {
    fail(ErrorKind::kInvalidArgument, "worker message", "must have at most ", kMaxFrameBytes,
         " bytes, got ", payload);
  }
  out.patch_u32(0, static_cast<uint32_t>(payload));
  return out.take();
}

Message decode_message(std::string_view payload) {
  ByteReader in(payload, "worker message");
  const uint8_t type = in.u8();
  Message out = read_message(type, in);
  in.end();
  return out;
}

std::span<char> FrameBuffer::room() {
  constexpr size_t kLeast = 16 << 10;
  if (begin_ == end_) begin_ = end_ = 0;
  // After a large message the memory goes back.
  if (end_ == 0 && bytes_.size() > (1 << 20)) bytes_ = {};
  if (bytes_.size() - end_ < kLeast && begin_ > bytes_.size() / 2) {
    std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (bytes_.size() - end_ < kLeast) bytes_.resize(std::max(4 * kLeast, 2 * bytes_.size()));
  return {bytes_.data() + end_, bytes_.size() - end_};
}

void FrameBuffer::received(size_t bytes) { end_ += bytes; }

std::optional<Message> FrameBuffer::next() {
  const size_t there = end_ - begin_;
  if (there < 4) return {};
  uint32_t size;
  std::memcpy(&size, bytes_.data() + begin_, 4);
  if (size == 0 || size > kMaxFrameBytes) {
    fail(ErrorKind::kCorruptFile, "worker message", "must have 1..", kMaxFrameBytes, " bytes, got ",
         size);
  }
  if (there - 4 < size) return {};
  Message out = decode_message({bytes_.data() + begin_ + 4, size});
  begin_ += 4 + size_t{size};
  return out;
}

}  // namespace tintype
