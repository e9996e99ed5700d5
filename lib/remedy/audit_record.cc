// SPDX-License-Identifier: Apache-2.0
#include "remedy/audit_record.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
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

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json as_is(const std::string& text) { return text; }

Json id_of(ConnectionId id) { return id.kernel_dev; }

Json id_or_null(const std::optional<ConnectionId>& id) { return id ? id_of(*id) : Json(); }

Json time_or_null(const std::optional<Nanoseconds>& wall) { return wall ? Json(format_wall_time(*wall)) : Json(); }

Json letter(char state) { return std::string(1, state); }

Json named(const NamedProcess& process) { return {{"pid", process.pid}, {"comm", process.comm}}; }

Json gaps(const Gaps& counted) {
  Json out = Json::array();
  for (const auto& [what, count] : counted) {
    out.push_back({{"file", what.first}, {"kind", word(what.second)}, {"count", count}});
  }
  return out;
}

Json mount(const FuseMount& line) {
  return {{"mount_id", line.mount_id},
          {"connection", id_of(line.connection)},
          {"fstype", line.fstype},
          {"source", expose_source(line.source, ExposeSource::redacted)},
          {"mount_point", line.mount_point}};
}

Json container(const Container& owner) {
  return {{"id", owner.id}, {"runtime", owner.runtime}, {"pod_uid", owner.pod_uid}};
}

Json server(const Server& holder) {
  return {{"pid", holder.id.pid},
          {"start_ticks", holder.id.start_ticks},
          {"comm", holder.comm},
          {"state", word(holder.state)},
          {"process_state", letter(holder.process_state)}};
}

Json decision(const Decision& made) {
  Json reasons = Json::array();
  for (const Gate gate : made.reasons) reasons.push_back(word(gate));
  return {{"action", word(made.action)},
          {"reasons", std::move(reasons)},
          {"connection", id_or_null(made.connection)},
          {"abort_budget_remaining", made.abort_budget}};
}

// All that a decision rests on, no list longer than `limit`.
class EvidenceRenderer {
 public:
  explicit EvidenceRenderer(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] Json render(const NamespaceFinding& finding, const std::vector<const ConnectionFinding*>& connections,
                            const Decision& made) const {
    return {{"pid_namespace", pid_namespace(finding, made.connection)},
            {"connections", list(connections, [this](const ConnectionFinding* it) { return connection(*it); })},
            {"decision", decision(made)}};
  }

 private:
  template <typename T, typename RenderOne>
  [[nodiscard]] Json list(const std::vector<T>& values, RenderOne render_one) const {
    Json out = Json::array();
    for (std::size_t i = 0; i < std::min(values.size(), limit_); ++i) out.push_back(render_one(values[i]));
    return out;
  }

  [[nodiscard]] Json thread(const BlockedThread& blocked) const {
    return {{"pid", blocked.pid},
            {"tid", blocked.id.tid},
            {"start_ticks", blocked.id.start_ticks},
            {"comm", blocked.comm},
            {"thread_state", letter(blocked.state)},
            {"has_memory", blocked.has_memory},
            {"exiting", or_null(blocked.exiting)},
            {"sigkill_pending", blocked.sigkill_pending},
            {"wait_class", word(blocked.wait_class)},
            {"stack", list(blocked.stack, as_is)},
            {"wchan", blocked.wchan},
            {"connection", id_or_null(blocked.connection)},
            {"candidate_count", blocked.candidates.size()},
            {"candidates", list(blocked.candidates, id_of)},
            {"mounts", list(blocked.mounts, mount)},
            {"attribution", word(blocked.attribution)},
            {"attribution_serves_acting", blocked.attribution_serves_acting},
            {"told_by", word(blocked.witness)},
            {"verdict", word(blocked.verdict)},
            {"evidence", word(blocked.evidence)},
            {"context_switches", blocked.context_switches},
            {"samples", blocked.samples},
            {"blocked_seconds", seconds(blocked.blocked_for)},
            {"waits_for", blocked.awaited ? named(*blocked.awaited) : Json()},
            {"gaps", gaps(blocked.gaps)}};
  }

  // Those on which the decision rests come first, so that the cut does not take them.
  [[nodiscard]] Json threads(const NamespaceFinding& finding, std::optional<ConnectionId> deciding) const {
    std::vector<const BlockedThread*> sorted;
    for (const BlockedThread& blocked : finding.blocked_threads) sorted.push_back(&blocked);
    std::stable_partition(sorted.begin(), sorted.end(), [&](const BlockedThread* blocked) {
      return blocked->connection && blocked->connection == deciding;
    });
    return list(sorted, [this](const BlockedThread* blocked) { return thread(*blocked); });
  }

  [[nodiscard]] Json pid_namespace(const NamespaceFinding& finding, std::optional<ConnectionId> deciding) const {
    const std::size_t known = finding.blocked_threads.size();
    const ProcessId& init = finding.init;
    return {{"inode", finding.id.inode},
            {"init", {{"pid", init.pid}, {"start_ticks", init.start_ticks}, {"comm", finding.init_comm}}},
            {"state", word(finding.state)},
            {"wait_class", word(finding.wait_class)},
            {"verdict", word(finding.verdict)},
            {"evidence", word(finding.evidence)},
            {"since", format_wall_time(finding.since)},
            {"stuck_seconds", seconds(finding.stuck_for)},
            {"samples", finding.samples},
            {"stuck", finding.stuck},
            {"gap", finding.gap},
            {"gaps", gaps(finding.gaps)},
            {"container", finding.container ? container(*finding.container) : Json()},
            {"cgroup", finding.cgroup},
            {"member_count", finding.member_count},
            {"members", list(finding.members, named)},
            {"waits_for_count", finding.waits_for.size()},
            {"waits_for", list(finding.waits_for, [](NamespaceId id) { return Json(id.inode); })},
            {"connection_count", finding.connections.size()},
            {"connections", list(finding.connections, id_of)},
            {"blocked_thread_count", std::max<std::size_t>(finding.blocked_thread_count, known)},
            {"blocked_threads", threads(finding, deciding)}};
  }

