// SPDX-License-Identifier: Apache-2.0
// Every parser on what each of the three captured kernels printed. The captures of 6.1 and 6.12 are of whole guests
// without cgroups, those of 6.18 of a few processes of a host with the hybrid layout.
#include <catch2/catch.hpp>

#include "procfs/parse.h"
#include "procfs/proc_root.h"
#include "samples.h"

using namespace defused;

namespace {

struct Golden {
  const char* what;
  const char* file;
  const char* expected;
};

// No `Kthread:` on 6.1; `x86_Thread_features:` behind the counters on 6.12.
const std::vector<Golden> kStatus = {
    {"init of a dying namespace, 6.1", "linux-6.1.192-flush/proc/93/status",
     "repro-init S tgid 93 pid 93 ppid 91 level 1 inner 1 threads 1 fds 0 switches 4"},
    {"blocked leader, 6.1", "linux-6.1.192-flush/proc/94/task/94/status",
     "repro-init D tgid 94 pid 94 ppid 93 level 1 inner 2 threads 1 fds 0 switches 2 killed"},
    {"zombie leader, 6.1", "linux-6.1.192-mmap/proc/1978/status",
     "repro-init Z tgid 1978 pid 1978 ppid 1977 level 1 inner 2 threads 2 fds 0 switches 2 killed"},
    {"its blocked thread, 6.1", "linux-6.1.192-mmap/proc/1978/task/1979/status",
     "repro-init D tgid 1978 pid 1979 ppid 1977 level 1 inner 2 threads 2 fds 0 switches 5 killed"},
    {"live server, 6.1", "linux-6.1.192-healthy/proc/3878/status",
     "repro-init S tgid 3878 pid 3878 ppid 3877 level 1 inner 2 threads 4 fds 64 switches 1 memory"},
    {"PID 1 of the host, 6.1", "linux-6.1.192-healthy/proc/1/status",
     "init S tgid 1 pid 1 ppid 0 level 0 inner 1 threads 1 fds 64 switches 202 memory"},
    {"kernel thread without Kthread line, 6.1", "linux-6.1.192-flush/proc/2/status",
     "kthreadd S tgid 2 pid 2 ppid 0 level 0 inner 2 threads 1 fds 64 switches 77"},
    {"init of a dying namespace, 6.12", "linux-6.12.107-flush/proc/148/status",
     "repro-init S tgid 148 pid 148 ppid 146 level 1 inner 1 threads 1 fds 0 switches 3 user"},
    {"zombie leader, 6.12", "linux-6.12.107-flush/proc/149/status",
     "repro-init Z tgid 149 pid 149 ppid 148 level 1 inner 2 threads 2 fds 0 switches 3 user killed"},
    {"its blocked thread, 6.12", "linux-6.12.107-flush/proc/149/task/151/status",
     "repro-init D tgid 149 pid 151 ppid 148 level 1 inner 2 threads 2 fds 0 switches 3 user killed"},
    {"live server, 6.12", "linux-6.12.107-healthy/proc/4593/status",
     "repro-init S tgid 4593 pid 4593 ppid 4592 level 1 inner 2 threads 4 fds 64 switches 2 memory user"},
    {"kernel thread with Kthread line, 6.12", "linux-6.12.107-flush/proc/3/status",
     "pool_workqueue_release S tgid 3 pid 3 ppid 2 level 0 inner 3 threads 1 fds 64 switches 3 kthread"},
    {"init of a dying namespace, 6.18", "linux-6.18.44-flush/proc/3898/status",
     "repro-init S tgid 3898 pid 3898 ppid 3897 level 1 inner 1 threads 1 fds 0 switches 2 user"},
    {"zombie leader, 6.18", "linux-6.18.44-flush/proc/3899/status",
     "repro-init Z tgid 3899 pid 3899 ppid 3898 level 1 inner 2 threads 2 fds 0 switches 2 user killed"},
    {"its blocked thread, 6.18", "linux-6.18.44-flush/proc/3899/task/3901/status",
     "repro-init D tgid 3899 pid 3901 ppid 3898 level 1 inner 2 threads 2 fds 0 switches 4 user killed"},
    {"blocked in exit_mm, 6.18", "linux-6.18.44-mmap/proc/4956/task/4959/status",
     "repro-init D tgid 4956 pid 4959 ppid 4955 level 1 inner 2 threads 2 fds 256 switches 6 user killed"},
    {"blocked in a Docker container, 6.18", "linux-6.18.44-docker/proc/7261/status",
     "ndrive D tgid 7261 pid 7261 ppid 7245 level 1 inner 7 threads 1 fds 0 switches 7 user killed"},
    {"live server, 6.18", "linux-6.18.44-healthy/proc/5983/status",
     "repro-init S tgid 5983 pid 5983 ppid 5982 level 1 inner 2 threads 4 fds 256 switches 1 memory user"},
    {"PID 1 of the host, 6.18", "linux-6.18.44-healthy/proc/1/status",
     "systemd S tgid 1 pid 1 ppid 0 level 0 inner 1 threads 13 fds 512 switches 1776 memory user"},
};

// PF_EXITING is 0x4; 0x8000 (PF_NOFREEZE) only on the finished zombie.
const std::vector<Golden> kStat = {
    {"init, 6.1", "linux-6.1.192-flush/proc/93/stat", "repro-init S ppid 91 flags 12583244 start 255"},
    {"blocked, 6.1", "linux-6.1.192-flush/proc/94/task/94/stat", "repro-init D ppid 93 flags 4195660 start 256"},
    {"zombie, 6.1", "linux-6.1.192-mmap/proc/1978/stat", "repro-init Z ppid 1977 flags 4228428 start 2596"},
    {"live, 6.1", "linux-6.1.192-healthy/proc/3878/stat", "repro-init S ppid 3877 flags 4194624 start 4706"},
    {"init, 6.12", "linux-6.12.107-flush/proc/148/stat", "repro-init S ppid 146 flags 4194636 start 269"},
    {"blocked, 6.12", "linux-6.12.107-flush/proc/149/task/151/stat", "repro-init D ppid 148 flags 4195404 start 272"},
    {"zombie, 6.12", "linux-6.12.107-flush/proc/149/stat", "repro-init Z ppid 148 flags 4228428 start 270"},
    {"live, 6.12", "linux-6.12.107-healthy/proc/4593/stat", "repro-init S ppid 4592 flags 4194624 start 5008"},
    {"init, 6.18", "linux-6.18.44-flush/proc/3898/stat", "repro-init S ppid 3897 flags 4194636 start 328974"},
    {"blocked, 6.18", "linux-6.18.44-flush/proc/3899/task/3901/stat",
     "repro-init D ppid 3898 flags 4195404 start 328974"},
    {"zombie, 6.18", "linux-6.18.44-flush/proc/3899/stat", "repro-init Z ppid 3898 flags 4228428 start 328974"},
    {"live, 6.18", "linux-6.18.44-healthy/proc/5983/stat", "repro-init S ppid 5982 flags 4194624 start 330483"},
};

// fusectl, which is mounted in all of them, is not FUSE.
const std::vector<Golden> kMountinfo = {
    {"6.1", "linux-6.1.192-flush/proc/94/task/94/mountinfo", "31 conn 23 fuse.ndrive ndrive /tmp/m_flush;"},
    {"6.1", "linux-6.1.192-healthy/proc/3878/mountinfo", "31 conn 23 fuse.ndrive ndrive /tmp/m_live;"},
    {"6.12", "linux-6.12.107-flush/proc/149/task/151/mountinfo", "33 conn 25 fuse.ndrive ndrive /tmp/m_flush;"},
    {"6.12", "linux-6.12.107-healthy/proc/4593/mountinfo", "33 conn 25 fuse.ndrive ndrive /tmp/m_live;"},
    {"6.18", "linux-6.18.44-flush/proc/3899/task/3901/mountinfo", "66 conn 40 fuse.ndrive ndrive /mnt/lab_flush;"},
    {"6.18, on overlayfs", "linux-6.18.44-docker/proc/7261/mountinfo", "48 conn 50 fuse.ndrive ndrive /mnt; overlay"},
    {"6.18, PID 1 of the host", "linux-6.18.44-healthy/proc/1/mountinfo", ""},
};

const std::vector<Golden> kFdinfo = {
    {"/dev/fuse, 6.1", "linux-6.1.192-healthy/proc/3878/fdinfo/3", "mnt 29 flags 02100002"},
    {"file on FUSE, 6.1", "linux-6.1.192-healthy/proc/3878/fdinfo/4", "mnt 31 flags 0100002"},
    {"/dev/fuse, 6.12", "linux-6.12.107-healthy/proc/4593/fdinfo/3", "mnt 31 flags 02100002"},
    {"file on FUSE, 6.12", "linux-6.12.107-healthy/proc/4593/fdinfo/4", "mnt 33 flags 0100002"},
    {"/dev/fuse with its connection, 6.18", "linux-6.18.44-healthy/proc/5983/fdinfo/3",
     "mnt 59 flags 02100002 conn 40"},
    {"file on FUSE, 6.18", "linux-6.18.44-healthy/proc/5983/fdinfo/4", "mnt 66 flags 0100002"},
    {"file on ext4, 6.18", "linux-6.18.44-healthy/proc/5983/fdinfo/1", "mnt 27 flags 0100001"},
};

struct GoldenStack {
  const char* file;
  std::vector<std::string> top;  // the innermost frames
  std::size_t size;
};

const std::vector<GoldenStack> kStacks = {
    {"linux-6.1.192-flush/proc/93/stack", {"do_wait", "kernel_wait4", "zap_pid_ns_processes", "do_exit"}, 8},
    {"linux-6.1.192-flush/proc/94/task/94/stack",  // a module there: "[fuse]" behind the first three
     {"request_wait_answer", "fuse_simple_request", "fuse_flush", "filp_close", "put_files_struct", "do_exit"},
     13},
    {"linux-6.1.192-mmap/proc/1978/task/1979/stack", {"fuse_set_nowrite", "fuse_flush", "filp_close"}, 12},
    {"linux-6.1.192-mmap/proc/1978/task/1978/stack", {}, 0},  // a zombie
    {"linux-6.12.107-flush/proc/148/stack", {"do_wait", "kernel_wait4", "zap_pid_ns_processes", "do_exit"}, 9},
    {"linux-6.12.107-flush/proc/149/task/151/stack",
     {"request_wait_answer", "__fuse_simple_request", "fuse_flush", "filp_flush", "filp_close", "put_files_struct"},
     13},
    {"linux-6.12.107-mmap/proc/2379/task/2379/stack", {"fuse_set_nowrite", "fuse_flush", "filp_flush"}, 12},
    {"linux-6.18.44-flush/proc/3898/stack", {"do_wait", "kernel_wait4", "zap_pid_ns_processes", "do_exit"}, 9},
    {"linux-6.18.44-flush/proc/3899/task/3901/stack",  // put_files_struct.part.0
     {"request_wait_answer", "__fuse_simple_request", "fuse_flush", "filp_flush", "filp_close", "put_files_struct"},
     13},
    {"linux-6.18.44-mmap/proc/4956/task/4959/stack",
     {"folio_wait_bit", "folio_wait_writeback", "__filemap_fdatawait_range", "filemap_fdatawait_range",
      "__writeback_single_inode", "writeback_single_inode", "write_inode_now", "fuse_vma_close"},
     18},
};

template <typename Parse>
void check_table(const std::vector<Golden>& table, Parse parse) {
  for (const Golden& row : table) {
    CAPTURE(row.what, row.file);
    CHECK(describe(parse(read_capture_file(row.file))) == row.expected);
  }
}

}  // namespace

