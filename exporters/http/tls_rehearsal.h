// SPDX-License-Identifier: Apache-2.0
// A handshake in memory, between a server of these credentials and a client that takes every certificate: what cannot
// serve this one can serve nobody.
#pragma once

#include <string>

struct gnutls_certificate_credentials_st;

namespace defused {

/// "" where the handshake succeeds, else why not. `priorities`: of both sides.
std::string rehearse_handshake(gnutls_certificate_credentials_st* server, const std::string& priorities);

}  // namespace defused
