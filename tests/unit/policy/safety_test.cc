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
    if (rarely()) asked.policy.allow_fstypes = {"fuse.s*"};
    asked.restraints.record_unwritable = rarely();
    asked.restraints.may_act = !rarely();
    const int entries = rarely() ? pick(0, 5) : 0;
    for (int i = 0; i < entries; ++i) asked.ledger.entries.push_back(make_entry(asked.now));
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
    return connection;
  }

  LedgerEntry make_entry(Instant now) {
    LedgerEntry entry;
    entry.connection = ConnectionId{40U + number(pick(0, 5))};
    entry.directory_inode = 9000 + entry.connection.kernel_dev;
    entry.at_boottime = now.boottime - std::chrono::minutes(pick(0, 120));
    if (pick(0, 3) > 0) entry.outcome = any_word<Outcome>();
    return entry;
  }

  std::mt19937 engine_;
};

void check_thread_allows(const BlockedThread& thread) {
  CHECK((thread.attribution == Attribution::by_waiting || thread.attribution == Attribution::only_candidate ||
         thread.attribution == Attribution::exact));
  CHECK(thread.attribution_serves_acting);
  CHECK(thread.verdict == Verdict::deadlocked);
  CHECK(thread.samples >= 3);
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
  CHECK(connection.directory_inode != 0);
  CHECK(matches_glob(asked.policy.allow_fstypes[0] == "fuse" ? "fuse.*" : asked.policy.allow_fstypes[0],
                     connection.fstype));
  CHECK(connection.fstype != "fuse.lxcfs");
}

void check_ledger_allows(const Asked& asked, ConnectionId id) {
  int in_the_last_hour = 0;
  for (const LedgerEntry& entry : asked.ledger.entries) {
    if (asked.now.boottime - entry.at_boottime >= 1h || entry.outcome == Outcome::skipped_identity_changed) continue;
    ++in_the_last_hour;
    CHECK(entry.connection != id);
  }
  CHECK(in_the_last_hour < 3);
}

void check_allowed(const Asked& asked, const NamespaceFinding& finding, const Decision& decision) {
  CHECK(asked.policy.mode == Mode::enforce);
  CHECK_FALSE(asked.restraints.record_unwritable);
  CHECK(asked.restraints.may_act);
  CHECK(finding.stuck);
  CHECK(finding.stuck_for >= 60s);
  CHECK(finding.samples >= 3);
  CHECK_FALSE(finding.gap);
  CHECK(finding.verdict == Verdict::deadlocked);
  REQUIRE(decision.connection);
  const ConnectionId id = *decision.connection;
  CHECK(std::count(finding.connections.begin(), finding.connections.end(), id) == 1);
  Nanoseconds oldest{0};
  for (const BlockedThread& thread : finding.blocked_threads) {
    if (thread.connection != id) continue;
    check_thread_allows(thread);
    if (asked.policy.require_proven) CHECK(thread.evidence == Evidence::proven);
    CHECK(thread.evidence != Evidence::none);
    oldest = std::max(oldest, thread.blocked_for);
  }
  CHECK(oldest >= 60s);
  const auto& all = asked.findings.connections;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& it) { return it.id == id; });
  REQUIRE(found != all.end());
  check_connection_allows(asked, *found);
  check_ledger_allows(asked, id);
}

}  // namespace

TEST_CASE("Random findings: abort only where everything allows it") {
  Maker maker(20'261'124);
  int aborts = 0;
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
    holds += now == 0 ? 1 : 0;
  }
  CHECK(aborts > 2000);
  CHECK(holds > 2000);
}

}  // namespace defused
