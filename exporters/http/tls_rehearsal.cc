// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/tls_rehearsal.h"

#include <gnutls/gnutls.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace defused {

namespace {

struct FreeSession {
  void operator()(gnutls_session_int* session) const { gnutls_deinit(session); }
};
using SessionPtr = std::unique_ptr<gnutls_session_int, FreeSession>;

struct FreeCredentials {
  void operator()(gnutls_certificate_credentials_st* credentials) const {
    gnutls_certificate_free_credentials(credentials);
  }
};

// What one side reads and where it writes.
struct Wire {
  std::string* in = nullptr;
  std::string* out = nullptr;
};

ssize_t push(gnutls_transport_ptr_t wire, const void* data, std::size_t size) {
  static_cast<Wire*>(wire)->out->append(static_cast<const char*>(data), size);
  return static_cast<ssize_t>(size);
}

ssize_t pull(gnutls_transport_ptr_t wire, void* data, std::size_t size) {
  std::string& in = *static_cast<Wire*>(wire)->in;
  if (in.empty()) {
    errno = EAGAIN;
    return -1;
  }
  const std::size_t taken = std::min(size, in.size());
  std::memcpy(data, in.data(), taken);
  in.erase(0, taken);
  return static_cast<ssize_t>(taken);
}

SessionPtr make_session(unsigned int side, gnutls_certificate_credentials_st* credentials,
                        const std::string& priorities, Wire& wire) {
  gnutls_session_t raw = nullptr;
  if (gnutls_init(&raw, side | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) return nullptr;
  SessionPtr session(raw);
  if (gnutls_priority_set_direct(raw, priorities.c_str(), nullptr) < 0) return nullptr;
  if (gnutls_credentials_set(raw, GNUTLS_CRD_CERTIFICATE, credentials) < 0) return nullptr;
  gnutls_transport_set_ptr(raw, &wire);
  gnutls_transport_set_push_function(raw, &push);
  gnutls_transport_set_pull_function(raw, &pull);
  return session;
}

}  // namespace

std::string rehearse_handshake(gnutls_certificate_credentials_st* server, const std::string& priorities) {
  constexpr const char* kNoMemory = "GnuTLS has no memory";
  gnutls_certificate_credentials_t raw = nullptr;
  if (gnutls_certificate_allocate_credentials(&raw) < 0) return kNoMemory;
  const std::unique_ptr<gnutls_certificate_credentials_st, FreeCredentials> client(raw);
  std::string to_server;
  std::string to_client;
  Wire server_wire{&to_server, &to_client};
  Wire client_wire{&to_client, &to_server};
  const std::array<SessionPtr, 2> sides = {make_session(GNUTLS_CLIENT, client.get(), priorities, client_wire),
                                           make_session(GNUTLS_SERVER, server, priorities, server_wire)};
  if (!sides[0] || !sides[1]) return kNoMemory;
  std::array<int, 2> done = {GNUTLS_E_AGAIN, GNUTLS_E_AGAIN};
  constexpr int kMostRounds = 100;  // a handshake has less than ten
  for (int round = 0; round < kMostRounds; ++round) {
    for (std::size_t side = 0; side < sides.size(); ++side) {
      if (done.at(side) != 0) done.at(side) = gnutls_handshake(sides.at(side).get());
      if (done.at(side) < 0 && gnutls_error_is_fatal(done.at(side)) != 0) return gnutls_strerror(done.at(side));
    }
    if (done[0] == 0 && done[1] == 0) return {};
  }
  return "it does not end";
}

}  // namespace defused
