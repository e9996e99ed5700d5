// SPDX-License-Identifier: Apache-2.0
// The web configuration by table: what a text gives, or the one sentence that says what is wrong with it.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/text.h"
#include "settings/web_config_file.h"
#include "settings/web_config_values.h"
#include "temporary_directory.h"

namespace defused {

namespace {

const std::string kHash = "$2y$10$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW";

WebConfig parse(const std::string& text) {
  const auto config = parse_web_config(text, "/etc/defused/web.yml");
  INFO(text << "\n" << (config ? "" : config.error().message));
  REQUIRE(config);
  return *config;
}

std::string error_of(const std::string& text) {
  const auto config = parse_web_config(text, "/d/web.yml");
  INFO(text);
  REQUIRE_FALSE(config);
  CHECK(config.error().kind == ErrorKind::malformed);
  CHECK(config.error().message.find('\n') == std::string::npos);
  return config.error().message;
}

const std::string kUsers = "basic_auth_users:\n  ann: ";

// A text and a part of the sentence.
void check_table(const std::vector<std::pair<std::string, std::string>>& table) {
  for (const auto& [text, sentence] : table) {
    CAPTURE(text);
    CHECK_THAT(error_of(text), Catch::Contains(sentence));
    CHECK_THAT(error_of(text), Catch::StartsWith("/d/web.yml:"));
  }
}

const std::string kTls = "tls_server_config:\n  cert_file: c.pem\n  key_file: k.pem\n";

}  // namespace

TEST_CASE("every key of a web configuration") {
  const WebConfig config = parse(
      "# a comment\n"
      "tls_server_config:\n"
      "  cert_file: tls/server.pem\n"
      "  key_file: /etc/ssl/private/server.key\n"
      "  client_ca_file: ../ca.pem\n"
      "  client_auth_type: RequireAndVerifyClientCert\n"
      "  client_allowed_sans: [scraper.example.org, \"10.0.0.1\"]\n"
      "  min_version: TLS13\n"
      "  max_version: \"TLS13\"\n"
      "  prefer_server_cipher_suites: true\n"
      "http_server_config:\n"
      "  http2: false\n"
      "  headers:\n"
      "    X-Frame-Options: DENY\n"
      "    X-Content-Type-Options: nosniff\n"
      "    Strict-Transport-Security: max-age=31536000; includeSubDomains\n"
      "    X-XSS-Protection: 1; mode=block\n"
      "    Content-Security-Policy: default-src 'none'\n"
      "basic_auth_users:\n"
      "  ann: " +
      kHash +
      "\n"
      "  1234: '" +
      kHash + "'\n");
  REQUIRE(config.tls);
  CHECK(*config.tls == TlsSettings{"/etc/defused/tls/server.pem",
                                   "/etc/ssl/private/server.key",
                                   "/etc/defused/../ca.pem",
                                   ClientAuth::require_verified,
                                   {"scraper.example.org", "10.0.0.1"},
                                   TlsVersion::tls13,
                                   TlsVersion::tls13});
  CHECK(config.users == std::vector<WebUser>{{"ann", kHash}, {"1234", kHash}});
  REQUIRE(config.headers.size() == 5);
  CHECK(config.headers[0] == std::pair<std::string, std::string>("X-Frame-Options", "DENY"));
  CHECK(config.headers[2].second == "max-age=31536000; includeSubDomains");
}

TEST_CASE("the example of docs/HTTP.md") {
  const std::string text = read_whole("docs/HTTP.md");
  const std::size_t begin = text.find("```yaml\n");
  REQUIRE(begin != std::string::npos);
  const WebConfig config = parse(text.substr(begin + 8, text.find("```", begin + 8) - begin - 8));
  REQUIRE(config.tls);
  CHECK(config.tls->client_auth == ClientAuth::require_verified);
  CHECK(config.users.size() == 1);
  CHECK(config.headers.size() == 1);
}

TEST_CASE("what is nothing is plain HTTP for everybody") {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "---\n...\n", "{}", "~", "tls_server_config:\n",
                           "tls_server_config: {}\nhttp_server_config:\nbasic_auth_users: {}\n",
                           "http_server_config:\n  headers:\n", "\xef\xbb\xbf"}) {
    CAPTURE(text);
    CHECK(parse(text) == WebConfig{});
  }
}

