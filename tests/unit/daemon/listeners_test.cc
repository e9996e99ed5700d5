// SPDX-License-Identifier: Apache-2.0
#include "daemon/listeners.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

using namespace defused;

namespace {

std::string port_of(const Listener& listener) { return listener.address.substr(listener.address.rfind(':') + 1); }

bool connects(int family, const std::string& port) {
  const UniqueFd client(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto number = htons(static_cast<std::uint16_t>(std::stoi(port)));
  if (family == AF_INET) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = number;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = number;
  address.sin6_addr = in6addr_loopback;
  return connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool has_ipv6() {
  const auto opened = open_listeners({"[::1]:0"});
  if (!opened) WARN("this host has no IPv6");
  return opened.has_value();
}

// The first with a port of its own choice.
Result<std::vector<Listener>> open_two() {
  std::string address;
  if (const auto free = open_listeners({"127.0.0.1:0"})) address = free->front().address;
  return open_listeners({address, "127.0.0.1:0"});
}

// A front holds each listener as well: closing ours frees no port.
std::vector<UniqueFd> copies_of(const std::vector<Listener>& listeners) {
  std::vector<UniqueFd> copies;
  for (const Listener& listener : listeners) copies.emplace_back(dup(listener.socket.get()));
  return copies;
}

}  // namespace

TEST_CASE("a free port, and its URL") {
  auto opened = open_listeners({"127.0.0.1:0", "localhost:0"});
  REQUIRE(opened);
  REQUIRE(opened->size() == 2);
  for (const Listener& listener : *opened) {
    CHECK(listener.address.rfind("127.0.0.1:", 0) == 0);
    CHECK(listener.address != "127.0.0.1:0");
    CHECK(url_of(listener, false) == "http://" + listener.address + "/");
    CHECK(url_of(listener, true) == "https://" + listener.address + "/");
  }
}

TEST_CASE("a port in use is named") {
  auto first = open_listeners({"127.0.0.1:0"});
  REQUIRE(first);
  const std::string& address = first->front().address;
  auto second = open_listeners({address});
  REQUIRE_FALSE(second);
  CHECK(second.error().message == "cannot listen on " + address + ": Address already in use");
}

TEST_CASE("addresses that are none") {
  for (const char* address : {"nowhere", "example.org:80", "127.0.0.1:http", "300.1.1.1:80", ":http"}) {
    CAPTURE(address);
    CHECK_FALSE(open_listeners({address}));
  }
}

TEST_CASE("without a host it is all addresses, of IPv6 as well") {
  if (!has_ipv6()) return;
  const auto opened = open_listeners({":0"});
  REQUIRE(opened);
  CHECK(opened->front().address.rfind("[::]:", 0) == 0);
  CHECK(connects(AF_INET, port_of(opened->front())));
  CHECK(connects(AF_INET6, port_of(opened->front())));
}

TEST_CASE("without a host, where the kernel has no IPv6, it is all that there are") {
  const pid_t child = fork();
  if (child == 0) {
    const auto filter = seccomp_init(SCMP_ACT_ALLOW);
    const scmp_arg_cmp ipv6 = {0, SCMP_CMP_EQ, AF_INET6, 0};
    if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &ipv6) < 0 ||
        seccomp_load(filter) < 0) {
      _exit(2);
    }
    const auto opened = open_listeners({":0"});
    _exit(opened && opened->front().address.rfind("0.0.0.0:", 0) == 0 && connects(AF_INET, port_of(opened->front()))
              ? 0
              : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("an address that says the same in other words stays") {
  auto listeners = open_listeners({"localhost:0", "127.0.0.1:0"});
  REQUIRE(listeners);
  const int first = listeners->at(0).socket.get();
  const int second = listeners->at(1).socket.get();
  // Text first: what is bound to it does not depend on its place in the list.
  REQUIRE(change_listeners(*listeners, {"127.0.0.1:0", "localhost:0"}));
  CHECK(listeners->at(0).socket.get() == second);
  CHECK(listeners->at(1).socket.get() == first);
  REQUIRE(change_listeners(*listeners, {"127.0.0.1:0"}));
  const std::string port = port_of(listeners->front());
  for (const std::string host : {"localhost", "127.0.0.1", "localhost"}) {
    REQUIRE(change_listeners(*listeners, {host + ":0"}));
    CHECK(listeners->front().socket.get() == second);
    CHECK(listeners->front().asked == host + ":0");
    CHECK(port_of(listeners->front()) == port);
  }
}

TEST_CASE("an address opens where an old one was in its way, though the front still has that one") {
  auto listeners = open_two();
  REQUIRE(listeners);
  const std::string port = port_of(listeners->at(0));
  const int other = listeners->at(1).socket.get();
  std::vector<std::string> steps = {":", "127.0.0.1:", "0.0.0.0:", "127.0.0.1:"};
  if (has_ipv6()) steps.insert(steps.end(), {":", "0.0.0.0:", "[::1]:", ":"});
  std::vector<UniqueFd> fronts;
  for (const std::string& step : steps) {
    CAPTURE(step);
    for (UniqueFd& copy : copies_of(*listeners)) fronts.push_back(std::move(copy));
    const auto changed = change_listeners(*listeners, {step + port, "127.0.0.1:0"});
    CHECK((changed ? "" : changed.error().message) == std::string());
    CHECK(listeners->at(0).asked == step + port);
    CHECK(port_of(listeners->at(0)) == port);
    CHECK(listeners->at(1).socket.get() == other);
    CHECK(connects(step.front() == '[' ? AF_INET6 : AF_INET, port));
    CHECK(connects(AF_INET, port_of(listeners->at(1))));
  }
}

TEST_CASE("what cannot be opened leaves all as it was, what was stopped for another as well") {
  auto listeners = open_two();
  const auto taken = open_listeners({"127.0.0.1:0"});
  REQUIRE((listeners && taken));
  const auto fronts = copies_of(*listeners);
  const std::string port = port_of(listeners->at(0));
  const int first = listeners->at(0).socket.get();
  const std::string& busy = taken->front().address;
  const auto changed = change_listeners(*listeners, {":" + port, busy, "127.0.0.1:0"});
  REQUIRE_FALSE(changed);
  CHECK(changed.error().message == "cannot listen on " + busy + ": Address already in use");
  REQUIRE(listeners->size() == 2);
  CHECK(listeners->at(0).socket.get() == first);
  CHECK(listeners->at(0).asked == "127.0.0.1:" + port);
  for (const Listener& listener : *listeners) CHECK(connects(AF_INET, port_of(listener)));
  // It is the one that was: who connects comes to the front, by its own descriptor.
  const UniqueFd accepted(accept(fronts.front().get(), nullptr, nullptr));
  CHECK(accepted);
}
