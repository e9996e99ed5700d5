// SPDX-License-Identifier: Apache-2.0
// Looks made of secrets and of what the kernel writes, whole, cut and damaged: nothing of the secrets comes through,
// and the same is read of what did.
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "capture/redact.h"
#include "procfs/parse.h"

using namespace defused;

namespace {

// A type of file system is the kernel's, so no random text has " - " before one.
// With what stands between fields, in names that a person or a container may choose.
const std::vector<std::string> kSecrets = {"Zecret",
                                           "ZecretHost.example",
                                           "Zecret user:pw@host",
                                           "Zecret)",
                                           "(Zecret",
                                           ") Zecret (",
                                           "Zecret\\040x",
                                           "Zecret\\nx",
                                           "Zecret\x01\x7f",
                                           "Zecret\xff\xfe",
                                           "Zec\xc3\xa9Zecret",
                                           std::string("Zecret\0x", 8),
                                           ".Zecret",
                                           "Zecret.slice",
                                           "docker-Zecret.scope",
                                           "pod-Zecret",
                                           "lxc.payload.Zecret",
                                           "machine-Zecret.scope",
                                           "Zecret:Zecret",
                                           "http://Zecret?Zecret",
                                           "Zecret (deleted)",
                                           "Zecret//Zecret",
                                           " ",
                                           "",
                                           ",Zecret=Zecret",
                                           "Zecret=1",
                                           "\tZecret\t",
                                           "Kthread_Zecret",
                                           std::string(300, 'Z') + "ecret",
                                           "overlay2/Zecret"};

const std::vector<std::string> kKernelText = {"1",
                                              "22",
                                              "0:40",
                                              "4026531833",
                                              "rw",
                                              "ro,nosuid",
                                              "/",
                                              " / ",
                                              "shared:7",
                                              "fuse.ndrive",
                                              "fuse",
                                              "overlay",
                                              "tmpfs",
                                              "\n",
                                              "\n",
                                              "\n",
                                              " ",
                                              " ",
                                              "\t",
                                              ":",
                                              "Name:\t",
                                              "State:\t",
                                              "D (disk sleep)",
                                              "Pid:\t",
                                              "NStgid:\t",
                                              "Kthread:\t0",
                                              "VmSize:\t",
                                              "0::/",
                                              "9:name=",
                                              "4:cpu:/docker/",
                                              "kubepods",
                                              ".slice",
                                              "(",
                                              ")",
                                              " S ",
                                              "se.exec_start : ",
                                              "3.5",
                                              "\n--------------------------------\n",
                                              "mnt_id:\t",
                                              "flags:\t",
                                              "lock:\t",
                                              "fuse_connection:\t",
                                              "[<0>] ",
                                              "Max open files ",
                                              "denied 13 ",
                                              "proc/1/",
                                              "device ",
                                              "Linux version ",
                                              ") #1 ",
                                              "lowerdir=",
                                              "user_id=0",
                                              "socket:[",
                                              "]",
                                              "anon_inode:"};

const std::vector<std::string> kFiles = {
    "status",      "stat",      "stack",   "wchan",   "syscall",         "sched",
    "cgroup",      "mountinfo", "limits",  "comm",    "task/8/children", "task/8/status",
    "task/8/comm", "fdinfo/5",  "cmdline", "environ", "task/8/mountinfo"};
const std::vector<std::string> kOthers = {"proc/uptime",
                                          "errors",
                                          "look.json",
                                          "bpf/files",
                                          "bpf/waits",
                                          "about.json",
                                          "sys/fs/fuse/connections/40/waiting",
                                          "proc/sys/fs/fuse/max_request_timeout"};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::size_t below(std::size_t size) { return std::uniform_int_distribution<std::size_t>(0, size - 1)(engine_); }
  const std::string& of(const std::vector<std::string>& texts) { return texts[below(texts.size())]; }

  std::string text() {
    std::string out;
    for (std::size_t left = below(30); left > 0; --left) out += below(3) == 0 ? of(kSecrets) : of(kKernelText);
    if (!out.empty() && below(4) == 0) out.resize(below(out.size()));
    if (!out.empty() && below(8) == 0) out[below(out.size())] = static_cast<char>(below(256));
    return out;
  }

 private:
  std::mt19937 engine_;
};

bool leaks(std::string_view text) {
  return text.find("Zec") != std::string_view::npos || text.find("ecret") != std::string_view::npos ||
         text.find("ZZZ") != std::string_view::npos;
}

