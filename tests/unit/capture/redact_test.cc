// SPDX-License-Identifier: Apache-2.0
// Each file of a look, line by line.
#include "capture/redact.h"

#include <catch2/catch.hpp>
#include <string>

#include "procfs/parse.h"

using namespace defused;

namespace {

const std::string kContainerId = "3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde";

std::string status_of(const std::string& name, const std::string& more) {
  return "Name:\t" + name + "\nState:\tD (disk sleep)\nTgid:\t7\nPid:\t7\nPPid:\t1\n" + more +
         "FDSize:\t64\nThreads:\t2\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n"
         "voluntary_ctxt_switches:\t22\nnonvoluntary_ctxt_switches:\t13\n";
}

std::string redact_one(const std::string& path, const std::string& text, Redactor& redactor) {
  FileTree look;
  look.add_file(path, text);
  const FileTree tree = redactor.redact(look);
  const FileTree::Node* node = tree.find(path);
  return node == nullptr ? "(dropped)" : node->text;
}

std::string redact_one(const std::string& path, const std::string& text) {
  Redactor redactor;
  return redact_one(path, text, redactor);
}

std::string redact_link(const std::string& path, const std::string& target) {
  FileTree look;
  look.add_link(path, target);
  Redactor redactor;
  const FileTree tree = redactor.redact(look);
  const FileTree::Node* node = tree.find(path);
  return node == nullptr ? "(dropped)" : node->text;
}

}  // namespace

TEST_CASE("a thread is called the same in all of its files") {
  Redactor redactor;
  FileTree look;
  const std::string name = "evil) (S 1\nx\\y";  // what prctl takes
  look.add_file("proc/7/status", status_of("evil) (S 1\\nx\\\\y", ""));
  look.add_file("proc/7/stat", "7 (" + name + ") S 1 7 7 0 -1 4194560 1 2\n");
  look.add_file("proc/7/comm", name + "\n");
  look.add_file("proc/7/task/8/comm", name + "\n");
  look.add_file("proc/7/sched", name + " (7, #threads: 2)\n" + std::string(67, '-') +
                                    "\nse.exec_start   :   33.5\nse.secret : 5\nevil : 7\nnr_switches : 35\n");
  look.add_file("proc/self/sched-on-cpu12",
                name + " (9, #threads: 1)\n" + std::string(67, '-') + "\nse.exec_start   :   44.5\nse.secret : 5\n");
  look.add_file("errors", "unsupported 22 proc/self/sched-on-cpu3\nunsupported 22 proc/self/sched-on-secret\n");
  const FileTree tree = redactor.redact(look);
  CHECK(tree.find("proc/self/sched-on-cpu12")->text ==
        "name-1 (9, #threads: 1)\n" + std::string(67, '-') + "\nse.exec_start   :   44.5\n");
  CHECK(tree.find("errors")->text == "unsupported 22 proc/self/sched-on-cpu3\n");
  CHECK(tree.find("proc/7/comm")->text == "name-1\n");
  CHECK(tree.find("proc/7/task/8/comm")->text == "name-1\n");
  CHECK(tree.find("proc/7/stat")->text == "7 (name-1) S 1 7 7 0 -1 4194560 1 2\n");
  CHECK(tree.find("proc/7/status")->text == status_of("name-1", ""));
  CHECK(tree.find("proc/7/sched")->text ==
        "name-1 (7, #threads: 2)\n" + std::string(67, '-') + "\nse.exec_start   :   33.5\nnr_switches : 35\n");
  CHECK(redactor.name(name) == "name-1");
  CHECK(redactor.dropped() == 0);
}

TEST_CASE("kernel threads and workers of io_uring keep their names, a process that is called so does not") {
  Redactor redactor;
  FileTree look;
  look.add_file("proc/7/status", status_of("kworker/u8:3-flush-0:25", "Kthread:\t1\n"));
  look.add_file("proc/7/comm", "kworker/u8:3-fl\n");
  look.add_file("proc/7/task/7/stat", "7 (kworker/u8:3-flush-0:25) D 2\n");
  look.add_file("proc/8/status", status_of("kworker/secret", "Kthread:\t0\n"));
  look.add_file("proc/8/task/9/comm", "iou-wrk-8\n");
  look.add_file("proc/8/task/10/comm", "iou-wrk-secret\n");
  // Before Linux 6.4 there is no such line: a child of kthreadd without memory, with a table of descriptors.
  look.add_file("proc/2/status", "Name:\tkthreadd\nPid:\t2\nPPid:\t0\nFDSize:\t64\nNStgid:\t2\n");
  look.add_file("proc/3/status", "Name:\tcore-secret\nPid:\t3\nPPid:\t2\nFDSize:\t0\nNStgid:\t3\n");
  look.add_file("proc/4/status", "Name:\tpipe-secret\nPid:\t4\nPPid:\t2\nFDSize:\t64\nVmSize:\t 8 kB\nNStgid:\t4\n");
  const FileTree tree = redactor.redact(look);
  CHECK(tree.find("proc/7/status")->text == look.find("proc/7/status")->text);
  CHECK(tree.find("proc/7/comm")->text == "kworker/u8:3-fl\n");
  CHECK(tree.find("proc/7/task/7/stat")->text == "7 (kworker/u8:3-flush-0:25) D 2\n");
  CHECK(tree.find("proc/8/task/9/comm")->text == "iou-wrk-8\n");
  CHECK(tree.find("proc/8/task/10/comm")->text.substr(0, 5) == "name-");
  CHECK(tree.find("proc/2/status")->text.substr(0, 14) == "Name:\tkthreadd");
  for (const char* path : {"proc/8/status", "proc/3/status", "proc/4/status"}) {
    CHECK(tree.find(path)->text.substr(0, 11) == "Name:\tname-");
  }
}

