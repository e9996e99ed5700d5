// SPDX-License-Identifier: Apache-2.0
#include "daemon/read_subject.h"

#include "detect/subject.h"

namespace defused {

void read_subject(const ProcRoot& proc, const ReadLimits& limits, const Subject& subject, const History& history,
                  const std::set<pid_t>& around, Snapshot& snapshot) {
  constexpr std::uint64_t kMaxPid = 4'194'304;  // PID_MAX_LIMIT of 64-bit kernels; namespaces have larger numbers
  if (subject.number && *subject.number <= kMaxPid) {
    const auto tid = static_cast<pid_t>(*subject.number);
    const auto owner = read_owner(proc, tid);
    if (owner && *owner != tid) snapshot.thread_owners[tid] = *owner;
  } else if (subject.number) {
    read_init_namespaces(proc, limits, snapshot);
  }
  std::set<pid_t> asked = processes_to_read(subject, snapshot, history);
  asked.insert(around.begin(), around.end());
  add_asked(proc, limits, asked, snapshot);
}

std::set<pid_t> tell_subject(const Subject& subject, const Snapshot& snapshot, PassResult& pass) {
  pass.subject = find_subject(subject, snapshot, pass.report.findings, pass.memory.history);
  return processes_around(*pass.subject, pass.report.findings);
}

}  // namespace defused
