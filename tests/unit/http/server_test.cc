// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/server.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>

#include "exporters/http/request_line.h"
#include "exporters/http/response_headers.h"
#include "running_server.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

std::string value_in(const HeaderList& headers, const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "(none)";
}

// What the kernel holds of what was sent from that port, of all its connections.
std::size_t bytes_queued_from(std::uint16_t port) {
  std::ifstream file("/proc/net/tcp");
  std::size_t bytes = 0;
  for (std::string line; std::getline(file, line);) {
    unsigned int local = 0;
    unsigned int queued = 0;
    if (std::sscanf(line.c_str(), " %*d: %*x:%x %*x:%*x %*x %x", &local, &queued) == 2 && local == port)
      bytes += queued;
  }
  return bytes;
}

}  // namespace

TEST_CASE("GET, HEAD and nothing else") {
  const RunningServer server;
  const std::string got = exchange_plain(server, request("GET /"));
  CHECK(starts(got, "HTTP/1.1 200"));
  CHECK(body(got) == "hello\n");
  CHECK(header(got, "X-Content-Type-Options") == "nosniff");
  const std::string head = exchange_plain(server, request("HEAD /"));
  CHECK(starts(head, "HTTP/1.1 200"));
  CHECK(header(head, "Content-Length") == "6");
  CHECK(body(head).empty());
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X"}) {
    const std::string refused = exchange_plain(server, request(std::string(method) + " /"));
    CHECK(starts(refused, "HTTP/1.1 405"));
    CHECK(header(refused, "Allow") == "GET, HEAD");
    CHECK(body(refused) == "only GET and HEAD are served.\n");
  }
  CHECK(starts(exchange_plain(server, request("GET /other")), "HTTP/1.1 404"));
  CHECK(starts(exchange_plain(server, request("POST /", "Content-Length: 5\r\n") + "abcde"), "HTTP/1.1 405"));
  for (const char* body_follows : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    CHECK(starts(exchange_plain(server, request("GET /", body_follows)), "HTTP/1.1 413"));
  }
  CHECK(starts(exchange_plain(server, request("GET /", "Content-Length: 0\r\n")), "HTTP/1.1 200"));
  CHECK(body(exchange_plain(server, "GET / HTTP/1.0\r\n\r\n")) == "hello\n");
}

TEST_CASE("one connection serves many requests, also when they come all at once") {
  const RunningServer server;
  PlainClient client(server.port());
  for (int i = 0; i < 50; ++i) {
    CHECK(client.send(kept_request("GET /")));
    CHECK(body(client.read_response()) == "hello\n");
    CHECK(client.send(kept_request("HEAD /other")));
    CHECK(status_of(client.read_response(true)) == 404);
  }
  PlainClient pipelining(server.port());
  std::string many;
  for (int i = 0; i < 200; ++i) many += kept_request("GET /");
  CHECK(pipelining.send(many));
  for (int i = 0; i < 200; ++i) CHECK(status_of(pipelining.read_response()) == 200);
}

TEST_CASE("who ends its side with its request is answered and closed, not kept as an idle one") {
  const RunningServer server;
  for (const std::string& line : {std::string("GET /"), std::string("HEAD /large"), std::string("GET /other")}) {
    const PlainClient client(server.port());
    CHECK(client.send(kept_request(line)));
    CHECK(shutdown(client.socket(), SHUT_WR) == 0);
    CHECK(client.is_closed_within(5s));
  }
}

