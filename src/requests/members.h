/// The members of a request: one table that says each one's name, type, range and meaning. Checks,
/// the API's schema and the table in docs/server.md come from it. Immutable; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "requests/job_request.h"

namespace tintype {

/// Types of requests, as bits of Member::types.
enum RequestType : unsigned {
  kTxt2Img = 1,
  kImg2Img = 2,
  kInpaint = 4,
  kUpscaling = 8,
  kDrawing = kTxt2Img | kImg2Img | kInpaint,
  kFromPicture = kImg2Img | kInpaint,
  kEveryType = kDrawing | kUpscaling,
};
/// "txt2img", ... in the order of their bits.
const std::vector<std::string>& request_type_names();
/// throws kInvalidArgument proposing the nearest
RequestType request_type(const Json& request);

enum class MemberKind {
  kText,     ///< `least` to `most` bytes
  kName,     ///< one of `values`; of any where there are none, looked up elsewhere
  kInteger,  ///< `least` to `most`
  kNumber,   ///< `least` to `most`
  kBoolean,
  kSeed,      ///< 0 to 2^64-1, a number or its digits as text
  kPicture,   ///< base64 or a data URI
  kIntegers,  ///< a list of `items` whole numbers
  kNumbers,   ///< a list of `items` numbers
  kObject,    ///< of `members`
  kObjects,   ///< a list of at most `most` of them
};

/// Which of the server's limits stands for `most`.
enum class ServerLimit { kNone, kSteps, kSidePx, kCount, kAdapters, kPriority };

struct Member {
  std::string name = {};
  unsigned types = kEveryType;
  MemberKind kind = MemberKind::kText;
  double least = 0, most = 0;
  ServerLimit limit = ServerLimit::kNone;
  size_t items = 0;
  std::vector<std::string> values = {};
  Json fallback = nullptr;  ///< filled in where it is absent; null: it depends, or stays absent
  std::string meaning = {};
  std::vector<Member> members = {};
  bool required = false;  ///< of an object that is there
};

const std::vector<Member>& request_members();
double most_of(const Member& member, const RequestLimits& limits);

/// The rows of docs/server.md.
std::string members_markdown();

}  // namespace tintype
