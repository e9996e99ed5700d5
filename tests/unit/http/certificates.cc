// SPDX-License-Identifier: Apache-2.0
#include "certificates.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <ctime>

namespace defused {

namespace {

gnutls_datum_t datum_of(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned int>(text.size())};
}

std::string take(gnutls_datum_t& datum) {
  std::string text(reinterpret_cast<const char*>(datum.data), datum.size);
  gnutls_free(datum.data);
  return text;
}

void generate(gnutls_x509_privkey_t key, KeyKind kind) {
  const auto as = [&](gnutls_pk_algorithm_t algorithm, unsigned int bits) {
    REQUIRE(gnutls_x509_privkey_generate(key, algorithm, bits, 0) == 0);
  };
  switch (kind) {
    case KeyKind::ecdsa: return as(GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    case KeyKind::rsa: return as(GNUTLS_PK_RSA, 2048);
    case KeyKind::ed25519: return as(GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519));
    case KeyKind::gost: return as(GNUTLS_PK_GOST_12_256, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_GOST256CPA));
  }
}

// Signed by `signer`, or by itself where that is null.
KeyPair make(const CertificateWish& wish, const KeyPair* signer) {
  gnutls_x509_privkey_t key = nullptr;
  gnutls_x509_crt_t certificate = nullptr;
  gnutls_x509_privkey_init(&key);
  generate(key, wish.kind);
  gnutls_x509_crt_init(&certificate);
  gnutls_x509_crt_set_version(certificate, 3);
  static unsigned char serial = 0;
  ++serial;
  gnutls_x509_crt_set_serial(certificate, &serial, 1);
  gnutls_x509_crt_set_activation_time(certificate, std::time(nullptr) + wish.starts_in_seconds);
  gnutls_x509_crt_set_expiration_time(certificate, std::time(nullptr) + wish.ends_in_seconds);
  gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, wish.name.data(),
                                static_cast<unsigned int>(wish.name.size()));
  gnutls_x509_crt_set_key(certificate, key);
  gnutls_x509_crt_set_ca_status(certificate, signer == nullptr ? 1 : 0);
  const unsigned int usage =
      wish.usage.value_or(signer == nullptr ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE);
  if (usage != 0) gnutls_x509_crt_set_key_usage(certificate, usage);
  if (signer != nullptr) {
    gnutls_x509_crt_set_key_purpose_oid(certificate,
                                        wish.for_client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER, 0);
    const auto add = [&](gnutls_x509_subject_alt_name_t type, const void* data, std::size_t size) {
      gnutls_x509_crt_set_subject_alt_name(certificate, type, data, static_cast<unsigned int>(size),
                                           GNUTLS_FSAN_APPEND);
    };
    add(GNUTLS_SAN_DNSNAME, wish.name.data(), wish.name.size());
    for (const std::string& uri : wish.uris) add(GNUTLS_SAN_URI, uri.data(), uri.size());
    for (const std::string& text : wish.addresses) {
      in_addr address{};
      REQUIRE(inet_pton(AF_INET, text.c_str(), &address) == 1);
      add(GNUTLS_SAN_IPADDRESS, &address, sizeof address);
    }
  }
  gnutls_x509_privkey_t signing_key = key;
  gnutls_x509_crt_t issuer = certificate;
  if (signer != nullptr) {
    const gnutls_datum_t key_text = datum_of(signer->key);
    const gnutls_datum_t text = datum_of(signer->certificate);
    gnutls_x509_privkey_init(&signing_key);
    gnutls_x509_crt_init(&issuer);
    REQUIRE(gnutls_x509_privkey_import(signing_key, &key_text, GNUTLS_X509_FMT_PEM) == 0);
    REQUIRE(gnutls_x509_crt_import(issuer, &text, GNUTLS_X509_FMT_PEM) == 0);
  }
  REQUIRE(gnutls_x509_crt_sign2(certificate, issuer, signing_key, GNUTLS_DIG_SHA256, 0) == 0);
  KeyPair pair;
  gnutls_datum_t out{};
  REQUIRE(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &out) == 0);
  pair.certificate = take(out);
  REQUIRE(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, nullptr, GNUTLS_PKCS_PLAIN, &out) == 0);
  pair.key = take(out);
  if (signer != nullptr) {
    gnutls_x509_privkey_deinit(signing_key);
    gnutls_x509_crt_deinit(issuer);
  }
  gnutls_x509_privkey_deinit(key);
  gnutls_x509_crt_deinit(certificate);
  return pair;
}