TEST_CASE("gzip where it is accepted and worth it") {
  const RunningServer server;
  const std::string zipped = exchange_plain(server, request("GET /large", "Accept-Encoding: br, gzip;q=0.8\r\n"));
  CHECK(header(zipped, "Content-Encoding") == "gzip");
  CHECK(header(zipped, "Vary") == "Accept-Encoding");
  CHECK(gunzip(body(zipped)) == std::string(20'000, 'x'));
  CHECK(header(exchange_plain(server, request("GET /large")), "Content-Encoding").empty());
  CHECK(header(exchange_plain(server, request("GET /large", "Accept-Encoding: gzip;q=0\r\n")), "Content-Encoding")
            .empty());
  CHECK(header(exchange_plain(server, request("GET /", "Accept-Encoding: gzip\r\n")), "Content-Encoding").empty());
  CHECK(accepts_gzip("gzip"));
  CHECK_FALSE(accepts_gzip("gzip;q=0.0"));
  CHECK_FALSE(accepts_gzip("xgzip"));
}

TEST_CASE("a page has one spelling") {
  const RunningServer server;
  CHECK(body(exchange_plain(server, request("GET /?a=b&c=%00"))) == "hello\n");
  CHECK(body(exchange_plain(server, request("GET /?"))) == "hello\n");
  for (const std::string& other :
       {std::string("//"), std::string("/./"), std::string("/../"), std::string("/x/.."), std::string("/%2e"),
        std::string("/%2F"), std::string("/%00"), std::string("/%"), std::string("/#"), std::string("/;x"),
        std::string("http://localhost/"), std::string("http://localhost"), std::string("*"), std::string("\\")}) {
    CAPTURE(other);
    const std::string got = exchange_plain(server, request("GET " + other));
    CHECK((status_of(got) == 404 || status_of(got) == 400));
  }
  for (const std::string& hidden : {std::string("/\0", 2), std::string("/\0x", 3), std::string("\0/", 2),
                                    std::string("/ /x"), std::string("/\t"), std::string("/?\0", 3)}) {
    CAPTURE(hidden);
    CHECK(body(exchange_plain(server, request("GET " + hidden))) != "hello\n");
  }
}

TEST_CASE("hidden bytes are seen where the library's pointers say so, and nowhere else") {
  // As the library cuts "GET /x HTTP/1.1\r\nHost: h\r\n\r\n".
  const std::string clean("GET\0/x\0HTTP/1.1\0\nHost:\0h\0\n\r\n", 28);
  const char* target = clean.data() + 4;
  CHECK_FALSE(hides_bytes(target, 2, clean.data() + 7, clean.size()));
  const std::string hidden("GET\0/x\0yz\0HTTP/1.1\0\nHost:\0h\0\n\r\n", 31);
  CHECK(hides_bytes(hidden.data() + 4, 2, hidden.data() + 10, hidden.size()));
  CHECK(hides_bytes(hidden.data() + 4, 0, hidden.data() + 10, hidden.size()));
  // A version that is no part of the header, as a newer library may hand out, on either side of it.
  static const char* const kConstant = "HTTP/1.1";
  CHECK_FALSE(hides_bytes(target, 2, kConstant, clean.size()));
  CHECK_FALSE(hides_bytes(target, 2, target - 3, clean.size()));
  CHECK_FALSE(hides_bytes(target, 2, target + clean.size(), clean.size()));
}

TEST_CASE("too long is said so") {
  const RunningServer server;
  const HttpLimits limits;
  CHECK(status_of(exchange_plain(server, request("GET /" + std::string(limits.max_target, 'a')))) == 414);
  CHECK(status_of(exchange_plain(server, request("GET /?" + std::string(limits.max_target, 'a')))) == 414);
  CHECK(status_of(exchange_plain(server, request("GET /?" + std::string(limits.max_target - 2, 'a')))) == 200);
  CHECK(status_of(exchange_plain(server, request("GET /", "X: " + std::string(limits.max_header, 'b') + "\r\n"))) ==
        431);
  CHECK(status_of(exchange_plain(server, request("GET /", "X: " + std::string(limits.max_header / 2, 'b') + "\r\n"))) ==
        200);
  std::string many;
  for (int i = 0; i < 1'500; ++i) many += "X" + std::to_string(i) + ": y\r\n";
  CHECK(status_of(exchange_plain(server, request("GET /", many))) == 431);
  CHECK(body(exchange_plain(server, request("GET /"))) == "hello\n");
}

TEST_CASE("headers: the defaults, and what is configured instead or beside") {
  WebConfig config;
  config.headers = {{"x-frame-options", "SAMEORIGIN"},
                    {"Strict-Transport-Security", "max-age=31536000"},
                    {"Referrer-Policy", ""},
                    {"X-Own", "a: b"}};
  const RunningServer server({}, config);
  for (const std::string& got : {exchange_plain(server, request("GET /")), exchange_plain(server, request("GET /no")),
                                 exchange_plain(server, request("PUT /")), exchange_plain(server, request("HEAD /"))}) {
    CHECK(header(got, "X-Frame-Options") == "SAMEORIGIN");
    for (const char* name : {"X-Frame-Options", "Strict-Transport-Security", "X-Own", "Content-Security-Policy",
                             "X-Content-Type-Options", "Cache-Control", "Content-Type", "Content-Length"}) {
      CAPTURE(name, got);
      CHECK(count_headers(got, name) == 1);
    }
    CHECK(count_headers(got, "Referrer-Policy") == 0);
  }
}

TEST_CASE("headers that cannot be are refused") {
  const auto made = make_response_headers({});
  REQUIRE(made);
  CHECK(value_in(*made, "X-Frame-Options") == "DENY");
  CHECK(value_in(*made, "Content-Security-Policy").find("default-src 'none'") == 0);
  CHECK(value_in(*made, "Strict-Transport-Security") == "(none)");
  const auto twice = make_response_headers({{"X-A", "1"}, {"x-a", "2"}});
  REQUIRE(twice);
  CHECK(value_in(*twice, "X-A") == "2");
  for (const auto& [name, value] : HeaderList{{"", "x"},
                                              {"a b", "x"},
                                              {"a:", "x"},
                                              {"A", "x\r\nB: c"},
                                              {"A", "x\n"},
                                              {"content-length", "4"},
                                              {"Transfer-Encoding", "chunked"}}) {
    CAPTURE(name, value);
    CHECK_FALSE(make_response_headers({{name, value}}));
  }
}

TEST_CASE("a header that does not end is cut off, also when it trickles, and also the second one") {
  HttpLimits limits;
  limits.header_time = 400ms;
  limits.idle_time = 800ms;
  const RunningServer server(limits);
  const auto begin = std::chrono::steady_clock::now();
  const PlainClient silent(server.port());
  const PlainClient trickling(server.port());
  PlainClient second(server.port());
  CHECK(second.send(kept_request("GET /")));
  CHECK(body(second.read_response()) == "hello\n");
  std::atomic<bool> done = false;
  std::thread trickle([&] {
    while (!done) {
      [[maybe_unused]] const bool sent = trickling.send("X") && second.send("Y");
      std::this_thread::sleep_for(20ms);
    }
  });
  CHECK(silent.is_closed_within(20s));
  CHECK(trickling.is_closed_within(20s));
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(second.is_closed_within(20s));
  const auto took_second = std::chrono::steady_clock::now() - begin;
  done = true;
  trickle.join();
  CHECK(took >= 350ms);
  CHECK(took_second >= 750ms);
  CHECK(took_second < 10s);
}

TEST_CASE("an answer that is not taken in time is cut off, however slowly it is taken") {
  HttpLimits limits;
  limits.answer_time = 700ms;
  limits.max_bytes_in_flight = 1U << 30U;
  const RunningServer server(limits);
  const PlainClient stalled(server.port(), 4096);
  const PlainClient slow(server.port(), 4096);
  CHECK(stalled.send(request("GET /huge")));
  CHECK(slow.send(request("GET /huge")));
  const auto begin = std::chrono::steady_clock::now();
  char byte = 0;
  bool open = true;
  while (open && std::chrono::steady_clock::now() - begin < 10s) {
    open = recv(slow.socket(), &byte, 1, 0) == 1;
    pollfd one{slow.socket(), 0, 0};
    poll(&one, 1, 0);
    if ((one.revents & (POLLHUP | POLLERR)) != 0) open = false;
    std::this_thread::sleep_for(10ms);
  }
  CHECK_FALSE(open);
  CHECK(std::chrono::steady_clock::now() - begin >= 600ms);
  CHECK(stalled.is_closed_within(10s));
  CHECK(body(exchange_plain(server, request("GET /"))) == "hello\n");
}

TEST_CASE("idle connections starve nobody") {
  HttpLimits limits;
  limits.max_connections = 32;
  const RunningServer server(limits);
  PlainClient served(server.port());
  CHECK(served.send(kept_request("GET /")));
  CHECK(body(served.read_response()) == "hello\n");
  std::vector<PlainClient> idle;
  idle.reserve(200);
  for (int i = 0; i < 200; ++i) idle.emplace_back(server.port());
  for (int i = 0; i < 20; ++i) CHECK(body(exchange_plain(server, request("GET /"))) == "hello\n");
  // Who never finished a header went first.
  CHECK(served.send(kept_request("GET /")));
  CHECK(body(served.read_response()) == "hello\n");
  CHECK(idle.front().is_closed_within(5s));
}

TEST_CASE("an address with all the connections there may be keeps nobody else out") {
  HttpLimits limits;
  limits.max_connections = 8;
  const RunningServer server(limits);
  // Each has been answered, so none of them is as dispensable as one in its first header.
  std::vector<PlainClient> greedy;
  for (std::size_t i = 0; i < limits.max_connections; ++i) {
    greedy.emplace_back(server.port());
    CHECK(greedy.back().send(kept_request("GET /")));
    CHECK(body(greedy.back().read_response()) == "hello\n");
  }
  PlainClient slow(server.port(), 0, "127.0.0.9");
  CHECK(greedy.front().is_closed_within(5s));
  for (int i = 0; i < 40; ++i) greedy.emplace_back(server.port());
  CHECK(greedy[limits.max_connections].is_closed_within(5s));
  CHECK(slow.send(kept_request("GET /")));
  CHECK(body(slow.read_response()) == "hello\n");
}

TEST_CASE("a newcomer of a source that has its share replaces one of its own") {
  HttpLimits limits;
  limits.max_connections = 4;
  const RunningServer server(limits);
  std::vector<PlainClient> kept;
  for (const char* from : {"127.0.0.1", "127.0.0.1", "127.0.0.9", "127.0.0.9"}) {
    kept.emplace_back(server.port(), 0, from);
    CHECK(kept.back().send(kept_request("GET /")));
    CHECK(body(kept.back().read_response()) == "hello\n");
  }
  const PlainClient newcomer(server.port(), 0, "127.0.0.9");
  CHECK(kept[2].is_closed_within(5s));
  for (const std::size_t i : {0U, 1U, 3U}) CHECK_FALSE(kept[i].is_closed_within(0ms));
}

TEST_CASE("the kernel holds little for a client that does not read") {
  const RunningServer server;
  const PlainClient stalled(server.port(), 4096);
  CHECK(stalled.send(kept_request("GET /huge")));
  // By itself it would hold up to 4 MiB (tcp_wmem).
  std::size_t queued = 0;
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (queued == 0 && std::chrono::steady_clock::now() < deadline) queued = bytes_queued_from(server.port());
  const auto settled = std::chrono::steady_clock::now() + 200ms;
  while (std::chrono::steady_clock::now() < settled) queued = std::max(queued, bytes_queued_from(server.port()));
  CHECK(queued > 0);
  CHECK(queued < 600'000);
}

TEST_CASE("what is being sent is bounded; slow readers go before anybody is refused for long") {
  HttpLimits limits;
  limits.max_bytes_in_flight = 24U << 20U;
  int made = 0;
  RunningServer server(limits, {}, {}, [&](const HttpRequest&) {
    HttpResponse response;
    response.body = std::string(8U << 20U, static_cast<char>('a' + made++ % 26));
    return response;
  });
  std::vector<PlainClient> stalled;
  for (int i = 0; i < 6; ++i) {
    stalled.emplace_back(server.port(), 4096);
    CHECK(stalled.back().send(kept_request("GET /")));
  }
  int refused = 0;
  int served = 0;
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (served == 0 && std::chrono::steady_clock::now() < deadline) {
    const std::string got = exchange_plain(server, request("GET /"));
    if (status_of(got) == 503) ++refused;
    if (status_of(got) == 200 && body(got).size() == 8U << 20U) ++served;
  }
  CHECK(refused > 0);
  CHECK(served == 1);
}

TEST_CASE("what may be kept is made once for all, and again when it is forgotten or old") {
  RunningServer server;
  const std::string gzip = "Accept-Encoding: gzip\r\n";
  CHECK(starts(body(exchange_plain(server, request("GET /kept"))), "made 1 "));
  CHECK(starts(body(exchange_plain(server, request("GET /kept?x"))), "made 1 "));
  CHECK(starts(gunzip(body(exchange_plain(server, request("GET /kept", gzip)))), "made 1 "));
  server.run([](HttpServer& one) { one.forget_answers(); });
  CHECK(starts(gunzip(body(exchange_plain(server, request("GET /kept", gzip)))), "made 2 "));
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  std::string got;
  while (!starts(got, "made 3 ") && std::chrono::steady_clock::now() < deadline)
    got = body(exchange_plain(server, request("GET /kept")));
  CHECK(starts(got, "made 3 "));
}

TEST_CASE("garbage is answered or cut off, and it goes on serving") {
  HttpLimits limits;
  limits.header_time = 200ms;
  const RunningServer server(limits);
  for (const std::string& garbage :
       {std::string("\0\1\2\3\r\n\r\n", 8), std::string("GET\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"),
        "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n", std::string("GET / HTTP/1.1\r\n\r\n"),
        request("GET /", "X: " + std::string(60'000, 'b') + "\r\n"), std::string("\r\n\r\n\r\n"),
        request("GET /", "Content-Length: -1\r\n"), request("GET /", "Content-Length: 99999999999999999999999\r\n"),
        std::string("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")}) {
    const std::string answer = exchange_plain(server, garbage);
    CHECK(status_of(answer) != 200);
  }
  CHECK(body(exchange_plain(server, request("GET /"))) == "hello\n");
}

TEST_CASE("without a descriptor left it neither spins nor ends, and serves again") {
  HttpLimits limits;
  limits.header_time = 10s;
  const RunningServer server(limits);
  // Only one descriptor is left, and the client takes it.
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{100, before.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &few) != 0) FAIL("setrlimit");
  std::vector<UniqueFd> fillers;
  do {
    fillers.emplace_back(dup(STDIN_FILENO));
  } while (fillers.back());
  fillers.pop_back();
  fillers.pop_back();
  PlainClient client(server.port());
  const std::uint64_t begin = server.turns();
  const bool closed = client.is_closed_within(500ms);
  const std::uint64_t turns = server.turns() - begin;
  const bool restored = setrlimit(RLIMIT_NOFILE, &before) == 0;
  fillers.clear();  // before any check: UBSan needs descriptors to look at what is checked
  REQUIRE(restored);
  CHECK_FALSE(closed);
  CHECK(turns < 100);  // the loop of this test has one in 20 ms anyway
  CHECK(client.send(kept_request("GET /")));
  CHECK(body(client.read_response()) == "hello\n");
}