TEST_CASE("golden status") { check_table(kStatus, parse_status); }

TEST_CASE("golden status: who is a kernel thread") {
  const auto is_thread = [](const std::string& file) {
    return is_kernel_thread(*parse_status(read_capture_file(file)));
  };
  for (const char* kernel : {"linux-6.1.192-flush", "linux-6.12.107-flush"}) {
    CAPTURE(kernel);
    const std::string proc = std::string(kernel) + "/proc/";
    CHECK(is_thread(proc + "2/status"));
    CHECK(is_thread(proc + "3/status"));
    CHECK_FALSE(is_thread(proc + "1/status"));
  }
  CHECK_FALSE(is_thread("linux-6.1.192-flush/proc/94/status"));
  CHECK_FALSE(is_thread("linux-6.12.107-flush/proc/149/status"));
  CHECK_FALSE(is_thread("linux-6.18.44-flush/proc/3899/status"));
}

TEST_CASE("golden stat") { check_table(kStat, parse_stat); }

TEST_CASE("golden mountinfo") {
  check_table(kMountinfo, [](const std::string& text) { return parse_mountinfo(text, 1000); });
}

TEST_CASE("golden fdinfo") {
  check_table(kFdinfo, [](const std::string& text) { return parse_fdinfo(text); });
}

