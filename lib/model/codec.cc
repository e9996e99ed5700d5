// SPDX-License-Identifier: Apache-2.0
// The private payload. A structure is the array of its members in the order of members(), an enum its number, a map an
// array of pairs, a duration its nanoseconds, an absent optional null. One list of members serves both directions.
#include "model/codec.h"

#include <concepts>
#include <exception>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace defused {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxPayloadBytes = 16U << 20U;  // 10,000 connections and 1,000 findings need about a quarter
constexpr std::size_t kMaxDepth = 16;                 // PassResult is 9 deep; the CBOR reader recurses per level

template <typename Actual, typename Wanted>
concept Is = std::same_as<std::remove_const_t<Actual>, Wanted>;

auto members(Is<ProcessId> auto& it) { return std::tie(it.pid, it.start_ticks); }
auto members(Is<ThreadId> auto& it) { return std::tie(it.tid, it.start_ticks); }
auto members(Is<NamespaceId> auto& it) { return std::tie(it.inode); }
auto members(Is<ConnectionId> auto& it) { return std::tie(it.kernel_dev); }

auto members(Is<KernelFacts> auto& it) {
  return std::tie(it.release, it.fuse_flush_waits, it.fdinfo_names_connection, it.default_request_timeout_seconds,
                  it.max_request_timeout_seconds, it.openat2);
}
auto members(Is<NamedProcess> auto& it) { return std::tie(it.pid, it.comm); }
auto members(Is<FuseMount> auto& it) {
  return std::tie(it.mount_id, it.connection, it.fstype, it.source, it.mount_point);
}
auto members(Is<BlockedThread> auto& it) {
  return std::tie(it.pid, it.id, it.comm, it.state, it.has_memory, it.exiting, it.wait_class, it.sigkill_pending,
                  it.stack, it.wchan, it.connection, it.candidates, it.mounts, it.attribution, it.witness,
                  it.attribution_serves_acting, it.verdict, it.evidence, it.context_switches, it.samples,
                  it.blocked_for, it.awaited, it.gaps);
}
auto members(Is<Container> auto& it) { return std::tie(it.id, it.runtime, it.pod_uid); }
auto members(Is<NamespaceFinding> auto& it) {
  return std::tie(it.id, it.init, it.init_comm, it.state, it.wait_class, it.verdict, it.evidence, it.since,
                  it.stuck_for, it.samples, it.stuck, it.gap, it.gaps, it.members, it.member_count,
                  it.blocked_thread_count, it.container, it.blocked_threads, it.connections, it.waits_for);
}
auto members(Is<StuckExit> auto& it) { return std::tie(it.thread, it.since, it.container); }
auto members(Is<Server> auto& it) { return std::tie(it.id, it.comm, it.state, it.process_state); }
auto members(Is<ConnectionFinding> auto& it) {
  return std::tie(it.id, it.directory_inode, it.fstype, it.source, it.mount_points, it.mount_ids, it.waiting,
                  it.max_background, it.congestion_threshold, it.server_state, it.server_evidence, it.servers,
                  it.outside_users, it.outside_viewers, it.users, it.viewers, it.containers, it.host_mount, it.orphaned,
                  it.waiting_since, it.stalled_since);
}
auto members(Is<ProcessFinding> auto& it) {
  return std::tie(it.id, it.ppid, it.comm, it.state, it.has_memory, it.told_to_die, it.pid_namespace, it.container,
                  it.threads, it.thread_count, it.threads_complete, it.gaps);
}
auto members(Is<Findings> auto& it) {
  return std::tie(it.namespaces, it.stuck_exits, it.stuck_exit_count, it.connections, it.asked);
}
auto members(Is<Decision> auto& it) { return std::tie(it.pid_namespace, it.action, it.reasons, it.connection); }
auto members(Is<OutcomeRecord> auto& it) {
  return std::tie(it.pid_namespace, it.connection, it.outcome, it.detail, it.recovery);
}
auto members(Is<Report> auto& it) {
  return std::tie(it.scanned_at, it.duration, it.host, it.provisional, it.mode, it.kernel, it.blind, it.gaps,
                  it.gap_processes, it.pid_namespace_count, it.findings, it.decisions, it.outcomes);
}

