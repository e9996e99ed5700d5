// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/tls.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>

#include "exporters/http/tls_rehearsal.h"
#include "model/codec.h"

namespace defused {

namespace {

struct FreeCredentials {
  void operator()(gnutls_certificate_credentials_st* credentials) const {
    gnutls_certificate_free_credentials(credentials);
  }
};
using CredentialsPtr = std::unique_ptr<gnutls_certificate_credentials_st, FreeCredentials>;

gnutls_datum_t datum_of(const std::string& text) {
  // GnuTLS only reads it.
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),  // NOLINT(*-const-cast)
          static_cast<unsigned int>(text.size())};
}

Failure refuse(const std::string& file, const std::string& what) {
  return fail(ErrorKind::malformed, file + ": " + what);
}

struct FreeCertificate {
  void operator()(gnutls_x509_crt_int* certificate) const { gnutls_x509_crt_deinit(certificate); }
};
using CertificatePtr = std::unique_ptr<gnutls_x509_crt_int, FreeCertificate>;

// The server's own first. Never empty.
Result<std::vector<CertificatePtr>> read_chain(const TlsSettings& settings, const TlsMaterial& material) {
  gnutls_x509_crt_t* list = nullptr;
  unsigned int count = 0;
  const gnutls_datum_t certificate = datum_of(material.certificate);
  const int imported = gnutls_x509_crt_list_import2(&list, &count, &certificate, GNUTLS_X509_FMT_PEM, 0);
  if (imported < 0 || count == 0) {
    return refuse(settings.cert_file,
                  std::string("no certificate in PEM form can be read: ") + gnutls_strerror(imported));
  }
  std::vector<CertificatePtr> chain;
  for (unsigned int i = 0; i < count; ++i) chain.emplace_back(list[i]);
  gnutls_free(list);
  return chain;
}

bool can_sign(int algorithm) {
  constexpr std::array kSigning = {GNUTLS_PK_RSA, GNUTLS_PK_RSA_PSS, GNUTLS_PK_ECDSA, GNUTLS_PK_EDDSA_ED25519,
                                   GNUTLS_PK_EDDSA_ED448};
  return std::find(kSigning.begin(), kSigning.end(), algorithm) != kSigning.end();
}

// In all the key exchanges that we offer the server signs.
Result<void> check_certificate(const TlsSettings& settings, const TlsMaterial& material) {
  const auto chain = read_chain(settings, material);
  if (!chain) return Failure(chain.error());
  gnutls_x509_crt_t own = chain->front().get();
  if (!can_sign(gnutls_x509_crt_get_pk_algorithm(own, nullptr))) {
    return refuse(settings.cert_file, "the key of the certificate is of a kind that cannot sign a TLS handshake");
  }
  unsigned int usage = 0;
  const int found = gnutls_x509_crt_get_key_usage(own, &usage, nullptr);
  if (found == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) return {};  // for everything
  if (found < 0)
    return refuse(settings.cert_file, std::string("its key usage cannot be read: ") + gnutls_strerror(found));
  if ((usage & GNUTLS_KEY_DIGITAL_SIGNATURE) != 0) return {};
  return refuse(settings.cert_file,
                "the key usage of the certificate has no digitalSignature, without which no TLS handshake succeeds");
}

Result<void> check_key(const TlsSettings& settings, const TlsMaterial& material) {
  gnutls_x509_privkey_t key = nullptr;
  if (gnutls_x509_privkey_init(&key) < 0) return fail(ErrorKind::io, "GnuTLS has no memory");
  const gnutls_datum_t text = datum_of(material.key);
  const int imported = gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, nullptr, 0);
  gnutls_x509_privkey_deinit(key);
  if (imported == GNUTLS_E_DECRYPTION_FAILED) return refuse(settings.key_file, "the key is encrypted; it must not be");
  if (imported < 0) {
    return refuse(settings.key_file,
                  std::string("no private key in PEM form can be read: ") + gnutls_strerror(imported));
  }
  return {};
}

Result<CredentialsPtr> allocate_credentials() {
  gnutls_certificate_credentials_t raw = nullptr;
  if (gnutls_certificate_allocate_credentials(&raw) < 0) return fail(ErrorKind::io, "GnuTLS has no memory");
  return CredentialsPtr(raw);
}