TEST_CASE("of kernel threads only names that every kernel has stay") {
  const auto comm_of = [](const std::string& name) {
    FileTree look;
    look.add_file("proc/7/status", status_of(name, "Kthread:\t1\n"));
    look.add_file("proc/7/comm", name + "\n");
    Redactor redactor;
    const FileTree tree = redactor.redact(look);
    const std::string text = tree.find("proc/7/comm")->text;
    CHECK(tree.find("proc/7/status")->text.rfind("Name:\t" + text, 0) == 0);
    return text.substr(0, text.find('\n'));
  };
  for (const char* name : {"kthreadd", "kswapd0", "ksoftirqd/11", "migration/3", "cpuhp/0", "rcu_preempt",
                           "rcu_tasks_kthread", "khugepaged", "watchdog/1", "kworker/0:1", "kworker/u8:3",
                           "kworker/1:0H", "kworker/u8:3-flush-0:25", "kworker/u16:2+flush-8:0", "kworker/u8:3-fl"}) {
    CHECK(comm_of(name) == name);
  }
  CHECK(comm_of("kworker/0:1-xfs-conv/secret") == "kworker/0:1");
  CHECK(comm_of("kworker/u8:3+flush-secret") == "kworker/u8:3");
  CHECK(comm_of("kworker/R-secret") == "kworker/R");
  CHECK(comm_of("jbd2/secret-8") == "jbd2");
  for (const char* name :
       {"secret", "kworker/secret", "kworker/u8:secret", "kswapd-secret", "rcu_secret", "migration/0secret",
        "10.1.2.3-manager", "nfsv4.1-secret", "cifsd-secret", "iou-wrk-secret", "flush-secret", "irq/24-secret"}) {
    CAPTURE(name);
    CHECK(comm_of(name) == "name-1");
  }
}

TEST_CASE("status: lines that are known, and values of their form") {
  const std::string text =
      "Name:\tx\nState:\tD (secret)\nUid:\t0\t0\t0\t0\nVmRSS:\t   12 kB\nSecret:\tyes\nGroups:\t1 2 \n"
      "Cpus_allowed_list:\t0-1\nTgid:\tsecret\nSigQ:\t2/96365\nno line\nVmPeak: cut";
  CHECK(redact_one("proc/7/status", text) ==
        "Name:\tname-1\nState:\tD\nUid:\t0\t0\t0\t0\nVmRSS:\t12 kB\nGroups:\t1 2\nTgid:\t*\nSigQ:\t2/96365\n");
  // Cut short it says no more than before.
  const std::string whole = status_of("x", "");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    const auto was = parse_status(cut);
    const auto is = parse_status(redact_one("proc/7/status", cut));
    REQUIRE(was.has_value() == is.has_value());
  }
}

TEST_CASE("stat: addresses are 0, the start time stays") {
  std::string text = "7 (x) S";
  for (int field = 4; field <= 52; ++field) text += " " + std::to_string(field * 1000);
  const std::string redacted = redact_one("proc/7/stat", text + "\n");
  const auto parsed = parse_stat(redacted);
  REQUIRE(parsed);
  CHECK(parsed->start_ticks == 22000);
  CHECK(redacted.find("25000 0 0 0 0 0 31000") != std::string::npos);
  CHECK(redacted.find("44000 0 0 0 0 0 0 0 52000\n") != std::string::npos);
  CHECK(redact_one("proc/7/stat", "secret") == "*");
  CHECK(redact_one("proc/7/stat", "secret (x) secret secret 5\n") == "* (name-1) * * 5\n");
}

