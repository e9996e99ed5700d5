// SPDX-License-Identifier: Apache-2.0
// `defused.report/v1`, keys in the order of DESIGN.md section 7; what the page does not name comes last in its object.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "model/codec.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSchema = "defused.report/v1";

// Milliseconds are enough and keep 0.1 from becoming 0.10000000000000001 of a nanosecond count.
double seconds(Nanoseconds duration) { return std::round(to_seconds(duration) * 1000) / 1000; }

template <typename Word>
Json word(Word value) {
  return std::string(to_string(value));
}

template <typename T, typename Render>
Json list(const std::vector<T>& values, Render render) {
  Json out = Json::array();
  for (const T& value : values) out.push_back(render(value));
  return out;
}

Json id_or_null(const std::optional<ConnectionId>& id) { return id ? Json(id->kernel_dev) : Json(); }

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json ids(const std::vector<ConnectionId>& connections) {
  return list(connections, [](ConnectionId id) { return Json(id.kernel_dev); });
}

Json kernel(const KernelFacts& facts) {
  // The cap opts every connection in (KERNEL.md 6.8); 0 is "off" for both.
  auto timeout = facts.max_request_timeout_seconds;
  if (timeout.value_or(0) == 0 && facts.default_request_timeout_seconds)
    timeout = facts.default_request_timeout_seconds;
  return {{"release", facts.release},
          {"fuse_flush_waits", word(facts.fuse_flush_waits)},
          {"request_timeout_seconds", or_null(timeout)}};
}

Json named(const NamedProcess& process) { return {{"pid", process.pid}, {"comm", process.comm}}; }

Json gaps(const Gaps& counted) {
  Json out = Json::array();
  for (const auto& [what, count] : counted) {
    out.push_back({{"file", what.first}, {"kind", word(what.second)}, {"count", count}});
  }
  return out;
}

Json gaps(const Gaps& counted, const GapProcesses& processes) {
  Json out = gaps(counted);
  for (Json& gap : out) gap["processes"] = Json::array();
  std::size_t at = 0;
  for (const auto& [what, count] : counted) {
    const auto found = processes.find(what);
    if (found != processes.end()) out[at]["processes"] = list(found->second, named);
    ++at;
  }
  return out;
}

Json letter(char state) { return std::string(1, state); }

Json mount(const FuseMount& line, ExposeSource expose) {
  return {{"mount_id", line.mount_id},
          {"connection", line.connection.kernel_dev},
          {"fstype", line.fstype},
          {"source", expose_source(line.source, expose)},
          {"mount_point", line.mount_point}};
}

Json thread(const BlockedThread& blocked, ExposeSource expose) {
  return {{"pid", blocked.pid},
          {"tid", blocked.id.tid},
          {"start_ticks", blocked.id.start_ticks},
          {"comm", blocked.comm},
          {"wait_class", word(blocked.wait_class)},
          {"sigkill_pending", blocked.sigkill_pending},
          {"stack", Json(blocked.stack)},
          {"connection", id_or_null(blocked.connection)},
          {"attribution", word(blocked.attribution)},
          {"verdict", word(blocked.verdict)},
          {"evidence", word(blocked.evidence)},
          {"candidates", ids(blocked.candidates)},
          {"blocked_seconds", seconds(blocked.blocked_for)},
          {"waits_for", blocked.awaited ? named(*blocked.awaited) : Json()},
          {"thread_state", letter(blocked.state)},
          {"has_memory", blocked.has_memory},
          {"exiting", or_null(blocked.exiting)},
          {"wchan", blocked.wchan},
          {"mounts", list(blocked.mounts, [&](const FuseMount& line) { return mount(line, expose); })},
          {"told_by", word(blocked.witness)},
          {"gaps", gaps(blocked.gaps)}};
}

Json container(const Container& owner) {
  return {{"id", owner.id}, {"runtime", owner.runtime}, {"pod_uid", owner.pod_uid}};
}

Json container(const std::optional<Container>& owner) { return owner ? container(*owner) : Json(); }

Json stuck_exit(const StuckExit& exit, ExposeSource expose) {
  Json out = thread(exit.thread, expose);
  out["since"] = format_wall_time(exit.since);
  out["container"] = container(exit.container);
  return out;
}

// Decisions stand in the order of the findings; a report without (nothing decided yet) has null.
Json decision(const Report& report, NamespaceId id) {
  for (const Decision& made : report.decisions) {
    if (made.pid_namespace != id) continue;
    return {{"action", word(made.action)},
            {"reasons", list(made.reasons, [](Gate gate) { return word(gate); })},
            {"connection", id_or_null(made.connection)}};
  }
  return {};
}

