// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made with GnuTLS: ECDSA keys, an authority, and what it signed. And a client that uses them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "running_server.h"

namespace defused {

enum class KeyKind { ecdsa, rsa, ed25519, gost };

struct CertificateWish {
  std::string name = "localhost";  ///< common name and DNS name
  std::vector<std::string> uris = {};
  std::vector<std::string> addresses = {};  ///< IPv4
  bool for_client = false;
  int starts_in_seconds = -3600;
  int ends_in_seconds = 3600;
  KeyKind kind = KeyKind::ecdsa;
  std::optional<unsigned int> usage = {};  ///< GNUTLS_KEY_*; 0: no such extension; nothing: what fits
};

struct KeyPair {
  std::string certificate;  ///< PEM
  std::string key;
};

/// Signs; a new one has a key of its own.
class Authority {
 public:
  explicit Authority(const std::string& name = "tests");
  [[nodiscard]] const std::string& certificate() const { return own_.certificate; }
  [[nodiscard]] KeyPair sign(const CertificateWish& wish) const;

 private:
  KeyPair own_;
};

struct TlsExchange {
  bool handshake = false;
  std::string error;     ///< of the handshake or of what came after it
  std::string version;   ///< "TLS1.3"
  std::string response;  ///< everything until the end
};

/// Connects, shows `own` where it has a certificate, sends `request` and reads to the end. `piece`: sends at most so
/// many bytes at once, and waits a little after each; 0: as they come.
TlsExchange exchange_tls(const RunningServer& server, const std::string& request, const KeyPair& own = {},
                         const std::string& priorities = "NORMAL", std::size_t piece = 0);

}  // namespace defused
