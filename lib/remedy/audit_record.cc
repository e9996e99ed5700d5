// SPDX-License-Identifier: Apache-2.0
#include "remedy/audit_record.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/codec.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSchema = "defused.audit/v1";

double seconds(Nanoseconds duration) { return std::round(to_seconds(duration) * 1000) / 1000; }

template <typename Word>
Json word(Word value) {
  return std::string(to_string(value));
}

template <typename T, typename Render>
Json list(const std::vector<T>& values, Render render) {
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(values.size(), kMaxListed); ++i) out.push_back(render(values[i]));
  return out;
}

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json as_is(const std::string& text) { return text; }

Json id_of(ConnectionId id) { return id.kernel_dev; }

Json id_or_null(const std::optional<ConnectionId>& id) { return id ? id_of(*id) : Json(); }

Json thread(const BlockedThread& blocked) {
  return {{"pid", blocked.pid},
          {"tid", blocked.id.tid},
          {"start_ticks", blocked.id.start_ticks},
          {"comm", blocked.comm},
          {"wait_class", word(blocked.wait_class)},
          {"sigkill_pending", blocked.sigkill_pending},
          {"stack", list(blocked.stack, as_is)},
          {"connection", id_or_null(blocked.connection)},
          {"candidates", list(blocked.candidates, id_of)},
          {"attribution", word(blocked.attribution)},
          {"attribution_serves_acting", blocked.attribution_serves_acting},
          {"verdict", word(blocked.verdict)},
          {"evidence", word(blocked.evidence)},
          {"context_switches", blocked.context_switches},
          {"samples", blocked.samples},
          {"blocked_seconds", seconds(blocked.blocked_for)}};
}

Json container(const std::optional<Container>& owner) {
  if (!owner) return {};
  return {{"id", owner->id}, {"runtime", owner->runtime}, {"pod_uid", owner->pod_uid}};
}

// Those on which the decision rests come first, so that the cut does not take them.
Json threads(const RemedyOrder& order) {
  std::vector<BlockedThread> sorted = order.finding.blocked_threads;
  std::stable_partition(sorted.begin(), sorted.end(),
                        [&](const BlockedThread& blocked) { return blocked.connection == order.connection.id; });
  return list(sorted, thread);
}

Json pid_namespace(const RemedyOrder& order) {
  const NamespaceFinding& finding = order.finding;
  return {{"inode", finding.id.inode},
          {"init", {{"pid", finding.init.pid}, {"start_ticks", finding.init.start_ticks}, {"comm", finding.init_comm}}},
          {"state", word(finding.state)},
          {"wait_class", word(finding.wait_class)},
          {"verdict", word(finding.verdict)},
          {"evidence", word(finding.evidence)},
          {"since", format_wall_time(finding.since)},
          {"stuck_seconds", seconds(finding.stuck_for)},
          {"samples", finding.samples},
          {"stuck", finding.stuck},
          {"gap", finding.gap},
          {"container", container(finding.container)},
          {"connections", list(finding.connections, id_of)},
          {"blocked_thread_count", finding.blocked_threads.size()},
          {"blocked_threads", threads(order)}};
}

Json server(const Server& holder) {
  return {{"pid", holder.id.pid},
          {"start_ticks", holder.id.start_ticks},
          {"comm", holder.comm},
          {"state", word(holder.state)}};
}

Json connection(const ConnectionFinding& finding) {
  return {{"id", id_of(finding.id)},
          {"directory_inode", finding.directory_inode},
          {"fstype", finding.fstype},
          {"source", expose_source(finding.source, ExposeSource::redacted)},
          {"mount_count", finding.mount_ids.size()},
          {"mount_ids", list(finding.mount_ids, [](int id) { return Json(id); })},
          {"mount_points", list(finding.mount_points, as_is)},
          {"waiting", finding.waiting},
          {"waiting_since", finding.waiting_since ? Json(format_wall_time(*finding.waiting_since)) : Json()},
          {"max_background", finding.max_background},
          {"congestion_threshold", finding.congestion_threshold},
          {"server_state", word(finding.server_state)},
          {"server_evidence", word(finding.server_evidence)},
          {"server_count", finding.servers.size()},
          {"servers", list(finding.servers, server)},
          {"outside_users", or_null(finding.outside_users)},
          {"outside_viewers", or_null(finding.outside_viewers)},
          {"host_mount", finding.host_mount},
          {"orphaned", finding.orphaned}};
}

Json decision(const Decision& made) {
  return {{"action", word(made.action)},
          {"reasons", list(made.reasons, [](Gate gate) { return word(gate); })},
          {"connection", id_or_null(made.connection)}};
}

Json head(const char* record, const LedgerEntry& entry, Nanoseconds time) {
  return {{"schema", kSchema},
          {"record", record},
          {"time", format_wall_time(time)},
          {"intent_time", format_wall_time(entry.at_wall)},
          {"pid_namespace", entry.pid_namespace.inode},
          {"connection", id_of(entry.connection)},
          {"directory_inode", entry.directory_inode}};
}

// Strings went through sanitize(); what still is not UTF-8 must not throw here.
std::string one_line(const Json& record) { return record.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string render_end(const char* record, const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now) {
  Json out = head(record, entry, now.wall);
  out["outcome"] = word(outcome.outcome);
  out["detail"] = outcome.detail;
  out["recovery_seconds"] = outcome.outcome == Outcome::released ? Json(seconds(outcome.recovery)) : Json();
  return one_line(out);
}

}  // namespace

std::string render_intent(const RemedyOrder& order, const LedgerEntry& entry) {
  Json out = head("intent", entry, entry.at_wall);
  out["evidence"] = {{"pid_namespace", pid_namespace(order)},
                     {"connection", connection(order.connection)},
                     {"decision", decision(order.decision)}};
  return one_line(out);
}

std::string render_outcome(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now) {
  return render_end("outcome", entry, outcome, now);
}

std::string render_interrupted(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now) {
  return render_end("interrupted", entry, outcome, now);
}

}  // namespace defused
