// SPDX-License-Identifier: Apache-2.0
#include "daemon/channel.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>

using namespace defused;

TEST_CASE("a message and a descriptor arrive") {
  auto channel = make_channel();
  REQUIRE(channel);
  auto memfd = make_sealed_memfd("test", {1, 2, 3});
  REQUIRE(memfd);
  Message message;
  message.type = MessageType::report;
  message.pass = 17;
  std::strcpy(message.phase, "walk");
  REQUIRE(send_message(channel->first.get(), message, memfd->get()));
  auto received = receive_message(channel->second.get(), false);
  REQUIRE(received);
  REQUIRE(*received);
  CHECK((*received)->message.pass == 17);
  CHECK(std::string((*received)->message.phase) == "walk");
  CHECK(read_memfd((*received)->descriptor.get()).value() == std::vector<std::uint8_t>{1, 2, 3});
  CHECK((fcntl((*received)->descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(identify_memfd((*received)->descriptor.get()) == identify_memfd(memfd->get()));
}

TEST_CASE("nothing there, a full channel, a closed one") {
  auto channel = make_channel();
  REQUIRE(channel);
  auto nothing = receive_message(channel->second.get(), false);
  REQUIRE(nothing);
  CHECK_FALSE(*nothing);
  Result<void> sent;
  int count = 0;
  while ((sent = send_message(channel->first.get(), Message{})) && count < 100'000) ++count;
  REQUIRE_FALSE(sent);
  CHECK(sent.error().kind == ErrorKind::timeout);
  CHECK(count > 10);
  channel->second.reset();
  CHECK(send_message(channel->first.get(), Message{}).error().kind == ErrorKind::gone);
  CHECK(receive_message(channel->first.get(), true).error().kind == ErrorKind::gone);
}

TEST_CASE("a packet of another size is malformed") {
  auto channel = make_channel();
  REQUIRE(channel);
  REQUIRE(write(channel->first.get(), "short", 5) == 5);
  CHECK(receive_message(channel->second.get(), true).error().kind == ErrorKind::malformed);
}

TEST_CASE("a sealed memfd cannot be changed") {
  auto memfd = make_sealed_memfd("test", {1, 2, 3});
  REQUIRE(memfd);
  CHECK(pwrite(memfd->get(), "x", 1, 0) == -1);
  CHECK(errno == EPERM);
  CHECK(ftruncate(memfd->get(), 0) == -1);
}
