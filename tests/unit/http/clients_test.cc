// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/clients.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace defused;
using namespace std::chrono_literals;
using State = HttpClient::State;

namespace {

const SteadyTime kClientsStart = SteadyTime(1h);

std::vector<int> late_at(HttpClients& clients, SteadyTime now) {
  std::vector<int> sockets;
  clients.for_each_late(now, [&](HttpClient& client) { sockets.push_back(client.socket); });
  return sockets;
}

}  // namespace

TEST_CASE("each state has its time") {
  const HttpLimits limits;
  HttpClients clients(limits);
  HttpClient& client = clients.add(3, nullptr, 0, kClientsStart);
  const auto ends = [&](State state, std::chrono::milliseconds time) {
    clients.enter(client, state, kClientsStart);
    CHECK(late_at(clients, kClientsStart + time - 1ms).empty());
    CHECK(late_at(clients, kClientsStart + time) == std::vector<int>{3});
    CHECK(clients.next(kClientsStart + time - 40ms, 1000ms) == 40ms);
    CHECK(clients.next(kClientsStart + time + 40ms, 1000ms) == 0ms);
    CHECK(clients.next(kClientsStart, 10ms) == 10ms);
  };
  ends(State::first_header, limits.header_time);
  ends(State::idle, limits.idle_time);
  ends(State::answering, limits.answer_time);
  ends(State::suspended, limits.password_time);
  client.cut = true;
  CHECK(late_at(clients, kClientsStart + 1h).empty());
  CHECK(clients.next(kClientsStart + 1h, 1000ms) == 1000ms);
  CHECK(limits.idle_time > 2 * 60s);  // a scrape a minute keeps its connection
}

TEST_CASE("who gives way of one source") {
  HttpClients clients{HttpLimits{}};
  CHECK(clients.find_dispensable(0) == nullptr);
  HttpClient& suspended = clients.add(1, nullptr, 0, kClientsStart);
  clients.enter(suspended, State::suspended, kClientsStart);
  suspended.ticket = 7;
  CHECK(clients.find_dispensable(0) == nullptr);
  HttpClient& answering = clients.add(2, nullptr, 0, kClientsStart);
  clients.enter(answering, State::answering, kClientsStart);
  CHECK(clients.find_dispensable(0) == &answering);
  HttpClient& idle = clients.add(3, nullptr, 0, kClientsStart);
  clients.enter(idle, State::idle, kClientsStart + 2s);
  CHECK(clients.find_dispensable(0) == &idle);
  HttpClient& older_idle = clients.add(4, nullptr, 0, kClientsStart);
  clients.enter(older_idle, State::idle, kClientsStart + 1s);
  CHECK(clients.find_dispensable(0) == &older_idle);
  HttpClient& fresh = clients.add(5, nullptr, 0, kClientsStart + 10s);
  CHECK(clients.find_dispensable(0) == &fresh);
  HttpClient& fresher = clients.add(6, nullptr, 0, kClientsStart + 11s);
  CHECK(clients.find_dispensable(0) == &fresh);
  fresh.cut = true;
  CHECK(clients.find_dispensable(0) == &fresher);
  CHECK(clients.find_ticket(7) == &suspended);
  CHECK(clients.find_ticket(8) == nullptr);
  clients.enter(suspended, State::answering, kClientsStart);
  CHECK(clients.find_ticket(7) == nullptr);
  clients.remove(&suspended);
  CHECK(clients.size() == 5);
}

TEST_CASE("the source with the most connections gives way, whatever state the others are in") {
  HttpClients clients{HttpLimits{}};
  std::vector<HttpClient*> greedy;
  for (int i = 0; i < 3; ++i) {
    greedy.push_back(&clients.add(i, nullptr, 1, kClientsStart));
    clients.enter(*greedy.back(), State::idle, kClientsStart + std::chrono::seconds(10 - i));
  }
  HttpClient& shaking_hands = clients.add(10, nullptr, 2, kClientsStart);
  HttpClient& other = clients.add(11, nullptr, 3, kClientsStart - 1h);
  clients.add(12, nullptr, 3, kClientsStart - 2h);
  CHECK(clients.find_dispensable({}) == greedy[2]);
  CHECK(clients.find_dispensable(4) == greedy[2]);
  // The newcomer counts: it is as many as the greedy one, and its own are more dispensable.
  CHECK(clients.find_dispensable(3)->socket == 12);
  greedy[2]->cut = true;
  CHECK(clients.find_dispensable(1) == greedy[1]);
  CHECK(clients.find_dispensable(2)->source == 3);  // two each: the order of states and ages
  // Those that wait for a verdict count, and stay.
  clients.enter(*greedy[0], State::suspended, kClientsStart);
  CHECK(clients.find_dispensable(1) == greedy[1]);
  clients.enter(*greedy[1], State::suspended, kClientsStart);
  CHECK(clients.find_dispensable(1) != greedy[1]);
  CHECK(clients.find_dispensable(1)->source == 3);
  // One each: a newcomer of a known source replaces its own.
  clients.remove(&other);
  CHECK(clients.find_dispensable(2) == &shaking_hands);
  CHECK(clients.find_dispensable(3)->socket == 12);
}

TEST_CASE("the slowest reader") {
  HttpClients clients{HttpLimits{}};
  HttpClient& waiting = clients.add(1, nullptr, 0, kClientsStart);
  clients.enter(waiting, State::answering, kClientsStart);  // nothing is sent to it yet
  HttpClient& newer = clients.add(2, nullptr, 0, kClientsStart);
  clients.enter(newer, State::answering, kClientsStart + 2s);
  newer.answer_bytes = 1;
  CHECK(clients.find_slowest_reader(kClientsStart + 2500ms, 1s) == nullptr);
  CHECK(clients.find_slowest_reader(kClientsStart + 3s, 1s) == &newer);
  HttpClient& older = clients.add(3, nullptr, 0, kClientsStart);
  clients.enter(older, State::answering, kClientsStart + 1s);
  older.answer_bytes = 1;
  CHECK(clients.find_slowest_reader(kClientsStart + 3s, 1s) == &older);
}