TEST_CASE("golden first mount") {
  const auto first = [](const std::string& file) { return parse_first_mount(read_capture_file(file).substr(0, 64)); };
  CHECK(first("linux-6.1.192-flush/proc/94/task/94/mountinfo") == std::pair(25, 25));
  CHECK(first("linux-6.1.192-flush/proc/1/mountinfo") == std::pair(1, 1));
  CHECK(first("linux-6.12.107-flush/proc/149/task/151/mountinfo") == std::pair(27, 27));
  CHECK(first("linux-6.18.44-flush/proc/3899/task/3901/mountinfo") == std::pair(43, 42));
  CHECK(first("linux-6.18.44-docker/proc/7261/mountinfo") == std::pair(75, 49));
}

TEST_CASE("golden stacks") {
  for (const GoldenStack& row : kStacks) {
    CAPTURE(row.file);
    std::vector<std::string> frames = parse_stack(read_capture_file(row.file));
    CHECK(frames.size() == row.size);
    frames.resize(std::min(frames.size(), row.top.size()));
    CHECK(frames == row.top);
  }
}

TEST_CASE("golden wchan") {
  const auto wchan = [](const std::string& file) { return strip_symbol(read_capture_file(file)); };
  CHECK(wchan("linux-6.1.192-flush/proc/93/wchan") == "do_wait");
  CHECK(wchan("linux-6.1.192-flush/proc/94/wchan") == "request_wait_answer");
  CHECK(wchan("linux-6.1.192-mmap/proc/1978/task/1979/wchan") == "fuse_set_nowrite");
  CHECK(wchan("linux-6.12.107-flush/proc/149/task/151/wchan") == "request_wait_answer");
  CHECK(wchan("linux-6.12.107-flush/proc/149/wchan") == "0");  // a zombie
  CHECK(wchan("linux-6.18.44-flush/proc/3899/task/3901/wchan") == "request_wait_answer");
  CHECK(wchan("linux-6.18.44-mmap/proc/4956/task/4959/wchan") == "folio_wait_bit");
}