TEST_CASE("defaults of TLS, and each version and client_auth_type") {
  const WebConfig config = parse(kTls);
  REQUIRE(config.tls);
  CHECK(config.tls->min_version == TlsVersion::tls12);
  CHECK(config.tls->max_version == TlsVersion::tls13);
  CHECK(config.tls->client_auth == ClientAuth::none);
  CHECK(parse(kTls + "  min_version: TLS10").tls->min_version == TlsVersion::tls10);
  CHECK(parse(kTls + "  min_version: TLS11").tls->min_version == TlsVersion::tls11);
  CHECK(parse(kTls + "  max_version: TLS12").tls->max_version == TlsVersion::tls12);
  const auto auth = [](const std::string& type, bool ca) {
    return parse(kTls + "  client_auth_type: " + type + (ca ? "\n  client_ca_file: /ca" : "")).tls->client_auth;
  };
  CHECK(auth("NoClientCert", false) == ClientAuth::none);
  CHECK(auth("RequestClientCert", false) == ClientAuth::request);
  CHECK(auth("RequireAnyClientCert", false) == ClientAuth::require_any);
  CHECK(auth("RequireClientCert", false) == ClientAuth::require_any);
  CHECK(auth("VerifyClientCertIfGiven", true) == ClientAuth::verify_if_given);
  CHECK(auth("RequireAndVerifyClientCert", true) == ClientAuth::require_verified);
}

TEST_CASE("a wrong form or key is said in one sentence with its line") {
  check_table({
      // form
      {"[]", "/d/web.yml:1: expected tls_server_config, http_server_config or basic_auth_users, got a list"},
      {"\ntext", "/d/web.yml:2: expected tls_server_config, http_server_config or basic_auth_users, got a text"},
      {"tls_server_config: [", "/d/web.yml:"},
      {"a: b: c", "/d/web.yml:1: not YAML: "},
      {"{}\n---\n{}\n", "/d/web.yml:1: more than one document"},
      {"? [a]\n: b", "/d/web.yml:1: a key has to be a text"},
      {": b", "/d/web.yml:1: expected a key"},
      {"a: &x 1\nb: *x", "/d/web.yml:1: anchors and aliases (& and *) are not taken"},
      {"a: *secret", "/d/web.yml:1: not YAML: the referenced anchor is not defined"},
      {"basic_auth_users: !!map {}", "/d/web.yml:1: tags (!) are not taken"},
      {"[[[[[[[[[[[[[]]]]]]]]]]]]]", "/d/web.yml:1: nested deeper than 8 levels"},
      // keys
      {"tls_serverconfig:\n", "/d/web.yml:1: tls_serverconfig: unknown key; did you mean \"tls_server_config\"?"},
      {"tls_server_config:\n  cert_fil: x",
       "/d/web.yml:2: tls_server_config.cert_fil: unknown key; did you mean \"tls_server_config.cert_file\"?"},
      {"cert_file: x", "/d/web.yml:1: cert_file: unknown key; did you mean \"tls_server_config.cert_file\"?"},
      {"nothing_like_it: 1", "/d/web.yml:1: nothing_like_it: unknown key"},
      {"http_server_config:\n  headers:\n    x-frame-options: deny",
       "unknown key; did you mean \"http_server_config.headers.X-Frame-Options\"?"},
      {"http_server_config:\n  headers:\n    Set-Cookie: a",
       "/d/web.yml:3: http_server_config.headers.Set-Cookie: unknown"},
      {kTls + "  cert_file: d.pem", "/d/web.yml:4: \"cert_file\": given twice"},
      {kTls + "tls_server_config: {}", "/d/web.yml:4: \"tls_server_config\": given twice"},
      {kUsers + kHash + "\n  ann: " + kHash, "/d/web.yml:3: \"ann\": given twice"},
      {"tls_server_config: 1", "/d/web.yml:1: tls_server_config: expected a map, got \"1\""},
      {"basic_auth_users: []", "/d/web.yml:1: basic_auth_users: expected a map, got a list"},
      // what the exporter-toolkit takes and we do not
      {kTls + "  cipher_suites: [TLS_AES_128_GCM_SHA256]",
       "/d/web.yml:4: tls_server_config.cipher_suites: not taken: "},
      {kTls + "  curve_preferences: []", "/d/web.yml:4: tls_server_config.curve_preferences: not taken: "},
      {"tls_server_config:\n  cert: inline", "cert: not taken: name a file with cert_file"},
      {"tls_server_config:\n  key: inline", "key: not taken: name a file with key_file"},
      {"tls_server_config:\n  client_ca: inline", "client_ca: not taken: name a file with client_ca_file"},
      {"rate_limit:\n  interval: 1s", "/d/web.yml:1: rate_limit: not taken: "},
  });
}