Json pid_namespace(const NamespaceFinding& finding, const Report& report, ExposeSource expose) {
  return {{"pid_namespace", finding.id.inode},
          {"init", {{"pid", finding.init.pid}, {"start_ticks", finding.init.start_ticks}, {"comm", finding.init_comm}}},
          {"state", word(finding.state)},
          {"wait_class", word(finding.wait_class)},
          {"verdict", word(finding.verdict)},
          {"evidence", word(finding.evidence)},
          {"since", format_wall_time(finding.since)},
          {"stuck_seconds", seconds(finding.stuck_for)},
          {"stuck", finding.stuck},
          {"container", container(finding.container)},
          {"blocked_threads",
           list(finding.blocked_threads, [&](const BlockedThread& blocked) { return thread(blocked, expose); })},
          {"connections", ids(finding.connections)},
          {"decision", decision(report, finding.id)},
          {"samples", finding.samples},
          {"gap", finding.gap},
          {"waits_for", list(finding.waits_for, [](NamespaceId id) { return Json(id.inode); })},
          {"gaps", gaps(finding.gaps)},
          {"member_count", finding.member_count},
          {"blocked_thread_count", finding.blocked_thread_count},
          {"members", list(finding.members, named)},
          {"cgroup", finding.cgroup}};
}

Json server(const Server& holder) {
  return {{"pid", holder.id.pid},
          {"start_ticks", holder.id.start_ticks},
          {"comm", holder.comm},
          {"state", word(holder.state)},
          {"process_state", letter(holder.process_state)}};
}

Json connection(const ConnectionFinding& finding, ExposeSource expose) {
  return {{"id", finding.id.kernel_dev},
          {"fstype", finding.fstype},
          {"source", expose_source(finding.source, expose)},
          {"mount_points", Json(finding.mount_points)},
          {"waiting", finding.waiting},
          {"max_background", finding.max_background},
          {"congestion_threshold", finding.congestion_threshold},
          {"server_state", word(finding.server_state)},
          {"server_evidence", word(finding.server_evidence)},
          {"servers", list(finding.servers, server)},
          {"outside_users", or_null(finding.outside_users)},
          {"outside_viewers", or_null(finding.outside_viewers)},
          {"orphaned", finding.orphaned},
          {"host_mount", finding.host_mount},
          {"waiting_since", finding.waiting_since ? Json(format_wall_time(*finding.waiting_since)) : Json()},
          {"stalled_since", finding.stalled_since ? Json(format_wall_time(*finding.stalled_since)) : Json()},
          {"device", device_number(finding.id)},
          {"users", list(finding.users, named)},
          {"viewers", list(finding.viewers, named)},
          {"containers", list(finding.containers, [](const Container& owner) { return container(owner); })},
          {"readers_disagree", finding.readers_disagree}};
}

Json outcome(const OutcomeRecord& record) {
  return {{"pid_namespace", record.pid_namespace.inode},
          {"connection", record.connection.kernel_dev},
          {"outcome", word(record.outcome)},
          {"detail", record.detail},
          {"recovery_seconds", seconds(record.recovery)}};
}

// 0 where it is not known.
Json time_or_null(Nanoseconds wall) { return wall == Nanoseconds(0) ? Json() : Json(format_wall_time(wall)); }

// Of an action before the last boot, namespace and connection are not known any more.
Json past_action(const OutcomeRecord& record) {
  const std::uint64_t inode = record.pid_namespace.inode;
  const std::uint64_t id = record.connection.kernel_dev;
  return {{"time", time_or_null(record.at)},
          {"pid_namespace", inode == 0 ? Json() : Json(inode)},
          {"connection", id == 0 ? Json() : Json(id)},
          {"outcome", word(record.outcome)},
          {"detail", record.detail},
          {"recovery_seconds", record.outcome == Outcome::released ? Json(seconds(record.recovery)) : Json()},
          {"by_hand", record.by_hand}};
}

Json remedy(const Report& report) {
  const RemedyState& state = report.remedy;
  Json inhibited;
  if (state.inhibited) {
    inhibited = {{"reason", state.inhibited_reason}, {"since", time_or_null(state.inhibited_since)}};
  }
  return {{"mode", word(report.mode)},
          {"breaker",
           {{"state", state.breaker_open ? "open" : "closed"},
            {"cause", word(state.breaker_cause)},
            {"since", state.breaker_open ? time_or_null(state.breaker_since) : Json()},
            {"failures_in_row", state.failures_in_row},
            {"detail", state.breaker_detail}}},
          {"inhibited", inhibited},
          {"abort_budget_remaining", state.abort_budget},
          {"record_trouble", state.record_trouble.empty() ? Json() : Json(state.record_trouble)}};
}