Result<CredentialsPtr> load_pair(const TlsSettings& settings, const TlsMaterial& material) {
  auto credentials = allocate_credentials();
  if (!credentials) return credentials;
  const gnutls_datum_t certificate = datum_of(material.certificate);
  const gnutls_datum_t key = datum_of(material.key);
  const int set =
      gnutls_certificate_set_x509_key_mem2(credentials->get(), &certificate, &key, GNUTLS_X509_FMT_PEM, nullptr, 0);
  if (set == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
    return refuse(settings.key_file, "the key does not belong to the certificate in " + settings.cert_file);
  }
  if (set < 0) return refuse(settings.cert_file, std::string("it cannot be used: ") + gnutls_strerror(set));
  return credentials;
}

Result<void> check_client_ca(const TlsSettings& settings, const TlsMaterial& material) {
  if (settings.client_ca_file.empty()) {
    if (!verifies_clients(settings.client_auth)) return {};
    return fail(ErrorKind::malformed, "clients are to be verified, but there is no client_ca_file to verify them with");
  }
  const auto credentials = allocate_credentials();
  if (!credentials) return Failure(credentials.error());
  const gnutls_datum_t text = datum_of(material.client_ca);
  const int count = gnutls_certificate_set_x509_trust_mem(credentials->get(), &text, GNUTLS_X509_FMT_PEM);
  if (count > 0) return {};
  return refuse(settings.client_ca_file, std::string("no certificate in PEM form can be read: ") +
                                             (count < 0 ? gnutls_strerror(count) : "there is none"));
}

Result<void> check_versions(const TlsSettings& settings) {
  if (settings.min_version > settings.max_version) {
    return fail(ErrorKind::malformed, "no TLS version is left: min_version is above max_version");
  }
  gnutls_priority_t priorities = nullptr;
  const std::string text = tls_priorities(settings.min_version, settings.max_version);
  const int made = gnutls_priority_init(&priorities, text.c_str(), nullptr);
  if (made < 0) return fail(ErrorKind::malformed, std::string("no TLS version is left: ") + gnutls_strerror(made));
  gnutls_priority_deinit(priorities);
  return {};
}

// For what no rule above foresees: a key that is too short for every signature of these versions, and the like.
Result<void> check_handshake(const TlsSettings& settings, const TlsMaterial& material) {
  const auto credentials = load_pair(settings, material);
  if (!credentials) return Failure(credentials.error());
  const std::string why =
      rehearse_handshake(credentials->get(), tls_priorities(settings.min_version, settings.max_version));
  if (why.empty()) return {};
  return refuse(settings.cert_file, "no TLS handshake succeeds with it: " + why);
}

// As Go writes an address, which the configuration is in the terms of.
std::string render_address(const std::string& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (family == AF_INET6 && bytes.size() != sizeof(in6_addr)) return {};
  return inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr ? std::string() : text.data();
}

// The names, mail addresses, IP addresses and URIs of a certificate (subjectAltName).
std::vector<std::string> alternative_names(gnutls_x509_crt_t certificate) {
  std::vector<std::string> names;
  constexpr unsigned int kMostNames = 1000;  // a stranger wrote it
  for (unsigned int i = 0; i < kMostNames; ++i) {
    std::size_t size = 0;
    const int length = gnutls_x509_crt_get_subject_alt_name(certificate, i, nullptr, &size, nullptr);
    if (length != GNUTLS_E_SHORT_MEMORY_BUFFER) break;
    std::string name(size, '\0');
    const int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name.data(), &size, nullptr);
    if (type < 0) break;
    name.resize(std::min(size, name.size()));
    if (type == GNUTLS_SAN_IPADDRESS) {
      names.push_back(render_address(name));
    } else if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI) {
      if (!name.empty() && name.back() == '\0') name.pop_back();  // the library counts its own end for some types
      names.push_back(name);
    }
  }
  return names;
}

bool is_allowed(const gnutls_datum_t& encoded, const std::vector<std::string>& allowed) {
  gnutls_x509_crt_t raw = nullptr;
  if (gnutls_x509_crt_init(&raw) < 0) return false;
  const CertificatePtr certificate(raw);
  if (gnutls_x509_crt_import(raw, &encoded, GNUTLS_X509_FMT_DER) < 0) return false;
  const std::vector<std::string> names = alternative_names(raw);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return !name.empty() && std::find(allowed.begin(), allowed.end(), name) != allowed.end();
  });
}

int refuse_client(gnutls_session_t session, gnutls_alert_description_t why) {
  // The library would close without a word; with the alert the client can say what was wrong with it.
  gnutls_alert_send(session, GNUTLS_AL_FATAL, why);
  return GNUTLS_E_CERTIFICATE_ERROR;
}

