// SPDX-License-Identifier: Apache-2.0
// What a cycle reads is recorded, and a second cycle over the record says the same: of each capture, of this host, of
// what could not be read, of what the kernel itself said.
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "acting_tree.h"
#include "base/tree_directory.h"
#include "capture/about.h"
#include "capture/looks.h"
#include "capture_cycle.h"
#include "daemon/recorded_look.h"
#include "model/codec.h"

using namespace defused;

namespace {

using Json = nlohmann::json;
constexpr int kLooks = 3;

const std::vector<std::string> kCaptures = {"linux-6.1.192-flush",  "linux-6.1.192-healthy",  "linux-6.1.192-mmap",
                                            "linux-6.12.107-flush", "linux-6.12.107-healthy", "linux-6.12.107-mmap",
                                            "linux-6.18.44-docker", "linux-6.18.44-flush",    "linux-6.18.44-healthy",
                                            "linux-6.18.44-mmap"};

struct Recorded {
  std::vector<FileTree> looks;
  std::vector<std::string> reports;
};

Settings make_settings() {
  Settings settings;
  settings.policy.min_stuck = 2s;
  settings.policy.require_proven = false;
  settings.detect.stuck_after = 2s;
  settings.detect.include_young = true;
  settings.state_directory = "/nonexistent/defused";
  return settings;
}

CycleSources sources_of(const std::string& root) {
  CycleSources sources;
  sources.proc_path = root + "/proc";
  sources.fusectl_path = root + "/sys/fs/fuse/connections";
  sources.capture = true;
  return sources;
}

// But for what is a time, or the length of one.
Json without_times(const Json& value) {  // NOLINT(misc-no-recursion): as deep as a report
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& one : value) out.push_back(without_times(one));
    return out;
  }
  if (!value.is_object()) return value;
  const std::vector<std::string> times = {"scanned_at",      "duration_seconds", "since",        "stuck_seconds",
                                          "blocked_seconds", "waiting_since",    "stalled_since"};
  Json out = Json::object();
  for (const auto& [key, member] : value.items()) {
    if (std::find(times.begin(), times.end(), key) == times.end()) out[key] = without_times(member);
  }
  return out;
}

std::string say(const Report& report) {
  return without_times(Json::parse(render_report_json(report, ExposeSource::full))).dump(1);
}

// Looks at `sources`; `between` comes before each but the first.
Recorded record(
    CycleSources sources, Recording recording, Clock& clock, const std::function<void()>& between = [] {}) {
  sources.recording = recording;
  auto cycle = Cycle::create(make_settings(), std::move(sources), CycleEvents{}, clock);
  REQUIRE(cycle);
  Recorded out;
  for (int i = 0; i < kLooks; ++i) {
    if (i > 0) between();
    out.reports.push_back(say((*cycle)->run(Bar::none).report));
    out.looks.push_back((*cycle)->take_recording());
    CHECK((*cycle)->take_recording() == FileTree());
  }
  return out;
}

