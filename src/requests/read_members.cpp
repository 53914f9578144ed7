#include "requests/read_members.h"

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace tintype {
namespace {

/// How a value that is not what is wanted appears in a message.
std::string described(const Json& value) {
  if (value.is_array()) return cat("a list of ", value.size());
  if (value.is_object()) return "an object";
  if (value.is_string()) return cat("\"", printable(value.get_ref<const std::string&>(), 80), "\"");
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 80);
}

std::string number_text(double value) {
  std::ostringstream out;
  out.precision(15);
  out << value;
  return out.str();
}

/// Checks the values of one request; members of objects carry their path as `where`.
class Reader {
 public:
  explicit Reader(const RequestLimits& limits) : limits_(limits) {}

  /// All members of `object` that `table` has for `types`.
  Json object(const Json& object, const std::vector<Member>& table, unsigned types,
              const std::string& prefix) const {
    Json out = Json::object();
    for (const auto& [name, value] : object.items()) {
      const Member* member = find(name, table, types, prefix);
      if (value.is_null() || member->kind == MemberKind::kPicture) continue;
      out[name] = read(*member, value, types, prefix + name);
    }
    for (const Member& member : table) {
      if (!(member.types & types) || out.contains(member.name)) continue;
      if (member.required && member.kind != MemberKind::kPicture)
        fail(ErrorKind::kInvalidArgument, prefix + member.name, "must be given, got nothing");
      if (member.fallback.is_object())
        out[member.name] = this->object(member.fallback, member.members, types, prefix);
      else if (!member.fallback.is_null())
        out[member.name] = member.fallback;
    }
    return out;
  }

 private:
  const Member* find(const std::string& name, const std::vector<Member>& table, unsigned types,
                     const std::string& prefix) const {
    std::vector<std::string> known;
    for (const Member& member : table) {
      if (member.name != name) {
        if (member.types & types) known.push_back(member.name);
        continue;
      }
      if (member.types & types) return &member;
      std::vector<std::string> takers;
      for (size_t i = 0; i < request_type_names().size(); ++i)
        if (member.types & (1u << i)) takers.push_back(request_type_names()[i]);
      fail(ErrorKind::kInvalidArgument, prefix + name, "goes with ", joined(takers),
           "; leave it out here");
    }
    const std::string nearest = nearest_name(name, known);
    fail(ErrorKind::kInvalidArgument, prefix + printable(name, 80), "is no member of ",
         prefix.empty() ? "a request of this type" : "this object",
         nearest.empty() ? cat("; it has ", joined(known)) : cat("; did you mean ", nearest, "?"));
  }

  Json read(const Member& member, const Json& value, unsigned types,
            const std::string& where) const {
    const double most = most_of(member, limits_);
    switch (member.kind) {
      case MemberKind::kText:
        return text(value, where, member.least, most);
      case MemberKind::kName:
        return name(member, value, where);
      case MemberKind::kInteger:
        return integer(value, where, member.least, most);
      case MemberKind::kNumber:
        return number(value, where, member.least, most);
      case MemberKind::kBoolean:
        TT_REQUIRE(value.is_boolean(), where, "must be true or false, got ", described(value));
        return value;
      case MemberKind::kSeed:
        return read_seed(value, where);
      case MemberKind::kPicture:
        return nullptr;
      case MemberKind::kIntegers:
      case MemberKind::kNumbers:
        return numbers(member, value, where);
      case MemberKind::kObject:
        TT_REQUIRE(value.is_object(), where, "must be an object, got ", described(value));
        return object(value, member.members, types, where + ".");
      case MemberKind::kObjects:
        return objects(member, value, types, where, most);
    }
    return nullptr;
  }

  static Json text(const Json& value, const std::string& where, double least, double most) {
    TT_REQUIRE(value.is_string(), where, "must be text, got ", described(value));
    const auto bytes = static_cast<double>(value.get_ref<const std::string&>().size());
    TT_REQUIRE(bytes >= least && bytes <= most, where, "must have ", number_text(least), " to ",
               number_text(most), " bytes, got ", number_text(bytes));
    return value;
  }

  static Json name(const Member& member, const Json& value, const std::string& where) {
    if (member.values.empty()) return text(value, where, 0, member.most);
    TT_REQUIRE(value.is_string(), where, "must be one of ", joined(member.values), ", got ",
               described(value));
    const std::string& given = value.get_ref<const std::string&>();
    for (const std::string& one : member.values)
      if (one == given) return value;
    fail(ErrorKind::kInvalidArgument, where, unknown_name(given, member.values));
  }

  static Json integer(const Json& value, const std::string& where, double least, double most) {
    // 512.0 is what some clients' numbers look like.
    const bool whole = value.is_number() && std::trunc(value.get<double>()) == value.get<double>();
    TT_REQUIRE(whole && value.get<double>() >= least && value.get<double>() <= most, where,
               "must be a whole number in ", number_text(least), "..", number_text(most), ", got ",
               described(value));
    return static_cast<int64_t>(value.get<double>());
  }

  static Json number(const Json& value, const std::string& where, double least, double most) {
    TT_REQUIRE(value.is_number() && value.get<double>() >= least && value.get<double>() <= most,
               where, "must be a number in ", number_text(least), "..", number_text(most), ", got ",
               described(value));
    return value;
  }

  Json numbers(const Member& member, const Json& value, const std::string& where) const {
    TT_REQUIRE(value.is_array() && value.size() == member.items, where, "must be a list of ",
               member.items, " numbers, got ", described(value));
    Json out = Json::array();
    for (const Json& one : value)
      out.push_back(member.kind == MemberKind::kIntegers
                        ? integer(one, where, member.least, member.most)
                        : number(one, where, member.least, member.most));
    return out;
  }

  Json objects(const Member& member, const Json& value, unsigned types, const std::string& where,
               double most) const {
    TT_REQUIRE(value.is_array() && static_cast<double>(value.size()) <= most, where,
               "must be a list of at most ", number_text(most), " objects, got ", described(value));
    Json out = Json::array();
    for (const Json& one : value) {
      TT_REQUIRE(one.is_object(), where, "must hold objects, got ", described(one));
      out.push_back(object(one, member.members, types, where + "."));
    }
    return out;
  }

  const RequestLimits& limits_;
};

}  // namespace

