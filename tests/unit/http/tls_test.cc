// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <catch2/catch.hpp>
#include <ctime>

#include "certificates.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

const Authority& authority() {
  static const Authority kOne;
  return kOne;
}

const KeyPair& server_pair() {
  static const KeyPair kOne = authority().sign({});
  return kOne;
}

WebConfig tls_config(ClientAuth auth = ClientAuth::none) {
  WebConfig config;
  config.tls = TlsSettings{};
  config.tls->cert_file = "/c.pem";
  config.tls->key_file = "/k.pem";
  config.tls->client_auth = auth;
  if (verifies_clients(auth)) config.tls->client_ca_file = "/ca.pem";
  return config;
}

TlsMaterial material() { return {server_pair().certificate, server_pair().key, authority().certificate()}; }

KeyPair client_pair(const std::string& name = "scraper") {
  CertificateWish wish;
  wish.name = name;
  wish.for_client = true;
  return authority().sign(wish);
}

// What GET / over TLS says to a client that shows `own`; "" where there was no answer.
std::string asked(const RunningServer& server, const KeyPair& own = {}, const std::string& priorities = "NORMAL") {
  return body(exchange_tls(server, request("GET /"), own, priorities).response);
}

std::string error_of(const TlsSettings& settings, const TlsMaterial& files) {
  const auto checked = check_tls(settings, files);
  return checked ? std::string() : checked.error().message;
}

}  // namespace

