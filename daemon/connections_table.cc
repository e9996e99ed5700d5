// SPDX-License-Identifier: Apache-2.0
#include "daemon/connections_table.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

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

using Widths = std::array<std::size_t, kColumns>;
constexpr std::size_t kSpace = 2;          // between two columns
constexpr std::size_t kIndent = 4;         // of what stands below the first line
constexpr std::size_t kLeastForLast = 24;  // columns for the mount point, else it stands on a line of its own

// The number of cells that each line of a row takes: all in one where nothing bounds it or all fits.
std::vector<std::size_t> split_columns(const Widths& widths, std::size_t whole_width, const Screen& screen) {
  if (screen.width == 0 || whole_width <= screen.width) return {kColumns};
  std::vector<std::size_t> lines;
  std::size_t cells = 0;
  std::size_t used = 0;
  for (std::size_t i = 0; i < kColumns; ++i) {
    const std::size_t need = i + 1 < kColumns ? widths[i] : kLeastForLast;
    if (cells > 0 && used + kSpace + need > screen.width) {
      lines.push_back(cells);
      cells = 0;
      used = kIndent;
    }
    used += need + (cells > 0 ? kSpace : 0);
    ++cells;
  }
  lines.push_back(cells);
  return lines;
}

std::string cut(const std::string& text, std::size_t columns) {
  if (count_columns(text) <= columns) return text;
  std::string out = text;
  while (!out.empty() && count_columns(out) + 2 > columns) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0U) == 0x80U) out.pop_back();
    if (!out.empty()) out.pop_back();
  }
  return out + "..";
}

std::string render_row(const Row& row, const Widths& widths, const std::vector<std::size_t>& lines,
                       const Screen& screen) {
  const bool bounded = lines.size() > 1;
  std::string out;
  std::size_t cell = 0;
  for (std::size_t n = 0; n < lines.size(); ++n) {
    std::string line(n == 0 ? 0 : kIndent, ' ');
    std::size_t used = line.size();
    for (std::size_t i = 0; i < lines[n]; ++i, ++cell) {
      const bool last = i + 1 == lines[n];
      const std::size_t room = !bounded ? std::string::npos : last ? screen.width - used : widths[cell];
      const std::string text = cut(row[cell], room);
      line += text;
      used += std::max(count_columns(text), widths[cell]) + kSpace;
      if (!last) line.append(widths[cell] - std::min(widths[cell], count_columns(text)) + kSpace, ' ');
    }
    out += line + "\n";
  }
  out.pop_back();
  return out;
}

std::optional<Tone> tone_of(const ConnectionFinding& connection) {
  if (connection.stalled_since) return Tone::bad;
  return connection.orphaned ? std::optional<Tone>(Tone::warning) : std::nullopt;
}

// Widths of the columns, and of the widest line if all stands in one.
std::pair<Widths, std::size_t> measure(const std::vector<Row>& rows) {
  // A column is as wide as its widest cell, up to a bound: a longer one moves only its own line.
  constexpr std::size_t kWidest = 28;
  Widths widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      widths[i] = std::max(widths[i], std::min(count_columns(row[i]), kWidest));
    }
  }
  std::size_t whole = 0;
  for (const Row& row : rows) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < kColumns; ++i) {
      const std::size_t cell = count_columns(row[i]);
      used += i + 1 < kColumns ? std::max(widths[i], cell) + kSpace : cell;
    }
    whole = std::max(whole, used);
  }
  return {widths, whole};
}

}  // namespace

void sort_connections(std::vector<ConnectionFinding>& connections) {
  std::stable_sort(connections.begin(), connections.end(), [](const auto& a, const auto& b) {
    const bool first = a.stalled_since || a.orphaned;
    const bool second = b.stalled_since || b.orphaned;
    return first != second ? first : a.id < b.id;
  });
}

std::string render_connections(const Report& report, ExposeSource expose, const Screen& screen) {
  const auto& connections = report.findings.connections;
  if (connections.empty()) {
    return "No FUSE connection on " + report.host + ".\n" + render_blindness(report, screen);
  }
  std::vector<Row> rows(1);
  std::copy(kHeads.begin(), kHeads.end(), rows.front().begin());
  for (const ConnectionFinding& connection : connections) rows.push_back(row_of(connection, report, expose));
  const auto [widths, whole] = measure(rows);
  const auto lines = split_columns(widths, whole, screen);
  std::string out = paint(render_row(rows.front(), widths, lines, screen), Tone::heading, screen) + "\n";
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const std::string row = render_row(rows[i + 1], widths, lines, screen);
    const auto tone = tone_of(connections[i]);
    out += (tone ? paint(row, *tone, screen) : row) + "\n";
  }
  return out + render_blindness(report, screen);
}

}  // namespace defused
