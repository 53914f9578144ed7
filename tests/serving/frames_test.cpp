#include "serving/frames.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "serving/serving_helpers.h"

namespace tintype {
namespace {

Message back(const Message& message) {
  const std::string frame = encode_frame(message);
  FrameBuffer buffer;
  // Byte by byte, as the worst socket would.
  for (size_t i = 0; i < frame.size(); ++i) {
    EXPECT_FALSE(buffer.next());
    buffer.room()[0] = frame[i];
    buffer.received(1);
  }
  std::optional<Message> out = buffer.next();
  EXPECT_TRUE(out);
  EXPECT_TRUE(buffer.empty());
  return out ? std::move(*out) : Message{message::Quit{}};
}

std::string payload_of(const Message& message) { return encode_frame(message).substr(4); }

TEST(Frames, EveryMessageComesBackAsItWas) {
  const JobId id = JobId::make();
  Assignment given{id, 3, "request", {blob_of("one"), blob_of("")}, {blob_of("s1")}};
  const auto run = std::get<message::Run>(back(message::Run{given})).assignment;
  EXPECT_EQ(run.id, id);
  EXPECT_EQ(run.attempt, 3);
  EXPECT_EQ(run.request, "request");
  ASSERT_EQ(run.inputs.size(), 2u);
  EXPECT_EQ(run.inputs[0]->bytes, "one");
  EXPECT_EQ(run.inputs[0]->media_type, "image/png");
  EXPECT_EQ(run.saved_steps.at(0)->bytes, "s1");
  EXPECT_EQ(std::get<message::Cancel>(back(message::Cancel{id})).id, id);
  EXPECT_TRUE(std::holds_alternative<message::Quit>(back(message::Quit{})));
  EXPECT_TRUE(std::holds_alternative<message::Hello>(back(message::Hello{})));
  const auto status = std::get<message::Status>(back(message::Status{{"a", "b"}, 7, {{"c", 1.5}}}));
  EXPECT_EQ(status.models, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(status.counters.at(0).second, 1.5);
  JobProgress progress{"denoise", 2, 9, 0.25, 1.5};
  const auto told = std::get<message::Progress>(back(message::Progress{id, progress})).progress;
  EXPECT_EQ(told.stage, "denoise");
  EXPECT_EQ(told.seconds_left, 1.5);
  const auto preview = std::get<message::Preview>(back(message::Preview{id, 4, {blob_of("p")}}));
  EXPECT_EQ(preview.previews.at(0)->bytes, "p");
  EXPECT_EQ(std::get<message::StepSaved>(back(message::StepSaved{id, blob_of("x")})).bytes->bytes,
            "x");
  JobResult result;
  result.files.emplace_back(ResultInfo{"", 0, 64, 32}, blob_of("bytes"));
  result.info = "info";
  const auto success = std::get<message::Succeeded>(back(message::Succeeded{id, result})).result;
  EXPECT_EQ(success.files.at(0).first.bytes, 5u);
  EXPECT_EQ(success.files.at(0).first.media_type, "image/png");
  EXPECT_EQ(success.files.at(0).first.width_px, 64);
  EXPECT_EQ(success.info, "info");
  const auto failed =
      std::get<message::Failed>(back(message::Failed{id, {ErrorKind::kOutOfMemory, "m"}})).error;
  EXPECT_EQ(failed.kind, ErrorKind::kOutOfMemory);
}

TEST(Frames, EveryCutIsAnError) {
  JobResult result;
  result.files.emplace_back(ResultInfo{}, blob_of("bytes"));
  const std::string whole = payload_of(message::Succeeded{JobId::make(), result});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(error_of([&] { decode_message(whole.substr(0, size)); }).first,
              ErrorKind::kCorruptFile)
        << size;
  }
  EXPECT_EQ(error_of([&] { decode_message(whole + "x"); }).first, ErrorKind::kCorruptFile);
}

TEST(Frames, AnnouncedLengthsAllocateNothing) {
  FrameBuffer buffer;
  const auto feed = [&](uint32_t size) {
    std::memcpy(buffer.room().data(), &size, 4);
    buffer.received(4);
    return buffer.next();
  };
  EXPECT_FALSE(feed(static_cast<uint32_t>(kMaxFrameBytes)));
  EXPECT_LT(buffer.room().size(), size_t{1} << 20);
  FrameBuffer other;
  const uint32_t huge = static_cast<uint32_t>(kMaxFrameBytes) + 1;
  std::memcpy(other.room().data(), &huge, 4);
  other.received(4);
  EXPECT_EQ(error_of([&] { other.next(); }).first, ErrorKind::kCorruptFile);
  // A list that would need more bytes than there are.
  std::string status = payload_of(message::Status{{"a"}, 0, {}});
  const uint32_t count = 1000;
  std::memcpy(status.data() + 1, &count, 4);
  EXPECT_EQ(error_of([&] { decode_message(status); }).first, ErrorKind::kCorruptFile);
}

TEST(Frames, HostileValuesAreRefused) {
  const JobId id = JobId::make();
  std::string failed = payload_of(message::Failed{id, {ErrorKind::kInternal, "m"}});
  failed[17] = 99;
  EXPECT_EQ(error_of([&] { decode_message(failed); }).first, ErrorKind::kCorruptFile);
  // A media type that would end an HTTP header.
  const auto blob = std::make_shared<Blob>(Blob{"image/png\r\nX: y", "b"});
  const std::string step = payload_of(message::StepSaved{id, blob});
  EXPECT_EQ(error_of([&] { decode_message(step); }).first, ErrorKind::kCorruptFile);
  // Not a number.
  std::string progress = payload_of(message::Progress{id, {"", 1, 2, 0.5, {}}});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::memcpy(progress.data() + 1 + 16 + 4 + 8, &nan, 8);
  EXPECT_EQ(error_of([&] { decode_message(progress); }).first, ErrorKind::kCorruptFile);
  // Broken UTF-8 and controls come out printable.
  const auto told = std::get<message::Failed>(
      decode_message(payload_of(message::Failed{id, {ErrorKind::kIo, "a\xff\x1b[2J"}})));
  EXPECT_EQ(told.error.message.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace tintype
