// SPDX-License-Identifier: Apache-2.0
#include "settings/text_rules.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <string>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kMaxHostBytes = 253;       // RFC 1035
constexpr std::size_t kMaxPathBytes = 200;       // leaves room for file names below a socket path's 108 and PATH_MAX
constexpr std::size_t kMaxAccountBytes = 32;     // useradd(8)
constexpr std::size_t kMaxFileSystemBytes = 64;  // longer than any registered type
constexpr std::size_t kMaxPatternBytes = 512;    // twice what is kept of a name that was read
constexpr std::size_t kMaxArgumentBytes = 4096;  // PATH_MAX; a whole command stays far below ARG_MAX

// What the schema says of a text without control characters.
constexpr std::string_view kPrintable = "^[^\\x00-\\x1f\\x7f]+$";
constexpr std::string_view kPrintableOrEmpty = "^[^\\x00-\\x1f\\x7f]*$";

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Letters, digits and the characters of `others`, at least one, at most `max_bytes`.
bool consists_of(std::string_view text, std::string_view others, std::size_t max_bytes) {
  if (text.empty() || text.size() > max_bytes) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_alnum(c) || others.find(c) != std::string_view::npos; });
}

bool is_ipv6(std::string_view text) {
  std::string address(take_field(text, '%'));
  if (!text.empty() && !consists_of(text, "._-", IF_NAMESIZE - 1)) return false;  // the zone: an interface
  in6_addr parsed{};
  return inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
}

bool is_host(std::string_view text) {
  if (text.empty()) return true;  // all addresses
  if (!consists_of(text, ".-", kMaxHostBytes)) return false;
  if (text.find_first_not_of("0123456789.") != std::string_view::npos) return is_alnum(text.front());
  in_addr parsed{};
  return inet_pton(AF_INET, std::string(text).c_str(), &parsed) == 1;
}

bool is_listen_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  const auto port = parse_u64(text.substr(colon + 1));
  if (!port || *port > 65535 || text.size() - colon > 6) return false;
  const std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') return is_ipv6(host.substr(1, host.size() - 2));
  return is_host(host);
}

bool is_dots(std::string_view part) { return part == "." || part == ".."; }

bool is_telemetry_path(std::string_view text) {
  if (text.size() < 2 || text.front() != '/' || !consists_of(text, "/_.-~", kMaxPathBytes)) return false;
  if (text.find("//") != std::string_view::npos) return false;
  const auto parts = split_fields(text, '/');
  if (parts.front() == "-" || parts.front() == "api") return false;  // the daemon's own pages
  return std::none_of(parts.begin(), parts.end(), is_dots);
}

// UTF-8 without control characters.
bool is_printable(std::string_view text, std::size_t max_bytes) { return sanitize(text, max_bytes) == text; }

bool is_absolute_path(std::string_view text, std::size_t max_bytes) {
  if (text.size() < 2 || text.front() != '/' || !is_printable(text, max_bytes)) return false;
  const auto parts = split_fields(text, '/');
  return std::none_of(parts.begin(), parts.end(), is_dots);
}

bool is_directory(std::string_view text) { return is_absolute_path(text, kMaxPathBytes); }

bool is_optional_path(std::string_view text) { return text.empty() || is_directory(text); }

bool is_account(std::string_view text) {
  if (!consists_of(text, "_.-", kMaxAccountBytes) || text == "root") return false;
  return (is_alnum(text.front()) && (text.front() < '0' || text.front() > '9')) || text.front() == '_';
}

bool is_fstype_pattern(std::string_view text) { return consists_of(text, "._-+*?@/:#", kMaxFileSystemBytes); }

bool is_pattern(std::string_view text) { return !text.empty() && is_printable(text, kMaxPatternBytes); }

bool is_program(std::string_view text) { return is_absolute_path(text, kMaxArgumentBytes) && text.back() != '/'; }

bool is_argument(std::string_view text) { return is_printable(text, kMaxArgumentBytes); }

}  // namespace

TextRule listen_address_rule() {
  return {"HOST:PORT, [IPv6]:PORT or :PORT with a port between 0 and 65535", ":[0-9]{1,5}$", &is_listen_address};
}
TextRule telemetry_path_rule() {
  return {"a path such as \"/metrics\" that is not \"/\" and not below \"/-\" or \"/api\"", "^/[A-Za-z0-9_.~-]",
          &is_telemetry_path};
}
TextRule directory_rule() { return {"an absolute path of a directory, without \"..\"", "^/[^/]", &is_directory}; }
TextRule optional_path_rule() {
  return {"an absolute path without \"..\", or \"\" for none", "^(/[^/].*)?$", &is_optional_path};
}
TextRule account_rule() {
  return {"the name of an account other than root", "^[A-Za-z_][A-Za-z0-9_.-]*$", &is_account};
}
TextRule fstype_rule() {
  return {"a file-system type such as \"fuse.s3fs\" or a pattern such as \"fuse.*\"", "^[A-Za-z0-9._+*?@/:#-]+$",
          &is_fstype_pattern};
}
TextRule source_rule() {
  return {"a mount source such as \"s3://data\" or a pattern such as \"s3://*\"", kPrintable, &is_pattern};
}
TextRule mount_point_rule() {
  return {"a mount point such as \"/data\" or a pattern such as \"/data/*\"", kPrintable, &is_pattern};
}
TextRule container_id_rule() {
  return {"a full container id or a pattern such as \"3bd9ede1*\"", kPrintable, &is_pattern};
}
TextRule pod_uid_rule() { return {"a pod UID with dashes or a pattern", kPrintable, &is_pattern}; }
TextRule cgroup_rule() {
  return {"the path of a control group or a pattern such as \"/kubepods.slice/*\"", kPrintable, &is_pattern};
}

TextRule program_rule() {
  return {"a program by its absolute path, without \"..\"", "^/[^\\x00-\\x1f\\x7f]+$", &is_program};
}
TextRule argument_rule() {
  return {"a text of at most 4096 bytes without control characters", kPrintableOrEmpty, &is_argument};
}

}  // namespace defused
