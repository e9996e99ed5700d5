// SPDX-License-Identifier: Apache-2.0
// What no kernel prints, and what it prints cut short at every byte: an error, or less, never another fact. A status
// without its Vm* lines would be one of a process that exits, a cut number another process, a cut name another
// function.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "procfs/parse.h"
#include "procfs/proc_root.h"
#include "samples.h"

using namespace defused;
using namespace std::string_literals;

namespace {

const std::vector<std::string> kTasks = {
    "linux-6.1.192-flush/proc/93/",     "linux-6.1.192-flush/proc/2/",       "linux-6.1.192-mmap/proc/1978/task/1978/",
    "linux-6.1.192-healthy/proc/3878/", "linux-6.12.107-flush/proc/148/",    "linux-6.12.107-flush/proc/149/task/151/",
    "linux-6.12.107-flush/proc/3/",     "linux-6.12.107-healthy/proc/4593/", "linux-6.18.44-flush/proc/3899/task/3901/",
    "linux-6.18.44-healthy/proc/5983/", "linux-6.18.44-docker/proc/7261/",   "linux-6.18.44-mmap/proc/4956/task/4959/",
};

const std::vector<std::string> kDescriptors = {
    "linux-6.1.192-healthy/proc/3878/fdinfo/3",  "linux-6.1.192-healthy/proc/3878/fdinfo/4",
    "linux-6.12.107-healthy/proc/4593/fdinfo/3", "linux-6.12.107-healthy/proc/4593/fdinfo/4",
    "linux-6.18.44-healthy/proc/5983/fdinfo/3",  "linux-6.18.44-healthy/proc/5983/fdinfo/4",
};

// Every text that a reader could get if the end of `whole` were lost, `whole` itself left out.
template <typename Check>
void for_each_prefix(const std::string& whole, Check check) {
  for (std::size_t length = 0; length < whole.size(); ++length) check(whole.substr(0, length));
}

// Each prefix is an error or says the same as the whole.
template <typename Parse>
void check_all_or_error(const std::string& file, Parse parse) {
  const std::string whole = read_capture_file(file);
  const std::string expected = describe(parse(whole));
  for_each_prefix(whole, [&](const std::string& prefix) {
    const auto parsed = parse(prefix);
    if (!parsed || describe(parsed) == expected) return;
    FAIL_CHECK(file << " cut at byte " << prefix.size() << ": " << describe(parsed) << ", not " << expected);
  });
}

// `found` is how `whole` begins.
template <typename Item>
bool is_beginning(const std::vector<Item>& found, const std::vector<Item>& whole) {
  return found.size() <= whole.size() && std::equal(found.begin(), found.end(), whole.begin());
}

std::string status_with(const std::string& line) {
  return "Name:\tx\nState:\tS (sleeping)\nTgid:\t5\nPid:\t5\nPPid:\t1\n" + line +
         "Threads:\t1\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";
}

std::string without(std::string text, const std::string& line) {
  const std::size_t at = text.find(line);
  REQUIRE(at != std::string::npos);
  return text.erase(at, text.find('\n', at) + 1 - at);
}

const std::string kJunk = "\x7f\x45LF\0\xff\xfe\x00:\n\0\0[<\n(\x80)\t:\n"s;

}  // namespace

TEST_CASE("a status that was cut short is an error or the same") {
  for (const std::string& task : kTasks) check_all_or_error(task + "status", parse_status);
}

TEST_CASE("a stat that was cut short is an error or the same") {
  for (const std::string& task : kTasks) check_all_or_error(task + "stat", parse_stat);
}

TEST_CASE("a fdinfo that was cut short is an error or the same, if it is known to be cut") {
  for (const std::string& file : kDescriptors) {
    check_all_or_error(file, [](const std::string& text) { return parse_fdinfo(text, true); });
  }
}

TEST_CASE("a fdinfo that ends too early with a whole line lacks its connection and nothing else") {
  for (const std::string& file : kDescriptors) {
    const std::string whole = read_capture_file(file);
    const auto expected = parse_fdinfo(whole);
    for_each_prefix(whole, [&](const std::string& prefix) {
      const auto info = parse_fdinfo(prefix);
      if (!info) return;
      CHECK(info->mount_id == expected->mount_id);
      CHECK(info->flags == expected->flags);
      CHECK((!info->fuse_connection || info->fuse_connection == expected->fuse_connection));
    });
  }
}

