// SPDX-License-Identifier: Apache-2.0
// The style sheet that is on the page is the one that the content security policy allows.
#include "exporters/http/style_hash.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>

#include "exporters/http/pages.h"
#include "exporters/http/response_headers.h"
#include "status_cases.h"

using namespace defused;
using namespace defused::test;

namespace {

std::string policy_with(const HeaderList& configured) {
  const auto headers = make_response_headers(configured);
  REQUIRE(headers);
  std::string policy;
  for (const auto& [name, value] : *headers) {
    if (name == "Content-Security-Policy") policy += value;
  }
  return policy;
}

std::string base64(const std::array<unsigned char, 32>& bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8U | (i + j < bytes.size() ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out += i + j > bytes.size() ? '=' : kLetters[group >> (18U - 6U * static_cast<unsigned>(j)) & 63U];
  }
  return out;
}

// What a browser hashes: all between the tags, to the last byte.
std::string hash_on_page(const std::string& page) {
  const std::size_t from = page.find("<style>") + 7;
  const std::size_t to = page.find("</style>");
  REQUIRE(to != std::string::npos);
  std::array<unsigned char, 32> digest{};
  REQUIRE(gnutls_hash_fast(GNUTLS_DIG_SHA256, page.data() + from, to - from, digest.data()) == 0);
  return "sha256-" + base64(digest);
}

}  // namespace

TEST_CASE("the policy allows the style sheet of the page by its hash, and no other style") {
  const std::string policy = policy_with({});
  CHECK(policy.find("'unsafe-inline'") == std::string::npos);
  for (const View& view : {healthy_view(), deadlocked_view(), View{}}) {
    const std::string hash = hash_on_page(render_status_page(view));
    CHECK(page::style_hash() == hash);
    CHECK(policy.find("style-src '" + hash + "';") != std::string::npos);
  }
}

TEST_CASE("a configured policy is the one that counts") {
  CHECK(policy_with({{"content-security-policy", "default-src 'self'"}}) == "default-src 'self'");
}
