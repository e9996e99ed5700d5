// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/response_headers.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "exporters/http/style_hash.h"

namespace defused {

namespace {

// What describes the message itself, or who may read it.
constexpr std::array kOwn = {"Connection",       "Content-Length", "Content-Encoding",
                             "Content-Type",     "Date",           "Transfer-Encoding",
                             "Trailer",          "Upgrade",        "Vary",
                             "WWW-Authenticate", "Allow",          "Keep-Alive",
                             "Content-Range",    "Retry-After"};

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// RFC 9110 5.6.2.
bool is_token(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_value(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c == '\t' || (c >= ' ' && c != 0x7f); });
}

HeaderList default_headers() {
  return {{"X-Content-Type-Options", "nosniff"},
          {"X-Frame-Options", "DENY"},
          {"Content-Security-Policy", "default-src 'none'; style-src '" + page::style_hash() +
                                          "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
          {"Referrer-Policy", "no-referrer"},
          {"Cache-Control", "no-store"}};
}

}  // namespace

Result<HeaderList> make_response_headers(const HeaderList& configured) {
  HeaderList headers = default_headers();
  for (const auto& header : configured) {
    const std::string& name = header.first;
    const std::string& value = header.second;
    if (!is_token(name)) return fail(ErrorKind::malformed, "'" + name + "' is not the name of a header");
    if (!is_value(value))
      return fail(ErrorKind::malformed, "the value of the header " + name + " is not one line of text");
    if (std::any_of(kOwn.begin(), kOwn.end(), [&](const char* own) { return same_name(own, name); })) {
      return fail(ErrorKind::malformed, "the header " + name + " is set by the server itself");
    }
    const auto same =
        std::find_if(headers.begin(), headers.end(), [&](const auto& other) { return same_name(other.first, name); });
    if (same != headers.end()) {
      same->second = value;
    } else {
      headers.emplace_back(name, value);
    }
  }
  headers.erase(std::remove_if(headers.begin(), headers.end(), [](const auto& other) { return other.second.empty(); }),
                headers.end());
  return headers;
}

}  // namespace defused
