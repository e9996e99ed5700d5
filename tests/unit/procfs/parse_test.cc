// SPDX-License-Identifier: Apache-2.0
#include "procfs/parse.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

using namespace defused;

namespace {

std::string capture(const std::string& path) {
  std::ifstream file(std::string(DEFUSED_CAPTURES) + "/" + path, std::ios::binary);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("status of a blocked thread on 6.18") {
  const auto status = parse_status(capture("linux-6.18.44-flush/proc/3899/task/3901/status"));
  REQUIRE(status);
  CHECK(status->name == "repro-init");
  CHECK(status->state == 'D');
  CHECK(status->tgid == 3899);
  CHECK(status->pid == 3901);
  CHECK(status->ppid == 3898);
  CHECK(status->level == 1);
  CHECK(status->inner_pid == 2);
  CHECK(status->threads == 2);
  CHECK_FALSE(status->has_memory);
  CHECK(status->kernel_thread == false);
  CHECK(status->sigkill_pending);
  CHECK(status->killed);
  CHECK(status->descriptor_table_size == 0);
  CHECK(status->context_switches == 4);
}

TEST_CASE("status without Kthread line, as before 6.12") {
  const auto thread = parse_status(capture("linux-6.1.192-flush/proc/2/status"));
  REQUIRE(thread);
  CHECK_FALSE(thread->kernel_thread.has_value());
  CHECK(is_kernel_thread(*thread));
  const auto child = parse_status(capture("linux-6.1.192-flush/proc/3/status"));
  REQUIRE(child);
  CHECK(is_kernel_thread(*child));
  const auto user = parse_status(capture("linux-6.1.192-flush/proc/94/status"));
  REQUIRE(user);
  CHECK_FALSE(is_kernel_thread(*user));
}

TEST_CASE("a process that calls itself like a status line stays itself") {
  // The kernel escapes newline and backslash in Name (proc_task_name); every other byte comes as it is.
  const auto status = parse_status(
      "Name:\tx\\nState:\tZ\xff\x1b\nState:\tS (sleeping)\nTgid:\t5\nPid:\t5\nPPid:\t1\nThreads:\t1\n"
      "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n");
  REQUIRE(status);
  CHECK(status->state == 'S');
  CHECK(status->name == "x\\nState:\\x09Z\\xff\\x1b");
}

TEST_CASE("malformed status is an error, never a guess") {
  CHECK_FALSE(parse_status(""));
  CHECK_FALSE(parse_status("Name:\tx\n"));
  CHECK_FALSE(parse_status("State:\tS\nTgid:\tx\nPid:\t5\nPPid:\t1\nThreads:\t1\n"));
  CHECK_FALSE(parse_status("State:\tS\nTgid:\t5\nPid:\t5\nPPid:\t1\nThreads:\t1\nShdPnd:\tzz\n"));
  CHECK(parse_status("State:\tS\nTgid:\t5\nPid:\tfive\nPPid:\t1\nThreads:\t1\n").error().kind == ErrorKind::malformed);
}

TEST_CASE("stat with a name that holds spaces, parentheses and newlines") {
  const auto stat =
      parse_stat("4711 (a) S 1 (\n2) D 3898 3895 1514 0 -1 4195404 3 0 0 0 0 0 0 0 20 0 2 0 328974 0 0\n");
  REQUIRE(stat);
  CHECK(stat->comm == "a) S 1 (\\x0a2");
  CHECK(stat->state == 'D');
  CHECK(stat->ppid == 3898);
  CHECK(stat->flags == 4195404);
  CHECK((stat->flags & kPfExiting) != 0);
  CHECK(stat->start_ticks == 328974);
}

TEST_CASE("the CPU that a thread ran on last is field 39 of stat, where that is whole") {
  const std::string start = "5 (x 1) S 1 5 5 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 17";
  CHECK(parse_stat(start + " 63 0 0 0\n")->processor == 63U);
  CHECK(parse_stat(start + " 63 0")->processor == 63U);
  CHECK_FALSE(parse_stat(start + " 63")->processor);  // it may be the beginning of 630
  CHECK_FALSE(parse_stat(start)->processor);
  for (const char* bad : {" -1 0", " x 0", " 4294967296 0", " 1.5 0"}) {
    CAPTURE(bad);
    CHECK(parse_stat(start + bad).error().kind == ErrorKind::malformed);
  }
  const auto real = parse_stat(capture("linux-6.18.44-flush/proc/3899/task/3901/stat"));
  REQUIRE(real);
  CHECK(real->processor.has_value());
}

TEST_CASE("stacks of three kernels") {
  const auto flush = parse_stack(capture("linux-6.1.192-flush/proc/94/task/94/stack"));
  REQUIRE(flush.size() == 13);
  CHECK(flush[0] == "request_wait_answer");  // "[fuse]" behind it: a module there
  CHECK(flush[2] == "fuse_flush");
  const auto part = parse_stack(capture("linux-6.18.44-flush/proc/3899/task/3901/stack"));
  REQUIRE(part.size() == 13);
  CHECK(part[5] == "put_files_struct");  // printed as put_files_struct.part.0
  const auto mapping = parse_stack(capture("linux-6.18.44-mmap/proc/4956/task/4959/stack"));
  CHECK(mapping.front() == "folio_wait_bit");
}

TEST_CASE("stack lines of old kernels and of compilers") {
  const auto old =
      parse_stack("[<ffffffff812aa77a>] request_wait_answer+0x1/0x2 [fuse]\n[<ffffffffffffffff>] 0xffffffffffffffff\n");
  CHECK(old == std::vector<std::string>{"request_wait_answer"});
  CHECK(strip_symbol("finish_task_switch.isra.0+0x10/0x20") == "finish_task_switch");
  CHECK(strip_symbol("a.constprop.0.isra.3") == "a");
  CHECK(strip_symbol("b.cold") == "b");
  CHECK(strip_symbol("c.llvm.1234") == "c");
  CHECK(strip_symbol("d.lto_priv.0") == "d");
  CHECK(parse_stack("").empty());
}

TEST_CASE("mountinfo keeps FUSE and nothing else") {
  const auto table = parse_mountinfo(capture("linux-6.18.44-flush/proc/3899/task/3901/mountinfo"), 1000);
  REQUIRE(table);
  CHECK(table->complete);
  REQUIRE(table->fuse_mounts.size() == 1);  // not the fusectl line
  CHECK(table->fuse_mounts[0] == FuseMount{66, ConnectionId{40}, "fuse.ndrive", "ndrive", "/mnt/lab_flush"});
}

TEST_CASE("mountinfo: escapes, optional fields, block devices, hostile names") {
  const auto table = parse_mountinfo(
      "1 2 7:0 / /a\\040b\\134c rw shared:1 master:2 propagate_from:3 - fuseblk /dev/loop0 rw\n"
      "3 2 0:77 / /m\xff\\012x rw - fuse.<script>\x1b \"s'\\011 rw\n"
      "4 2 0:78 / /o rw - overlay overlay rw\n"
      "5 2 0:79 / /c rw - fusectl fusectl rw\n"
      "6 2 0:80 / /empty rw - fuse  rw\n",
      1000);
  REQUIRE(table);
  REQUIRE(table->fuse_mounts.size() == 3);
  CHECK(table->fuse_mounts[0].connection.kernel_dev == 7340032);
  CHECK(table->fuse_mounts[0].mount_point == "/a b\\c");
  CHECK(table->fuse_mounts[1].mount_point == "/m\\xff\\x0ax");
  CHECK(table->fuse_mounts[1].fstype == "fuse.<script>\\x1b");
  CHECK(table->fuse_mounts[1].source == "\"s'\\x09");
  CHECK(table->fuse_mounts[2].source.empty());
  CHECK(table->has_overlay);
}

TEST_CASE("mountinfo: a cap is said, a broken line is an error") {
  const std::string line = "6 2 0:80 / /m rw - fuse s rw\n";
  const auto capped = parse_mountinfo(line + line + line, 2);
  REQUIRE(capped);
  CHECK_FALSE(capped->complete);
  CHECK(capped->fuse_mounts.size() == 2);
  CHECK_FALSE(parse_mountinfo("6 2 0:80 / /m rw shared:1\n", 10));
  CHECK_FALSE(parse_mountinfo("6 x 0:80 / /m rw - fuse s rw\n", 10));
  CHECK_FALSE(parse_mountinfo("6 2 0:9999999 / /m rw - fuse s rw\n", 10));
}

TEST_CASE("mountinfo names the container of a Docker task") {
  const auto table = parse_mountinfo(capture("linux-6.18.44-docker/proc/7261/task/7261/mountinfo"), 1000);
  REQUIRE(table);
  CHECK(table->container_hints.at(0).find("/docker/3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde") !=
        std::string::npos);
}

TEST_CASE("cgroup: v2 first, roots left out") {
  const auto paths = parse_cgroup(capture("linux-6.18.44-docker/proc/7261/cgroup"));
  REQUIRE(paths.size() == 1);
  CHECK(paths[0] == "/docker/3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde");
  CHECK(parse_cgroup("5:memory:/a:b\n4:cpu:/a:b\n0::/c\n") == std::vector<std::string>{"/c", "/a:b"});
}

TEST_CASE("fdinfo of /dev/fuse, with and without its connection") {
  const auto server = parse_fdinfo(capture("linux-6.18.44-healthy/proc/5983/fdinfo/3"));
  REQUIRE(server);
  CHECK(server->mount_id == 59);
  CHECK(server->flags == 02100002);
  CHECK(server->fuse_connection == ConnectionId{40});
  const auto file = parse_fdinfo(capture("linux-6.18.44-healthy/proc/5983/fdinfo/4"));
  REQUIRE(file);
  CHECK(file->mount_id == 66);
  CHECK_FALSE(file->fuse_connection);
  CHECK_FALSE(parse_fdinfo("pos:\t0\n"));
  CHECK_FALSE(parse_fdinfo("mnt_id:\t59\nfuse_connection:\tx\n"));
}

TEST_CASE("namespace links and the small files") {
  CHECK(parse_namespace_link("pid:[4026532178]", "pid")->inode == 4026532178);
  CHECK_FALSE(parse_namespace_link("mnt:[4026532178]", "pid"));
  CHECK_FALSE(parse_namespace_link("pid:[]", "pid"));
  CHECK(parse_first_mount("22 27 0:21 / /proc") == std::pair(22, 27));
  CHECK_FALSE(parse_first_mount(""));
  using std::chrono::microseconds;
  CHECK(*parse_exec_start(capture("linux-6.18.44-flush/proc/3899/task/3901/sched")) ==
        microseconds(3292530136) + Nanoseconds(620));
  CHECK(parse_exec_start("nothing").error().kind == ErrorKind::unsupported);
  CHECK(*parse_uptime("3295.76 5610.20\n") == std::chrono::milliseconds(3295760));
}
