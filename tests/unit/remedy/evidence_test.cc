// SPDX-License-Identifier: Apache-2.0
// Evidence bundles: what is in them, that the same readings give the same bytes, and that they are bounded.
#include "remedy/evidence_store.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "state_directory.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a directory of our own only
using Kind = ReadRecorder::Kind;
using nlohmann::json;

constexpr Nanoseconds kTime = 1'795'522'500s;
constexpr std::uint64_t kMuch = 64U << 20U;

FileTree make_tree() {
  ReadRecorder proc(100'000);
  proc.note("", Kind::directory, "17/\n18/\n");
  proc.note("17/status", Kind::file, "Name:\tcat\n");
  proc.note("17/ns/pid", Kind::link, "pid:[4026531836]");
  proc.note("17/fd/3", Kind::link, "/memfd:\xff (deleted)");
  proc.note("17/fdinfo", Kind::directory, "3\n4\n");
  proc.note("17/fdinfo/3", Kind::file, "pos:\t0\n");
  proc.note("17/task", Kind::directory, "17/\n");
  FileTree tree;
  tree.add_record("proc", proc);
  tree.add_directory("sys/fs/fuse/connections");
  return tree;
}

EvidenceBundle make_bundle(const FileTree& tree, Nanoseconds time = kTime) {
  return {time, 40, "node-7", tree, 1, "{\"settings\":1}", "{\"report\":1}", "{\"intent\":1}"};
}

std::string evidence_of(const StateDirectory& state) { return state.path() + "/evidence"; }

std::vector<std::string> bundles_of(const StateDirectory& state) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(evidence_of(state)))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Unpacked as an operator would.
fs::path unpack(const StateDirectory& state, const std::string& name) {
  const fs::path target = fs::path(state.base()) / "unpacked";
  fs::create_directories(target);
  const std::string command = "cd " + target.string() + " && tar -xzf ../state/evidence/" + name;
  REQUIRE(std::system(command.c_str()) == 0);
  return target;
}

// A megabyte that does not compress.
FileTree make_noise() {
  FileTree noise;
  std::string text;
  std::uint32_t state = 1;
  while (text.size() < 1'000'000) {
    state = state * 1'664'525 + 1'013'904'223;
    text += static_cast<char>(state >> 24U);
  }
  noise.add_file("noise", text);
  return noise;
}

}  // namespace

