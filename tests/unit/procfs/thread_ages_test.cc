// SPDX-License-Identifier: Apache-2.0
// Since when threads sleep: by the clock of the CPU that each ran on last, of a copy as of this host.
#include "procfs/thread_ages.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <map>
#include <thread>
#include <utility>

#include "procfs/bounded_read.h"
#include "procfs/parse.h"
#include "temporary_directory.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

using Slept = std::map<pid_t, std::optional<Nanoseconds>>;

std::string sched_of(const std::string& milliseconds) {
  return "x (7, #threads: 1)\n" + std::string(67, '-') + "\nse.exec_start : " + milliseconds + "\n";
}

// A copy with one process that was told to die, of threads that are put into it.
class Copy {
 public:
  Copy() {
    root_.write("uptime", "20000.00 1.00\n");
    root_.write("100/status", status_of("100"));
  }
  void put(const std::string& tid, std::optional<std::string> cpu, const std::string& last_ran) const {
    const std::string task = "100/task/" + tid + "/";
    root_.write(task + "status", status_of(tid));
    root_.write(task + "sched", sched_of(last_ran));
    std::string stat = tid + " (x) D 1 100 100 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 17";
    if (cpu) stat += " " + *cpu + " 0 0 0 0 0";
    root_.write(task + "stat", stat + "\n");
  }
  void write(const std::string& name, const std::string& text) const { root_.write(name, text); }

  [[nodiscard]] Slept read(const ReadHook& hook = {}, ReadRecorder* recorder = nullptr) const {
    auto proc = ProcRoot::open(root_.path(), hook);
    REQUIRE(proc);
    REQUIRE_FALSE(proc->is_live());
    proc->record_to(recorder);
    Snapshot snapshot;
    REQUIRE(read_processes(*proc, ReadLimits{}, snapshot));
    read_hazards(*proc, ReadLimits{}, snapshot);
    REQUIRE(snapshot.suspects.size() == 1);
    Slept slept;
    for (const ThreadSample& thread : snapshot.suspects[0].threads) slept[thread.id.tid] = thread.slept;
    return slept;
  }

 private:
  static std::string status_of(const std::string& tid) {
    return "Name:\tx\nState:\tD (x)\nTgid:\t100\nPid:\t" + tid + "\nPPid:\t1\nFDSize:\t64\nNStgid:\t100\nThreads:\t" +
           "2\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\nvoluntary_ctxt_switches:\t1\n" +
           "nonvoluntary_ctxt_switches:\t0\n";
  }
  TemporaryDirectory root_;
};

// The CPUs that the calling thread may run on.
cpu_set_t own_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  REQUIRE(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
  return cpus;
}

std::vector<std::uint32_t> list_cpus(const cpu_set_t& cpus) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &cpus)) out.push_back(cpu);
  }
  return out;
}

bool bind_self(std::uint32_t cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  return sched_setaffinity(0, sizeof cpus, &cpus) == 0;
}

Nanoseconds boot_time() { return SystemClock().now().boottime; }

// Sleeps on one CPU until it is destroyed.
class Sleeper {
 public:
  explicit Sleeper(std::uint32_t cpu) {
    REQUIRE(pipe2(ends_.data(), O_CLOEXEC) == 0);
    thread_ = std::thread([this, cpu] {
      bound_ = bind_self(cpu);
      tid_ = static_cast<pid_t>(syscall(SYS_gettid));
      char byte = 0;
      [[maybe_unused]] const ssize_t got = ::read(ends_[0], &byte, 1);
    });
    while (tid_ == 0) std::this_thread::sleep_for(1ms);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    close(ends_[1]);
    thread_.join();
    close(ends_[0]);
  }
  [[nodiscard]] pid_t tid() const { return tid_; }
  [[nodiscard]] bool bound() const { return bound_; }

 private:
  std::array<int, 2> ends_{};
  std::atomic<pid_t> tid_ = 0;
  std::atomic<bool> bound_ = false;
  std::thread thread_;
};

// Of the threads of this process that sleep.
Slept read_own(ReadRecorder* recorder = nullptr) {
  auto proc = ProcRoot::open();
  REQUIRE(proc);
  REQUIRE(proc->is_live());
  proc->record_to(recorder);
  Snapshot snapshot;
  REQUIRE(read_processes(*proc, ReadLimits{}, snapshot));
  add_asked(*proc, ReadLimits{}, {getpid()}, snapshot);
  read_hazards(*proc, ReadLimits{}, snapshot);
  Slept slept;
  for (const ProcessSample& sample : snapshot.suspects) {
    if (sample.id.pid != getpid()) continue;
    for (const ThreadSample& thread : sample.threads) slept[thread.id.tid] = thread.slept;
  }
  return slept;
}

