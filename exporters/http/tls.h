// SPDX-License-Identifier: Apache-2.0
// TLS in the terms of a WebConfig, by GnuTLS below libmicrohttpd.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "model/web_config.h"

struct gnutls_session_int;

namespace defused {

/// Whether a server can be made of these: the certificate parses and may sign a handshake, the key belongs to it, the
/// client CA parses, a version is left, and a handshake in memory succeeds. Does not look at the time. One sentence
/// that names the file. Kinds: malformed. For the supervisor, before anything is handed over.
Result<void> check_tls(const TlsSettings& settings, const TlsMaterial& material);

/// What clients will probably not like about a certificate that passes check_tls(), one sentence that names the file,
/// or "": it or one of its chain is not valid at `wall` (since 1970; the clock of the host may be what is wrong, so
/// this is no error), or it is not made for a server.
std::string tls_warning(const TlsSettings& settings, const TlsMaterial& material, Nanoseconds wall);

/// The GnuTLS priority string for the versions. Key exchange is ephemeral (ECDHE) in all of them.
std::string tls_priorities(TlsVersion min, TlsVersion max);

/// Whether the modes of client authentication look at who signed a client's certificate.
bool verifies_clients(ClientAuth auth);

/// Sets what this session of a server asks of its client; a client that does not give it fails in the handshake, before
/// any HTTP. `settings` must outlive the session.
void demand_client_certificate(gnutls_session_int* session, const TlsSettings& settings);

/// Whether the session has bytes from its client that nobody has read yet.
bool holds_bytes(gnutls_session_int* session);

}  // namespace defused