TEST_CASE("a wrong value is said in one sentence with its line") {
  check_table({
      {kTls + "  min_version: TLS14",
       "/d/web.yml:4: tls_server_config.min_version: expected TLS10, TLS11, TLS12 or TLS13, got \"TLS14\""},
      {kTls + "  max_version:", "max_version: expected TLS10, TLS11, TLS12 or TLS13, got nothing"},
      {kTls + "  client_auth_type: Yes", "client_auth_type: expected NoClientCert, "},
      {kTls + "  prefer_server_cipher_suites: 1", "prefer_server_cipher_suites: expected true or false, got \"1\""},
      {"http_server_config:\n  http2: \"true\"", "http2: expected true or false"},
      {"tls_server_config:\n  cert_file: \"a\\0b\"", "cert_file: expected the path of a file, got \"a\\x00b\""},
      {"tls_server_config:\n  cert_file: ''", "cert_file: expected the path of a file, got \"\""},
      {"tls_server_config:\n  cert_file: " + std::string(4096, 'a'), "cert_file: expected the path of a file"},
      {kTls + "  client_allowed_sans: a", "client_allowed_sans: expected a list of at most 100 names"},
      {kTls + "  client_allowed_sans: [\"\"]", "client_allowed_sans: expected a list of at most 100 names"},
      {"http_server_config:\n  headers:\n    X-Frame-Options: allow", "expected deny or sameorigin, got \"allow\""},
      {"http_server_config:\n  headers:\n    X-Content-Type-Options: sniff", "expected nosniff, got \"sniff\""},
      {"http_server_config:\n  headers:\n    X-XSS-Protection: \"0\\r\\nSet-Cookie: a\"", "printable ASCII characters"},
      {"http_server_config:\n  headers:\n    X-XSS-Protection: " + std::string(2049, '1'), "at most 2048"},
      {"http_server_config:\n  headers:\n    X-XSS-Protection: ' 0'", "printable ASCII characters"},
      {"http_server_config:\n  headers:\n    X-XSS-Protection:", "got nothing"},
      // together
      {"tls_server_config:\n  min_version: TLS12",
       "/d/web.yml:1: tls_server_config: cert_file and key_file are missing"},
      {"\ntls_server_config:\n  cert_file: a", "/d/web.yml:2: tls_server_config: cert_file without key_file"},
      {"tls_server_config:\n  key_file: a", "tls_server_config: key_file without cert_file"},
      {kTls + "  min_version: TLS13\n  max_version: TLS12", "min_version is above max_version"},
      {kTls + "  client_auth_type: VerifyClientCertIfGiven", "but client_ca_file is missing"},
      {kTls + "  client_auth_type: RequireAndVerifyClientCert", "but client_ca_file is missing"},
      {kTls + "  client_ca_file: ca", "client_ca_file without a client_auth_type that verifies"},
      {kTls + "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]",
       "client_allowed_sans without a client_auth_type that verifies"},
      // users
      {"basic_auth_users:\n  'a:b': " + kHash, "/d/web.yml:2: basic_auth_users: expected a name of 1 to 256 bytes"},
      {"basic_auth_users:\n  '': " + kHash, "basic_auth_users: expected a name of 1 to 256 bytes"},
      {"basic_auth_users:\n  \"a\\nb\": " + kHash, "basic_auth_users: expected a name of 1 to 256 bytes"},
      {kUsers + "a password", "/d/web.yml:2: basic_auth_users.ann: expected a bcrypt hash of cost 4 to 14"},
      {kUsers, "basic_auth_users.ann: expected a bcrypt hash"},
      {kUsers + "[a]", "basic_auth_users.ann: expected a bcrypt hash"},
  });
}

