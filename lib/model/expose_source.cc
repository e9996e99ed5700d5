// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "model/codec.h"

namespace defused {

namespace {

constexpr auto kNone = std::string_view::npos;

// Length of "scheme://" at the start of `source`, 0 where there is none. Nested ones ("juicefs:redis://") count as one.
std::size_t scheme_length(std::string_view source) {
  const std::size_t at = source.find("://");
  if (at == kNone || source.substr(0, at).find_first_of("@/?#") != kNone) return 0;
  return at + 3;
}

// Whether what stands before `at`, an '@', is user information. A password may hold '/' though it should not; a path
// may hold '@'. In doubt it is a password: losing a path costs less.
bool is_userinfo(std::string_view text, std::size_t at, bool is_url) {
  const std::string_view before = text.substr(0, at);
  if (before.find('/') == kNone) return true;
  const bool has_password = before.find(':') != kNone;
  return has_password && (is_url || text.find(':', at) != kNone);
}

// Whether "host:rest" of a URL cannot be a host with its port, as in "redis://:password" cut at 256 bytes.
bool is_cut_userinfo(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  if (colon == kNone || authority.find(']', colon) != kNone) return false;
  const std::string_view port = authority.substr(colon + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return colon == 0 || !std::all_of(port.begin(), port.end(), is_digit);
}

std::string redact(std::string_view source) {
  const std::size_t scheme = scheme_length(source);
  const bool is_url = scheme != 0;
  const std::string_view rest = source.substr(scheme);
  std::string_view shown = rest.substr(0, rest.find_first_of(is_url ? "?#" : "?"));
  if (const std::size_t at = shown.rfind('@'); at != kNone) {
    if (is_userinfo(shown, at, is_url)) shown.remove_prefix(at + 1);
  } else if (shown.size() < rest.size() && shown.find(':') != kNone && rest.find('@', shown.size()) != kNone) {
    shown = {};  // "user:pass?word@host": the '?' may be part of a password
  }
  if (is_url) {
    const std::string_view authority = shown.substr(0, shown.find('/'));
    if (is_cut_userinfo(authority)) shown.remove_prefix(authority.size());
  }
  return std::string(source.substr(0, scheme)) + std::string(shown);
}

}  // namespace

std::string expose_source(const std::string& source, ExposeSource expose) {
  switch (expose) {
    case ExposeSource::hidden: return "";
    case ExposeSource::full: return source;
    case ExposeSource::redacted: break;
  }
  return redact(source);
}

}  // namespace defused
