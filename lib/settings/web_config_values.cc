// SPDX-License-Identifier: Apache-2.0
#include "settings/web_config_values.h"

#include <strings.h>

#include <algorithm>
#include <string>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxFilePathBytes = 4095;  // PATH_MAX, without its NUL
// All five, and the largest request header (16 KiB), fit into the 32 KiB of a connection.
constexpr std::size_t kMaxHeaderBytes = 2048;
constexpr std::size_t kMaxSubjectBytes = 253;  // of a DNS name, RFC 1035

constexpr std::size_t kHashBytes = 60;       // "$2y$10$", 22 of salt, 31 of hash
constexpr std::size_t kLastOfSalt = 7 + 21;  // 128 bits in 22 characters: 4 bits are left over
constexpr std::string_view kLastSaltCharacters = ".Oeu";
constexpr std::string_view kLastHashCharacters = ".CGKOSWaeimquy26";  // 184 bits in 31 characters: 2 are left over

bool is_bcrypt_character(char c) {
  return c == '.' || c == '/' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool is_visible(std::string_view text, std::size_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool same_word(const std::string& a, const char* b) { return strcasecmp(a.c_str(), b) == 0; }

}  // namespace

bool is_bcrypt_hash(std::string_view text) {
  if (text.size() != kHashBytes || text.substr(0, 2) != "$2" || text[3] != '$' || text[6] != '$') return false;
  if (text[2] != 'a' && text[2] != 'b' && text[2] != 'y') return false;
  const auto cost = parse_u64(text.substr(4, 2));
  if (!cost || *cost < kMinBcryptCost || *cost > kMaxBcryptCost) return false;
  return std::all_of(text.begin() + 7, text.end(), is_bcrypt_character) &&
         kLastSaltCharacters.find(text[kLastOfSalt]) != std::string_view::npos &&
         kLastHashCharacters.find(text.back()) != std::string_view::npos;
}

bool is_user_name(std::string_view text) {
  return !text.empty() && text.find(':') == std::string_view::npos && sanitize(text, kMaxNameBytes) == text;
}

bool is_file_path(std::string_view text) { return !text.empty() && sanitize(text, kMaxFilePathBytes) == text; }

bool is_subject_name(std::string_view text) { return is_visible(text, kMaxSubjectBytes); }

bool is_header_value(std::string_view name, std::string_view value) {
  if (!is_visible(value, kMaxHeaderBytes) || value.front() == ' ' || value.back() == ' ') return false;
  const std::string text(value);
  if (name == "X-Content-Type-Options") return same_word(text, "nosniff");
  if (name == "X-Frame-Options") return same_word(text, "deny") || same_word(text, "sameorigin");
  return true;
}

}  // namespace defused
