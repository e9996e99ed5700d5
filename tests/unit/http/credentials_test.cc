// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/credentials.h"

#include <crypt.h>
#include <poll.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "exporters/http/basic_authorization.h"
#include "exporters/http/password_thread.h"
#include "running_server.h"

using namespace defused;
using namespace std::chrono_literals;
using Answer = Credentials::Answer;

namespace {

std::string hash_of(const std::string& password, int cost = 4) {
  crypt_data data{};
  const std::string setting =
      std::string("$2b$") + (cost < 10 ? "0" : "") + std::to_string(cost) + "$abcdefghijklmnopqrstuu";
  return crypt_r(password.c_str(), setting.c_str(), &data);
}

std::string authorization(const std::string& name, const std::string& password) {
  const std::string line = basic(name, password);
  return line.substr(15, line.size() - 17);
}

std::unique_ptr<Credentials> made(const std::vector<WebUser>& users) {
  auto credentials = Credentials::create();
  REQUIRE(credentials);
  (*credentials)->set_users(users);
  return *std::move(credentials);
}

// Waits for the verdicts of all `tickets`.
std::map<std::uint64_t, Answer> verdicts(Credentials& credentials, std::size_t count) {
  std::map<std::uint64_t, Answer> out;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (out.size() < count && std::chrono::steady_clock::now() < deadline) {
    pollfd one{credentials.descriptor(), POLLIN, 0};
    poll(&one, 1, 1000);
    for (const auto& verdict : credentials.take_verdicts()) out[verdict.ticket] = verdict.answer;
  }
  CHECK(out.size() == count);
  return out;
}

Answer asked(Credentials& credentials, const std::string& name, const std::string& password) {
  static std::uint64_t ticket = 1000;
  const Answer at_once = credentials.ask(authorization(name, password), ++ticket, 0);
  return at_once == Answer::pending ? verdicts(credentials, 1)[ticket] : at_once;
}

WebConfig with_users(const std::vector<WebUser>& users) {
  WebConfig config;
  config.users = users;
  return config;
}

int asked(const RunningServer& server, const std::string& path, const std::string& headers) {
  return status_of(exchange_plain(server, request("GET " + path, headers)));
}

}  // namespace

TEST_CASE("base64 is taken as RFC 4648 says, or not at all") {
  CHECK(parse_base64("") == "");
  CHECK(parse_base64("Zg==") == "f");
  CHECK(parse_base64("Zm8=") == "fo");
  CHECK(parse_base64("Zm9v") == "foo");
  CHECK(parse_base64("/+8A") == std::string("\xff\xef\0", 3));
  for (const char* bad :
       {"Zg", "Zg=", "Zh==", "Zm9=", "Zm9v=", "====", "Z===", "Zm 9", "Zm9v\n", "Zm9_", "=Zg=", "Z=g="}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_base64(bad));
  }
}

TEST_CASE("the header is parsed strictly") {
  const auto parsed = parse_basic_authorization("basic   QWxhZGRpbjpvcGVuOnNlc2FtZQ==");
  REQUIRE(parsed);
  CHECK(parsed->name == "Aladdin");
  CHECK(parsed->password == "open:sesame");
  for (const std::string& bad :
       {std::string(), std::string("Basic"), std::string("Basic "), std::string("Bearer Zm86bw=="),
        std::string("Basic Zm9v"), std::string("Basic Zm86bw== x"), authorization("a", std::string("b\0c", 3)),
        authorization("a", std::string(2000, 'x'))}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_basic_authorization(bad));
  }
}

TEST_CASE("a password is right, wrong, or of nobody") {
  const auto credentials = made({{"ann", hash_of("secret")}, {"bob", hash_of("other")}});
  CHECK(credentials->required());
  CHECK(asked(*credentials, "ann", "secret") == Answer::right);
  CHECK(asked(*credentials, "bob", "other") == Answer::right);
  CHECK(asked(*credentials, "ann", "other") == Answer::wrong);
  CHECK(asked(*credentials, "ann", "") == Answer::wrong);
  CHECK(asked(*credentials, "nobody", "secret") == Answer::wrong);
  CHECK(asked(*credentials, "", "") == Answer::wrong);
  CHECK(credentials->ask("", 1, 0) == Answer::wrong);
  CHECK_FALSE(made({})->required());
  // bcrypt reads 72 bytes; a NUL would hide the rest.
  CHECK(credentials->ask(authorization("ann", std::string("secret\0x", 8)), 1, 0) == Answer::wrong);
}

