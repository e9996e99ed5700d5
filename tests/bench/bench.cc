// SPDX-License-Identifier: Apache-2.0
// defused-bench [NAMESPACES MEMBERS ROUNDS]: what one pass costs beside what cannot be had cheaper, in one run: a bare
// getdents64 walk of /proc, a bare open-read-close of every status, and `ps`. Ratios of CPU time; median and spread.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "crowd.h"
#include "daemon/cycle.h"

namespace {

using namespace defused;

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

// PIDs by bare getdents64.
std::vector<std::string> walk_proc() {
  std::vector<std::string> names;
  const int directory = open("/proc", O_RDONLY | O_DIRECTORY);
  alignas(dirent64) std::array<char, 32768> buffer{};
  ssize_t got = 0;
  while ((got = getdents64(directory, buffer.data(), buffer.size())) > 0) {
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') names.emplace_back(entry->d_name);
    }
  }
  close(directory);
  return names;
}

void read_statuses(const std::vector<std::string>& names) {
  std::array<char, 16384> buffer{};
  for (const std::string& name : names) {
    const int file = open(("/proc/" + name + "/status").c_str(), O_RDONLY);
    if (file < 0) continue;
    while (read(file, buffer.data(), buffer.size()) > 0) {
    }
    close(file);
  }
}

void run_ps() {
  const pid_t child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    execlp("ps", "ps", "-eLo", "pid,stat,wchan:30,comm", nullptr);
    _exit(127);
  }
  waitpid(child, nullptr, 0);
}

struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};

Spread measure(int rounds, int who, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const double begin = cpu_seconds(who);
    work();
    times.push_back(cpu_seconds(who) - begin);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

void print(const char* name, const Spread& time, const Spread& base) {
  std::printf("%-44s %8.2f ms (%.2f to %.2f)   x %.2f of the walk\n", name, time.median * 1e3, time.low * 1e3,
              time.high * 1e3, time.median / base.median);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int index, int otherwise) { return argc > index ? std::atoi(argv[index]) : otherwise; };
  const int namespaces = number(1, 200);
  const int members = number(2, 50);
  const int rounds = number(3, 15);
  const bench::Crowd crowd(static_cast<std::size_t>(namespaces), static_cast<std::size_t>(members));
  if (!crowd.complete()) {
    std::fprintf(stderr, "defused-bench: the processes could not be made (root? kernel.pid_max?)\n");
    return 1;
  }
  const Settings settings;
  ManualClock clock(SystemClock().now());  // so that each pass comes its interval after the last one
  auto cycle = Cycle::create(settings, CycleSources{}, CycleEvents{}, clock);
  if (!cycle) {
    std::fprintf(stderr, "defused-bench: %s\n", cycle.error().message.c_str());
    return 1;
  }
  (*cycle)->run(Bar::none);  // the first pass is not a steady one
  const std::vector<std::string> names = walk_proc();
  std::printf("%zu processes, %d PID namespaces, %d rounds; CPU time, median (least to most)\n", names.size(),
              namespaces, rounds);
  const Spread walk = measure(rounds, RUSAGE_SELF, [] { walk_proc(); });
  const Spread statuses = measure(rounds, RUSAGE_SELF, [&] { read_statuses(names); });
  const auto proc = ProcRoot::open();
  const Spread sweep = measure(rounds, RUSAGE_SELF, [&] {
    Snapshot snapshot;
    [[maybe_unused]] const auto read = read_processes(*proc, ReadLimits{}, snapshot);
  });
  const Spread pass = measure(rounds, RUSAGE_SELF, [&] {
    clock.advance(settings.interval);
    (*cycle)->run(Bar::none);
  });
  const Spread ps = measure(std::max(1, rounds / 5), RUSAGE_CHILDREN, run_ps);
  print("bare getdents64 walk of /proc", walk, walk);
  print("bare open-read-close of every status", statuses, walk);
  print("full sweep of defused", sweep, walk);
  print("steady pass of defused", pass, walk);
  print("ps -eLo pid,stat,wchan:30,comm", ps, walk);
  std::printf("full sweep / bare status sweep: %.2f    steady pass / walk: %.2f    ps / steady pass: %.1f\n",
              sweep.median / statuses.median, pass.median / walk.median, ps.median / pass.median);
  return 0;
}
