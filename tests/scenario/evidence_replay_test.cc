// SPDX-License-Identifier: Apache-2.0
// A bundle of evidence says the same again: a whole reading of a capture is recorded, kept, unpacked with tar and read
// anew, and what is found in it is what was found in the capture.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/recorder.h"
#include "detect/detect.h"
#include "fusectl/fuse_root.h"
#include "model/codec.h"
#include "procfs/proc_root.h"
#include "remedy/evidence_store.h"
#include "temporary_directory.h"

using namespace defused;

namespace {

namespace fs = std::filesystem;  // for a directory of our own only

struct Recorders {
  ReadRecorder proc{256U << 20U};
  ReadRecorder fusectl{1U << 20U};
};

// As a pass of the daemon reads before it acts; with `recorders` from the first file on.
Snapshot read_all(const std::string& proc_path, Result<FuseRoot> fuse, Instant now, Recorders* recorders,
                  const ReadLimits& limits = {}) {
  auto proc = ProcRoot::open(proc_path);
  REQUIRE(proc);
  REQUIRE(fuse);
  if (recorders != nullptr) {
    proc->record_to(&recorders->proc);
    fuse->record_to(&recorders->fusectl);
  }
  Snapshot snapshot;
  snapshot.taken = now;
  snapshot.fusectl_present = true;
  snapshot.kernel = read_kernel_facts(*proc);
  REQUIRE(read_processes(*proc, limits, snapshot));
  snapshot.connections = fuse->read_connections(snapshot.gaps);
  read_hazards(*proc, limits, snapshot);
  snapshot.surroundings = read_surroundings(*proc, limits, {}, ManualClock(now), snapshot);
  return snapshot;
}

// What three passes over the tree find, five seconds apart; the last one is recorded.
std::string judge(const fs::path& root, Recorders* recorders) {
  DetectSettings settings;
  settings.stuck_after = std::chrono::seconds(2);
  Report report;
  History history;
  constexpr int kPasses = 3;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Nanoseconds passed = pass * std::chrono::seconds(5);
    const Instant now{std::chrono::seconds(10'000) + passed, std::chrono::seconds(1'800'000'000) + passed};
    const Snapshot snapshot =
        read_all((root / "proc").string(), FuseRoot::open_capture((root / "sys/fs/fuse/connections").string()), now,
                 pass + 1 == kPasses ? recorders : nullptr);
    Detection detection = detect(snapshot, history, settings);
    history = std::move(detection.history);
    report.findings = std::move(detection.findings);
    report.kernel = snapshot.kernel;
    report.gaps = snapshot.gaps;
    report.scanned_at = now.wall;
  }
  return render_report_json(report, ExposeSource::full, 2);
}

// Kept, and unpacked as an operator would.
fs::path keep_and_unpack(const TemporaryDirectory& directory, const Recorders& recorders) {
  EvidenceBundle bundle;
  bundle.at_wall = std::chrono::seconds(1'700'000'000);
  bundle.connection = 40;
  FileTree read;
  read.add_record("proc", recorders.proc);
  read.add_record("sys/fs/fuse/connections", recorders.fusectl);
  bundle.tree = std::move(read);
  const auto name = EvidenceStore(directory.file("state"), 1, 256U << 20U).keep(std::move(bundle));
  REQUIRE(name);
  const fs::path tree = directory.path() / "tree";
  fs::create_directories(tree);
  const std::string command = "tar -xzf " + (directory.path() / "state/evidence" / *name).string() + " -C ";
  REQUIRE(std::system((command + tree.string()).c_str()) == 0);
  return tree;
}

}  // namespace

TEST_CASE("the evidence of each capture is found to say what the capture says") {
  for (const char* name : {"linux-6.1.192-flush", "linux-6.1.192-healthy", "linux-6.1.192-mmap", "linux-6.12.107-flush",
                           "linux-6.12.107-healthy", "linux-6.12.107-mmap", "linux-6.18.44-docker",
                           "linux-6.18.44-flush", "linux-6.18.44-healthy", "linux-6.18.44-mmap"}) {
    CAPTURE(name);
    const TemporaryDirectory directory;
    Recorders recorders;
    const std::string found = judge(fs::path(DEFUSED_CAPTURES) / name, &recorders);
    CHECK(recorders.proc.left_out() == 0);
    CHECK(recorders.fusectl.left_out() == 0);
    // Not all are the same by being empty.
    const bool healthy = std::string(name).find("healthy") != std::string::npos;
    CHECK((found.find("\"verdict\": \"deadlocked\"") == std::string::npos) == healthy);
    CHECK(judge(keep_and_unpack(directory, recorders), nullptr) == found);
  }
}

