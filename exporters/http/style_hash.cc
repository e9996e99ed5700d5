// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/style_hash.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <array>
#include <string_view>

#include "exporters/http/status_parts.h"

namespace defused::page {

std::string style_hash() {
  constexpr std::size_t kBytes = 32;
  const std::string_view sheet = style_sheet();
  std::array<unsigned char, kBytes> digest{};
  if (gnutls_hash_fast(GNUTLS_DIG_SHA256, sheet.data(), sheet.size(), digest.data()) != 0) return "none";
  const gnutls_datum_t bytes{digest.data(), static_cast<unsigned int>(digest.size())};
  gnutls_datum_t text{};
  if (gnutls_base64_encode2(&bytes, &text) != 0) return "none";
  std::string out = "sha256-";
  for (unsigned int i = 0; i < text.size; ++i) out += static_cast<char>(text.data[i]);
  gnutls_free(text.data);
  return out;
}

}  // namespace defused::page
