// SPDX-License-Identifier: Apache-2.0
// Hooks as they really run: each test starts a real command, most of them a shell.
#include "remedy/hook.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <version.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/text.h"
#include "base/unique_fd.h"
#include "temporary_directory.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a directory of our own only

constexpr Nanoseconds kLong = 60s;  // never reached

HookResult run_shell(const std::string& script, const std::string& input = "{}", Nanoseconds limit = kLong) {
  return run_hook({"/bin/sh", "-c", script}, "before", input, limit);
}

// The state letter of a process, or 0 where there is none.
char state_of(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos ? '\0' : text.at(name_end + 2);
}

// Dead, reaped or not.
bool dies(const std::string& pid) {
  const Stopwatch watch;
  while (watch.elapsed() < 20s) {
    const char state = state_of(pid);
    if (state == '\0' || state == 'Z' || state == 'X') return true;
    poll(nullptr, 0, 5);
  }
  return false;
}

}  // namespace

TEST_CASE("No command, no objection") {
  const HookResult result = run_hook({}, "before", "{}", kLong);
  CHECK_FALSE(result.configured);
  CHECK(result.agrees());
}

TEST_CASE("A hook that exits with 0 agrees") {
  const HookResult result = run_shell("exit 0");
  CHECK(result.configured);
  CHECK(result.exit_code == 0);
  CHECK(result.trouble == "");
  CHECK(result.output == "");
  CHECK(result.agrees());
}

TEST_CASE("A hook that exits with anything else does not, and what it says on both streams is kept") {
  const HookResult result = run_shell("echo not now; printf 'a\\033[31m\\tb\\n' >&2; exit 3");
  CHECK(result.exit_code == 3);
  CHECK(result.trouble == "");
  CHECK(result.output == "not now a\\x1b[31m b");
  CHECK_FALSE(result.agrees());
}

TEST_CASE("Arguments are given as they are: no shell") {
  CHECK(run_hook({"/bin/echo", "$HOME", "a b", ";", "*"}, "before", "{}", kLong).output == "$HOME a b ; *");
}

TEST_CASE("The record comes on standard input, with a newline and an end") {
  const HookResult result = run_shell("cat; echo END", R"({"record":"intent"})");
  CHECK(result.output == R"({"record":"intent"} END)");
  CHECK(run_shell("wc -l", "{}").output == "1");
}

TEST_CASE("A big record is given in full, while the hook talks") {
  const std::string record(3U << 20U, 'r');
  const HookResult result = run_shell("head -c 200000 /dev/zero | tr '\\0' y >&2; wc -c > /dev/null && exit 4", record);
  CHECK(result.exit_code == 4);
  CHECK(result.output == std::string(kMaxHookOutput, 'y'));
  const TemporaryDirectory directory;
  CHECK(run_shell("wc -c > " + directory.file("size"), record).agrees());
  CHECK(trim(directory.text("size")) == std::to_string(record.size() + 1));
}

