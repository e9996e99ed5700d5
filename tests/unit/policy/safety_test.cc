// SPDX-License-Identifier: Apache-2.0
// Whatever the findings say: an abort is decided only where every condition of DESIGN.md section 6 is met. The
// conditions are written a second time here, independent of the table of gates.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "base/text.h"
#include "cases.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

// Random cases near the one that is allowed: each thing is right most of the time, so that aborts do occur.
class Maker {
 public:
  explicit Maker(unsigned seed) : engine_(seed) {}

  Asked make() {
    Asked asked = make_clear_case();
    asked.findings = {};
    const int namespaces = pick(1, 3);
    for (int i = 0; i < namespaces; ++i) asked.findings.namespaces.push_back(make_namespace(40 + 2U * number(i)));
    for (int i = 0; i < 2 * namespaces; ++i) {
      if (!rarely()) asked.findings.connections.push_back(make_connection(40U + number(i)));
    }
    if (rarely()) asked.policy.mode = any_word<Mode>();
    if (rarely()) asked.policy.require_proven = false;
    select(asked.policy);
    restrain(asked.restraints);
    if (rarely()) asked.ledger.breaker.cause = any_word<BreakerCause>();
    const int entries = pick(0, 5) == 0 ? pick(0, 5) : 0;
    for (int i = 0; i < entries; ++i) asked.ledger.entries.push_back(make_random_entry(asked.now));
    if (pick(0, 200) == 0) {
      const LedgerEntry filling = make_random_entry(asked.now);
      asked.ledger.entries.assign(kMaxLedgerEntries - number(pick(0, 1)), filling);
    }
    return asked;
  }

 private:
  static std::uint32_t number(int i) { return static_cast<std::uint32_t>(i); }
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool rarely() { return pick(0, 24) == 0; }
  template <typename Word>
  Word any_word() {
    return AllWords<Word>::values[static_cast<std::size_t>(
        pick(0, static_cast<int>(AllWords<Word>::values.size()) - 1))];
  }

  // Patterns of which some match what make_namespace() and make_connection() say.
  void select(PolicySettings& policy) {
    if (rarely()) policy.allow.fstypes = {"fuse.s*"};
    if (rarely()) policy.deny.fstypes = {};
    for (Selectors* side : {&policy.allow, &policy.deny}) {
      if (rarely()) side->sources = {pick(0, 1) == 0 ? "ndrive:*" : "other:*"};
      if (rarely()) side->mount_points = {pick(0, 1) == 0 ? "/data*" : "/other"};
      if (rarely()) side->container_ids = {pick(0, 1) == 0 ? "3bd9*" : "0123*"};
      if (rarely()) side->pod_uids = {pick(0, 1) == 0 ? "1b2c*" : "9999*"};
      if (rarely()) side->cgroups = {pick(0, 1) == 0 ? "/kubepods*" : "/docker*"};
    }
  }

  void restrain(Restraints& restraints) {
    restraints.record_unwritable = rarely();
    restraints.inhibited = rarely();
    if (pick(0, 3) == 0) restraints.by_hand = ConnectionId{40U + number(pick(0, 6))};
    restraints.override_age = pick(0, 7) == 0;
  }

  BlockedThread make_thread(pid_t tid, std::uint32_t connection) {
    BlockedThread thread = make_waiting_thread(tid, connection);
    if (rarely()) thread.connection.reset();
    if (rarely()) thread.attribution = any_word<Attribution>();
    if (rarely()) thread.attribution_serves_acting = false;
    if (rarely()) thread.verdict = any_word<Verdict>();
    if (rarely()) thread.evidence = any_word<Evidence>();
    if (rarely()) thread.samples = number(pick(0, 4));
    if (rarely()) thread.blocked_for = std::chrono::seconds(pick(0, 120));
    if (rarely()) thread.id.start_ticks = 0;
    return thread;
  }

  NamespaceFinding make_namespace(std::uint32_t connection) {
    NamespaceFinding finding = make_stuck_namespace(connection);
    finding.blocked_threads.clear();
    const int threads = pick(0, 4);
    for (int i = 0; i < threads; ++i)
      finding.blocked_threads.push_back(make_thread(1000 + i, connection + number(i % 2)));
    if (pick(0, 1) == 0) finding.connections.push_back(ConnectionId{connection + 1});
    if (rarely()) finding.connections.clear();
    if (rarely()) finding.verdict = any_word<Verdict>();
    if (rarely()) finding.stuck = false;
    if (rarely()) finding.gap = true;
    if (rarely()) finding.samples = number(pick(0, 4));
    if (rarely()) finding.stuck_for = std::chrono::seconds(pick(0, 120));
    if (rarely()) finding.container.reset();
    if (rarely()) finding.container = Container{"0123", "docker", ""};
    if (rarely()) finding.cgroup = pick(0, 1) == 0 ? "" : "/docker/0123";
    return finding;
  }