TEST_CASE("without one of its files the evidence says something else") {
  const TemporaryDirectory directory;
  Recorders recorders;
  const std::string found = judge(fs::path(DEFUSED_CAPTURES) / "linux-6.18.44-flush", &recorders);
  const fs::path tree = keep_and_unpack(directory, recorders);
  for (const char* file : {"proc/3899/task/3901/stack", "proc/3899/task/3901/mountinfo", "proc/3898/status",
                           "proc/uptime", "proc/version", "sys/fs/fuse/connections/40/waiting"}) {
    CAPTURE(file);
    fs::rename(tree / file, tree / "aside");
    CHECK(judge(tree, nullptr) != found);
    fs::rename(tree / "aside", tree / file);
  }
  CHECK(judge(tree, nullptr) == found);
}

namespace {

// Of each process what does not change from one moment to the next.
std::vector<std::string> describe(const Snapshot& snapshot) {
  std::vector<std::string> lines;
  for (const ProcessBrief& process : snapshot.processes) {
    lines.push_back(std::to_string(process.pid) + " " + process.name + " " + std::to_string(process.level) + " " +
                    std::to_string(process.inner_pid) + " " + std::to_string(process.kernel_thread));
  }
  return lines;
}

std::vector<std::string> describe(const Surroundings& around) {
  std::vector<std::string> lines;
  for (const DeviceHolder& holder : around.holders) {
    lines.push_back("holder " + std::to_string(holder.pid) + " " + std::to_string(holder.unattributed) + " " +
                    std::to_string(holder.connections.size()) + " " + std::to_string(holder.start_ticks));
  }
  for (const FileUser& user : around.users) lines.push_back("user " + std::to_string(user.id.pid));
  for (const Viewer& viewer : around.viewers) {
    lines.push_back("viewer " + std::to_string(viewer.pids.size()) + " from " + std::to_string(viewer.pids.front()) +
                    ", FUSE mounts: " + std::to_string(viewer.mounts.fuse_mounts.size()));
  }
  return lines;
}

}  // namespace

// Processes come and go meanwhile, of this host and of other tests: what is compared are those that are in both.
TEST_CASE("a reading of this very host can be read again") {
  const TemporaryDirectory directory;
  const std::string empty = directory.file("empty");
  fs::create_directories(empty);
  Recorders recorders;
  ReadLimits limits;
  limits.surroundings_budget = std::chrono::minutes(1);
  const Instant now{std::chrono::seconds(10'000), std::chrono::seconds(1'800'000'000)};
  const Snapshot first = read_all("/proc", FuseRoot::open_capture(empty), now, &recorders, limits);
  CHECK(recorders.proc.left_out() == 0);
  const auto symbols = recorders.proc.entries().find("kallsyms");  // of megabytes, what counts
  if (symbols != recorders.proc.entries().end()) CHECK(symbols->second.text.size() < 1'000'000);
  const fs::path tree = keep_and_unpack(directory, recorders);
  const Snapshot again = read_all((tree / "proc").string(), FuseRoot::open_capture(empty), now, nullptr, limits);
  const auto before = describe(first);
  const auto after = describe(again);
  REQUIRE(first.processes.size() > 1);
  std::size_t missing = 0;
  for (const std::string& line : before) missing += std::count(after.begin(), after.end(), line) == 0 ? 1U : 0U;
  CHECK(missing <= before.size() / 10);
  CHECK(again.kernel.release == first.kernel.release);
  CHECK(to_string(again.kernel.fuse_flush_waits) == to_string(first.kernel.fuse_flush_waits));
  CHECK(again.kernel.fdinfo_names_connection == first.kernel.fdinfo_names_connection);
  CHECK(again.kernel.max_request_timeout_seconds == first.kernel.max_request_timeout_seconds);
  CHECK(describe(*again.surroundings) == describe(*first.surroundings));
  CHECK(again.surroundings->viewers_complete == first.surroundings->viewers_complete);
}