TEST_CASE("the three spellings of bcrypt, and what is no hash") {
  const std::string hash = hash_of("secret");
  for (const char* prefix : {"$2a$", "$2b$", "$2y$"}) CHECK(is_password_of("secret", prefix + hash.substr(4)));
  CHECK_FALSE(is_password_of("secret", hash.substr(0, hash.size() - 1)));
  CHECK_FALSE(is_password_of("secret", ""));
  CHECK_FALSE(is_password_of("secret", "*0"));
  CHECK_FALSE(is_password_of("secret", "secret"));
}

TEST_CASE("a name that is not known costs as much as the dearest hash") {
  const std::string dear = hash_of("x", 8);
  const std::string unmatched = make_unmatched_hash({hash_of("x", 4), dear, hash_of("x", 5)});
  CHECK(unmatched.substr(0, 7) == "$2b$08$");
  const auto time_of = [](const std::string& hash) {
    auto least = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 5; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      CHECK_FALSE(is_password_of("guess", hash));
      least = std::min(least, std::chrono::steady_clock::now() - begin);
    }
    return least;
  };
  const auto known = time_of(dear);
  const auto unknown = time_of(unmatched);
  CHECK(unknown > known / 2);
  CHECK(unknown < known * 2);
}

TEST_CASE("what was right is remembered until the users change, and in bounded number") {
  const auto credentials = made({{"ann", hash_of("secret")}});
  CHECK(credentials->ask(authorization("ann", "secret"), 1, 0) == Answer::pending);
  CHECK(verdicts(*credentials, 1)[1] == Answer::right);
  CHECK(credentials->ask(authorization("ann", "secret"), 2, 0) == Answer::right);
  CHECK(asked(*credentials, "ann", "wrong") == Answer::wrong);
  CHECK(credentials->ask(authorization("ann", "wrong"), 3, 0) == Answer::pending);
  verdicts(*credentials, 1);
  SECTION("another password") {
    credentials->set_users({{"ann", hash_of("new")}});
    CHECK(asked(*credentials, "ann", "secret") == Answer::wrong);
    CHECK(asked(*credentials, "ann", "new") == Answer::right);
  }
  SECTION("the same users again") {
    credentials->set_users({{"ann", hash_of("secret")}});
    CHECK(credentials->ask(authorization("ann", "secret"), 4, 0) == Answer::pending);
    verdicts(*credentials, 1);
  }
  SECTION("more than are remembered: the least used is forgotten") {
    std::vector<WebUser> users;
    const std::string hash = hash_of("p");
    for (std::size_t i = 0; i <= Credentials::kMostRemembered; ++i) users.push_back({"u" + std::to_string(i), hash});
    credentials->set_users(users);
    for (std::size_t i = 0; i < Credentials::kMostRemembered; ++i)
      CHECK(asked(*credentials, users[i].name, "p") == Answer::right);
    CHECK(credentials->ask(authorization("u0", "p"), 5, 0) == Answer::right);
    CHECK(asked(*credentials, users.back().name, "p") == Answer::right);
    CHECK(credentials->ask(authorization("u0", "p"), 6, 0) == Answer::right);
    CHECK(credentials->ask(authorization("u1", "p"), 7, 0) == Answer::pending);
    verdicts(*credentials, 1);
  }
}

TEST_CASE("what is pending when the users change is wrong, also while its hash is being computed") {
  const auto credentials = made({{"ann", hash_of("secret", 8)}});
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket)
    CHECK(credentials->ask(authorization("ann", "secret"), ticket, 0) == Answer::pending);
  credentials->set_users({{"ann", hash_of("new", 4)}});
  CHECK(credentials->ask(authorization("ann", "new"), 4, 0) == Answer::pending);
  auto got = verdicts(*credentials, 4);
  for (std::uint64_t ticket = 1; ticket <= 3; ++ticket) CHECK(got[ticket] == Answer::wrong);
  CHECK(got[4] == Answer::right);
  CHECK(asked(*credentials, "ann", "secret") == Answer::wrong);
}