  ConnectionFinding make_connection(std::uint32_t id) {
    ConnectionFinding connection = make_dead_connection(id);
    if (rarely()) connection.server_state = any_word<ServerState>();
    if (rarely()) connection.server_evidence = any_word<Evidence>();
    if (rarely()) connection.servers = {{{5, 6}, "x", any_word<ServerState>()}};
    if (rarely()) connection.outside_users = number(pick(0, 2));
    if (rarely()) connection.outside_users.reset();
    if (rarely()) connection.outside_viewers = number(pick(0, 2));
    if (rarely()) connection.outside_viewers.reset();
    if (rarely()) connection.host_mount = true;
    if (rarely()) connection.fstype = pick(0, 1) == 0 ? "fuse.lxcfs" : "";
    if (rarely()) connection.directory_inode = 0;
    if (rarely()) connection.readers_disagree = true;
    if (rarely()) connection.source = pick(0, 1) == 0 ? "" : "other:x";
    if (rarely()) connection.mount_points.clear();
    if (rarely()) connection.mount_points.emplace_back(pick(0, 1) == 0 ? "/other" : "/data2");
    if (rarely()) connection.containers.push_back(Container{"0123", "docker", "9999"});
    return connection;
  }

  LedgerEntry make_random_entry(Instant now) {
    LedgerEntry entry;
    entry.at_boottime = now.boottime - std::chrono::seconds(pick(0, 1) == 0 ? pick(0, 120) : pick(0, 7200));
    if (pick(0, 3) > 0) entry.outcome = any_word<Outcome>();
    if (rarely()) return entry;  // of an earlier boot
    entry.connection = ConnectionId{40U + number(pick(0, 5))};
    entry.directory_inode = 9000 + entry.connection.kernel_dev;
    return entry;
  }

  std::mt19937 engine_;
};

bool is_like_any(const std::vector<std::string>& patterns, const std::string& text) {
  for (const std::string& pattern : patterns) {
    if (!text.empty() && matches_glob(pattern, text)) return true;
  }
  return false;
}

// One value of one kind: where the operator has a list for it, it is known and on the right side of it.
void check_selected(const std::string& text, const std::vector<std::string>& allow,
                    const std::vector<std::string>& deny) {
  INFO("value '" << text << "'");
  if (!allow.empty() || !deny.empty()) CHECK_FALSE(text.empty());
  if (!allow.empty()) CHECK(is_like_any(allow, text));
  CHECK_FALSE(is_like_any(deny, text));
}

void check_selectors_allow(const PolicySettings& policy, const NamespaceFinding& finding,
                           const ConnectionFinding& connection) {
  const Selectors& allow = policy.allow;
  const Selectors& deny = policy.deny;
  CHECK_FALSE(allow.fstypes.empty());
  check_selected(connection.fstype, allow.fstypes, deny.fstypes);
  check_selected(connection.source, allow.sources, deny.sources);
  if (connection.mount_points.empty()) check_selected("", allow.mount_points, deny.mount_points);
  for (const std::string& point : connection.mount_points) check_selected(point, allow.mount_points, deny.mount_points);
  const Container whose = finding.container.value_or(Container{});
  check_selected(whose.id, allow.container_ids, deny.container_ids);
  check_selected(whose.pod_uid, allow.pod_uids, deny.pod_uids);
  check_selected(finding.cgroup, allow.cgroups, deny.cgroups);
  for (const Container& container : connection.containers) {
    check_selected(container.id, {}, deny.container_ids);
    check_selected(container.pod_uid, {}, deny.pod_uids);
  }
}

void check_thread_allows(const BlockedThread& thread, bool override_age) {
  CHECK((thread.attribution == Attribution::by_waiting || thread.attribution == Attribution::only_candidate ||
         thread.attribution == Attribution::exact));
  CHECK(thread.attribution_serves_acting);
  CHECK(thread.verdict == Verdict::deadlocked);
  CHECK(thread.samples >= (override_age ? 2U : 3U));
  CHECK(thread.id.start_ticks != 0);
}