TEST_CASE("golden cgroup: none, hybrid, and those that no capture has") {
  using Paths = std::vector<std::string>;
  CHECK(parse_cgroup(read_capture_file("linux-6.1.192-flush/proc/94/cgroup")).empty());    // no cgroups mounted
  CHECK(parse_cgroup(read_capture_file("linux-6.12.107-flush/proc/148/cgroup")).empty());  // no cgroups mounted
  CHECK(parse_cgroup(read_capture_file("linux-6.18.44-flush/proc/3899/cgroup")).empty());  // roots only
  CHECK(parse_cgroup(read_capture_file("linux-6.18.44-healthy/proc/5983/cgroup")) ==
        Paths{"/system.slice/lab.service"});
  CHECK(parse_cgroup(read_capture_file("linux-6.18.44-docker/proc/7261/cgroup")) ==  // exiting: v1 says "/"
        Paths{"/docker/3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde"});
  CHECK(parse_cgroup("0::/system.slice/docker-3bd9.scope\n") == Paths{"/system.slice/docker-3bd9.scope"});
  CHECK(parse_cgroup("12:pids:/docker/3bd9\n11:cpu,cpuacct:/docker/3bd9\n1:name=systemd:/docker/3bd9\n") ==
        Paths{"/docker/3bd9"});
  CHECK(parse_cgroup("2:memory:/docker/3bd9\n1:name=systemd:/user.slice\n0::/init.scope\n") ==
        Paths{"/init.scope", "/docker/3bd9", "/user.slice"});
  CHECK(parse_cgroup("0::/../kubepods/pod1/3bd9\n") == Paths{"/../kubepods/pod1/3bd9"});  // of another cgroup namespace
  CHECK(parse_cgroup("0::/docker/3bd9 (deleted)\n") == Paths{"/docker/3bd9 (deleted)"});
}