uint64_t read_seed(const Json& value, std::string_view where) {
  constexpr double kExact = 9007199254740992;  // 2^53
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer() && value.get<int64_t>() >= 0)
    return static_cast<uint64_t>(value.get<int64_t>());
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number >= 0 && number <= kExact && std::trunc(number) == number)
      return static_cast<uint64_t>(number);
  }
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    uint64_t seed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
    if (!text.empty() && error == std::errc() && end == text.data() + text.size()) return seed;
  }
  fail(ErrorKind::kInvalidArgument, where, "must be a whole number in 0..2^64-1, got ",
       described(value));
}

RequestType request_type(const Json& request) {
  TT_REQUIRE(request.is_object(), "request", "must be a JSON object, got ", described(request));
  const auto found = request.find("type");
  TT_REQUIRE(found != request.end() && found->is_string(), "type", "must be one of ",
             joined(request_type_names()), ", got ",
             found == request.end() ? "nothing" : described(*found));
  const std::string& given = found->get_ref<const std::string&>();
  for (size_t i = 0; i < request_type_names().size(); ++i)
    if (request_type_names()[i] == given) return static_cast<RequestType>(1u << i);
  fail(ErrorKind::kInvalidArgument, "type", unknown_name(given, request_type_names()));
}

Json read_members(const Json& request, RequestType type, const RequestLimits& limits) {
  return Reader(limits).object(request, request_members(), type, "");
}

}  // namespace tintype
