/// What real clients sent, as tools/reference/record_clients.py stored it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/json.h"

namespace tintype::testing {

struct RecordedRequest {
  std::string method, path, content_type, body;
};

inline RecordedRequest recorded_request(const std::string& name) {
  const auto file = std::filesystem::path(TT_FIXTURES) / "clients" / (name + ".request");
  const std::string text = read_text_file(file);
  const size_t line = text.find('\n'), head = text.find("\n\n"), space = text.find(' ');
  const std::string_view key = "content-type: ";
  return {text.substr(0, space), text.substr(space + 1, line - space - 1),
          text.substr(line + 1 + key.size(), head - line - 1 - key.size()), text.substr(head + 2)};
}

}  // namespace tintype::testing