// Called in the handshake. Anything but 0 ends it.
int verify_client(gnutls_session_t session) {
  const auto* settings = static_cast<const TlsSettings*>(gnutls_db_get_ptr(session));
  unsigned int count = 0;
  const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
  if (chain == nullptr || count == 0) {
    if (settings->client_auth == ClientAuth::verify_if_given) return 0;
    return refuse_client(session, GNUTLS_A_CERTIFICATE_REQUIRED);
  }
  gnutls_typed_vdata_st purpose{};
  purpose.type = GNUTLS_DT_KEY_PURPOSE_OID;
  purpose.data = reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT));  // NOLINT(*-const-cast)
  unsigned int status = 0;
  const int verified = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
  if (verified < 0 || status != 0) return refuse_client(session, GNUTLS_A_BAD_CERTIFICATE);
  const auto& allowed = settings->client_allowed_sans;
  if (!allowed.empty() && !is_allowed(chain[0], allowed)) return refuse_client(session, GNUTLS_A_ACCESS_DENIED);
  return 0;
}

gnutls_certificate_request_t request_of(ClientAuth auth) {
  switch (auth) {
    case ClientAuth::none: return GNUTLS_CERT_IGNORE;
    case ClientAuth::request:
    case ClientAuth::verify_if_given: return GNUTLS_CERT_REQUEST;
    case ClientAuth::require_any:
    case ClientAuth::require_verified: return GNUTLS_CERT_REQUIRE;
  }
  return GNUTLS_CERT_REQUIRE;
}

}  // namespace

bool verifies_clients(ClientAuth auth) {
  return auth == ClientAuth::verify_if_given || auth == ClientAuth::require_verified;
}

Result<void> check_tls(const TlsSettings& settings, const TlsMaterial& material) {
  if (auto done = check_certificate(settings, material); !done) return done;
  if (auto done = check_key(settings, material); !done) return done;
  if (auto pair = load_pair(settings, material); !pair) return Failure(pair.error());
  if (auto done = check_client_ca(settings, material); !done) return done;
  if (auto done = check_versions(settings); !done) return done;
  return check_handshake(settings, material);
}

std::string tls_warning(const TlsSettings& settings, const TlsMaterial& material, Nanoseconds wall) {
  const auto chain = read_chain(settings, material);
  if (!chain) return {};
  const auto now = static_cast<std::time_t>(std::chrono::duration_cast<std::chrono::seconds>(wall).count());
  for (std::size_t i = 0; i < chain->size(); ++i) {
    const std::string which = i == 0 ? "the certificate" : "certificate " + std::to_string(i + 1) + " of the chain";
    const std::time_t begin = gnutls_x509_crt_get_activation_time(chain->at(i).get());
    const std::time_t end = gnutls_x509_crt_get_expiration_time(chain->at(i).get());
    if (now < begin)
      return settings.cert_file + ": " + which + " is not valid before " +
             format_wall_time(std::chrono::seconds(begin));
    if (now > end)
      return settings.cert_file + ": " + which + " is not valid after " + format_wall_time(std::chrono::seconds(end));
  }
  if (gnutls_x509_crt_check_key_purpose(chain->front().get(), GNUTLS_KP_TLS_WWW_SERVER, 0) != 0) return {};
  return settings.cert_file + ": the extended key usage of the certificate has no serverAuth";
}

std::string tls_priorities(TlsVersion min, TlsVersion max) {
  constexpr std::array kNames = {"TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"};
  std::string out = "NORMAL:-RSA:-DHE-RSA:-VERS-ALL";
  for (auto version = static_cast<std::size_t>(max) + 1; version > static_cast<std::size_t>(min); --version) {
    out += std::string(":+VERS-") + kNames.at(version - 1);
  }
  return out + ":%SERVER_PRECEDENCE";
}

bool holds_bytes(gnutls_session_int* session) { return gnutls_record_check_pending(session) > 0; }

void demand_client_certificate(gnutls_session_int* session, const TlsSettings& settings) {
  gnutls_certificate_server_set_request(session, request_of(settings.client_auth));
  if (!verifies_clients(settings.client_auth)) return;
  // The session's own pointer belongs to libmicrohttpd; the one for a session cache, which there is not, is free.
  gnutls_db_set_ptr(session, const_cast<TlsSettings*>(&settings));  // NOLINT(*-const-cast): read only
  gnutls_session_set_verify_function(session, &verify_client);
}

}  // namespace defused