TEST_CASE("sched, uptime and namespace links that were cut short are errors or the same") {
  for (const std::string& task : kTasks) {
    const std::string whole = read_capture_file(task + "sched");
    const auto expected = parse_exec_start(whole);
    REQUIRE(expected);
    for_each_prefix(whole, [&](const std::string& prefix) {
      const auto parsed = parse_exec_start(prefix);
      CHECK((!parsed || *parsed == *expected));
    });
  }
  for (const char* kernel : {"linux-6.1.192-flush", "linux-6.12.107-flush", "linux-6.18.44-flush"}) {
    const std::string whole = read_capture_file(std::string(kernel) + "/proc/uptime");
    const auto expected = parse_uptime(whole);
    REQUIRE(expected);
    for_each_prefix(whole, [&](const std::string& prefix) {
      const auto parsed = parse_uptime(prefix);
      CHECK((!parsed || *parsed == *expected));
    });
  }
  for_each_prefix("pid:[4026532178]",
                  [](const std::string& prefix) { CHECK_FALSE(parse_namespace_link(prefix, "pid")); });
}

TEST_CASE("a stack that was cut short loses its outer frames, and never shortens a name") {
  for (const std::string& task : kTasks) {
    const std::string whole = read_capture_file(task + "stack");
    const auto expected = parse_stack(whole);
    for_each_prefix(whole, [&](const std::string& prefix) { CHECK(is_beginning(parse_stack(prefix), expected)); });
  }
  CHECK(parse_stack("[<0>] fuse_d").empty());  // of fuse_dev_do_read: the server's side, not the client's
}

TEST_CASE("a mountinfo that was cut short loses mounts, and says so unless a whole line is the end") {
  for (const char* file :
       {"linux-6.1.192-flush/proc/94/task/94/mountinfo", "linux-6.12.107-flush/proc/149/task/151/mountinfo",
        "linux-6.18.44-flush/proc/3899/task/3901/mountinfo", "linux-6.18.44-docker/proc/7261/mountinfo"}) {
    const std::string whole = read_capture_file(file);
    const auto expected = parse_mountinfo(whole, 1000);
    REQUIRE(expected);
    for_each_prefix(whole, [&](const std::string& prefix) {
      const auto table = parse_mountinfo(prefix, 1000);
      REQUIRE(table);
      CHECK(is_beginning(table->fuse_mounts, expected->fuse_mounts));
      CHECK(is_beginning(table->container_hints, expected->container_hints));
      CHECK(table->complete == (prefix.empty() || prefix.back() == '\n'));
      const auto first = parse_first_mount(prefix);
      CHECK((!first || *first == *parse_first_mount(whole)));
    });
  }
  CHECK(parse_mountinfo("6 2 0:80 / /m rw - fuse", 10)->fuse_mounts.empty());  // of fusectl
}

TEST_CASE("a cgroup file that was cut short loses paths, and never shortens one") {
  const std::string hybrid = read_capture_file("linux-6.18.44-docker/proc/7261/cgroup");
  const std::string nested = "4:memory:/docker/aaaa/docker/bbbb\n2:cpu:/docker/aaaa\n0::/docker/cccc/docker/dddd\n";
  for (const std::string& whole : {hybrid, nested}) {
    const auto expected = parse_cgroup(whole);
    for_each_prefix(whole, [&](const std::string& prefix) {
      for (const std::string& path : parse_cgroup(prefix)) {
        CHECK(std::find(expected.begin(), expected.end(), path) != expected.end());
      }
    });
  }
}

TEST_CASE("malformed status") {
  REQUIRE(parse_status(status_with("")));
  for (const char* line : {
           "State:\t\n",
           "State:\t?\n",
           "State:\tSS\n",
           "State:\t7 (seven)\n",  // no state
           "PPid:\t-1\n",
           "Pid:\t 5x\n",
           "TracerPid:\t0x10\n",  // no number
           "Pid:\t2147483648\n",
           "Tgid:\t4294967301\n",
           "PPid:\t4294967297\n",  // would wrap to a small one
           "TracerPid:\t99999999999\n",
           "Threads:\t4294967297\n",
           "FDSize:\t4294967296\n",
           "Pid:\t18446744073709551616\n",  // more than 64 bits
           "NStgid:\t\n",
           "NStgid:\t5\tx\n",
           "NStgid:\tx\t1\n",
           "NStgid:\t5\t4294967297\n",
           "Kthread:\t\n",
           "Kthread:\t2\n",
           "Kthread:\tyes\n",
           "CoreDumping:\t\n",
           "CoreDumping:\t10\n",
           "SigPnd:\t\n",
           "ShdPnd:\t0x100\n",
           "ShdPnd:\t10000000000000100\n",
           "SigPnd:\t-100\n",
           "voluntary_ctxt_switches:\t-1\n",
           "nonvoluntary_ctxt_switches:\t\n",
       }) {
    CAPTURE(line);
    CHECK(describe(parse_status(status_with(line))) == "malformed");
  }
  CHECK(describe(parse_status(status_with("PPid:\t1\0\n"s))) == "malformed");
  CHECK(describe(parse_status(kJunk)) == "malformed");
  CHECK(describe(parse_status(std::string(1U << 20U, 'x'))) == "malformed");
  for (const char* line : {"State:", "Tgid:", "Pid:", "PPid:", "Threads:", "voluntary_", "nonvoluntary_"}) {
    CAPTURE(line);
    CHECK(describe(parse_status(without(status_with(""), line))) == "malformed");
  }
}