void check_connection_allows(const Asked& asked, const ConnectionFinding& connection) {
  CHECK((connection.server_state == ServerState::none || connection.server_state == ServerState::dying));
  for (const Server& server : connection.servers) {
    CHECK(server.state != ServerState::alive);
    CHECK(server.state != ServerState::unknown);
  }
  CHECK(connection.server_evidence != Evidence::none);
  if (asked.policy.require_proven) CHECK(connection.server_evidence == Evidence::proven);
  CHECK(connection.outside_users == 0U);
  CHECK(connection.outside_viewers == 0U);
  CHECK_FALSE(connection.host_mount);
  CHECK_FALSE(connection.readers_disagree);
  CHECK(connection.directory_inode != 0);
}

// What was or may have been written counts for an hour, what was not keeps its own connection back for a minute.
void check_ledger_allows(const Asked& asked, ConnectionId id) {
  CHECK(asked.ledger.breaker.cause == BreakerCause::none);
  int in_the_last_hour = 0;
  bool reaches_back = asked.ledger.entries.size() < 256;
  for (const LedgerEntry& entry : asked.ledger.entries) {
    const Nanoseconds ago = asked.now.boottime - entry.at_boottime;
    reaches_back = reaches_back || ago >= 1h;
    const bool written = entry.outcome != Outcome::skipped_identity_changed && entry.outcome != Outcome::vetoed;
    if (written && ago < 1h) ++in_the_last_hour;
    if (ago < (written ? Nanoseconds(1h) : Nanoseconds(60s))) CHECK(entry.connection != id);
  }
  CHECK(in_the_last_hour < 3);
  CHECK(reaches_back);
}

void check_restraints_allow(const Asked& asked, ConnectionId id) {
  const Restraints& restraints = asked.restraints;
  CHECK_FALSE(restraints.record_unwritable);
  CHECK_FALSE(restraints.inhibited);
  if (restraints.by_hand) {
    CHECK(restraints.by_hand == id);
  } else {
    CHECK(asked.policy.mode == Mode::enforce);
  }
}

void check_allowed(const Asked& asked, const NamespaceFinding& finding, const Decision& decision) {
  REQUIRE(decision.connection);
  const ConnectionId id = *decision.connection;
  const bool override_age = asked.restraints.override_age;
  check_restraints_allow(asked, id);
  CHECK_FALSE(finding.gap);
  CHECK(finding.verdict == Verdict::deadlocked);
  CHECK(std::count(finding.connections.begin(), finding.connections.end(), id) == 1);
  Nanoseconds oldest{0};
  int waiting = 0;
  for (const BlockedThread& thread : finding.blocked_threads) {
    if (thread.connection != id) continue;
    ++waiting;
    check_thread_allows(thread, override_age);
    if (asked.policy.require_proven) CHECK(thread.evidence == Evidence::proven);
    CHECK(thread.evidence != Evidence::none);
    oldest = std::max(oldest, thread.blocked_for);
  }
  CHECK(waiting > 0);
  if (!override_age) {
    CHECK(finding.stuck);
    CHECK(finding.stuck_for >= 60s);
    CHECK(finding.samples >= 3);
    CHECK(oldest >= 60s);
  }
  const auto& all = asked.findings.connections;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& it) { return it.id == id; });
  REQUIRE(found != all.end());
  check_connection_allows(asked, *found);
  check_selectors_allow(asked.policy, finding, *found);
  check_ledger_allows(asked, id);
}

}  // namespace

TEST_CASE("Random findings: abort only where everything allows it") {
  Maker maker(20'261'124);
  int aborts = 0;
  int by_hand = 0;
  int holds = 0;
  for (int round = 0; round < 20'000; ++round) {
    INFO("round " << round);
    const Asked asked = maker.make();
    const auto decisions = asked.decide_all();
    REQUIRE(decisions.size() == asked.findings.namespaces.size());
    int now = 0;
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      const Decision& decision = decisions[i];
      const auto& reasons = decision.reasons;
      REQUIRE(decision.pid_namespace == asked.findings.namespaces[i].id);
      REQUIRE(reasons.empty() == (decision.action == Action::abort));
      REQUIRE(std::adjacent_find(reasons.begin(), reasons.end(), std::greater_equal<>()) == reasons.end());
      if (decision.action == Action::hold) continue;
      ++now;
      check_allowed(asked, asked.findings.namespaces[i], decision);
    }
    REQUIRE(now <= 1);
    aborts += now;
    by_hand += asked.restraints.by_hand ? now : 0;
    holds += now == 0 ? 1 : 0;
  }
  CHECK(aborts > 2000);
  CHECK(by_hand > 200);
  CHECK(holds > 2000);
}

}  // namespace defused