TEST_CASE("too many at once: one source keeps nobody else out, and the same question is answered once for all") {
  const auto credentials = made({{"ann", hash_of("secret", 8)}});
  std::uint64_t ticket = 0;
  while (ticket < Credentials::kMostPending) {
    ++ticket;
    CHECK(credentials->ask(authorization("ann", "guess " + std::to_string(ticket)), ticket, 1) == Answer::pending);
  }
  CHECK(credentials->ask(authorization("ann", "one more"), 100, 1) == Answer::busy);
  CHECK(credentials->ask(authorization("ann", "secret"), 101, 2) == Answer::pending);
  CHECK(credentials->ask(authorization("ann", "secret"), 102, 3) == Answer::pending);
  auto got = verdicts(*credentials, Credentials::kMostPending + 2);
  CHECK(got[101] == Answer::right);
  CHECK(got[102] == Answer::right);
  CHECK(got[Credentials::kMostPending] == Answer::busy);
  CHECK(got[Credentials::kMostPending - 1] == Answer::busy);
  CHECK(got[1] == Answer::wrong);
}

TEST_CASE("the sources take turns: who asks from another address waits for two hashes before its own") {
  const auto credentials = made({{"ann", hash_of("secret", 8)}});
  std::uint64_t ticket = 0;
  // Numbers below, above and around those of the flood.
  const std::uint64_t flood = GENERATE(std::uint64_t{1}, std::uint64_t{0}, ~std::uint64_t{0});
  while (++ticket < Credentials::kMostPending - 1)
    CHECK(credentials->ask(authorization("ann", std::to_string(ticket)), ticket, flood) == Answer::pending);
  CHECK(credentials->ask(authorization("ann", "secret"), 101, 2) == Answer::pending);
  CHECK(credentials->ask(authorization("ann", "guess"), 102, 3) == Answer::pending);
  std::vector<std::uint64_t> order;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (order.size() < Credentials::kMostPending && std::chrono::steady_clock::now() < deadline) {
    pollfd one{credentials->descriptor(), POLLIN, 0};
    poll(&one, 1, 1000);
    for (const auto& verdict : credentials->take_verdicts()) order.push_back(verdict.ticket);
  }
  REQUIRE(order.size() == Credentials::kMostPending);
  const auto place = [&](std::uint64_t of) { return std::find(order.begin(), order.end(), of) - order.begin(); };
  CHECK(place(1) == 0);  // it was being computed
  CHECK(place(101) <= 2);
  CHECK(place(102) <= 3);
  // Within a source first come, first served.
  for (std::uint64_t i = 1; i + 2 < Credentials::kMostPending; ++i) CHECK(place(i) < place(i + 1));
}