TEST_CASE("golden sched and uptime") {
  const auto ran = [](const std::string& file) { return parse_exec_start(read_capture_file(file)); };
  CHECK(ran("linux-6.1.192-flush/proc/94/task/94/sched") == Nanoseconds(5'594'889'795));
  CHECK(ran("linux-6.1.192-healthy/proc/3878/sched") == Nanoseconds(47'105'798'108));
  CHECK(ran("linux-6.12.107-flush/proc/149/task/151/sched") == Nanoseconds(5'731'548'144));
  CHECK(ran("linux-6.18.44-flush/proc/3899/task/3901/sched") == Nanoseconds(3'292'530'136'620));
  const auto uptime = [](const std::string& file) { return parse_uptime(read_capture_file(file)); };
  using std::chrono::milliseconds;
  CHECK(uptime("linux-6.1.192-flush/proc/uptime") == milliseconds(8'560));
  CHECK(uptime("linux-6.12.107-flush/proc/uptime") == milliseconds(8'740));
  CHECK(uptime("linux-6.18.44-flush/proc/uptime") == milliseconds(3'295'760));
}

TEST_CASE("golden namespace links") {
  const auto link = [](const std::string& path, std::string_view kind) {
    return parse_namespace_link(read_capture_link(path), kind);
  };
  CHECK(link("linux-6.1.192-flush/proc/93/ns/pid", "pid") == NamespaceId{4026532115});
  CHECK(link("linux-6.12.107-flush/proc/148/ns/pid", "pid") == NamespaceId{4026532115});
  CHECK(link("linux-6.18.44-flush/proc/3898/ns/pid", "pid") == NamespaceId{4026532178});
  CHECK(link("linux-6.18.44-docker/proc/7261/ns/mnt", "mnt") == NamespaceId{4026532177});
}

TEST_CASE("golden kernel facts") {
  const auto facts = [](const std::string& name) {
    return read_kernel_facts(*ProcRoot::open(std::string(DEFUSED_CAPTURES) + "/" + name + "/proc"));
  };
  CHECK(facts("linux-6.1.192-flush").release == "6.1.0-56-cloud-amd64");
  CHECK(facts("linux-6.12.107-flush").release == "6.12.107+deb12-cloud-amd64");
  CHECK(facts("linux-6.18.44-flush").release == "6.18.44-fc-v657");
  CHECK_FALSE(facts("linux-6.1.192-flush").max_request_timeout_seconds);  // 6.15 and later
  CHECK_FALSE(facts("linux-6.12.107-flush").max_request_timeout_seconds);
  CHECK(facts("linux-6.18.44-flush").max_request_timeout_seconds == 0U);
}