Recorded record_capture(const std::string& name, Recording recording) {
  ManualClock clock({10000s, 1'800'000'000s});
  return record(sources_of(std::string(DEFUSED_CAPTURES) + "/" + name), recording, clock, [&] { clock.advance(5s); });
}

LookAbout about_of(const FileTree& look) {
  const FileTree::Node* node = look.find("look.json");
  REQUIRE(node != nullptr);
  auto about = parse_look(node->text);
  REQUIRE(about);
  return *about;
}

// As `defused replay` goes from look to look.
class Replay {
 public:
  explicit Replay(std::vector<FileTree> looks) : looks_(std::move(looks)) {
    auto made = TreeDirectory::create(below_.path().string());
    REQUIRE(made);
    directory_ = *std::move(made);
  }

  // What is recorded of it is left in `looks`.
  Recorded run(const std::string& host, bool tells_blindness, Recording recording = Recording::none) {
    become(looks_.front());
    const LookAbout first = about_of(looks_.front());
    ManualClock clock(first.begin);
    auto cycle = Cycle::create(make_settings(), sources(host, tells_blindness, recording), CycleEvents{}, clock);
    REQUIRE(cycle);
    Recorded out;
    for (const FileTree& look : looks_) {
      become(look);
      clock.advance(about_of(look).begin.boottime - clock.now().boottime);
      (*cycle)->replay_left_behind(about_of(look).readers_left_behind);
      out.reports.push_back(say((*cycle)->run(Bar::none).report));
      if (recording != Recording::none) out.looks.push_back((*cycle)->take_recording());
    }
    return out;
  }

 private:
  CycleSources sources(const std::string& host, bool tells_blindness, Recording recording) {
    const LookAbout about = about_of(looks_.front());
    CycleSources sources = sources_of(directory_->path());
    sources.recording = recording;
    sources.own = {about.own, about.parent};
    sources.hook = make_recorded_hook(errors_, kRecordedProc);
    Replayed replayed;
    replayed.host = host;
    replayed.bpf_path = directory_->path() + "/bpf";
    replayed.look = about;
    replayed.tells_blindness = tells_blindness;
    replayed.fusectl_hook = make_recorded_hook(errors_, kRecordedFusectl);
    replayed.bpf_hook = make_recorded_hook(errors_, kRecordedBpf);
    sources.replayed = replayed;
    return sources;
  }

  void become(const FileTree& look) {
    const auto now = about_of(look).connection_inodes;
    for (const auto& [id, inode] : now) {
      const auto before = inodes_.find(id);
      if (before != inodes_.end() && before->second != inode) {
        directory_->replace_next(std::string(kRecordedFusectl) + "/" + std::to_string(id));
      }
    }
    inodes_ = now;
    const FileTree::Node* errors = look.find("errors");
    REQUIRE(errors != nullptr);
    auto parsed = parse_errors(errors->text);
    REQUIRE(parsed);
    *errors_ = *std::move(parsed);
    REQUIRE(directory_->become(look));
  }

  TemporaryDirectory below_;
  std::vector<FileTree> looks_;
  std::unique_ptr<TreeDirectory> directory_;
  std::map<std::uint32_t, std::uint64_t> inodes_;
  std::shared_ptr<std::map<std::string, ReadRecorder::Failed>> errors_ =
      std::make_shared<std::map<std::string, ReadRecorder::Failed>>();
};

std::string host_of(const Recorded& recorded) { return Json::parse(recorded.reports.front()).at("host"); }

void check_replay(const Recorded& recorded, bool tells_blindness = false) {
  CHECK(Replay(recorded.looks).run(host_of(recorded), tells_blindness).reports == recorded.reports);
}

std::size_t count_processes(const FileTree& look) {
  std::size_t count = 0;
  const FileTree proc = look.below("proc");
  for (const auto& [path, node] : proc.nodes()) {
    if (path.find_first_not_of("0123456789") == std::string::npos) ++count;
  }
  return count;
}

// Fails what is at `path` with `kind`.
ReadHook failing(const std::string& failed, Error error) {
  return [failed, error](std::string_view path) -> std::optional<Error> {
    return path == failed ? std::optional(error) : std::nullopt;
  };
}

}  // namespace

TEST_CASE("the record of each capture says what the capture says, of all and of those concerned alone") {
  std::size_t processes = 0;
  std::size_t concerned = 0;
  for (const std::string& name : kCaptures) {
    CAPTURE(name);
    const Recorded all = record_capture(name, Recording::all);
    const bool healthy = name.find("healthy") != std::string::npos;
    CHECK((all.reports.back().find("\"verdict\": \"deadlocked\"") == std::string::npos) == healthy);
    check_replay(all);
    const Recorded candidates = record_capture(name, Recording::candidates);
    CHECK(candidates.reports == all.reports);
    check_replay(candidates);
    processes += count_processes(all.looks.front());
    concerned += count_processes(candidates.looks.front());
    CHECK(about_of(all.looks.front()).left_out == 0);
  }
  CHECK(concerned < processes);  // most captures have hardly any others
}

TEST_CASE("readers that were left behind then are a gap of the replay, and of its record") {
  const Recorded all = record_capture("linux-6.18.44-flush", Recording::all);
  std::vector<FileTree> looks = all.looks;
  LookAbout about = about_of(looks.back());
  REQUIRE(about.readers_left_behind == 0);
  about.readers_left_behind = 2;
  looks.back().remove("look.json");
  looks.back().add_file("look.json", render_look(about));
  const Recorded again = Replay(looks).run(host_of(all), false, Recording::all);
  const auto gap_of = [](const std::string& report) -> std::optional<int> {
    const Json parsed = Json::parse(report);
    for (const Json& gap : parsed.at("gaps")) {
      if (gap.at("file") == "reader" && gap.at("kind") == "timeout") return gap.at("count").get<int>();
    }
    return std::nullopt;
  };
  CHECK_FALSE(gap_of(again.reports.front()));
  CHECK(gap_of(again.reports.back()) == 2);
  CHECK(about_of(again.looks.back()).readers_left_behind == 2);
}

TEST_CASE("a record of a replay is the record, and one of its candidates says the same") {
  const Recorded all = record_capture("linux-6.18.44-docker", Recording::all);
  const Recorded again = Replay(all.looks).run(host_of(all), false, Recording::all);
  REQUIRE(again.looks.size() == all.looks.size());
  for (std::size_t i = 0; i < all.looks.size(); ++i) {
    for (const char* part : {"proc", "sys", "bpf"}) CHECK(again.looks[i].below(part) == all.looks[i].below(part));
    CHECK(again.looks[i].find("errors")->text == all.looks[i].find("errors")->text);
  }
  check_replay(Replay(all.looks).run(host_of(all), false, Recording::candidates));
}

TEST_CASE("no command line, no environment and no memory is in a record") {
  const Recorded all = record_capture("linux-6.18.44-docker", Recording::all);
  for (const auto& [path, node] : all.looks.front().nodes()) {
    const std::string name = path.substr(path.rfind('/') + 1);
    CAPTURE(path);
    for (const char* never : {"cmdline", "environ", "maps", "smaps", "mem", "exe", "cwd", "root", "auxv"}) {
      CHECK(name != never);
    }
  }
}

TEST_CASE("what could not be read cannot be read again, in the same way") {
  for (const Error& error : {Error{ErrorKind::denied, "", 13}, Error{ErrorKind::timeout, "", kNotAsked},
                             Error{ErrorKind::timeout, "", 0}, Error{ErrorKind::io, "", 5}}) {
    for (const char* path : {"3899/task/3901/stack", "3899/task/3901/mountinfo", "1/fdinfo", "1/mountinfo", "1/status",
                             "3898/ns/pid", "3898/task", ".", "3899"}) {
      CAPTURE(path, to_string(error.kind), error.code);
      CycleSources sources = sources_of(std::string(DEFUSED_CAPTURES) + "/linux-6.18.44-flush");
      sources.hook = failing(path, error);
      ManualClock clock({10000s, 1'800'000'000s});
      for (const Recording kind : {Recording::all, Recording::candidates}) {
        const Recorded recorded = record(sources, kind, clock, [&] { clock.advance(5s); });
        CHECK(recorded.looks.front().find("errors")->text.find(std::to_string(error.code)) != std::string::npos);
        check_replay(recorded);
      }
    }
  }
}

TEST_CASE("time that ran out runs out again") {
  CycleSources sources = sources_of(std::string(DEFUSED_CAPTURES) + "/linux-6.18.44-flush");
  for (const char* path : {"1/mountinfo", "1/fdinfo", "3899/task/3901", "3899/task/3901/fdinfo/0"}) {
    CAPTURE(path);
    sources.hook = failing(path, Error{ErrorKind::timeout, "", kNotAsked});
    ManualClock clock({10000s, 1'800'000'000s});
    const Recorded recorded = record(sources, Recording::candidates, clock, [&] { clock.advance(5s); });
    check_replay(recorded);
  }
}

TEST_CASE("a connection whose files cannot be read, and one that is another one with the same number") {
  const Tree tree;
  ManualClock clock({10000s, 1'800'000'000s});
  int looked = 0;
  const auto replace_connection = [&] {
    clock.advance(5s);
    if (++looked != 2) return;
    fs::copy(tree.fusectl() / "40", tree.root() / "new", fs::copy_options::recursive);
    fs::rename(tree.fusectl() / "40", tree.root() / "old");
    fs::rename(tree.root() / "new", tree.fusectl() / "40");
  };
  const Recorded recorded = record(sources_of(tree.root().string()), Recording::candidates, clock, replace_connection);
  CHECK(about_of(recorded.looks[0]).connection_inodes == about_of(recorded.looks[1]).connection_inodes);
  CHECK(about_of(recorded.looks[1]).connection_inodes != about_of(recorded.looks[2]).connection_inodes);
  check_replay(recorded);

  CycleSources sources = sources_of(std::string(DEFUSED_CAPTURES) + "/linux-6.18.44-flush");
  sources.hook = failing("40/waiting", Error{ErrorKind::denied, "", 13});
  const Recorded denied = record(sources, Recording::all, clock, [&] { clock.advance(5s); });
  CHECK(denied.looks.front().find("errors")->text == "denied 13 sys/fs/fuse/connections/40/waiting\n");
  check_replay(denied);
}

TEST_CASE("where FUSE cannot be seen, a replay does not see it either") {
  CycleSources sources = sources_of(std::string(DEFUSED_CAPTURES) + "/linux-6.18.44-flush");
  sources.fusectl_path = "/nonexistent/connections";
  ManualClock clock({10000s, 1'800'000'000s});
  const Recorded recorded = record(sources, Recording::all, clock, [&] { clock.advance(5s); });
  CHECK(recorded.reports.back().find("\"fusectl\"") != std::string::npos);
  check_replay(recorded);
}

TEST_CASE("what the kernel itself said is recorded and said again, its errors too") {
  const Recorded plain = record_capture("linux-6.18.44-flush", Recording::all);
  std::vector<FileTree> looks = plain.looks;
  for (FileTree& look : looks) {
    look.add_file("bpf/files", "file 1 10 40\n");
    look.add_file("bpf/waits", "");
    LookAbout about = about_of(look);
    about.file_reader = about.wait_reader = true;
    look.remove("look.json");
    look.add_file("look.json", render_look(about));
  }
  looks[1].remove("bpf/waits");
  looks[1].remove("errors");
  looks[1].add_file("errors", "timeout 62 bpf/waits\n");
  const Recorded told = Replay(looks).run("elsewhere", true, Recording::candidates);
  const Json last = Json::parse(told.reports.back());
  CHECK(last.at("connections").at(0).at("outside_users") == 1);
  CHECK(last.at("blind").empty());
  CHECK(Json::parse(told.reports[1]).at("gaps").dump().find("\"bpf\"") != std::string::npos);
  CHECK(told.looks[0].find("bpf/files")->text == "file 1 10 40\n");
  CHECK(told.looks[1].find("bpf/waits") == nullptr);
  CHECK(told.looks[1].find("errors")->text == "timeout 62 bpf/waits\n");
  check_replay(told, true);
  // Without its readers it is blind, if it says so.
  CHECK(Replay(plain.looks).run("elsewhere", true).reports.back().find("\"bpf\"") != std::string::npos);
}

// Processes come and go meanwhile, of this host and of other tests: one of a few records has to be whole.
TEST_CASE("the record of this very host says what was said") {
  for (const Recording kind : {Recording::all, Recording::candidates}) {
    std::string difference;
    for (int tries = 0; tries < 5; ++tries) {
      CycleSources sources;
      sources.own = {getpid(), getppid()};
      SystemClock clock;
      const Recorded recorded = record(sources, kind, clock);
      const auto again = Replay(recorded.looks).run(host_of(recorded), true).reports;
      difference = again == recorded.reports ? "" : recorded.reports.back() + "\n" + again.back();
      if (difference.empty()) break;
    }
    CHECK(difference == "");
  }
}