TEST_CASE("status of a task that is released while it is read: gone, not malformed") {
  // Its numbers are given back and its signal handlers are gone, but the file was open (release_task, __exit_signal).
  const std::string released =
      "Name:\tx\nState:\tX (dead)\nTgid:\t0\nPid:\t5\nPPid:\t0\nNStgid:\t0\t0\nThreads:\t0\n"
      "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";
  CHECK(describe(parse_status(released)) == "gone");
}

TEST_CASE("status lines that are overlong or unknown do no harm") {
  const std::string name(100'000, 'n');
  const auto status = parse_status("Name:\t" + name + "\n" + status_with("Groups:\t" + name + "\nno colon\n:\n\n"));
  REQUIRE(status);
  CHECK(status->name == "x");
  CHECK(status->ppid == 1);
  CHECK(parse_status("Name:\t" + name + "\n" + without(status_with(""), "Name:"))->name.size() == kMaxTextBytes);
}

TEST_CASE("malformed stat") {
  const auto line = [](const std::string& state, const std::string& ppid, const std::string& flags,
                       const std::string& start) {
    return "5 (x) " + state + " " + ppid + " 3 4 0 -1 " + flags + " 3 0 0 0 0 0 0 0 20 0 2 0 " + start + " 0 0\n";
  };
  CHECK(describe(parse_stat(line("S", "1", "4", "9"))) == "x S ppid 1 flags 4 start 9");
  for (const std::string& text : {
           line("", "1", "4", "9"),
           line("SS", "1", "4", "9"),
           line("7", "1", "4", "9"),
           line("?", "1", "4", "9"),
           line("S", "-1", "4", "9"),
           line("S", "4294967297", "4", "9"),
           line("S", "x", "4", "9"),
           line("S", "1", "-4", "9"),
           line("S", "1", "0x4", "9"),
           line("S", "1", "18446744073709551616", "9"),
           line("S", "1", "4", "-9"),
           line("S", "1", "4", "9.5"),
           line("S", "1", "4", "9\0"s),
           std::string("5 x S 1 2"),
           std::string(")5( S 1"),
           std::string("5 (x)"),
           std::string("5 (x) "),
           kJunk,
           "5 (" + std::string(100'000, ')'),
       }) {
    CAPTURE(text.substr(0, 100));
    CHECK(describe(parse_stat(text)) == "malformed");
  }
}

TEST_CASE("malformed stacks") {
  using Frames = std::vector<std::string>;
  for (const char* text : {"\n\n", "[<0>]", "[<0>] ", "[<", "[<0> do_exit+0x1/0x2", "[<0>] 0xffffffffffffffff\n",
                           "do_exit", "[<0>] do_exit\n"}) {
    CAPTURE(text);
    CHECK(parse_stack(text).empty());
  }
  CHECK(parse_stack("[<0>] a+0x1/0x2\n\xff\xfe\n[<0>] b+0x1/0x2 [m]\n") == Frames{"a", "b"});
  CHECK(parse_stack("[<0>] a\x1b[31m+0x1/0x2\n") == Frames{"a\\x1b[31m"});
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "[<0>] again+0x1/0x2\n";
  CHECK(parse_stack(many).size() == kMaxStackFrames);
  CHECK(parse_stack("[<0>] " + std::string(100'000, 'x') + "+0x1/0x2\n").at(0).size() == kMaxTextBytes);
  CHECK_NOTHROW(parse_stack(kJunk));
  CHECK(strip_symbol("").empty());
  CHECK(strip_symbol(".cold").empty());
  CHECK(strip_symbol("+0x1/0x2").empty());
}

TEST_CASE("malformed mountinfo") {
  for (const char* line : {
           "6\n",
           "6 2\n",
           "6 2 0:80\n",
           "6 2 0:80 / /m\n",
           "6 2 0:80 / /m rw\n",
           "6 2 0:80 / /m rw -\n",
           "6 2 0:80 / /m rw - \n",
           "\n",
           " \n",
           "-6 2 0:80 / /m rw - fuse s rw\n",
           "2147483648 2 0:80 / /m rw - fuse s rw\n",
           "6 x 0:80 / /m rw - fuse s rw\n",
           "6 2 80 / /m rw - fuse s rw\n",
           "6 2 0: / /m rw - fuse s rw\n",
           "6 2 0:-1 / /m rw - fuse s rw\n",
           "6 2 0:1048576 / /m rw - fuse s rw\n",
           "6 2 4096:1 / /m rw - fuse s rw\n",
           "6 2 0:80 /  rw - fuse s rw\n",
           "6 2 0:80:1 / /m rw - fuse s rw\n",
       }) {
    CAPTURE(line);
    CHECK(describe(parse_mountinfo(line, 10)) == "malformed");
    const std::string good = "5 2 0:79 / /n rw - fuse s rw\n";
    CHECK(describe(parse_mountinfo(good + line, 10)) == "malformed");  // one bad line: the table is not believed
  }
  CHECK(describe(parse_mountinfo(kJunk, 10)) == "malformed");
  const std::string nul = "6 2 0:8\0000 / /m rw - fuse s rw\n"s;
  CHECK(describe(parse_mountinfo(nul, 10)) == "malformed");
  const std::string path(100'000, 'p');
  const auto table = parse_mountinfo("6 2 0:80 / /" + path + " rw " + path + " - fuse s rw\n", 10);
  REQUIRE(table);
  CHECK(table->fuse_mounts.at(0).mount_point.size() == kMaxTextBytes);
  for (const char* text : {"", "6", "6 2", "6 2 ", "x 2 0:1", "6 -2 0:1", "6 2147483648 0:1", "\n"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_first_mount(text));
  }
}

TEST_CASE("malformed cgroup") {
  for (const char* text : {"", "\n", "x", "0::\n", "0:/a\n", "a:b:c\n", "0::c\n", "x:memory:/a\n", "-1:memory:/a\n",
                           "memory:/a\n", "0::/a"}) {
    CAPTURE(text);
    CHECK(parse_cgroup(text).empty());
  }
  CHECK(parse_cgroup(kJunk).empty());
  CHECK(parse_cgroup("0::/" + std::string(100'000, 'c') + "\n").at(0).size() == 4096);
  CHECK(parse_cgroup("0::/a\x1b[2J\n").at(0) == "/a\\x1b[2J");
}

TEST_CASE("malformed fdinfo") {
  for (const char* text : {
           "",
           "\n",
           "pos:\t0\nflags:\t02\n",
           "mnt_id:\t\n",
           "mnt_id:\t-1\n",
           "mnt_id:\t2147483648\n",
           "mnt_id:\t5x\n",
           "flags:\t09\nmnt_id:\t5\n",
           "flags:\t\nmnt_id:\t5\n",
           "flags:\t0x2\nmnt_id:\t5\n",
           "flags:\t77777777777777777777\nmnt_id:\t5\n",
           "mnt_id:\t5\nfuse_connection:\t\n",
           "mnt_id:\t5\nfuse_connection:\t-1\n",
           "mnt_id:\t5\nfuse_connection:\t4294967296\n",
           "mnt_id:\t5\nfuse_connection:\t4",
           "mnt_id:\t5\nfuse_conn",
           "mnt_id:\t5",
       }) {
    CAPTURE(text);
    CHECK(describe(parse_fdinfo(text)) == "malformed");
  }
  CHECK(describe(parse_fdinfo(kJunk)) == "malformed");
}

TEST_CASE("fdinfo: locks cannot push the connection out of sight") {
  std::string locks = "pos:\t0\nflags:\t02\nmnt_id:\t5\nino:\t90\n";
  for (int i = 0; i < 100; ++i) locks += "lock:\t1: OFDLCK ADVISORY  WRITE -1 00:06:90 1 1\n";
  CHECK(describe(parse_fdinfo(locks, true)) == "malformed");
  CHECK(describe(parse_fdinfo(locks + "fuse_connection:\t40\n", true)) == "mnt 5 flags 02 conn 40");
  CHECK(describe(parse_fdinfo(locks + "fuse_connection:\t40\n")) == "mnt 5 flags 02 conn 40");
  CHECK(describe(parse_fdinfo(locks)) == "mnt 5 flags 02");
  // The long ones of epoll and io_uring say who they are before they are cut.
  CHECK(describe(parse_fdinfo(locks + "tfd:        5 events:       19 data: ", true)) == "malformed");
  CHECK(describe(parse_fdinfo(locks + "tfd:        5 events:       19\ntfd: ", true)) == "mnt 5 flags 02");
}

TEST_CASE("fdinfo: a name that a driver prints is no mount id") {
  // drivers/dma-buf prints `name:` as user space set it, newlines included.
  CHECK(describe(parse_fdinfo("flags:\t02\nmnt_id:\t5\nino:\t9\nsize:\t1\nname:\tx\nmnt_id:\t66\n")) ==
        "mnt 5 flags 02");
}

TEST_CASE("malformed sched and uptime") {
  for (const char* value : {"", "-1.000000", "1", "1.", ".5", "1.x", "1.5x", "1.123456789x", "1,5", "0x1.0",
                            "18446744073709551615.0", "18446744073709551616.0", "99999999999999999.0"}) {
    CAPTURE(value);
    CHECK(describe(parse_exec_start("se.exec_start : " + std::string(value) + "\n").map([](auto) {
            return StatFields{};
          })) == "malformed");
    CHECK_FALSE(parse_uptime(std::string(value) + " 1.0\n"));
  }
  CHECK(parse_exec_start("se.vruntime : 1.0\n").error().kind == ErrorKind::unsupported);
  CHECK_FALSE(parse_exec_start("se.exec_start\n"));
  CHECK_FALSE(parse_uptime("1.\0005 1.0\n"s));
  CHECK_FALSE(parse_uptime(kJunk));
  CHECK(parse_uptime("3153600000.00 1.0\n") == std::chrono::hours(24 * 365 * 100));
}

TEST_CASE("sched of a task that calls itself like a line of it") {
  const std::string file =
      "-----\nse.exec_start                                :          5594.889795\nse.vruntime : 1.0\n";
  for (const char* name : {"se.exec_start:1", "\nse.exec_start", "-\nse.exec_start"}) {
    CHECK(parse_exec_start(std::string(name) + " (94, #threads: 1)\n" + file) == Nanoseconds(5'594'889'795));
  }
}

TEST_CASE("malformed namespace links") {
  for (const char* text : {"", "pid", "pid:", "pid:[", "pid:]", "pid:[]", "pid:[x]", "pid:[-1]", "pid:[1 ]", "pid:[1]x",
                           "pid:(1)", "pid:[18446744073709551616]", "pid_for_children:[1]", "/proc/1/ns/pid"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_namespace_link(text, "pid"));
  }
  CHECK_FALSE(parse_namespace_link("pid:[1\0]"s, "pid"));
}

TEST_CASE("malformed kernel facts") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("defused-facts-" + std::to_string(getpid()));
  fs::create_directories(root);
  const auto facts_of = [&](const std::string& version, const std::string& symbols) {
    std::ofstream(root / "version", std::ios::binary) << version;
    std::ofstream(root / "kallsyms", std::ios::binary) << symbols;
    return read_kernel_facts(*ProcRoot::open(root.string()));
  };
  const std::string flush = "ffffffff81844100 t fuse_flush\t[fuse]\n";
  CHECK(facts_of("Linux version 6.18.1 (x)\n", flush).fuse_flush_waits == FlushWaits::yes);
  CHECK_FALSE(facts_of("Linux version 6.18.1 (x)\n", flush).fdinfo_names_connection);  // the symbols decide
  CHECK(facts_of("", flush + "0000000000000000 t fuse_flush_async\n").fuse_flush_waits == FlushWaits::no);
  CHECK(facts_of("", flush + "0000000000000000 t fuse_dev_show_fdinfo\n").fdinfo_names_connection);
  for (const std::string& symbols : {std::string(), kJunk, std::string(" fuse_flush"), std::string("0 t fuse_flush"),
                                     std::string("0 t fuse_flush_\n"), std::string("0 t xfuse_flush\n")}) {
    CAPTURE(symbols);
    CHECK(facts_of("Linux version 6.15.9 (x)\n", symbols).fuse_flush_waits == FlushWaits::unknown);
    CHECK_FALSE(facts_of("Linux version 6.15.9 (x)\n", symbols).fdinfo_names_connection);
  }
  for (const std::string& version : {std::string(), std::string("\n"), std::string("Linux"), kJunk,
                                     std::string("Linux version x.y\n"), std::string("Linux version -6.18\n")}) {
    CAPTURE(version);
    CHECK_FALSE(facts_of(version, "").fdinfo_names_connection);
  }
  CHECK(facts_of("Linux version 6.16-rc1 (x)\n", "").fdinfo_names_connection);
  CHECK(facts_of("Linux version 10.0.0 (x)\n", "").fdinfo_names_connection);
  fs::remove_all(root);
}