bool has_sched() { return access("/proc/self/sched", R_OK) == 0; }

// A realtime task that holds `cpu` until it is destroyed, at most 2 s.
class Hog {
 public:
  explicit Hog(std::uint32_t cpu)
      : thread_([this, cpu] {
          const sched_param first{.sched_priority = 1};
          const bool may = bind_self(cpu) && sched_setscheduler(0, SCHED_FIFO, &first) == 0;
          holds_ = may ? 1 : -1;
          const Nanoseconds until = boot_time() + 2s;
          while (may && !enough_ && boot_time() < until) {
          }
        }) {
    while (holds_ == 0) std::this_thread::sleep_for(1ms);
  }
  Hog(const Hog&) = delete;
  Hog& operator=(const Hog&) = delete;
  ~Hog() {
    enough_ = true;
    thread_.join();
  }
  [[nodiscard]] bool holds() const { return holds_ > 0; }

 private:
  std::atomic<int> holds_ = 0;
  std::atomic<bool> enough_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("each thread is of the age that the clock of its own CPU tells") {
  const Copy copy;
  copy.put("100", "0", "7000000.0");
  copy.put("101", "4097", "14500000.0");  // a CPU that this host does not have
  copy.write("self/sched-on-cpu0", sched_of("7010000.5"));
  copy.write("self/sched-on-cpu4097", sched_of("14520000.0"));
  copy.write("self/sched", sched_of("19000000.0"));  // of no use: nobody knows of which CPU
  const Slept slept = copy.read();
  CHECK(slept.at(100) == 10'000'500us);
  CHECK(slept.at(101) == 20s);
}

TEST_CASE("the uptime still bounds an age") {
  const Copy copy;
  copy.put("100", "0", "19999000.0");
  copy.write("self/sched-on-cpu0", sched_of("20500000.0"));
  CHECK(copy.read().at(100) == 1s);
}

TEST_CASE("a clock that could not be read when it was recorded leaves the age unknown") {
  const Copy copy;
  copy.put("100", "0", "7000000.0");
  copy.put("101", "1", "7000000.0");
  copy.put("102", "2", "7000000.0");
  copy.write("self/sched", sched_of("7010000.0"));
  copy.write("self/sched-on-cpu0", sched_of("7010000.0"));
  copy.write("self/sched-on-cpu2", "nothing\n");
  const Slept slept = copy.read([](std::string_view path) -> std::optional<Error> {
    if (path != "self/sched-on-cpu1") return std::nullopt;
    return Error{ErrorKind::unsupported, "then", EINVAL};
  });
  CHECK(slept.at(100) == 10s);
  CHECK_FALSE(slept.at(101));
  CHECK_FALSE(slept.at(102));
  // Of which CPU it was, nobody could say.
  const Slept without_stat = copy.read([](std::string_view path) -> std::optional<Error> {
    if (path != "100/task/100/stat") return std::nullopt;
    return Error{ErrorKind::timeout, "then", 0};
  });
  CHECK_FALSE(without_stat.at(100));
}

TEST_CASE("a copy from before there were such clocks is read as it was then") {
  const Copy copy;
  copy.put("100", "3", "7000000.0");
  copy.put("101", std::nullopt, "8000000.0");
  CHECK(copy.read().at(100) == 13'000s);  // by the uptime alone
  copy.write("self/sched", sched_of("9000000.0"));
  const Slept slept = copy.read();
  CHECK(slept.at(100) == 2'000s);
  CHECK(slept.at(101) == 1'000s);
}

TEST_CASE("what is read of a copy is recorded again, clocks too") {
  const Copy copy;
  copy.put("100", "1", "7000000.0");
  copy.write("self/sched-on-cpu1", sched_of("7010000.0"));
  ReadRecorder recorder(1U << 20U);
  REQUIRE(copy.read({}, &recorder).at(100) == 10s);
  REQUIRE(recorder.entries().count("self/sched-on-cpu1") == 1);
  CHECK(recorder.entries().at("self/sched-on-cpu1").text == sched_of("7010000.0"));
}

TEST_CASE("a sleep is told alike from whichever CPU it is asked") {
  if (!has_sched()) {
    WARN("this kernel has no /proc/PID/sched");
    return;
  }
  const cpu_set_t before = own_cpus();
  const std::vector<std::uint32_t> cpus = list_cpus(before);
  const Sleeper first(cpus.front());
  const Sleeper last(cpus.back());
  REQUIRE(first.bound());
  REQUIRE(last.bound());
  const Nanoseconds begin = boot_time();
  std::this_thread::sleep_for(1500ms);
  for (const std::uint32_t cpu : {cpus.front(), cpus.back()}) {
    REQUIRE(bind_self(cpu));
    const cpu_set_t bound = own_cpus();
    const Nanoseconds earliest = boot_time() - begin;
    ReadRecorder recorder(64U << 20U);
    const Slept slept = read_own(&recorder);
    const Nanoseconds latest = boot_time() - begin;
    const cpu_set_t after = own_cpus();
    CHECK(CPU_EQUAL(&after, &bound) != 0);
    for (const Sleeper* sleeper : {&first, &last}) {
      REQUIRE(slept.count(sleeper->tid()) == 1);
      REQUIRE(slept.at(sleeper->tid()));
      CAPTURE(cpu, earliest.count(), latest.count(), slept.at(sleeper->tid())->count());
      CHECK(*slept.at(sleeper->tid()) > earliest - 500ms);
      CHECK(*slept.at(sleeper->tid()) < latest + 500ms);
    }
    for (const std::uint32_t slept_on : {cpus.front(), cpus.back()}) {
      const auto noted = recorder.entries().find("self/sched-on-cpu" + std::to_string(slept_on));
      REQUIRE(noted != recorder.entries().end());
      CHECK(parse_exec_start(noted->second.text));
    }
    CHECK(recorder.entries().count("self/sched") == 0);
  }
  REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("a CPU that nobody may run on has no clock, and that is noted") {
  const cpu_set_t before = own_cpus();
  auto proc = ProcRoot::open();
  REQUIRE(proc);
  ReadRecorder recorder(10'000);
  proc->record_to(&recorder);
  const std::uint32_t cpu = list_cpus(before).front();
  const auto results =
      read_clocks(*proc, ReadLimits{}, {{"self/a", false, 8191}, {"self/b", false, 100'000}, {"self/c", false, cpu}});
  REQUIRE(results.size() == 3);
  CHECK(results[0].error().kind == ErrorKind::unsupported);
  CHECK(results[1].error().kind == ErrorKind::unsupported);
  CHECK(results[2].has_value() == has_sched());
  CHECK(recorder.errors().at("self/a") == ReadRecorder::Failed{ErrorKind::unsupported, EINVAL});
  CHECK(recorder.errors().at("self/b") == ReadRecorder::Failed{ErrorKind::unsupported, EINVAL});
  ReadLimits no_reader;
  no_reader.readers = 0;
  CHECK(read_clocks(*proc, no_reader, {{"self/d", false, cpu}})[0].error().kind == ErrorKind::timeout);
  const cpu_set_t after = own_cpus();
  CHECK(CPU_EQUAL(&before, &after) != 0);
}

// A child that waits there for its turn could not even die of SIGKILL. One try may be in vain: the kernel gives other
// tasks 5 % of each second, and a busy host may have no time for the free CPU, or none for a child to die in time.
TEST_CASE("a CPU that a realtime task holds costs its time-out, and no child is left behind") {
  const std::vector<std::uint32_t> cpus = list_cpus(own_cpus());
  if (cpus.size() < 2) {
    WARN("one CPU is too few");
    return;
  }
  const auto proc = ProcRoot::open();
  REQUIRE(proc);
  ReadLimits limits;
#ifdef DEFUSED_SANITIZED
  limits.clock_timeout = 500ms;  // there a child alone takes 100 ms to begin
#else
  limits.clock_timeout = 100ms;
#endif
  std::vector<pid_t> lost;
  limits.left_behind = [&](pid_t reader) { lost.push_back(reader); };
  const cpu_set_t before = own_cpus();
  bool seen = false;
  for (int tries = 0; tries < 20 && !seen; ++tries) {
    Hog hog(cpus.back());
    if (!hog.holds()) {
      WARN("no right to be a realtime task");
      return;
    }
    REQUIRE(bind_self(cpus.front()));  // what is on the same CPU as the hog would not come to it
    const auto results =
        read_clocks(*proc, limits, {{"self/held", false, cpus.back()}, {"self/free", false, cpus.front()}});
    REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
    REQUIRE(results.size() == 2);
    seen = !results[0] && results[0].error().kind == ErrorKind::timeout && results[1].has_value() == has_sched() &&
           lost.empty();
    for (const pid_t child : std::exchange(lost, {})) CHECK(waitpid(child, nullptr, 0) == child);
    CHECK(waitpid(-1, nullptr, WNOHANG) == -1);  // no child is left
    CHECK(errno == ECHILD);
  }
#ifdef DEFUSED_SANITIZED
  CHECK_NOFAIL(seen);  // on an idle host the kernel lets the slower child of TSan run there each time
#else
  CHECK(seen);
#endif
}