TEST_CASE("mountinfo: paths, sources and unknown options go, the rest of a line stays") {
  Redactor redactor;
  const auto redact = [&](const std::string& text) { return redact_one("proc/7/mountinfo", text, redactor); };
  CHECK(redact("66 43 0:40 / /mnt/lab\\040one rw,nosuid,x-secret shared:7 master:2 - fuse.ndrive ndrive "
               "rw,user_id=0,group_id=0,allow_other,max_read=131072,secret=1\n") ==
        "66 43 0:40 / /mnt/p-1 rw,nosuid shared:7 master:2 - fuse.ndrive p-2 "
        "rw,user_id=0,group_id=0,allow_other,max_read=131072\n");
  CHECK(redact("1 2 0:3 /a /b//deleted rw - overlay overlay rw,lowerdir=/secret,upperdir=/secret\n") ==
        "1 2 0:3 /p-3 /p-4//deleted rw - overlay overlay rw\n");
  CHECK(redact("1 2 0:3 / / x - cifs //server/share username=bob,uid=0\n") ==
        "1 2 0:3 / / defaults - cifs //p-5/p-6 uid=0\n");
  CHECK(redact("1 2 0:3 / / rw - fuse.x  rw\n") == "1 2 0:3 / / rw - fuse.x  rw\n");
  // What is no line is none, and one that was cut short stays without its end.
  CHECK(redact("secret\n") == "*\n");
  CHECK(redact("1 2 0:3 / /secret") == "1 2 0:3 / /p-7");
  CHECK(redact("1 2 0:3 / /x rw secret:1 sec") == "1 2 0:3 / /p-8 rw * *");
  CHECK(redact("1 2 0:3 / /x rw - tmpfs tmpfs rw secret secret\n") == "1 2 0:3 / /p-8 rw - tmpfs tmpfs rw\n");
}

TEST_CASE("cgroup: hierarchies stay, what is below them does not") {
  Redactor redactor;
  const std::string text = "9:name=systemd:/docker/" + kContainerId +
                           "\n4:cpu,cpuacct:/system.slice/db.service\n3:name=acme:/x\n"
                           "2:secret:/\n0::/user.slice/user-1000.slice\nsecret\n0::secret\n0::/cut";
  const std::string redacted = redact_one("proc/7/cgroup", text, redactor);
  CHECK(redacted == "9:name=systemd:/docker/" + redactor.path(kContainerId) +
                        "\n4:cpu,cpuacct:/system.slice/p-1.service\n3:name=p-2:/p-3\n2:p-4:/\n"
                        "0::/user.slice/p-5.slice\n");
  CHECK(parse_cgroup(redacted).size() == parse_cgroup(text).size());
}

TEST_CASE("fdinfo: what the kernel prints for every file, and that a driver printed more") {
  CHECK(redact_one("proc/7/fdinfo/5", "pos:\t0\nflags:\t02100002\nmnt_id:\t59\nino:\t90\nfuse_connection:\t40\n") ==
        "pos:\t0\nflags:\t02100002\nmnt_id:\t59\nino:\t90\nfuse_connection:\t40\n");
  CHECK(redact_one("proc/7/fdinfo/5", "pos:\t0\nlock:\t1: POSIX secret\nmnt_id:\tsecret\nname:\tsecret\ntfd: 5\ncut") ==
        "pos:\t0\nmnt_id:\t*\nmore:\t0\n*");
  // Whether something may be missing is told as before.
  for (const std::string text :
       {"pos:\t0\nmnt_id:\t5\n", "pos:\t0\nmnt_id:\t5\nsecret:\t1\n", "mnt_id:\t5\nlock:\t1\n",
        "mnt_id:\t5\nlock:\t1\nsec", "mnt_id:\t5\nsecret:\t1\nmore", "mnt_id:\t5\nfuse_connection:\t4\nx", ""}) {
    for (const bool truncated : {false, true}) {
      CAPTURE(text, truncated);
      const auto was = parse_fdinfo(text, truncated);
      const auto is = parse_fdinfo(redact_one("proc/7/fdinfo/5", text), truncated);
      REQUIRE(was.has_value() == is.has_value());
      if (was) CHECK(was->mount_id == is->mount_id);
    }
  }
}

TEST_CASE("links: devices and objects of the kernel stay") {
  CHECK(redact_link("proc/7/fd/3", "/dev/fuse") == "/dev/fuse");
  CHECK(redact_link("proc/7/fd/3", "/srv/acme/dev/fuse (deleted)") == "/srv/p-1/dev/fuse (deleted)");
  CHECK(redact_link("proc/7/fd/3", "socket:[4711]") == "socket:[4711]");
  CHECK(redact_link("proc/7/fd/3", "anon_inode:[eventfd]") == "anon_inode:[eventfd]");
  CHECK(redact_link("proc/7/fd/3", "anon_inode:/Secret") == "p-1/p-2");
  CHECK(redact_link("proc/7/fd/3", "/memfd:secret (deleted)") == "/p-1 (deleted)");
  CHECK(redact_link("proc/7/fd/3", "(unreachable)/x/fuse") == "p-1/p-2/fuse");
  CHECK(redact_link("proc/7/ns/pid", "pid:[4026532178]") == "pid:[4026532178]");
  CHECK(redact_link("proc/7/ns/pid", "secret") == "*");
  CHECK(redact_link("proc/7/exe", "/usr/bin/secret") == "(dropped)");
}

