// SPDX-License-Identifier: Apache-2.0
#include "daemon/listeners.h"

#include <catch2/catch.hpp>

using namespace defused;

TEST_CASE("a free port, and its URL") {
  auto opened = open_listeners({"127.0.0.1:0", "localhost:0"});
  REQUIRE(opened);
  REQUIRE(opened->size() == 2);
  for (const Listener& listener : *opened) {
    CHECK(listener.url.rfind("http://127.0.0.1:", 0) == 0);
    CHECK(listener.url != "http://127.0.0.1:0/");
  }
}

TEST_CASE("a port in use is named") {
  auto first = open_listeners({"127.0.0.1:0"});
  REQUIRE(first);
  std::string address = first->front().url.substr(7);
  address.pop_back();
  auto second = open_listeners({address});
  REQUIRE_FALSE(second);
  CHECK(second.error().message == "cannot listen on " + address + ": Address already in use");
}

TEST_CASE("addresses that are none") {
  for (const char* address : {"nowhere", "example.org:80", "127.0.0.1:http", "300.1.1.1:80"}) {
    CAPTURE(address);
    CHECK_FALSE(open_listeners({address}));
  }
}