TEST_CASE("A hook that does not want to know it does not hold us up, nor end us") {
  const std::string record(3U << 20U, 'r');
  REQUIRE(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  SECTION("it closes its input, and we wait without work") {
    const std::clock_t before = std::clock();
    const Stopwatch watch;
    CHECK(run_shell("exec <&-; sleep 1; exit 0", record).agrees());
    const std::chrono::duration<double> worked(double(std::clock() - before) / CLOCKS_PER_SEC);
    CHECK(worked < watch.elapsed() / 2);  // who asks again and again works all the time
  }
  SECTION("it never reads") { CHECK(run_shell("sleep 0.1", record).agrees()); }
  sigset_t pending;
  REQUIRE(sigpending(&pending) == 0);
  CHECK(sigismember(&pending, SIGPIPE) == 0);
  sigset_t blocked;
  REQUIRE(pthread_sigmask(SIG_SETMASK, nullptr, &blocked) == 0);
  CHECK(sigismember(&blocked, SIGPIPE) == 0);
}

TEST_CASE("Of much output the beginning is kept, and the rest does not stop the hook") {
  const TemporaryDirectory directory;
  const HookResult result = run_shell("head -c 10485760 /dev/zero | tr '\\0' z; touch " + directory.file("through"));
  CHECK(result.agrees());
  CHECK(result.output == std::string(kMaxHookOutput, 'z'));
  CHECK(fs::exists(directory.file("through")));
}

TEST_CASE("At the limit the whole group is killed") {
  const TemporaryDirectory directory;
  const std::string script = "sleep 300 & echo $! > " + directory.file("child") + "; echo $$ > " +
                             directory.file("leader") + "; echo working; wait";
  const Stopwatch watch;
  const HookResult result = run_shell(script, "{}", 2s);
  CHECK(watch.elapsed() < kLong);
  CHECK(result.exit_code == -1);
  CHECK(result.trouble == "/bin/sh did not end within 2000 ms and was killed");
  CHECK(result.output == "working");
  CHECK_FALSE(result.agrees());
  CHECK(dies(std::string(trim(directory.text("child")))));
  CHECK(state_of(std::string(trim(directory.text("leader")))) == '\0');  // taken by us
}

TEST_CASE("One that ignores every signal is killed all the same, and one that floods us too") {
  CHECK_THAT(run_shell("trap '' TERM INT HUP PIPE; while :; do sleep 1; done", "{}", 300ms).trouble,
             Catch::EndsWith("and was killed"));
  CHECK_THAT(run_shell("yes", "{}", 300ms).trouble, Catch::EndsWith("and was killed"));
}

TEST_CASE("What it leaves running is ended with it, and not waited for") {
  const TemporaryDirectory directory;
  const Stopwatch watch;
  const HookResult result = run_shell("echo done; sleep 300 & echo $! > " + directory.file("child"));
  CHECK(watch.elapsed() < kLong);
  CHECK(result.agrees());
  CHECK(result.output == "done");
  CHECK(dies(std::string(trim(directory.text("child")))));
}

TEST_CASE("One that left the group keeps its pipe open, and is not waited for either") {
  const TemporaryDirectory directory;
  const Stopwatch watch;
  // The leader ends once the other one is out of the group.
  const HookResult result =
      run_shell("setsid sh -c 'echo $$ > " + directory.file("new") + "; mv " + directory.file("new") + " " +
                directory.file("child") + "; exec sleep 300' & while [ ! -e " + directory.file("child") +
                " ]; do sleep 0.01; done; echo done");
  CHECK(watch.elapsed() < kLong);
  CHECK(result.output == "done");
  CHECK(result.agrees());
  const auto pid = parse_u64(trim(directory.text("child")));
  REQUIRE(pid);
  kill(static_cast<pid_t>(*pid), SIGKILL);
}

TEST_CASE("What cannot be run is told") {
  const TemporaryDirectory directory;
  SECTION("it is missing") {
    const HookResult result = run_hook({directory.file("none")}, "before", "{}", kLong);
    CHECK(result.trouble == directory.file("none") + " could not be run: No such file or directory (ENOENT)");
    CHECK(result.exit_code == -1);
    CHECK_FALSE(result.agrees());
  }
  SECTION("it is not executable") {
    directory.write("plain", "#!/bin/sh\nexit 0\n");
    const HookResult result = run_hook({directory.file("plain")}, "before", "{}", kLong);
    CHECK(result.trouble == directory.file("plain") + " could not be run: Permission denied (EACCES)");
    CHECK_FALSE(result.agrees());
  }
  SECTION("it is no program") {
    directory.write("empty", "");
    REQUIRE(chmod(directory.file("empty").c_str(), 0700) == 0);
    CHECK_THAT(run_hook({directory.file("empty")}, "before", "{}", kLong).trouble, Catch::EndsWith("(ENOEXEC)"));
  }
}

TEST_CASE("An end by a signal is told") {
  const HookResult result = run_shell("echo dying; kill -SEGV $$");
  CHECK(result.exit_code == -1);
  CHECK(result.trouble == "/bin/sh was ended by signal 11 (SIGSEGV)");
  CHECK(result.output == "dying");
  CHECK_FALSE(result.agrees());
}

TEST_CASE("Where nobody keeps the remains of children, how it ended is not known") {
  REQUIRE(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
  const HookResult result = run_shell("exit 0");
  REQUIRE(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
  CHECK(result.trouble == "how /bin/sh ended is not known");
  CHECK_FALSE(result.agrees());
}

TEST_CASE("It sees a small environment") {
  REQUIRE(setenv("DEFUSED_SECRET", "x", 1) == 0);
  const HookResult result = run_hook({"/usr/bin/env"}, "after", "{}", kLong);
  CHECK(result.output ==
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C DEFUSED_HOOK=after "
        "DEFUSED_VERSION=" +
            std::string(kVersion));
}

TEST_CASE("It has no descriptor of ours but the three, and / as its directory") {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  // Without close-on-exec: that is the point.
  const UniqueFd low(fcntl(null.get(), F_DUPFD, 3));    // NOLINT(android-cloexec-dup)
  const UniqueFd high(fcntl(null.get(), F_DUPFD, 77));  // NOLINT(android-cloexec-dup)
  REQUIRE(low);
  REQUIRE(high);
  // The shell's glob opens the directory itself: where it is closed again its link is gone.
  CHECK(run_shell("for d in /proc/self/fd/*; do [ -e $d ] && echo ${d##*/}; done; pwd").output == "0 1 2 /");
}

TEST_CASE("Descriptors of ours with low numbers are not in its way") {
  const int in = dup(STDIN_FILENO);
  REQUIRE(in >= 0);
  close(STDIN_FILENO);
  const HookResult result = run_shell("cat; echo out; echo err >&2", "record");
  dup2(in, STDIN_FILENO);
  close(in);
  CHECK(result.output == "record out err");
}

TEST_CASE("It leads a group of its own, and its signals are as they are by default") {
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGTERM);
  sigaddset(&some, SIGUSR1);
  sigset_t before;
  REQUIRE(pthread_sigmask(SIG_BLOCK, &some, &before) == 0);
  REQUIRE(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
  // In a shell `$5` of stat would count words of the name; this one has none.
  const HookResult result = run_shell(
      "read pid comm state ppid pgrp rest < /proc/$$/stat; [ $pgrp = $$ ] && echo leads; "
      "grep -E '^Sig(Blk|Ign)' /proc/self/status");
  REQUIRE(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
  REQUIRE(pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  CHECK(result.output == "leads SigBlk: 0000000000000000 SigIgn: 0000000000000000");
}

TEST_CASE("It ends when we do") {
  const TemporaryDirectory directory;
  const pid_t prober = fork();
  if (prober == 0) {
    run_hook({"/bin/sh", "-c",
              "echo $$ > " + directory.file("new") + "; mv " + directory.file("new") + " " + directory.file("hook") +
                  "; exec sleep 300"},
             "before", "{}", kLong);
    _exit(0);
  }
  REQUIRE(prober > 0);
  const Stopwatch watch;
  while (!fs::exists(directory.file("hook")) && watch.elapsed() < 10s) poll(nullptr, 0, 5);
  const std::string hook(trim(directory.text("hook")));
  REQUIRE(kill(prober, SIGKILL) == 0);
  REQUIRE(waitpid(prober, nullptr, 0) == prober);
  REQUIRE_FALSE(hook.empty());
  CHECK(dies(hook));
}

TEST_CASE("CommandHooks names the hook that is asked") {
  CommandHooks hooks({"/bin/sh", "-c", "echo $DEFUSED_HOOK"}, {"/bin/sh", "-c", "echo $DEFUSED_HOOK; cat"}, kLong);
  CHECK(hooks.before("{}").output == "before");
  CHECK(hooks.after("{}").output == "after {}");
  CommandHooks none({}, {}, kLong);
  CHECK(none.before("{}").agrees());
  CHECK_FALSE(none.after("{}").configured);
}

}  // namespace defused