  [[nodiscard]] Json connection(const ConnectionFinding& finding) const {
    return {{"id", id_of(finding.id)},
            {"device", device_number(finding.id)},
            {"directory_inode", finding.directory_inode},
            {"fstype", finding.fstype},
            {"source", expose_source(finding.source, ExposeSource::redacted)},
            {"mount_count", finding.mount_ids.size()},
            {"mount_ids", list(finding.mount_ids, [](int id) { return Json(id); })},
            {"mount_point_count", finding.mount_points.size()},
            {"mount_points", list(finding.mount_points, as_is)},
            {"host_mount", finding.host_mount},
            {"waiting", finding.waiting},
            {"waiting_since", time_or_null(finding.waiting_since)},
            {"stalled_since", time_or_null(finding.stalled_since)},
            {"max_background", finding.max_background},
            {"congestion_threshold", finding.congestion_threshold},
            {"server_state", word(finding.server_state)},
            {"server_evidence", word(finding.server_evidence)},
            {"server_count", finding.servers.size()},
            {"servers", list(finding.servers, server)},
            {"outside_users", or_null(finding.outside_users)},
            {"users", list(finding.users, named)},
            {"outside_viewers", or_null(finding.outside_viewers)},
            {"viewers", list(finding.viewers, named)},
            {"containers", list(finding.containers, container)},
            {"readers_disagree", finding.readers_disagree},
            {"orphaned", finding.orphaned}};
  }

  std::size_t limit_;
};

Json head(const char* record, Nanoseconds time) {
  return {{"schema", kSchema}, {"record", record}, {"time", format_wall_time(time)}};
}

Json head_of_action(const char* record, const LedgerEntry& entry, Nanoseconds time) {
  Json out = head(record, time);
  out["intent_time"] = format_wall_time(entry.at_wall);
  out["pid_namespace"] = entry.pid_namespace.inode;
  out["connection"] = id_of(entry.connection);
  out["directory_inode"] = entry.directory_inode;
  return out;
}

// Strings went through sanitize(); what still is not UTF-8 must not throw here.
std::string one_line(const Json& record) { return record.dump(-1, ' ', false, Json::error_handler_t::replace); }

// A container decides how many threads it has and how long their mount points are: it must not make a record too long
// to be written. One entry of each list always fits.
std::string with_evidence(Json record, const NamespaceFinding& finding,
                          const std::vector<const ConnectionFinding*>& connections, const Decision& made) {
  for (std::size_t limit = kMaxListed;; limit /= 2) {
    record["evidence"] = EvidenceRenderer(limit).render(finding, connections, made);
    std::string line = one_line(record);
    if (line.size() <= AuditFile::kMaxLine || limit <= 1) return line;
  }
}

Json uid_or_null(std::optional<uid_t> uid) { return uid ? Json(*uid) : Json(); }

}  // namespace

std::string render_decision(const NamespaceFinding& finding, const std::vector<const ConnectionFinding*>& connections,
                            const Decision& decision, Mode mode, Instant now) {
  Json out = head("decision", now.wall);
  out["mode"] = word(mode);
  return with_evidence(std::move(out), finding, connections, decision);
}

std::string render_intent(const RemedyOrder& order, const LedgerEntry& entry) {
  Json out = head_of_action("intent", entry, entry.at_wall);
  const auto& by_hand = order.by_hand;
  out["by_hand"] =
      by_hand ? Json{{"uid", by_hand->uid}, {"override_reason", sanitize(by_hand->override_reason)}} : Json();
  return with_evidence(std::move(out), order.finding, {&order.connection}, order.decision);
}

std::string render_outcome(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now) {
  Json out = head_of_action("outcome", entry, now.wall);
  out["outcome"] = word(outcome.outcome);
  out["detail"] = outcome.detail;
  out["recovery_seconds"] = outcome.outcome == Outcome::released ? Json(seconds(outcome.recovery)) : Json();
  return one_line(out);
}

std::string render_interrupted(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now) {
  Json out = head_of_action("interrupted", entry, now.wall);
  out["outcome"] = word(outcome.outcome);
  out["detail"] = outcome.detail;
  return one_line(out);
}

std::string render_breaker(const Breaker& breaker, std::optional<uid_t> by, Instant now) {
  Json out = head("breaker", now.wall);
  out["state"] = breaker.is_open() ? "open" : "closed";
  out["cause"] = word(breaker.cause);
  out["detail"] = breaker.detail;
  out["by"] = uid_or_null(by);
  return one_line(out);
}

std::string render_inhibit(bool paused, const std::string& reason, uid_t by, Instant now) {
  Json out = head("inhibit", now.wall);
  out["state"] = paused ? "paused" : "resumed";
  out["reason"] = sanitize(reason);
  out["by"] = by;
  return one_line(out);
}

std::string render_ledger_lost(const std::string& file, const std::string& detail, Instant now) {
  Json out = head("ledger_lost", now.wall);
  out["detail"] = detail;
  out["file"] = file;
  return one_line(out);
}

}  // namespace defused
