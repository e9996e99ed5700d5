// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/clients.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace defused {

namespace {

// Who is more dispensable comes first.
int rank(HttpClient::State state) {
  switch (state) {
    case HttpClient::State::first_header: return 0;
    case HttpClient::State::idle: return 1;
    default: return 2;
  }
}

}  // namespace

HttpClient& HttpClients::add(int socket, MHD_Connection* connection, std::uint64_t source, SteadyTime now) {
  HttpClient& client = clients_[++last_];
  client.socket = socket;
  client.connection = connection;
  client.source = source;
  enter(client, HttpClient::State::first_header, now);
  return client;
}

void HttpClients::remove(HttpClient* client) {
  const auto found =
      std::find_if(clients_.begin(), clients_.end(), [&](const auto& entry) { return &entry.second == client; });
  if (found != clients_.end()) clients_.erase(found);
}

void HttpClients::enter(HttpClient& client, HttpClient::State state, SteadyTime now) const {
  client.state = state;
  client.since = now;
  switch (state) {
    case HttpClient::State::first_header: client.deadline = now + limits_.header_time; break;
    case HttpClient::State::idle: client.deadline = now + limits_.idle_time; break;
    case HttpClient::State::answering: client.deadline = now + limits_.answer_time; break;
    case HttpClient::State::suspended: client.deadline = now + limits_.password_time; break;
  }
}

void HttpClients::for_each_late(SteadyTime now, const std::function<void(HttpClient&)>& act) {
  for (auto& [id, client] : clients_) {
    if (!client.cut && now >= client.deadline) act(client);
  }
}

void HttpClients::for_each(const std::function<void(HttpClient&)>& act) {
  for (auto& [id, client] : clients_) act(client);
}

std::chrono::milliseconds HttpClients::next(SteadyTime now, std::chrono::milliseconds most) const {
  for (const auto& [id, client] : clients_) {
    if (client.cut) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(client.deadline - now);
    most = std::clamp(left, std::chrono::milliseconds(0), most);
  }
  return most;
}

HttpClient* HttpClients::find_dispensable(std::optional<std::uint64_t> newcomer) {
  std::unordered_map<std::uint64_t, std::size_t> connections;
  if (newcomer) ++connections[*newcomer];
  for (const auto& [id, client] : clients_) {
    if (!client.cut) ++connections[client.source];
  }
  // The least one gives way.
  const auto order = [&](const HttpClient& client) {
    const std::size_t of_others = clients_.size() + 1 - connections[client.source];
    return std::make_tuple(of_others, rank(client.state), client.since);
  };
  HttpClient* worst = nullptr;
  for (auto& [id, client] : clients_) {
    if (client.cut || client.state == HttpClient::State::suspended) continue;
    if (worst == nullptr || order(client) < order(*worst)) worst = &client;
  }
  return worst;
}

HttpClient* HttpClients::find_slowest_reader(SteadyTime now, std::chrono::milliseconds least) {
  HttpClient* slowest = nullptr;
  for (auto& [id, client] : clients_) {
    if (client.cut || client.state != HttpClient::State::answering || client.answer_bytes == 0) continue;
    if (now - client.since < least) continue;
    if (slowest == nullptr || client.since < slowest->since) slowest = &client;
  }
  return slowest;
}

HttpClient* HttpClients::find_ticket(std::uint64_t ticket) {
  for (auto& [id, client] : clients_) {
    if (client.state == HttpClient::State::suspended && client.ticket == ticket) return &client;
  }
  return nullptr;
}

}  // namespace defused