struct Pieces {
  int socket = -1;
  std::size_t most = 0;
};

ssize_t push_piece(gnutls_transport_ptr_t pieces, const void* data, std::size_t size) {
  const auto& to = *static_cast<const Pieces*>(pieces);
  poll(nullptr, 0, 5);
  return send(to.socket, data, std::min(size, to.most), MSG_NOSIGNAL);
}

// Sends the request, then reads until the end or an error.
void talk(gnutls_session_t session, const std::string& request, TlsExchange& out) {
  if (const auto sent = gnutls_record_send(session, request.data(), request.size()); sent < 0) {
    out.error = gnutls_strerror(static_cast<int>(sent));
  }
  std::array<char, 16384> buffer{};
  while (true) {
    const auto got = gnutls_record_recv(session, buffer.data(), buffer.size());
    if (got > 0) {
      out.response.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      return;
    } else if (got == GNUTLS_E_FATAL_ALERT_RECEIVED) {
      out.error = gnutls_alert_get_name(gnutls_alert_get(session));
      return;
    } else if (gnutls_error_is_fatal(static_cast<int>(got)) != 0) {
      if (out.error.empty()) out.error = gnutls_strerror(static_cast<int>(got));
      return;
    }
  }
}

}  // namespace

Authority::Authority(const std::string& name) : own_(make({name}, nullptr)) {}
KeyPair Authority::sign(const CertificateWish& wish) const { return make(wish, &own_); }

TlsExchange exchange_tls(const RunningServer& server, const std::string& request, const KeyPair& own,
                         const std::string& priorities, std::size_t piece) {
  const PlainClient client(server.port());
  Pieces pieces{client.socket(), piece};
  TlsExchange out;
  gnutls_session_t session = nullptr;
  gnutls_certificate_credentials_t credentials = nullptr;
  gnutls_certificate_allocate_credentials(&credentials);
  if (!own.certificate.empty()) {
    const gnutls_datum_t certificate = datum_of(own.certificate);
    const gnutls_datum_t key = datum_of(own.key);
    REQUIRE(gnutls_certificate_set_x509_key_mem(credentials, &certificate, &key, GNUTLS_X509_FMT_PEM) >= 0);
  }
  // FORCE_CLIENT_CERT: shown also where the server names other authorities, as curl does.
  gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL | GNUTLS_FORCE_CLIENT_CERT);
  REQUIRE(gnutls_priority_set_direct(session, priorities.c_str(), nullptr) == 0);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_transport_set_int(session, client.socket());
  if (piece > 0) {
    gnutls_transport_set_ptr2(
        session, reinterpret_cast<gnutls_transport_ptr_t>(static_cast<std::intptr_t>(client.socket())), &pieces);
    gnutls_transport_set_push_function(session, &push_piece);
  }
  int done = 0;
  do {
    done = gnutls_handshake(session);
  } while (done < 0 && gnutls_error_is_fatal(done) == 0);
  if (done == 0) {
    out.handshake = true;
    out.version = gnutls_protocol_get_name(gnutls_protocol_get_version(session));
    talk(session, request, out);
  } else {
    out.error = done == GNUTLS_E_FATAL_ALERT_RECEIVED ? gnutls_alert_get_name(gnutls_alert_get(session))
                                                      : gnutls_strerror(done);
  }
  gnutls_deinit(session);
  gnutls_certificate_free_credentials(credentials);
  return out;
}

}  // namespace defused
