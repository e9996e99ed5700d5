// SPDX-License-Identifier: Apache-2.0
// A copy of the capture of a real deadlock that changes while it is judged, a cycle that may act on it, and an Aborter
// that counts: nothing of this host is touched.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "capture_cycle.h"
#include "temporary_directory.h"

namespace defused {

namespace fs = std::filesystem;  // NOLINT(misc-unused-alias-decls): for a directory of our own only

inline void write_whole(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
}

// A copy of a capture that changes while it is judged, and a directory for the records.
class Tree {
 public:
  Tree() {
    fs::copy(fs::path(DEFUSED_CAPTURES) / "linux-6.18.44-flush", root(),
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }

  [[nodiscard]] fs::path root() const { return root_.path(); }
  [[nodiscard]] fs::path proc(const std::string& pid) const { return root() / "proc" / pid; }
  [[nodiscard]] fs::path fusectl() const { return root() / "sys/fs/fuse/connections"; }
  [[nodiscard]] fs::path state() const { return root() / "state"; }

  // A live process of the host with one open descriptor.
  void add_process(const std::string& pid, const std::string& link, const std::string& fdinfo) const {
    std::string status = read_whole(proc("1") / "status");
    replace(status, "Name:\tsystemd", "Name:\tlate");
    replace(status, "Tgid:\t1\n", "Tgid:\t" + pid + "\n");
    replace(status, "\nPid:\t1\n", "\nPid:\t" + pid + "\n");
    replace(status, "NStgid:\t1\n", "NStgid:\t" + pid + "\n");
    replace(status, "PPid:\t0\n", "PPid:\t1\n");
    for (const fs::path& directory : {proc(pid), proc(pid) / "task" / pid}) {
      write_whole(directory / "status", status);
      write_whole(directory / "mountinfo", read_whole(proc("1") / "mountinfo"));
      write_whole(directory / "fdinfo/3", fdinfo);
      fs::create_directories(directory / "fd");
      fs::create_symlink(link, directory / "fd/3");
    }
  }

 private:
  TemporaryDirectory root_;
};

/// Does something to the tree when the abort file is opened, and counts the writes.
class LateAborter final : public Aborter {
 public:
  explicit LateAborter(std::function<void()> happens) : happens_(std::move(happens)) {}
  int opened = 0;
  int written = 0;

  Result<std::unique_ptr<ArmedAbort>> open(ConnectionId /*connection*/, std::uint64_t /*directory_inode*/) override {
    ++opened;
    happens_();
    return std::unique_ptr<ArmedAbort>(std::make_unique<Armed>(*this));
  }

 private:
  class Armed final : public ArmedAbort {
   public:
    explicit Armed(LateAborter& owner) : owner_(owner) {}
    Result<void> write() override {
      ++owner_.written;
      return {};
    }

   private:
    LateAborter& owner_;
  };
  std::function<void()> happens_;
};

inline std::unique_ptr<Cycle> make_acting_cycle(const Tree& tree, Aborter& aborter, Clock& clock,
                                                Mode mode = Mode::enforce) {
  CycleSources sources;
  sources.proc_path = tree.root() / "proc";
  sources.fusectl_path = tree.fusectl();
  sources.capture = true;
  sources.records = RecordUse::keep;
  sources.aborter = &aborter;
  Settings settings;
  settings.policy.mode = mode;
  settings.policy.min_stuck = 2s;
  settings.detect.stuck_after = 2s;
  settings.state_directory = tree.state();
  settings.remedy.watch = 200ms;
  auto cycle = Cycle::create(settings, std::move(sources), CycleEvents{}, clock);
  REQUIRE(cycle);
  return *std::move(cycle);
}

/// A record of the audit log; decisions are left out.
struct AuditLine {
  std::string record;
  std::string outcome;
  std::string intent_time;
  std::string text;
};
std::vector<AuditLine> audit_records(const Tree& tree);

}  // namespace defused