TEST_CASE("nothing is told to whom may not read") {
  const RunningServer server({}, with_users({{"ann", hash_of("secret")}}));
  const std::string right = basic("ann", "secret");
  CHECK(asked(server, "/", right) == 200);
  CHECK(asked(server, "/", right) == 200);
  CHECK(asked(server, "/nothing", right) == 404);
  CHECK(status_of(exchange_plain(server, request("HEAD /", right))) == 200);
  CHECK(status_of(exchange_plain(server, request("POST /", right))) == 405);
  CHECK(status_of(exchange_plain(server, request("POST /", right + "Content-Length: 9\r\n"))) == 405);
  CHECK(status_of(exchange_plain(server, request("GET /", right + "Content-Length: 9\r\n"))) == 413);
  for (const std::string& wrong : {std::string(), basic("ann", "guess"), basic("eve", "secret"), basic("ann", ""),
                                   std::string("Authorization: Basic !!!!\r\n"), std::string("Authorization: x\r\n")}) {
    CAPTURE(wrong);
    for (const char* path : {"/", "/-/healthy", "/nothing", "/kept"}) CHECK(asked(server, path, wrong) == 401);
    CHECK(status_of(exchange_plain(server, request("POST /", wrong))) == 401);
    CHECK(status_of(exchange_plain(server, request("POST /", wrong + "Content-Length: 9\r\n"))) == 401);
    CHECK(status_of(exchange_plain(server, request("GET /" + std::string(3'000, 'a'), wrong))) == 401);
  }
  const std::string refused = exchange_plain(server, request("GET /"));
  CHECK(header(refused, "WWW-Authenticate") == "Basic realm=\"defused\", charset=\"UTF-8\"");
  CHECK(header(refused, "X-Content-Type-Options") == "nosniff");
  CHECK(body(refused) == "a name and a password are needed.\n");
}

TEST_CASE("each request of a kept connection is asked for its password") {
  const RunningServer server({}, with_users({{"ann", hash_of("secret")}}));
  PlainClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.send(kept_request("GET /", basic("ann", "secret")));
    CHECK(status_of(client.read_response()) == 200);
    client.send(kept_request("GET /"));
    CHECK(status_of(client.read_response()) == 401);
    client.send(kept_request("GET /", basic("ann", "guess" + std::to_string(i))));
    CHECK(status_of(client.read_response()) == 401);
  }
}

TEST_CASE("a flood of wrong passwords does not slow who is known already") {
  const RunningServer server({}, with_users({{"ann", hash_of("secret", 10)}}));
  CHECK(asked(server, "/", basic("ann", "secret")) == 200);
  std::atomic<bool> done = false;
  std::atomic<int> refused = 0;
  std::atomic<int> busy = 0;
  std::vector<std::thread> flood;
  for (int i = 0; i < 24; ++i) {
    flood.emplace_back([&, i] {
      for (int guess = 0; !done; ++guess) {
        const int status = asked(server, "/", basic("ann", std::to_string(i) + "/" + std::to_string(guess)));
        ++(status == 503 ? busy : refused);
        if (status == 503) std::this_thread::sleep_for(20ms);
      }
    });
  }
  while (busy == 0) std::this_thread::yield();
  std::vector<std::chrono::steady_clock::duration> took;
  for (int i = 0; i < 100; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(asked(server, "/", basic("ann", "secret")) == 200);
    took.push_back(std::chrono::steady_clock::now() - begin);
  }
  done = true;
  for (std::thread& thread : flood) thread.join();
  std::sort(took.begin(), took.end());
  CHECK(took[50] < 50ms);  // one hash of this cost takes longer
  CHECK(refused > 0);
}

TEST_CASE("clients that go away or wait too long for their verdict leave nothing behind") {
  HttpLimits limits;
  limits.password_time = 200ms;
  RunningServer server(limits, with_users({{"ann", hash_of("secret", 13)}}));  // half a second and more
  for (int i = 0; i < 8; ++i) {
    PlainClient gone(server.port());
    gone.send(request("GET /", basic("ann", std::to_string(i))));
    if (i % 2 == 0) gone.reset();
  }
  const std::string late = exchange_plain(server, request("GET /", basic("ann", "late")));
  CHECK(status_of(late) == 503);
  CHECK(header(late, "Retry-After") == "1");
  // Who does not ask is served, or refused, at once meanwhile.
  CHECK(asked(server, "/", "") == 401);
  // A change of configuration while some are suspended.
  const PlainClient waiting(server.port());
  waiting.send(request("GET /", basic("ann", "waiting")));
  CHECK(server.set_web_config(with_users({{"ann", hash_of("new")}}), {}));
  CHECK(waiting.is_closed_within(5s));
  // The thread is still at a question of before.
  int status = 0;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (status != 200 && std::chrono::steady_clock::now() < deadline) {
    status = asked(server, "/", basic("ann", "new"));
    poll(nullptr, 0, 20);
  }
  CHECK(status == 200);
}

TEST_CASE("the server ends while clients wait for their verdicts") {
  const PlainClient* left = nullptr;
  {
    const RunningServer server({}, with_users({{"ann", hash_of("secret", 11)}}));
    static std::vector<PlainClient> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back(server.port());
      clients.back().send(request("GET /", basic("ann", std::to_string(i))));
    }
    left = &clients.back();
    // It is suspended once somebody else is answered.
    CHECK(asked(server, "/", "") == 401);
  }
  CHECK(left->is_closed_within(5s));
}
