// SPDX-License-Identifier: Apache-2.0
// By which name a content security policy allows the style sheet of the status page, and no other.
#pragma once

#include <string>

namespace defused::page {

/// "sha256-", and the SHA-256 of the style sheet in base64. Where it cannot be computed, "none": a page without styles
/// rather than one with those of others.
std::string style_hash();

}  // namespace defused::page