std::uint64_t leaked(const FileTree& tree) {
  std::uint64_t count = 0;
  for (const auto& [path, node] : tree.nodes()) {
    if (!leaks(path) && !leaks(node.text)) continue;
    UNSCOPED_INFO(path << ": " << node.text);
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("nothing of what was chosen by somebody comes through, whatever a look looks like") {
  Random random(1);
  Redactor redactor;
  for (int round = 0; round < 3'000; ++round) {
    FileTree look;
    for (const std::string& file : kFiles) look.add_file("proc/7/" + file, random.text());
    for (const std::string& file : kOthers) look.add_file(file, random.text());
    // A symbol may be called anything: nobody but the kernel writes it.
    for (const char* file : {"proc/7/stack", "proc/7/wchan"}) look.add_file(file, random.of(kKernelText));
    look.add_file("proc/version", "Linux version 6.1.0-56 (" + random.of(kSecrets) + ") (" + random.text() + ") #1 " +
                                      random.of(kSecrets));
    look.add_link("proc/7/fd/5", random.text());
    look.add_link("proc/7/ns/pid", random.text());
    look.add_link("proc/7/exe", random.text());
    look.add_file("proc/" + random.of(kSecrets), random.text());
    const FileTree tree = redactor.redact(look);
    if (leaked(tree) > 0) FAIL("round " << round);
    CHECK(tree.bytes() < 8 * look.bytes() + 4096);
    CHECK(Redactor().redact(tree).nodes().size() == tree.nodes().size());
  }
}

// Lines as the kernel writes them, with secrets where names stand.
TEST_CASE("of lines of mountinfo, cgroup and fdinfo the same is read") {
  Random random(2);
  Redactor redactor;
  std::size_t tables = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string mounts;
    for (std::size_t left = random.below(4); left > 0; --left) {
      mounts += "22 27 0:40 /" + random.of(kSecrets) + " /mnt/" + random.of(kSecrets) + " rw - " +
                random.of(kKernelText) + " " + random.of(kSecrets) + " rw," + random.of(kSecrets) + "\n";
    }
    if (!mounts.empty() && random.below(3) == 0) mounts.resize(random.below(mounts.size()));
    const std::string cgroups =
        "0::/" + random.of(kSecrets) + "\n" + random.text() + "\n1:cpu:/" + random.of(kSecrets) + "\n";
    FileTree look;
    look.add_file("proc/7/mountinfo", mounts);
    look.add_file("proc/7/cgroup", cgroups);
    const FileTree tree = redactor.redact(look);
    if (leaked(tree) > 0) FAIL("round " << round);
    CAPTURE(mounts, tree.find("proc/7/mountinfo")->text);
    const auto was = parse_mountinfo(mounts, 100);
    const auto is = parse_mountinfo(tree.find("proc/7/mountinfo")->text, 100);
    REQUIRE(was.has_value() == is.has_value());
    if (was) {
      ++tables;
      REQUIRE(was->complete == is->complete);
      REQUIRE(was->has_overlay == is->has_overlay);
      REQUIRE(was->fuse_mounts.size() == is->fuse_mounts.size());
    }
    CAPTURE(cgroups, tree.find("proc/7/cgroup")->text);
    REQUIRE(parse_cgroup(cgroups).size() == parse_cgroup(tree.find("proc/7/cgroup")->text).size());
  }
  CHECK(tables > 1'000);
}

TEST_CASE("megabytes in a line are read in a moment") {
  const std::size_t size = 4U << 20U;
  const std::vector<std::string> fillers = {std::string(size, 'Z'), std::string(size, ' '),  std::string(size, '/'),
                                            std::string(size, ':'), std::string(size, 'a'),  std::string(size, '('),
                                            std::string(size, ','), std::string(size, '\n'), std::string(size, '\0')};
  std::string repeated;
  while (repeated.size() < size) repeated += "lxc.payload.";
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& filler : fillers) {
    for (const std::string& file : kFiles) {
      FileTree look;
      look.add_file("proc/7/" + file, filler);
      const FileTree tree = Redactor().redact(look);
      CHECK(tree.bytes() < 8 * size);
      CHECK(leaked(tree) == 0);
    }
  }
  FileTree look;
  look.add_file("proc/7/cgroup", "0::/" + repeated + "/" + fillers[0] + "\n");
  look.add_file("proc/7/mountinfo", "1 2 0:3 /" + repeated + " /" + repeated + " rw - fuse." + fillers[0] + " x rw\n");
  look.add_file("proc/7/status", "Name:\t" + fillers[0] + "\nPid:\t" + fillers[4] + "\n");
  const FileTree tree = Redactor().redact(look);
  CHECK(leaked(tree) == 0);
  CHECK(tree.bytes() < 1000);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
}
