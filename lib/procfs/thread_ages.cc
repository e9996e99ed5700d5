// SPDX-License-Identifier: Apache-2.0
#include "procfs/thread_ages.h"

#include <algorithm>
#include <vector>

#include "procfs/bounded_read.h"
#include "procfs/parse.h"
#include "procfs/read_parsed.h"

namespace defused {

namespace {

std::string path_of_clock(std::uint32_t cpu) { return "self/sched-on-cpu" + std::to_string(cpu); }

std::optional<Nanoseconds> find_exec_start(std::string_view sched) {
  const auto parsed = parse_exec_start(sched);
  return parsed ? std::optional(*parsed) : std::nullopt;
}

bool is_of_this_pass(const ThreadSample& thread) { return thread.last_ran && !thread.kept; }

bool has_stat_gap(const ThreadSample& thread) {
  return std::any_of(thread.gaps.begin(), thread.gaps.end(), [](const auto& gap) { return gap.first.first == "stat"; });
}

}  // namespace

void ThreadAges::read_clocks(const Snapshot& snapshot) {
  std::vector<BoundedRequest> requests;
  for (const ProcessSample& sample : snapshot.suspects) {
    for (const ThreadSample& thread : sample.threads) {
      if (!is_of_this_pass(thread) || !thread.last_cpu) continue;
      const std::uint32_t cpu = *thread.last_cpu;
      const auto [clock, is_new] = clocks_.try_emplace(cpu);
      if (!is_new) continue;
      const std::string path = path_of_clock(cpu);
      if (!proc_.is_live()) {
        clock->second = read_copy(path);
      } else if (clocks_.size() > kMaxClocks) {
        proc_.files().note_error(path, Error{ErrorKind::timeout, {}, kNotAsked});
      } else {
        requests.push_back({path, false, cpu});
      }
    }
  }
  const auto results = defused::read_clocks(proc_, limits_, requests);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i]) continue;
    const auto now = find_exec_start(*results[i]);
    clocks_[*requests[i].on_cpu] = {!now, now};
  }
}

ThreadAges::CpuClock ThreadAges::read_copy(const std::string& path) {
  const auto file = proc_.files().read_file(path, kMaxSmallFile);
  if (!file) return file.error().kind == ErrorKind::gone ? clock_of_old_copy() : CpuClock{};
  const auto now = find_exec_start(file->text);
  return {!now, now};
}

ThreadAges::CpuClock ThreadAges::clock_of_old_copy() {
  if (!old_copy_) {
    const auto file = proc_.files().read_file("self/sched", kMaxSmallFile);
    old_copy_ = CpuClock{false, file ? find_exec_start(file->text) : std::nullopt};
  }
  return *old_copy_;
}

ThreadAges::CpuClock ThreadAges::clock_of(const ThreadSample& thread) {
  if (thread.last_cpu) return clocks_[*thread.last_cpu];
  // Where stat could not be read nobody knew it when it was recorded either.
  return proc_.is_live() || has_stat_gap(thread) ? CpuClock{} : clock_of_old_copy();
}

std::optional<Nanoseconds> ThreadAges::uptime() {
  if (!uptime_) {
    const auto file = proc_.files().read_file("uptime", kMaxSmallFile);
    const auto parsed = file ? parse_uptime(file->text) : Result<Nanoseconds>(Failure(file.error()));
    uptime_ = parsed ? std::optional(*parsed) : std::nullopt;
  }
  return *uptime_;
}

// The clock of a CPU stands while the host is suspended, and what its virtual machine monitor says of the time may be
// wrong: the shorter of the two ages counts.
void ThreadAges::tell(Snapshot& snapshot) {
  for (ProcessSample& sample : snapshot.suspects) {
    for (ThreadSample& thread : sample.threads) {
      if (!is_of_this_pass(thread)) continue;
      const CpuClock clock = clock_of(thread);
      if (clock.unknown) continue;
      for (const auto& now : {clock.now, uptime()}) {
        if (!now) continue;
        const Nanoseconds age = std::max(*now - *thread.last_ran, Nanoseconds(0));
        thread.slept = thread.slept ? std::min(*thread.slept, age) : age;
      }
    }
  }
}

}  // namespace defused
