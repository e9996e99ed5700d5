// SPDX-License-Identifier: Apache-2.0
#include "daemon/connections_table.h"

#include <algorithm>
#include <array>

#include "daemon/describe.h"
#include "daemon/render_table.h"
#include "model/codec.h"

namespace defused {

namespace {

// What is told in columns; what has no bound of its own (mount point, source) stands last, where it breaks no column.
constexpr std::size_t kColumns = 9;
constexpr std::array<const char*, kColumns> kHeads = {"CONNECTION", "TYPE",   "WAITING",   "STALLED",   "USERS",
                                                      "VIEWERS",    "SERVER", "CONTAINER", "MOUNTED AT"};
using Row = std::array<std::string, kColumns>;

std::string or_unknown(const std::optional<std::uint32_t>& value) { return value ? std::to_string(*value) : "?"; }

std::string describe_server(const ConnectionFinding& connection) {
  std::string text;
  if (connection.servers.empty()) {
    text = to_string(connection.server_state);
  } else {
    const Server& first = connection.servers.front();
    text = std::to_string(first.id.pid) + " (" + first.comm + ") " + std::string(to_string(first.state));
    if (first.process_state == 'T') text += ", stopped";
    if (first.process_state == 't') text += ", stopped by a tracer";
    if (connection.servers.size() > 1) text += " +" + std::to_string(connection.servers.size() - 1);
  }
  if (connection.server_evidence == Evidence::inferred) text += ", inferred";
  return text;
}

std::string describe_containers(const ConnectionFinding& connection) {
  if (connection.containers.empty()) return "-";
  const Container& first = connection.containers.front();
  constexpr std::size_t kShortId = 12;
  std::string text = first.id.empty() ? first.pod_uid : first.id.substr(0, kShortId);
  if (connection.containers.size() > 1) text += " +" + std::to_string(connection.containers.size() - 1);
  return text;
}

std::string describe_mounts(const ConnectionFinding& connection, ExposeSource expose) {
  std::string text = connection.orphaned ? "orphaned" : "nowhere that was read";
  if (!connection.mount_points.empty()) text = connection.mount_points.front();
  if (connection.mount_points.size() > 1) text += " +" + std::to_string(connection.mount_points.size() - 1);
  const std::string source = expose_source(connection.source, expose);
  if (!source.empty()) text += " (" + source + ")";
  if (connection.host_mount) text += " [host]";
  return text;
}

Row row_of(const ConnectionFinding& connection, const Report& report, ExposeSource expose) {
  const auto& since = connection.stalled_since;
  return {number(connection.id),
          connection.fstype.empty() ? "?" : connection.fstype,
          std::to_string(connection.waiting) + "/" + std::to_string(connection.max_background),
          since ? render_age(std::max(report.scanned_at - *since, Nanoseconds(0))) : "-",
          or_unknown(connection.outside_users),
          or_unknown(connection.outside_viewers),
          describe_server(connection),
          describe_containers(connection),
          describe_mounts(connection, expose)};
}

void add_row(std::string& out, const Row& row, const std::array<std::size_t, kColumns>& widths) {
  for (std::size_t i = 0; i < kColumns; ++i) {
    out += row[i];
    if (i + 1 < kColumns) out.append(widths[i] - std::min(widths[i], row[i].size()) + 2, ' ');
  }
  out += "\n";
}

}  // namespace

void sort_connections(std::vector<ConnectionFinding>& connections) {
  std::stable_sort(connections.begin(), connections.end(), [](const auto& a, const auto& b) {
    const bool first = a.stalled_since || a.orphaned;
    const bool second = b.stalled_since || b.orphaned;
    return first != second ? first : a.id < b.id;
  });
}

std::string render_connections(const Report& report, ExposeSource expose) {
  std::vector<Row> rows;
  Row head;
  std::copy(kHeads.begin(), kHeads.end(), head.begin());
  rows.push_back(head);
  for (const ConnectionFinding& connection : report.findings.connections) {
    rows.push_back(row_of(connection, report, expose));
  }
  // A column is as wide as its widest cell, up to a bound: a longer one moves only its own line.
  constexpr std::size_t kWidest = 28;
  std::array<std::size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], std::min(row[i].size(), kWidest));
  }
  std::string out;
  if (rows.size() > 1) {
    for (const Row& row : rows) add_row(out, row, widths);
  } else {
    out = "No FUSE connection on " + report.host + ".\n";
  }
  return out + render_blindness(report);
}

}  // namespace defused
