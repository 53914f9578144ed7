/// Checking that code throws the one Error it should: its kind, and what its message tells.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "tintype/error.h"

namespace tintype::testing {

/// `action` must throw an Error of `kind` whose message contains each of `parts` (expectation and
/// observation).
template <typename Action>
void expect_error(ErrorKind kind, std::initializer_list<std::string_view> parts,
                  const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << message;
    for (const std::string_view part : parts) {
      EXPECT_NE(message.find(part), std::string::npos)
          << "message lacks \"" << part << "\": " << message;
    }
    return;
  }
  ADD_FAILURE() << "no error was thrown, expected " << to_string(kind);
}

}  // namespace tintype::testing