TEST_CASE("a bundle is an archive that tar unpacks to the trees that were read") {
  const StateDirectory state;
  const FileTree read = make_tree();
  const auto name = EvidenceStore(state.path(), 4, kMuch).keep(make_bundle(read));
  REQUIRE(name);
  CHECK(*name == "20261124T121500.000Z-40.tar.gz");
  CHECK(bundles_of(state) == std::vector{*name});
  CHECK(mode_of(evidence_of(state)) == 0700);
  CHECK(mode_of(evidence_of(state) + "/" + *name) == 0600);
  const fs::path tree = unpack(state, *name);
  CHECK(read_whole(tree / "report.json") == "{\"report\":1}");
  CHECK(read_whole(tree / "intent.json") == "{\"intent\":1}");
  CHECK(json::parse(read_whole(tree / "about.json")) == json({{"schema", "defused.evidence/v1"},
                                                              {"time", "2026-11-24T12:15:00.000Z"},
                                                              {"time_ns", 1'795'522'500'000'000'000},
                                                              {"host", "node-7"},
                                                              {"connection", 40},
                                                              {"left_out", 1}}));
  CHECK(read_whole(tree / "settings.json") == "{\"settings\":1}");
  CHECK(read_whole(tree / "proc/17/status") == "Name:\tcat\n");
  CHECK(fs::read_symlink(tree / "proc/17/ns/pid") == "pid:[4026531836]");
  CHECK(fs::read_symlink(tree / "proc/17/fd/3") == "/memfd:\xff (deleted)");
  CHECK(read_whole(tree / "proc/17/fdinfo/3") == "pos:\t0\n");
  CHECK(fs::is_directory(tree / "proc/18"));  // listed, and gone before it was read
  CHECK(fs::is_directory(tree / "proc/17/task/17"));
  CHECK(fs::is_empty(tree / "proc/17/fdinfo/4"));  // listed, and not read
  CHECK(fs::is_directory(tree / "sys/fs/fuse/connections"));
  CHECK(mode_of(tree / "proc/17/status") == 0600);
  CHECK(fs::is_empty(tree / "sys/fs/fuse/connections"));
  struct stat found {};
  REQUIRE(stat((tree / "proc/17/status").c_str(), &found) == 0);
  CHECK(found.st_mtim.tv_sec == 1'795'522'500);
}

TEST_CASE("the same readings give the same bytes") {
  const StateDirectory first;
  const StateDirectory second;
  const FileTree read = make_tree();
  const std::string name = EvidenceStore(first.path(), 4, kMuch).keep(make_bundle(read)).value();
  REQUIRE(EvidenceStore(second.path(), 4, kMuch).keep(make_bundle(read)).value() == name);
  const std::string bytes = read_whole(evidence_of(first) + "/" + name);
  CHECK(bytes == read_whole(evidence_of(second) + "/" + name));
  CHECK(bytes.substr(4, 4) == std::string(4, '\0'));  // gzip's own time
}

TEST_CASE("the oldest go first, by number") {
  const StateDirectory state;
  const FileTree read = make_tree();
  EvidenceStore store(state.path(), 2, kMuch);
  for (int i = 0; i < 4; ++i) REQUIRE(store.keep(make_bundle(read, kTime + i * 1s)));
  CHECK(bundles_of(state) ==
        std::vector<std::string>{"20261124T121502.000Z-40.tar.gz", "20261124T121503.000Z-40.tar.gz"});
  // The clock is set back: the one just made stays all the same. What is not ours stays.
  std::ofstream(evidence_of(state) + "/notes.tar.gz") << "mine";
  REQUIRE(store.keep(make_bundle(read, 1000s)));
  CHECK(bundles_of(state) ==
        std::vector<std::string>{"19700101T001640.000Z-40.tar.gz", "20261124T121503.000Z-40.tar.gz", "notes.tar.gz"});
}

TEST_CASE("the oldest go first, by bytes, and one that is too large alone is not made") {
  const StateDirectory state;
  const FileTree noise = make_noise();
  EvidenceStore store(state.path(), 10, 2'500'000);
  for (int i = 0; i < 3; ++i) REQUIRE(store.keep(make_bundle(noise, kTime + i * 1s)));
  CHECK(bundles_of(state) ==
        std::vector<std::string>{"20261124T121501.000Z-40.tar.gz", "20261124T121502.000Z-40.tar.gz"});
  const auto kept = EvidenceStore(state.path(), 10, 500'000).keep(make_bundle(noise, kTime + 9s));
  REQUIRE_FALSE(kept);
  CHECK(kept.error().kind == ErrorKind::unsupported);
  CHECK_THAT(kept.error().message, Catch::EndsWith("larger than all bundles may be"));
  CHECK(bundles_of(state).size() == 2);
}

TEST_CASE("none are to be kept") {
  const StateDirectory state;
  const FileTree read = make_tree();
  CHECK(EvidenceStore(state.path(), 0, kMuch).keep(make_bundle(read)).error().kind == ErrorKind::unsupported);
  CHECK_FALSE(fs::exists(state.path()));
}

TEST_CASE("a bundle that cannot be written whole is not there at all") {
  const StateDirectory state;
  const FileTree noise = make_noise();
  EvidenceStore store(state.path(), 4, kMuch);
  {
    const FileSizeLimit limit(100'000);
    const auto kept = store.keep(make_bundle(noise));
    REQUIRE_FALSE(kept);
    CHECK(kept.error().kind == ErrorKind::io);
    CHECK_THAT(kept.error().message, Catch::Contains("File too large"));
  }
  CHECK(bundles_of(state).empty());
  std::ofstream(evidence_of(state) + "/unfinished.new-2147483647") << "of a killed writer";
  REQUIRE(store.keep(make_bundle(noise)));
  CHECK(bundles_of(state).size() == 1);
}

TEST_CASE("an evidence directory that is a link is not followed") {
  const StateDirectory state;
  const FileTree read = make_tree();
  fs::create_directories(state.path());
  fs::create_directories(fs::path(state.base()) / "elsewhere");
  fs::create_directory_symlink("../elsewhere", evidence_of(state));
  CHECK_FALSE(EvidenceStore(state.path(), 4, kMuch).keep(make_bundle(read)));
  CHECK(fs::is_empty(fs::path(state.base()) / "elsewhere"));
}

}  // namespace defused