TEST_CASE("no sentence shows what may be a secret") {
  for (const std::string& text :
       std::vector<std::string>{"basic_auth_users:\n  ann: hunter2", "basic_auth_users:\n  ann: *hunter2",
                                "basic_auth_users: {ann: 'hunter2'}", "basic_auth_users:\n  ann: \"\\hunter2\"",
                                "basic_auth_users:\n  ann: hunter2: x", "basic_auth_users:\n  ann: @hunter2",
                                "basic_auth_users:\n  ann: %hunter2", "basic_auth_users:\n  ann: !hunter2 x",
                                "basic_auth_users:\n  ann: &hunter2 x", "basic_auth_users:\n  ann: [hunter2]",
                                "tls_server_config:\n  key: hunter2"}) {
    CHECK(error_of(text).find("hunter2") == std::string::npos);
  }
}

TEST_CASE("bcrypt hashes") {
  const std::string rest = kHash.substr(7);
  for (const char* good : {"$2a$04$", "$2b$10$", "$2y$14$"}) CHECK(is_bcrypt_hash(good + rest));
  for (const char* bad : {"$2x$10$", "$2$10$", "$1$10$", "$2y$03$", "$2y$15$", "$2y$99$", "$2y$1a$", "$2y$-4$",
                          "$2y$ 4$", "$2y$10.", "x2y$10$"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_bcrypt_hash(bad + rest));
  }
  CHECK_FALSE(is_bcrypt_hash(""));
  CHECK_FALSE(is_bcrypt_hash(kHash.substr(0, 59)));
  CHECK_FALSE(is_bcrypt_hash(kHash + "."));
  for (const std::size_t at : {7U, 28U, 40U, 59U}) {
    std::string changed = kHash;
    changed[at] = '$';
    CHECK_FALSE(is_bcrypt_hash(changed));
  }
  std::string never_equal = kHash;
  never_equal[28] = 'f';  // bits that libcrypt writes as 0
  CHECK_FALSE(is_bcrypt_hash(never_equal));
  never_equal = kHash;
  never_equal[59] = 'X';
  CHECK_FALSE(is_bcrypt_hash(never_equal));
}

TEST_CASE("how many and how large") {
  std::string users = "basic_auth_users:\n";
  for (std::size_t i = 0; i < kMaxWebUsers; ++i) users += "  user" + std::to_string(i) + ": " + kHash + "\n";
  CHECK(parse(users).users.size() == kMaxWebUsers);
  CHECK_THAT(error_of(users + "  one: " + kHash),
             Catch::Contains("/d/web.yml:102: basic_auth_users: more than 100 users"));
  std::string sans =
      kTls + "  client_ca_file: ca\n  client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: [a";
  for (int i = 1; i < 100; ++i) sans += ",a";
  CHECK(parse(sans + "]").tls->client_allowed_sans.size() == 100);
  CHECK_THAT(error_of(sans + ",b]"), Catch::Contains("at most 100 names"));
  CHECK_THAT(error_of(std::string(kMaxWebConfigBytes + 1, '#')), Catch::Contains("larger than 1048576 bytes"));
  CHECK(parse(std::string(kMaxWebConfigBytes, '#')) == WebConfig{});
}