Json asked_process(const ProcessFinding& process, ExposeSource expose) {
  return {{"pid", process.id.pid},
          {"start_ticks", process.id.start_ticks},
          {"comm", process.comm},
          {"ppid", process.ppid},
          {"process_state", letter(process.state)},
          {"has_memory", process.has_memory},
          {"told_to_die", process.told_to_die},
          {"pid_namespace", process.pid_namespace ? Json(process.pid_namespace->inode) : Json()},
          {"container", container(process.container)},
          {"thread_count", process.thread_count},
          {"threads_complete", process.threads_complete},
          {"threads", list(process.threads, [&](const BlockedThread& asleep) { return thread(asleep, expose); })},
          {"gaps", gaps(process.gaps)}};
}

Json reading(const SubjectReading& one) {
  return {{"subject", describe_subject(one.subject)},
          {"name", one.name},
          {"pid_namespaces", list(one.pid_namespaces, [](NamespaceId id) { return Json(id.inode); })},
          {"stuck_exits", list(one.stuck_exits, [](ThreadId id) { return Json(id.tid); })},
          {"connections", ids(one.connections)},
          {"processes", Json(one.processes)}};
}

Json report_json(const Report& report, ExposeSource expose) {
  const Findings& findings = report.findings;
  return {
      {"schema", kSchema},
      {"scanned_at", format_wall_time(report.scanned_at)},
      {"host", report.host},
      {"provisional", report.provisional},
      {"kernel", kernel(report.kernel)},
      {"blind", Json(report.blind)},
      {"gaps", gaps(report.gaps, report.gap_processes)},
      {"pid_namespaces",
       list(findings.namespaces, [&](const NamespaceFinding& it) { return pid_namespace(it, report, expose); })},
      {"stuck_exits", list(findings.stuck_exits, [&](const StuckExit& it) { return stuck_exit(it, expose); })},
      {"connections", list(findings.connections, [&](const ConnectionFinding& it) { return connection(it, expose); })},
      {"mode", word(report.mode)},
      {"duration_seconds", to_seconds(report.duration)},
      {"pid_namespace_count", report.pid_namespace_count},
      {"outcomes", list(report.outcomes, outcome)},
      {"remedy", remedy(report)},
      {"actions", list(report.actions, past_action)},
  };
}

// Strings went through sanitize(); what still is not UTF-8 must not throw here.
std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string format_compact_time(Nanoseconds wall) {
  std::string text = format_wall_time(wall);
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '-' || c == ':'; }), text.end());
  return text;
}

std::string format_wall_time(Nanoseconds wall) {
  using std::chrono::days;
  using std::chrono::milliseconds;
  const auto since_epoch = std::chrono::floor<milliseconds>(wall);
  const auto whole_days = std::chrono::floor<days>(since_epoch);
  const std::chrono::year_month_day date{std::chrono::sys_days(whole_days)};
  const std::chrono::hh_mm_ss time(since_epoch - whole_days);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
  return text.data();
}

std::string device_number(ConnectionId id) {
  return std::to_string(id.kernel_dev >> 20U) + ":" + std::to_string(id.kernel_dev & kMaxMinor);
}

std::string render_report_json(const Report& report, ExposeSource expose, int indent) {
  return dump(report_json(report, expose), indent);
}

std::string render_subject_json(const SubjectFinding& subject, const Report& concerned,
                                const std::vector<GateInWords>& gates, Mode configured, ExposeSource expose,
                                int indent) {
  Json out = report_json(concerned, expose);
  out["schema"] = "defused.explain/v1";
  out["subject"] = describe_subject(subject.subject);
  out["readings"] = list(subject.readings, reading);
  out["reading_count"] = subject.reading_count;
  out["processes"] =
      list(concerned.findings.asked, [&](const ProcessFinding& it) { return asked_process(it, expose); });
  out["configured_mode"] = word(configured);
  out["gates"] = list(gates, [](const GateInWords& gate) -> Json {
    return {{"pid_namespace", gate.pid_namespace.inode},
            {"gate", word(gate.gate)},
            {"looks_at", gate.looks_at},
            {"why", gate.why}};
  });
  return dump(out, indent);
}

std::string render_connections_json(const Report& report, ExposeSource expose, int indent) {
  const Json all = report_json(report, expose);
  Json out = {{"schema", "defused.connections/v1"}};
  for (const char* key : {"scanned_at", "host", "blind", "gaps", "connections"}) out[key] = all[key];
  return dump(out, indent);
}

}  // namespace defused
