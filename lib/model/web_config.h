// SPDX-License-Identifier: Apache-2.0
// WebConfig: what the file of `--web.config.file` says, in the terms of Prometheus' exporter-toolkit (docs/HTTP.md).
// Parsed from YAML by lib/settings; checked and opened by the supervisor, obeyed by the front. Passive data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace defused {

enum class TlsVersion : std::uint8_t { tls10, tls11, tls12, tls13 };

/// `client_auth_type`, in the words of Go's crypto/tls that the exporter-toolkit takes.
enum class ClientAuth : std::uint8_t {
  none,             ///< NoClientCert
  request,          ///< RequestClientCert: asked for, whatever comes is taken
  require_any,      ///< RequireAnyClientCert: one must come, nobody verifies it
  verify_if_given,  ///< VerifyClientCertIfGiven
  require_verified  ///< RequireAndVerifyClientCert
};

/// `tls_server_config`. Paths are absolute: the parser has resolved them against the directory of the file.
struct TlsSettings {
  std::string cert_file;
  std::string key_file;
  std::string client_ca_file;                    ///< "": none
  ClientAuth client_auth = ClientAuth::none;     ///< verify_*: only with client_ca_file
  std::vector<std::string> client_allowed_sans;  ///< one of them must be in a verified client's certificate; none: any
  TlsVersion min_version = TlsVersion::tls12;
  TlsVersion max_version = TlsVersion::tls13;

  bool operator==(const TlsSettings&) const = default;
};

struct WebUser {
  std::string name;
  std::string password_hash;  ///< bcrypt: $2a$, $2b$, $2y$

  bool operator==(const WebUser&) const = default;
};

struct WebConfig {
  std::optional<TlsSettings> tls;                            ///< nothing: plain HTTP
  std::vector<WebUser> users;                                ///< none: no authentication
  std::vector<std::pair<std::string, std::string>> headers;  ///< `http_server_config.headers`, in their order

  bool operator==(const WebConfig&) const = default;
};

/// What the files of TlsSettings hold, PEM.
struct TlsMaterial {
  std::string certificate;  ///< the chain, the server's own first
  std::string key;
  std::string client_ca;

  bool operator==(const TlsMaterial&) const = default;
};

/// What the supervisor read and checked together, and hands to the front as one.
struct CheckedWebConfig {
  WebConfig config;
  TlsMaterial material;

  bool operator==(const CheckedWebConfig&) const = default;
};

}  // namespace defused