auto members(Is<ThreadMemory> auto& it) { return std::tie(it.context_switches, it.unchanged_since, it.samples); }
auto members(Is<NamespaceMemory> auto& it) { return std::tie(it.first_seen); }
auto members(Is<ConnectionMemory> auto& it) {
  return std::tie(it.directory_inode, it.waiting, it.waiting_since, it.oldest_request, it.oldest_since, it.oldest_read,
                  it.silent_since, it.flusher_hung);
}
auto members(Is<OpenConnection> auto& it) { return std::tie(it.id, it.directory_inode); }
auto members(Is<OpenFilesMemory> auto& it) { return std::tie(it.connections, it.seen); }
auto members(Is<ContainerMemory> auto& it) { return std::tie(it.ppid, it.path); }
auto members(Is<History> auto& it) {
  return std::tie(it.threads, it.namespaces, it.connections, it.containers, it.open_files);
}
auto members(Is<LedgerEntry> auto& it) {
  return std::tie(it.connection, it.directory_inode, it.pid_namespace, it.at_boottime, it.at_wall, it.outcome);
}
auto members(Is<Ledger> auto& it) { return std::tie(it.entries); }
auto members(Is<Histogram> auto& it) { return std::tie(it.bounds, it.counts, it.sum); }
auto members(Is<Counters> auto& it) {
  return std::tie(it.scans, it.scan_failures, it.read_gaps, it.decisions, it.aborts, it.scan_duration,
                  it.recovery_duration);
}
auto members(Is<LogFacts> auto& it) {
  return std::tie(it.pid_namespace, it.init_pid, it.pid, it.tid, it.comm, it.container_id, it.connections, it.fstype,
                  it.verdict, it.wait_class, it.decision, it.reasons, it.server_state);
}
auto members(Is<ToldMemory> auto& it) {
  return std::tie(it.name, it.facts, it.trouble, it.orphaned, it.counted, it.lines, it.last_line, it.unsaid);
}
auto members(Is<LogMemory> auto& it) { return std::tie(it.told, it.window, it.lines, it.left_out); }
auto members(Is<Memory> auto& it) { return std::tie(it.history, it.ledger, it.counters, it.log); }
auto members(Is<Subject> auto& it) { return std::tie(it.kind, it.text, it.number); }
auto members(Is<SubjectReading> auto& it) {
  return std::tie(it.subject, it.name, it.kernel_thread, it.pid_namespaces, it.stuck_exits, it.connections,
                  it.processes);
}
auto members(Is<SubjectFinding> auto& it) { return std::tie(it.subject, it.readings, it.reading_count); }
auto members(Is<PassResult> auto& it) { return std::tie(it.report, it.memory, it.subject); }

auto members(Is<DetectSettings> auto& it) { return std::tie(it.stuck_after, it.include_young); }
auto members(Is<PolicySettings> auto& it) {
  return std::tie(it.mode, it.min_stuck, it.min_samples, it.require_proven, it.allow_fstypes, it.deny_fstypes,
                  it.cooldown, it.max_aborts, it.max_aborts_window);
}
auto members(Is<RemedySettings> auto& it) { return std::tie(it.watch); }
auto members(Is<WebSettings> auto& it) { return std::tie(it.listen_addresses, it.telemetry_path); }
auto members(Is<LogSettings> auto& it) { return std::tie(it.format, it.level); }
auto members(Is<Settings> auto& it) {
  return std::tie(it.interval, it.pass_deadline, it.max_lost_probers, it.detect, it.policy, it.remedy, it.web, it.log,
                  it.expose_source, it.state_directory, it.runtime_directory, it.front_user);
}

template <typename T>
concept Structure = requires(T& it) {
  members(it);
};

