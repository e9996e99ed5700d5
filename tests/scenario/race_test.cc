// SPDX-License-Identifier: Apache-2.0
// What may happen between the decision and the write, each forced at the last moment: when the abort file was opened
// and the second reading has not begun. The tree is a copy of a real deadlock, the production code reads it, and
// nothing may be written.
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "acting_tree.h"

namespace defused {

namespace {

constexpr const char* kInit = "3898";
constexpr const char* kMember = "3899";
constexpr const char* kBlocked = "3901";

struct Race {
  const char* what;
  std::function<void(const Tree&)> happens;
  std::string told;  ///< part of the detail
};

// Field 22 of stat, the start time, gets a digit more.
void change_start_time(const fs::path& path) {
  std::string stat = read_whole(path);
  std::size_t at = stat.rfind(')') + 2;
  for (int field = 3; field < 22; ++field) at = stat.find(' ', at) + 1;
  stat.insert(at, "7");
  write_whole(path, stat);
}

std::vector<Race> races() {
  const std::string holder = "pos:\t0\nflags:\t02100002\nmnt_id:\t24\nino:\t9\nfuse_connection:\t40\n";
  const std::string user = "pos:\t0\nflags:\t0100000\nmnt_id:\t66\nino:\t2\n";
  const auto change = [](const fs::path& path, const std::string& from, const std::string& to) {
    std::string text = read_whole(path);
    replace(text, from, to);
    write_whole(path, text);
  };
  return {
      {"a server comes back", [=](const Tree& tree) { tree.add_process("5000", "/dev/fuse", holder); },
       "hold: verdict, server_alive"},
      {"a user appears", [=](const Tree& tree) { tree.add_process("5000", "/mnt/lab_flush/file", user); },
       "hold: outside_users"},
      {"a viewer appears",
       [=](const Tree& tree) {
         tree.add_process("5000", "/dev/null", "pos:\t0\nflags:\t02\nmnt_id:\t24\nino:\t9\n");
         for (const fs::path& directory : {tree.proc("5000"), tree.proc("5000") / "task/5000"}) {
           write_whole(directory / "mountinfo",
                       "900 1 0:50 / / rw - ext4 /dev/vda rw\n"
                       "901 900 0:40 / /data rw - fuse.ndrive ndrive rw\n");
         }
       },
       "is mounted elsewhere than before"},
      {"the namespace goes away",
       [](const Tree& tree) {
         fs::remove_all(tree.proc(kInit));
         fs::remove_all(tree.proc(kMember));
       },
       "is not dying, or gone"},
      {"the PID of the init is used again",
       [=](const Tree& tree) {
         for (const fs::path& path : {tree.proc(kInit) / "stat", tree.proc(kInit) / "task" / kInit / "stat"}) {
           if (fs::exists(path)) change_start_time(path);
         }
       },
       "the init of PID namespace"},
      {"the blocked thread has run",
       [=](const Tree& tree) {
         const fs::path path = tree.proc(kMember) / "task" / kBlocked / "status";
         change(path, "nonvoluntary_ctxt_switches:\t", "nonvoluntary_ctxt_switches:\t9");
       },
       "is not blocked any more"},
      {"the blocked thread is gone", [](const Tree& tree) { fs::remove_all(tree.proc(kMember) / "task" / kBlocked); },
       "is not blocked any more"},
      {"the minor is used again",
       [](const Tree& tree) {
         const fs::path there = tree.fusectl() / "40";
         fs::rename(there, tree.root() / "old");
         fs::copy(tree.root() / "old", there, fs::copy_options::recursive);
       },
       "does not wait for connection 40 any more"},
      {"nothing waits there any more", [](const Tree& tree) { write_whole(tree.fusectl() / "40/waiting", "0\n"); },
       "does not wait for connection 40 any more"},
      {"fusectl is unmounted", [](const Tree& tree) { fs::remove_all(tree.fusectl()); },
       "does not wait for connection 40 any more"},
      {"an operator pauses", [](const Tree& tree) { write_whole(tree.state() / "inhibit", "wait\n"); },
       "hold: inhibited"},
  };
}

}  // namespace

TEST_CASE("without a race it is written, once") {
  const Tree tree;
  LateAborter aborter([] {});
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_acting_cycle(tree, aborter, clock);
  const Report report = run_passes(*cycle, clock, 3);
  CHECK(aborter.written == 1);
  REQUIRE(report.outcomes.size() == 1);
  CHECK(report.outcomes[0].outcome == Outcome::not_released);  // a tree does not change by an abort
  CHECK_THAT(report.outcomes[0].detail, Catch::Contains("3901"));
  CHECK_THAT(report.outcomes[0].detail, Catch::Contains("reboot"));
  const auto records = audit_records(tree);
  REQUIRE(records.size() == 2);
  CHECK(records[1].outcome == "not_released");
  run_passes(*cycle, clock, 3);
  CHECK(aborter.written == 1);  // cooldown
}

TEST_CASE("a race between the decision and the write ends without a write") {
  for (const Race& race : races()) {
    INFO(race.what);
    const Tree tree;
    LateAborter aborter([&] { race.happens(tree); });
    ManualClock clock({10000s, 1'800'000'000s});
    const auto cycle = make_acting_cycle(tree, aborter, clock);
    const Report report = run_passes(*cycle, clock, 3);
    CHECK(aborter.opened == 1);
    CHECK(aborter.written == 0);
    REQUIRE(report.outcomes.size() == 1);
    CHECK(report.outcomes[0].outcome == Outcome::skipped_identity_changed);
    CHECK_THAT(report.outcomes[0].detail, Catch::Contains(race.told));
    const auto records = audit_records(tree);
    REQUIRE(records.size() == 2);
    CHECK(records[0].record == "intent");
    CHECK(records[1].outcome == "skipped_identity_changed");
    clock.advance(1s);
    CHECK(cycle->run(Bar::none).report.outcomes.empty());  // not tried again at once
    CHECK(aborter.opened == 1);
  }
}

TEST_CASE("outside of enforce no abort file is opened, whatever the decision") {
  for (const Mode mode : {Mode::observe, Mode::dry_run}) {
    const Tree tree;
    LateAborter aborter([] {});
    ManualClock clock({10000s, 1'800'000'000s});
    const auto cycle = make_acting_cycle(tree, aborter, clock, mode);
    const Report report = run_passes(*cycle, clock, 5);
    REQUIRE(report.decisions.size() == 1);
    CHECK(report.decisions[0].reasons == std::vector{Gate::mode});
    CHECK(aborter.opened == 0);
    CHECK(audit_records(tree).empty());
  }
}

TEST_CASE("a ledger that cannot be read holds in every mode") {
  for (const Mode mode : AllWords<Mode>::values) {
    const Tree tree;
    write_whole(tree.state(), "no directory");
    LateAborter aborter([] {});
    ManualClock clock({10000s, 1'800'000'000s});
    const auto cycle = make_acting_cycle(tree, aborter, clock, mode);
    const Report report = run_passes(*cycle, clock, 3);
    const auto& reasons = report.decisions.at(0).reasons;
    CHECK(std::find(reasons.begin(), reasons.end(), Gate::record_unwritable) != reasons.end());
    CHECK(aborter.opened == 0);
  }
}

TEST_CASE("a bar holds") {
  const Tree tree;
  LateAborter aborter([] {});
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_acting_cycle(tree, aborter, clock);
  run_passes(*cycle, clock, 2);
  for (const Bar bar : {Bar::earlier_prober, Bar::other_actor, Bar::no_lock}) {
    clock.advance(5s);
    const Report report = cycle->run(bar).report;
    REQUIRE(report.decisions.size() == 1);
    CHECK(report.decisions[0].reasons == std::vector{Gate::inhibited});
    CHECK(report.remedy.inhibited_reason == describe_bar(bar));
  }
  CHECK(aborter.opened == 0);
}

}  // namespace defused
