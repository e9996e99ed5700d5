// SPDX-License-Identifier: Apache-2.0
// From a web configuration file (YAML, the keys of Prometheus' exporter-toolkit) to WebConfig. As strict as the other
// configuration: one sentence that says what, where (file:line) and what was expected; an unknown key names the nearest
// known one. What the exporter-toolkit takes and we cannot do (cipher_suites, curve_preferences) is refused, not
// ignored. Reads no other file. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/web_config.h"

namespace defused {

/// Largest web configuration that is read, in bytes.
inline constexpr std::size_t kMaxWebConfigBytes = 1U << 20U;
/// Most users; each may take a tenth of a second of the front's one thread for passwords.
inline constexpr std::size_t kMaxWebUsers = 100;

/// Parses `text`. `path` begins every error, and paths in the text are taken against its directory. Kinds: malformed.
Result<WebConfig> parse_web_config(std::string_view text, const std::string& path);

/// Reads and parses the regular file at `path`; it may be a symbolic link, as a mounted Secret is. Kinds: malformed,
/// and those of opening and reading (gone, denied, io).
Result<WebConfig> read_web_config(const std::string& path);

}  // namespace defused