TEST_CASE("the kernel's own words: symbols stay, addresses and who built it do not") {
  CHECK(redact_one("proc/7/stack",
                   "[<0>] request_wait_answer+0x151/0x210 [fuse]\n[<ffffffff812aa77a>] "
                   "put_files_struct.part.0+0x5a/0xc0\n[<0>] bpf_prog_6deef7357e7b4530_acme+0x1/0x2\n"
                   "[<ffffffffffffffff>] 0xffffffffffffffff\n/home/secret+1\nfuse_d") ==
        "[<0>] request_wait_answer+0x151/0x210 [fuse]\n[<0>] put_files_struct.part.0+0x5a/0xc0\n[<0>] bpf_prog+\n"
        "[<0>] bpf_prog+\n");
  CHECK(redact_one("proc/7/wchan", "request_wait_answer") == "request_wait_answer");
  CHECK(redact_one("proc/7/wchan", "0") == "0");
  CHECK(redact_one("proc/7/wchan", "my secret") == "*");
  CHECK(redact_one("proc/7/syscall", "202 0x7ffd12 0x80 0x0\n") == "202\n");
  CHECK(redact_one("proc/7/syscall", "running\n") == "running\n");
  CHECK(
      redact_one("proc/kallsyms", "ffffffff81844100 t fuse_flush\t[fuse]\nffffffff81844200 T secret\nffff t fuse_b") ==
      "0000000000000000 t fuse_flush\t[fuse]\n");
  CHECK(redact_one("proc/version",
                   "Linux version 6.1.0-56-cloud-amd64 (bob@build.acme) (gcc-12 (Debian 12.2.0-14) "
                   "12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)\n") ==
        "Linux version 6.1.0-56-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)\n");
  CHECK(redact_one("proc/version", "secret") == "Linux version \n");
  CHECK(redact_one("proc/7/limits", "Limit  Soft Limit\nMax open files   1024    1048576    files\nMax secret 5\n") ==
        "Max open files 1024 1048576 files\n");
  CHECK(redact_one("proc/uptime", "3295.76 5610.20\n") == "3295.76 5610.20\n");
  CHECK(redact_one("sys/fs/fuse/connections/40/waiting", "secret\n") == "*\n");
}

TEST_CASE("what the readers said, and what could not be read") {
  CHECK(redact_one("bpf/files", "device 4711 123456 40 7\nfile 4712 123789 40\nsecret 1\nfile 1") ==
        "device 4711 123456 40 7\nfile 4712 123789 40\n*\n*");
  CHECK(redact_one("bpf/waits", "4711 4712 123456 17 group 40 complete 40,41\n") ==
        "4711 4712 123456 17 group 40 complete 40,41\n");
  CHECK(redact_one(
            "errors",
            "denied 13 proc/1/fdinfo\ngone 2 proc/1/secret\nsecret 2 proc/1\ndenied x proc/1\n"
            "timeout 0 proc/7/task/8/stack\ndenied 13 sys/fs/fuse/connections/4/waiting\ndenied 13 proc/1/fd/3\ncut") ==
        "denied 13 proc/1/fdinfo\ntimeout 0 proc/7/task/8/stack\ndenied 13 sys/fs/fuse/connections/4/waiting\n"
        "denied 13 proc/1/fd/3\n");
}

TEST_CASE("what nobody knows is dropped and counted") {
  Redactor redactor;
  FileTree look;
  for (const char* path :
       {"proc/7/cmdline", "proc/7/environ", "proc/cpuinfo", "secret", "proc/7/fdinfo/x", "proc/7/task/8/task/9/comm",
        "sys/fs/fuse/connections/40/secret", "proc/secret/comm", "proc/7/fdinfo/5/x"}) {
    look.add_file(path, "secret");
  }
  look.add_link("proc/7/comm", "secret");  // a link where a file is
  look.add_file("proc/7/ns/pid", "secret");
  look.add_file("proc/7/fdinfo/6", "");  // listed, and not read
  look.add_file("proc/secret-listed", "");
  const FileTree tree = redactor.redact(look);
  CHECK(redactor.dropped() == 11);
  for (const auto& [path, node] : tree.nodes()) {
    CHECK(path.find("secret") == std::string::npos);
    CHECK(node.text.empty());
  }
  CHECK(tree.find("proc/7/fdinfo/6") != nullptr);
}