TEST_CASE("a file, a link to one, and what is none") {
  const TemporaryDirectory files;
  const std::string directory = files.path().string();
  const std::string path = directory + "/web.yml";
  const std::string link = directory + "/link.yml";
  std::ofstream(path) << "basic_auth_users: {ann: " << kHash << "}\n";
  REQUIRE(symlink("web.yml", link.c_str()) == 0);
  CHECK(read_web_config(link).value().users.size() == 1);
  const auto missing = read_web_config(directory + "/none.yml");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == ErrorKind::gone);
  CHECK(missing.error().message == directory + "/none.yml: No such file or directory");
  CHECK_FALSE(read_web_config(directory));
  unlink(path.c_str());
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const auto fifo = read_web_config(path);  // nobody writes: it does not wait
  REQUIRE_FALSE(fifo);
  CHECK(fifo.error().message == path + ": not a regular file");
}

TEST_CASE("texts cut anywhere, changed and made at random never throw, and are judged at once") {
  const std::string good =
      kTls +
      "  client_ca_file: ca\n  client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: [\"a\", 'b']\n"
      "http_server_config:\n  headers: {X-Frame-Options: \"deny\"}\nbasic_auth_users:\n  ? ann\n  : >-\n    " +
      kHash + "\n";
  CHECK(parse(good).users.size() == 1);
  const auto judge = [](const std::string& text) {
    const auto config = parse_web_config(text, "/d/web.yml");
    if (config) return;
    REQUIRE(config.error().kind == ErrorKind::malformed);
    REQUIRE(config.error().message.find("/d/web.yml:") == 0);
    REQUIRE(config.error().message == sanitize(config.error().message, 1000));
  };
  for (std::size_t size = 0; size < good.size(); ++size) judge(good.substr(0, size));
  std::mt19937 random(7);  // NOLINT: the same texts in every run
  constexpr std::string_view kSpecial = "-?:,[]{}#&*!|>'\"%@`~ \t\n\\\r\x00\x7f\xff\xc3<=.$";
  for (int round = 0; round < 1500; ++round) {
    std::string text = good;
    for (std::size_t i = 0; i < 1 + random() % 5; ++i) {
      const char c = random() % 3 == 0 ? static_cast<char>(random()) : kSpecial[random() % kSpecial.size()];
      if (random() % 2 == 0)
        text[random() % text.size()] = c;
      else
        text.insert(random() % text.size(), 1, c);
    }
    judge(text);
    std::string noise(random() % 64, ' ');
    for (char& c : noise) c = kSpecial[random() % kSpecial.size()];
    judge(noise);
  }
}

TEST_CASE("a text that is made to be expensive is not") {
  const auto begin = std::chrono::steady_clock::now();
  const auto repeat = [](const std::string& part) {
    std::string text;
    while (text.size() + part.size() <= kMaxWebConfigBytes) text += part;
    return text;
  };
  for (const char* part : {"[", "{", "- ", "? ", "a: ", "!", "&a ", "*a ", "'", "\"", "|\n ", "%a\n", "a\n", "a: [b]\n",
                           "\t", "[a, ", ","}) {
    CAPTURE(part);
    const std::string text = repeat(part);
    for (const std::string& whole : {text, "basic_auth_users: " + text.substr(100)}) {
      const auto config = parse_web_config(whole, "/d/web.yml");
      CHECK((config ? *config == WebConfig{} : config.error().kind == ErrorKind::malformed));
    }
  }
  std::string many;
  for (int i = 0; many.size() < kMaxWebConfigBytes - 100; ++i) many += "k" + std::to_string(i) + ": v\n";
  CHECK_THAT(error_of(many), Catch::Contains("more than 4096 values"));
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string last = std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + last + ",*a" + last + "]\n";
  }
  CHECK_THAT(error_of(laughs), Catch::Contains("anchors and aliases"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

}  // namespace defused
