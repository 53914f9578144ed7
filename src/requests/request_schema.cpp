// The JSON schema of a request, written from the table of members.
#include "requests/members.h"

namespace tintype {
namespace {

Json schema_of(const Member& member, const RequestLimits& limits);

Json properties_of(const std::vector<Member>& members, const RequestLimits& limits) {
  Json object = {{"type", "object"},
                 {"additionalProperties", false},
                 {"properties", Json::object()},
                 {"required", Json::array()}};
  for (const Member& member : members) {
    object["properties"][member.name] = schema_of(member, limits);
    // Of all requests: what one type alone requires is said in words.
    if (member.required && member.types == kEveryType) object["required"].push_back(member.name);
  }
  if (object["required"].empty()) object.erase("required");
  return object;
}

Json ranged(const char* type, const Member& member, const RequestLimits& limits) {
  Json schema = {{"type", type}};
  // Whole numbers without a point where they are whole.
  const auto value = [](double number) {
    return number == static_cast<double>(static_cast<int64_t>(number))
               ? Json(static_cast<int64_t>(number))
               : Json(number);
  };
  schema["minimum"] = value(member.least);
  schema["maximum"] = value(most_of(member, limits));
  return schema;
}

Json typed(const Member& member, const RequestLimits& limits) {
  switch (member.kind) {
    case MemberKind::kText:
      return {{"type", "string"},
              {"minLength", static_cast<int64_t>(member.least)},
              {"maxLength", static_cast<int64_t>(member.most)}};
    case MemberKind::kName:
      return member.values.empty() ? Json{{"type", "string"}}
                                   : Json{{"type", "string"}, {"enum", member.values}};
    case MemberKind::kInteger:
      return ranged("integer", member, limits);
    case MemberKind::kNumber:
      return ranged("number", member, limits);
    case MemberKind::kBoolean:
      return {{"type", "boolean"}};
    case MemberKind::kSeed:
      return {{"oneOf",
               {{{"type", "integer"}, {"minimum", 0}, {"maximum", UINT64_MAX}},
                {{"type", "string"}, {"pattern", "^[0-9]{1,20}$"}}}}};
    case MemberKind::kPicture:
      return {{"type", "string"}};
    case MemberKind::kIntegers:
    case MemberKind::kNumbers:
      return {{"type", "array"},
              {"minItems", member.items},
              {"maxItems", member.items},
              {"items", ranged(member.kind == MemberKind::kIntegers ? "integer" : "number", member,
                               limits)}};
    case MemberKind::kObject:
      return properties_of(member.members, limits);
    case MemberKind::kObjects:
      return {{"type", "array"},
              {"maxItems", static_cast<int64_t>(most_of(member, limits))},
              {"items", properties_of(member.members, limits)}};
  }
  return Json::object();
}

Json schema_of(const Member& member, const RequestLimits& limits) {
  Json schema = typed(member, limits);
  std::string types;
  for (size_t i = 0; member.types != kEveryType && i < request_type_names().size(); ++i)
    if (member.types & (1u << i)) types += (types.empty() ? "" : ", ") + request_type_names()[i];
  schema["description"] = types.empty() ? member.meaning : member.meaning + " (of " + types + ")";
  if (!member.fallback.is_null() && !member.fallback.is_object())
    schema["default"] = member.fallback;
  return schema;
}

}  // namespace

Json request_schema(const RequestLimits& limits) {
  Json schema = properties_of(request_members(), limits);
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "Request";
  return schema;
}

}  // namespace tintype
