// SPDX-License-Identifier: Apache-2.0
#include "settings/web_config_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"
#include "settings/nearest_path.h"
#include "settings/regular_file.h"
#include "settings/web_config_values.h"
#include "settings/yaml_tree.h"

namespace defused {

namespace {

constexpr std::size_t kMaxShownKeyBytes = 64;

std::string quote_key(std::string_view text) { return '"' + sanitize(text, kMaxShownKeyBytes) + '"'; }

/// What the keys are stored into.
struct Reading {
  WebConfig config;
  TlsSettings tls;
  std::string directory;     ///< of the file, without a slash at its end
  std::size_t tls_line = 0;  ///< where tls_server_config stands; 0: it has no key
};

using Kind = YamlNode::Kind;

// ---- one value; false: not what the key takes

bool store_path(const YamlNode& node, const Reading& reading, std::string& out) {
  if (node.kind != Kind::text || !is_file_path(node.text)) return false;
  out = node.text.front() == '/' ? node.text : reading.directory + "/" + node.text;
  return true;
}

template <typename Word, std::size_t Size>
bool store_word(const YamlNode& node, const std::array<std::pair<std::string_view, Word>, Size>& words, Word& out) {
  if (node.kind != Kind::text) return false;
  const auto found =
      std::find_if(words.begin(), words.end(), [&](const auto& word) { return word.first == node.text; });
  if (found != words.end()) out = found->second;
  return found != words.end();
}

constexpr auto kVersions = std::to_array<std::pair<std::string_view, TlsVersion>>({{"TLS10", TlsVersion::tls10},
                                                                                   {"TLS11", TlsVersion::tls11},
                                                                                   {"TLS12", TlsVersion::tls12},
                                                                                   {"TLS13", TlsVersion::tls13}});
constexpr auto kClientAuths = std::to_array<std::pair<std::string_view, ClientAuth>>(
    {{"NoClientCert", ClientAuth::none},
     {"RequestClientCert", ClientAuth::request},
     {"RequireAnyClientCert", ClientAuth::require_any},
     {"RequireClientCert", ClientAuth::require_any},  // what the exporter-toolkit called it once, and takes still
     {"VerifyClientCertIfGiven", ClientAuth::verify_if_given},
     {"RequireAndVerifyClientCert", ClientAuth::require_verified}});

bool store_sans(const YamlNode& node, Reading& reading) {
  if (node.kind != Kind::list || node.items.size() > kMaxAllowedSans) return false;
  for (const YamlNode& item : node.items) {
    if (item.kind != Kind::text || !is_subject_name(item.text)) return false;
    reading.tls.client_allowed_sans.push_back(item.text);
  }
  return true;
}

bool is_flag(const YamlNode& node, Reading& /*reading*/) {
  return node.kind == Kind::text && node.plain && (node.text == "true" || node.text == "false");
}

bool store_header(const YamlNode& node, Reading& reading) {
  if (node.kind != Kind::text || !is_header_value(node.key, node.text)) return false;
  reading.config.headers.emplace_back(node.key, node.text);
  return true;
}

// ---- keys

struct WebKey {
  std::string_view path;
  std::string_view expected;                      ///< completes "expected ..."
  bool (*store)(const YamlNode&, Reading&) = {};  ///< none: `expected` says why the key is not taken
};

constexpr std::string_view kPath = "the path of a file";
constexpr std::string_view kVersion = "TLS10, TLS11, TLS12 or TLS13";
constexpr std::string_view kHeaderText = "a text of printable ASCII characters, at most 2048";

// NOLINTBEGIN(readability-function-size): one table
constexpr auto kKeys = std::to_array<WebKey>({
    {"tls_server_config.cert_file", kPath,
     [](const YamlNode& node, Reading& into) { return store_path(node, into, into.tls.cert_file); }},
    {"tls_server_config.key_file", kPath,
     [](const YamlNode& node, Reading& into) { return store_path(node, into, into.tls.key_file); }},
    {"tls_server_config.client_ca_file", kPath,
     [](const YamlNode& node, Reading& into) { return store_path(node, into, into.tls.client_ca_file); }},
    {"tls_server_config.client_auth_type",
     "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
     [](const YamlNode& node, Reading& into) { return store_word(node, kClientAuths, into.tls.client_auth); }},
    {"tls_server_config.client_allowed_sans",
     "a list of at most 100 names (DNS, IP address, email, URI), each of at most 253 printable ASCII characters",
     &store_sans},
    {"tls_server_config.min_version", kVersion,
     [](const YamlNode& node, Reading& into) { return store_word(node, kVersions, into.tls.min_version); }},
    {"tls_server_config.max_version", kVersion,
     [](const YamlNode& node, Reading& into) { return store_word(node, kVersions, into.tls.max_version); }},
    // Without effect, as in Go since 1.17: there the server's order was always taken, here all that are left are good.
    {"tls_server_config.prefer_server_cipher_suites", "true or false", &is_flag},
    {"tls_server_config.cipher_suites", "not taken: GnuTLS chooses among its good ones; see min_version"},
    {"tls_server_config.curve_preferences", "not taken: GnuTLS chooses among its good ones; see min_version"},
    {"tls_server_config.cert", "not taken: name a file with cert_file"},
    {"tls_server_config.key", "not taken: name a file with key_file"},
    {"tls_server_config.client_ca", "not taken: name a file with client_ca_file"},
    // HTTP/1.1 is what is served; a client that could speak HTTP/2 speaks HTTP/1.1 then.
    {"http_server_config.http2", "true or false", &is_flag},
    {"http_server_config.headers.Content-Security-Policy", kHeaderText, &store_header},
    {"http_server_config.headers.Strict-Transport-Security", kHeaderText, &store_header},
    {"http_server_config.headers.X-Content-Type-Options", "nosniff", &store_header},
    {"http_server_config.headers.X-Frame-Options", "deny or sameorigin", &store_header},
    {"http_server_config.headers.X-XSS-Protection", kHeaderText, &store_header},
    {"rate_limit", "not taken: the number of connections and the time of each are bounded anyway"},
});
// NOLINTEND(readability-function-size)

constexpr std::string_view kUsers = "basic_auth_users";
constexpr auto kGroups =
    std::to_array<std::string_view>({"tls_server_config", "http_server_config", "http_server_config.headers", kUsers});

bool is_web_group(std::string_view path) { return std::find(kGroups.begin(), kGroups.end(), path) != kGroups.end(); }

std::string_view nearest_key(std::string_view path) {
  std::vector<std::string_view> known(kGroups.begin(), kGroups.end());
  for (const WebKey& key : kKeys) {
    if (key.store != nullptr) known.push_back(key.path);
  }
  return nearest_path(path, known);
}

// ---- the walk. A sentence begins with its line: "3: tls_server_config.key_file: ..."; nothing: all is well.

using Problem = std::optional<std::string>;

std::string at(const YamlNode& node, std::string_view path) {
  return std::to_string(node.line) + ": " + sanitize(path, 2 * kMaxShownKeyBytes);
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case Kind::null: return "nothing";
    case Kind::list: return "a list";
    case Kind::map: return "a map";
    case Kind::text: break;
  }
  return quote_key(node.text);
}

Problem take_user(const YamlNode& node, Reading& reading) {
  if (!is_user_name(node.key)) {
    return at(node, kUsers) + ": expected a name of 1 to 256 bytes without colon and control characters, got " +
           quote_key(node.key);
  }
  if (reading.config.users.size() == kMaxWebUsers) {
    return at(node, kUsers) + ": more than " + std::to_string(kMaxWebUsers) +
           " users; one thread checks the passwords of all";
  }
  // The value is not shown: somebody may have written the password itself.
  if (node.kind != Kind::text || !is_bcrypt_hash(node.text)) {
    return at(node, kUsers) + "." + sanitize(node.key, kMaxShownKeyBytes) + ": expected a bcrypt hash of cost " +
           std::to_string(kMinBcryptCost) + " to " + std::to_string(kMaxBcryptCost) +
           R"(, as `htpasswd -nBC 10 ""` makes, got something else)";
  }
  reading.config.users.push_back({node.key, node.text});
  return std::nullopt;
}

Problem take_key(const YamlNode& node, const std::string& path, Reading& reading) {
  const auto* key = std::find_if(kKeys.begin(), kKeys.end(), [&](const WebKey& known) { return known.path == path; });
  if (key == kKeys.end()) {
    const std::string_view meant = nearest_key(path);
    return at(node, path) + ": unknown key" + (meant.empty() ? "" : "; did you mean " + quote_key(meant) + "?");
  }
  if (key->store == nullptr) return at(node, path) + ": " + std::string(key->expected);
  if (key->store(node, reading)) return std::nullopt;
  return at(node, path) + ": expected " + std::string(key->expected) + ", got " + describe(node);
}

Problem take_group(const YamlNode& group, const std::string& path, Reading& reading);

// They call each other as deep as kGroups go, which is 3.
// NOLINTBEGIN(misc-no-recursion)
Problem take(const YamlNode& node, const std::string& path, Reading& reading) {
  return is_web_group(path) ? take_group(node, path, reading) : take_key(node, path, reading);
}

Problem take_group(const YamlNode& group, const std::string& path, Reading& reading) {
  if (group.kind == Kind::null) return std::nullopt;
  if (group.kind != Kind::map) return at(group, path) + ": expected a map, got " + describe(group);
  if (path == "tls_server_config" && !group.items.empty()) reading.tls_line = group.line;
  for (const YamlNode& node : group.items) {
    const std::string below = path.empty() ? node.key : path + "." + node.key;
    auto problem = path == kUsers ? take_user(node, reading) : take(node, below, reading);
    if (problem) return problem;
  }
  return std::nullopt;
}
// NOLINTEND(misc-no-recursion)

// What is fine alone but not together.
Problem find_contradiction(const TlsSettings& tls, std::size_t line) {
  const auto sentence = [&](std::string_view text) {
    return std::to_string(line) + ": tls_server_config: " + std::string(text);
  };
  if (tls.cert_file.empty() && tls.key_file.empty()) return sentence("cert_file and key_file are missing");
  if (tls.cert_file.empty()) return sentence("key_file without cert_file");
  if (tls.key_file.empty()) return sentence("cert_file without key_file");
  if (tls.min_version > tls.max_version) return sentence("min_version is above max_version");
  const bool verifies =
      tls.client_auth == ClientAuth::verify_if_given || tls.client_auth == ClientAuth::require_verified;
  if (verifies && tls.client_ca_file.empty()) {
    return sentence("client_auth_type asks to verify the clients' certificates, but client_ca_file is missing");
  }
  if (!verifies && !tls.client_ca_file.empty()) {
    return sentence(
        "client_ca_file without a client_auth_type that verifies: VerifyClientCertIfGiven or "
        "RequireAndVerifyClientCert");
  }
  if (!verifies && !tls.client_allowed_sans.empty()) {
    return sentence(
        "client_allowed_sans without a client_auth_type that verifies: VerifyClientCertIfGiven or "
        "RequireAndVerifyClientCert");
  }
  return std::nullopt;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Result<WebConfig> parse_web_config(std::string_view text, const std::string& path) {
  if (text.size() > kMaxWebConfigBytes) {
    return fail(ErrorKind::malformed, path + ": larger than " + std::to_string(kMaxWebConfigBytes) + " bytes");
  }
  const auto root = parse_yaml(text);
  if (!root) return fail(ErrorKind::malformed, path + ":" + root.error().message);
  Reading reading;
  reading.directory = directory_of(path);
  if (root->kind != Kind::null && root->kind != Kind::map) {
    return fail(ErrorKind::malformed, path + ":" + std::to_string(root->line) +
                                          ": expected tls_server_config, http_server_config or basic_auth_users, got " +
                                          (root->kind == Kind::list ? "a list" : "a text"));
  }
  if (const auto problem = take_group(*root, "", reading)) return fail(ErrorKind::malformed, path + ":" + *problem);
  if (reading.tls_line > 0) {
    if (const auto problem = find_contradiction(reading.tls, reading.tls_line)) {
      return fail(ErrorKind::malformed, path + ":" + *problem);
    }
    reading.config.tls = std::move(reading.tls);
  }
  return std::move(reading.config);
}

Result<WebConfig> read_web_config(const std::string& path) {
  const auto text = read_regular_file(path, kMaxWebConfigBytes);
  if (!text) return Failure(text.error());
  return parse_web_config(*text, path);
}

}  // namespace defused