TEST_CASE("TLS serves, and plain HTTP gets nothing on its port") {
  const RunningServer server({}, tls_config(), material());
  const TlsExchange got = exchange_tls(server, request("GET /"));
  CHECK(got.version == "TLS1.3");
  CHECK(status_of(got.response) == 200);
  CHECK(body(got.response) == "hello\n");
  CHECK(count_headers(got.response, "Strict-Transport-Security") == 0);
  CHECK(exchange_plain(server, request("GET /")).find("hello") == std::string::npos);
  CHECK(exchange_plain(server, std::string(2'000, '\x16')).find("hello") == std::string::npos);
  const TlsExchange huge = exchange_tls(server, request("GET /huge"));
  CHECK(body(huge.response).size() == 8U << 20U);
  CHECK(asked(server) == "hello\n");
}

TEST_CASE("versions outside of the configured ones are refused") {
  WebConfig config = tls_config();
  SECTION("by default TLS 1.2 and 1.3") {
    const RunningServer server({}, config, material());
    CHECK(exchange_tls(server, request("GET /"), {}, "NORMAL:-VERS-ALL:+VERS-TLS1.2").version == "TLS1.2");
    CHECK_FALSE(exchange_tls(server, request("GET /"), {}, "NORMAL:-VERS-ALL:+VERS-TLS1.1").handshake);
  }
  SECTION("only 1.3") {
    config.tls->min_version = TlsVersion::tls13;
    const RunningServer server({}, config, material());
    CHECK_FALSE(exchange_tls(server, request("GET /"), {}, "NORMAL:-VERS-ALL:+VERS-TLS1.2").handshake);
    CHECK(asked(server) == "hello\n");
  }
  SECTION("only 1.2") {
    config.tls->max_version = TlsVersion::tls12;
    const RunningServer server({}, config, material());
    CHECK_FALSE(exchange_tls(server, request("GET /"), {}, "NORMAL:-VERS-ALL:+VERS-TLS1.3").handshake);
    CHECK(exchange_tls(server, request("GET /")).version == "TLS1.2");
  }
  SECTION("down to 1.0, where somebody insists") {
    config.tls->min_version = TlsVersion::tls10;
    const RunningServer server({}, config, material());
    CHECK(exchange_tls(server, request("GET /"), {}, "NORMAL:-VERS-ALL:+VERS-TLS1.0").version == "TLS1.0");
  }
}

TEST_CASE("clients are let in by their certificates as the mode says") {
  const KeyPair known = client_pair();
  const KeyPair stranger = Authority("strangers").sign({"scraper", {}, {}, true});
  struct Row {
    ClientAuth auth;
    bool none, known, stranger;
  };
  // NoClientCert .. RequireAndVerifyClientCert
  for (const Row& row :
       {Row{ClientAuth::none, true, true, true}, Row{ClientAuth::request, true, true, true},
        Row{ClientAuth::require_any, false, true, true}, Row{ClientAuth::verify_if_given, true, true, false},
        Row{ClientAuth::require_verified, false, true, false}}) {
    const RunningServer server({}, tls_config(row.auth), material());
    for (const char* priorities : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}) {
      CAPTURE(static_cast<int>(row.auth), priorities);
      CHECK(asked(server, {}, priorities) == (row.none ? "hello\n" : ""));
      CHECK(asked(server, known, priorities) == (row.known ? "hello\n" : ""));
      CHECK(asked(server, stranger, priorities) == (row.stranger ? "hello\n" : ""));
    }
  }
}

TEST_CASE("a client's certificate must be in date and for a client, and the client is told so") {
  const RunningServer server({}, tls_config(ClientAuth::require_verified), material());
  CHECK(asked(server, authority().sign({"late", {}, {}, true, -7200, -3600})).empty());
  CHECK(asked(server, authority().sign({"early", {}, {}, true, 3600, 7200})).empty());
  CHECK(asked(server, server_pair()).empty());
  CHECK(asked(server, client_pair()) == "hello\n");
  const TlsExchange late =
      exchange_tls(server, request("GET /"), authority().sign({"late", {}, {}, true, -7200, -3600}));
  CHECK(late.error == "Certificate is bad");
}

TEST_CASE("client_allowed_sans: one of them must be in the certificate, whole") {
  WebConfig config = tls_config(ClientAuth::require_verified);
  config.tls->client_allowed_sans = {"prom.example", "spiffe://example/prom", "10.1.2.3"};
  const RunningServer server({}, config, material());
  CHECK(asked(server, client_pair("prom.example")) == "hello\n");
  CHECK(asked(server, authority().sign({"x", {"spiffe://example/prom"}, {}, true})) == "hello\n");
  CHECK(asked(server, authority().sign({"x", {}, {"10.1.2.3"}, true})) == "hello\n");
  CHECK(asked(server, client_pair("prom.example.evil")).empty());
  CHECK(asked(server, client_pair("prom.exampl")).empty());
  CHECK(asked(server, authority().sign({"x", {"spiffe://example/prom2"}, {"10.1.2.4"}, true})).empty());
  CHECK(asked(server, authority().sign({"x", {std::string("spiffe://example/prom\0x", 23)}, {}, true})).empty());
}

TEST_CASE("check_tls says in one sentence what does not fit") {
  TlsSettings settings = *tls_config().tls;
  TlsMaterial files = material();
  CHECK(error_of(settings, files).empty());
  const auto has = [&](const char* text) {
    INFO(error_of(settings, files));
    return error_of(settings, files).find(text) != std::string::npos;
  };
  SECTION("no certificate") {
    files.certificate = "junk";
    CHECK(has("/c.pem: no certificate"));
  }
  SECTION("an empty file") {
    files.certificate.clear();
    CHECK(has("/c.pem: no certificate"));
  }
  SECTION("no key") {
    files.key = files.certificate;
    CHECK(has("/k.pem: no private key"));
  }
  SECTION("the key of somebody else") {
    files.key = client_pair().key;
    CHECK(has("/k.pem: the key does not belong to the certificate in /c.pem"));
  }
  SECTION("a chain is fine, the server's own first") {
    files.certificate += authority().certificate();
    CHECK(error_of(settings, files).empty());
  }
  SECTION("verification without an authority") {
    settings.client_auth = ClientAuth::require_verified;
    CHECK(has("no client_ca_file"));
  }
  SECTION("a bad authority") {
    settings.client_auth = ClientAuth::verify_if_given;
    settings.client_ca_file = "/ca.pem";
    files.client_ca = "junk";
    CHECK(has("/ca.pem: no certificate"));
  }
  SECTION("no version left") {
    settings.min_version = TlsVersion::tls13;
    settings.max_version = TlsVersion::tls12;
    CHECK(has("no TLS version is left"));
  }
}

TEST_CASE("check_tls refuses a certificate that no handshake succeeds with, and nothing else") {
  TlsSettings settings = *tls_config().tls;
  const auto error_with = [&](KeyKind kind, std::optional<unsigned int> usage) {
    CertificateWish wish;
    wish.kind = kind;
    wish.usage = usage;
    const KeyPair pair = authority().sign(wish);
    return error_of(settings, {pair.certificate, pair.key, {}});
  };
  const auto has = [](const std::string& error, const char* text) {
    INFO(error);
    return error.find(text) != std::string::npos;
  };
  for (const KeyKind kind : {KeyKind::ecdsa, KeyKind::rsa, KeyKind::ed25519}) {
    CHECK(error_with(kind, {}) == "");
    CHECK(error_with(kind, 0).empty());
    CHECK(error_with(kind, GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_ENCIPHERMENT).empty());
  }
  CHECK(has(error_with(KeyKind::rsa, GNUTLS_KEY_KEY_ENCIPHERMENT), "/c.pem: the key usage of the certificate has no"));
  CHECK(has(error_with(KeyKind::ecdsa, GNUTLS_KEY_KEY_AGREEMENT), "/c.pem: the key usage of the certificate has no"));
  CHECK(has(error_with(KeyKind::gost, {}), "/c.pem: the key of the certificate is of a kind that cannot sign"));
  // Each by itself is fine, but TLS 1.1 knows no such signature.
  settings.min_version = TlsVersion::tls10;
  settings.max_version = TlsVersion::tls11;
  CHECK(error_with(KeyKind::rsa, {}).empty());
  CHECK(has(error_with(KeyKind::ed25519, {}), "/c.pem: no TLS handshake succeeds with it: "));
}

TEST_CASE("a certificate out of its time, or not for a server, is served with and warned of") {
  const TlsSettings settings = *tls_config().tls;
  const auto now = std::chrono::seconds(std::time(nullptr));
  const auto warned = [&](const CertificateWish& wish, Nanoseconds wall) {
    const KeyPair pair = authority().sign(wish);
    CHECK(error_of(settings, {pair.certificate, pair.key, {}}).empty());
    return tls_warning(settings, {pair.certificate, pair.key, {}}, wall);
  };
  CHECK(warned({}, now).empty());
  CHECK(starts(warned({"late", {}, {}, false, -7200, -3600}, now), "/c.pem: the certificate is not valid after 2"));
  CHECK(starts(warned({"early", {}, {}, false, 3600, 7200}, now), "/c.pem: the certificate is not valid before 2"));
  CHECK(warned({"late", {}, {}, false, -7200, -3600}, now - 5400s).empty());
  CHECK(warned({}, 0s).find(" is not valid before 20") != std::string::npos);
  CHECK(warned({"x", {}, {}, true}, now) == "/c.pem: the extended key usage of the certificate has no serverAuth");
  // The authority of the tests is valid for an hour round about now.
  const KeyPair longer = authority().sign({"longer", {}, {}, false, -3600, 36'000});
  const TlsMaterial chain = {longer.certificate + authority().certificate(), longer.key, {}};
  CHECK(tls_warning(settings, chain, now).empty());
  CHECK(starts(tls_warning(settings, chain, now + 5h), "/c.pem: certificate 2 of the chain is not valid after 2"));
  CHECK(tls_warning(settings, {"junk", longer.key, {}}, now).empty());  // check_tls() says so
  // And it is served with.
  const KeyPair late = authority().sign({"localhost", {}, {}, false, -7200, -3600});
  const RunningServer server({}, tls_config(), {late.certificate, late.key, {}});
  CHECK(asked(server) == "hello\n");
}

TEST_CASE("a new configuration lets clients go, the same one does not, a bad one changes nothing") {
  RunningServer server({}, tls_config(), material());
  RunningServer plain;
  PlainClient kept(plain.port());
  const auto alive = [&] { return kept.send(kept_request("GET /")) && body(kept.read_response()) == "hello\n"; };
  CHECK(alive());
  CHECK(plain.set_web_config({}, {}));
  CHECK(alive());
  TlsMaterial bad = material();
  bad.key = client_pair().key;
  CHECK_FALSE(plain.set_web_config(tls_config(), bad));
  CHECK(alive());
  WebConfig header;
  header.headers = {{"X-Frame-Options", "a\r\nb: c"}};
  CHECK_FALSE(plain.set_web_config(header, {}));
  CHECK(alive());
  CHECK(plain.set_web_config(tls_config(), material()));
  CHECK(kept.is_closed_within(5s));
  CHECK(asked(plain) == "hello\n");
  // Another certificate for the same settings: what is served is the new one.
  TlsMaterial renewed = material();
  const KeyPair pair = authority().sign({"renewed"});
  renewed.certificate = pair.certificate;
  renewed.key = pair.key;
  CHECK(plain.set_web_config(tls_config(), renewed));
  CHECK(asked(plain) == "hello\n");
  CHECK(plain.set_web_config({}, {}));
  CHECK(body(exchange_plain(plain, request("GET /"))) == "hello\n");
}

TEST_CASE("a handshake that does not end is cut off, and others are served meanwhile") {
  HttpLimits limits;
  limits.header_time = 1500ms;
  const RunningServer server(limits, tls_config(), material());
  const PlainClient silent(server.port());
  const PlainClient half(server.port());
  half.send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
  CHECK(asked(server) == "hello\n");
  // And the loop does not run round and round for them.
  const std::uint64_t begin = server.turns();
  CHECK_FALSE(half.is_closed_within(200ms));
  CHECK(server.turns() - begin < 100);
  CHECK(silent.is_closed_within(5s));
  CHECK(half.is_closed_within(5s));
}

TEST_CASE("clients in mid-handshake give way to a burst of others, and go with the server") {
  HttpLimits limits;
  limits.max_connections = 8;
  std::vector<PlainClient> silent;
  {
    RunningServer server(limits, tls_config(), material());
    for (std::size_t i = 0; i < limits.max_connections; ++i) silent.emplace_back(server.port());
    CHECK(asked(server) == "hello\n");
    silent.emplace_back(server.port());
    const std::uint64_t begin = server.turns();
    while (server.turns() < begin + 3) poll(nullptr, 0, 1);  // each of them is kept from the library now
    std::vector<PlainClient> burst;
    server.run([&](HttpServer&) {
      for (int i = 0; i < 4; ++i) burst.emplace_back(server.port());
    });
    for (const PlainClient& one : burst) CHECK_FALSE(one.is_closed_within(50ms));
    CHECK(silent[1].is_closed_within(5s));
    CHECK_FALSE(silent.back().is_closed_within(0ms));
  }
  CHECK(silent.back().is_closed_within(5s));
}

TEST_CASE("a header that the library reads in parts is no handshake") {
  const RunningServer server({}, tls_config(), material());
  for (const char* priorities : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}) {
    for (const std::size_t size : {2'000U, 8'000U, 15'000U}) {
      const std::string line = request("GET /", "X: " + std::string(size, 'b') + "\r\n");
      CHECK(body(exchange_tls(server, line, {}, priorities).response) == "hello\n");
    }
  }
}

TEST_CASE("a handshake in small pieces, with pauses, is a handshake") {
  const RunningServer server({}, tls_config(), material());
  for (const char* priorities : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}) {
    const TlsExchange got = exchange_tls(server, request("GET /large"), {}, priorities, 100);
    CHECK(body(got.response).size() == 20'000);
  }
}
