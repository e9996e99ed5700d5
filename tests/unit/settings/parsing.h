// SPDX-License-Identifier: Apache-2.0
// What a text gives: settings, or one sentence.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "model/codec.h"
#include "settings/settings_file.h"

namespace defused {

// Settings have no ==; their encoding shows every field.
inline void require_same(const Settings& a, const Settings& b) { REQUIRE(encode_settings(a) == encode_settings(b)); }

inline std::string error_of(const std::string& text) {
  const auto settings = parse_settings(text, "FILE");
  REQUIRE_FALSE(settings);
  CHECK(settings.error().kind == ErrorKind::malformed);
  CHECK(settings.error().message.find('\n') == std::string::npos);
  return settings.error().message;
}

inline Settings parse(const std::string& text) {
  const auto settings = parse_settings(text, "FILE");
  INFO((settings ? "" : settings.error().message));
  REQUIRE(settings);
  return *settings;
}

}  // namespace defused