// A member that members() forgets would be lost on its way from one process to the next: an aggregate that can be made
// from more values than members() names does not compile.
struct Anything {
  template <typename T>
  operator T() const {  // NOLINT(google-explicit-constructor): converts to whatever a member is
    return T();
  }
};
template <typename T, std::size_t... I>
constexpr bool takes_values(std::index_sequence<I...> /*count*/) {
  return requires { T{(static_cast<void>(I), Anything{})...}; };
}
template <typename T, std::size_t Count>
constexpr bool kNamesAllMembers = takes_values<T>(std::make_index_sequence<Count>()) &&
                                  !takes_values<T>(std::make_index_sequence<Count + 1>());

template <typename Enum>
constexpr int last_of() {
  if constexpr (std::is_same_v<Enum, ErrorKind>) {
    return static_cast<int>(ErrorKind::io);
  } else if constexpr (std::is_same_v<Enum, ExposeSource>) {
    return static_cast<int>(ExposeSource::full);
  } else if constexpr (std::is_same_v<Enum, LogFormat>) {
    return static_cast<int>(LogFormat::json);
  } else if constexpr (std::is_same_v<Enum, SubjectKind>) {
    return static_cast<int>(SubjectKind::connection);
  } else if constexpr (std::is_same_v<Enum, LogLevel>) {
    return static_cast<int>(LogLevel::error);
  } else {
    return static_cast<int>(AllWords<Enum>::values.back());
  }
}

// ---- values -> json

json pack(const std::string& text) { return text; }
json pack(Nanoseconds duration) { return duration.count(); }
template <typename T>
requires std::is_arithmetic_v<T> json pack(T number) { return number; }
template <typename T>
requires std::is_enum_v<T> json pack(T word) { return static_cast<int>(word); }
template <Structure T>
json pack(const T& structure);
template <typename T>
json pack(const std::optional<T>& value);
template <typename First, typename Second>
json pack(const std::pair<First, Second>& both);
template <typename T>
json pack(const std::vector<T>& values);
template <typename Key, typename Value>
json pack(const std::map<Key, Value>& entries);

template <Structure T>
json pack(const T& structure) {
  json out = json::array();
  std::apply([&](const auto&... member) { (out.push_back(pack(member)), ...); }, members(structure));
  return out;
}
template <typename T>
json pack(const std::optional<T>& value) {
  return value ? pack(*value) : json();
}
template <typename First, typename Second>
json pack(const std::pair<First, Second>& both) {
  json out = json::array();
  out.push_back(pack(both.first));
  out.push_back(pack(both.second));
  return out;
}
template <typename T>
json pack(const std::vector<T>& values) {
  json out = json::array();
  for (const auto& value : values) out.push_back(pack(value));
  return out;
}
template <typename Key, typename Value>
json pack(const std::map<Key, Value>& entries) {
  json out = json::array();
  for (const auto& entry : entries) out.push_back(pack(entry));
  return out;
}

// ---- json -> values; false: not of that form

bool unpack(json& in, std::string& out) {
  if (!in.is_string()) return false;
  out = std::move(in.get_ref<std::string&>());
  return true;
}
bool unpack(json& in, bool& out) {
  if (!in.is_boolean()) return false;
  out = in.get<bool>();
  return true;
}
bool unpack(json& in, double& out) {
  if (!in.is_number()) return false;
  out = in.get<double>();
  return true;
}
template <std::integral T>
bool unpack(json& in, T& out) {
  if (in.is_number_unsigned()) {
    const auto number = in.get<std::uint64_t>();
    out = static_cast<T>(number);
    return std::in_range<T>(number);
  }
  if (!in.is_number_integer()) return false;
  const auto number = in.get<std::int64_t>();
  out = static_cast<T>(number);
  return std::in_range<T>(number);
}
bool unpack(json& in, char& out) {
  signed char letter = 0;
  if (!unpack(in, letter)) return false;
  out = static_cast<char>(letter);
  return true;
}
bool unpack(json& in, Nanoseconds& out) {
  std::int64_t count = 0;
  if (!unpack(in, count)) return false;
  out = Nanoseconds(count);
  return true;
}
template <typename T>
requires std::is_enum_v<T>
bool unpack(json& in, T& out) {
  int number = 0;
  if (!unpack(in, number) || number < 0 || number > last_of<T>()) return false;
  out = static_cast<T>(number);
  return true;
}
template <Structure T>
bool unpack(json& in, T& out);
template <typename T>
bool unpack(json& in, std::optional<T>& out);
template <typename First, typename Second>
bool unpack(json& in, std::pair<First, Second>& out);
template <typename T>
bool unpack(json& in, std::vector<T>& out);
template <typename Key, typename Value>
bool unpack(json& in, std::map<Key, Value>& out);

template <Structure T>
bool unpack(json& in, T& out) {
  auto wanted = members(out);
  constexpr std::size_t kCount = std::tuple_size_v<decltype(wanted)>;
  static_assert(kNamesAllMembers<T, kCount>, "add the new member of this structure to its members() above");
  if (!in.is_array() || in.size() != kCount) return false;
  std::size_t at = 0;
  return std::apply([&](auto&... member) { return (unpack(in[at++], member) && ...); }, wanted);
}
template <typename T>
bool unpack(json& in, std::optional<T>& out) {
  if (in.is_null()) {
    out.reset();
    return true;
  }
  return unpack(in, out.emplace());
}
template <typename First, typename Second>
bool unpack(json& in, std::pair<First, Second>& out) {
  return in.is_array() && in.size() == 2 && unpack(in[0], out.first) && unpack(in[1], out.second);
}
template <typename T>
bool unpack(json& in, std::vector<T>& out) {
  if (!in.is_array()) return false;
  out.clear();
  out.reserve(in.size());
  for (json& element : in) {
    T value{};
    if (!unpack(element, value)) return false;
    out.push_back(std::move(value));
  }
  return true;
}
template <typename Key, typename Value>
bool unpack(json& in, std::map<Key, Value>& out) {
  if (!in.is_array()) return false;
  out.clear();
  for (json& element : in) {
    std::pair<Key, Value> entry;
    if (!unpack(element, entry)) return false;
    out.insert_or_assign(out.end(), std::move(entry.first), std::move(entry.second));
  }
  return true;
}

// Builds arrays of scalars and arrays, which is all that a payload has, and refuses everything else and what is too
// deep: nlohmann's own CBOR reader recurses as deep as its input says.
class PayloadReader final : public json::json_sax_t {
 public:
  [[nodiscard]] json& root() { return root_; }

  bool null() override { return add(json()); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*elements*/) override { return false; }
  bool key(string_t& /*name*/) override { return false; }
  bool end_object() override { return false; }
  bool start_array(std::size_t /*elements*/) override {
    if (open_.size() == kMaxDepth || !add(json::array())) return false;
    open_.push_back(open_.empty() ? &root_ : &open_.back()->back());
    return true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  bool add(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      open_.back()->push_back(std::move(value));
    }
    return true;
  }

  json root_;
  std::vector<json*> open_;  // the arrays around the next value, outermost first
};

template <typename T>
Result<T> decode(const std::vector<std::uint8_t>& bytes, const char* what) {
  const auto malformed = [&] {
    return fail(ErrorKind::malformed, std::string(what) + " of " + std::to_string(bytes.size()) +
                                          " bytes: not in the form that this program writes");
  };
  if (bytes.size() > kMaxPayloadBytes) return malformed();
  try {
    PayloadReader reader;
    T value;
    if (!json::sax_parse(bytes, &reader, json::input_format_t::cbor) || !unpack(reader.root(), value)) {
      return malformed();
    }
    return value;
  } catch (const std::exception&) {  // nlohmann_json's, where a length is absurd
    return malformed();
  }
}

}  // namespace

std::vector<std::uint8_t> encode_pass(const PassResult& pass) { return json::to_cbor(pack(pass)); }

Result<PassResult> decode_pass(const std::vector<std::uint8_t>& bytes) { return decode<PassResult>(bytes, "a pass"); }

std::vector<std::uint8_t> encode_settings(const Settings& settings) { return json::to_cbor(pack(settings)); }

Result<Settings> decode_settings(const std::vector<std::uint8_t>& bytes) { return decode<Settings>(bytes, "settings"); }

}  // namespace defused
