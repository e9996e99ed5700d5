// SPDX-License-Identifier: Apache-2.0
#include "bpf/wait_reader.h"

#include <algorithm>

#include "bpf/iterate.h"
#include "bpf/task_waits.h"
#include "task_waits.skel.h"

namespace defused {

namespace {

using WaitProgram = std::unique_ptr<task_waits_bpf, Unload<task_waits_bpf__destroy>>;

TaskWait from_record(const task_waits_record& record) {
  TaskWait wait;
  wait.pid = static_cast<pid_t>(record.tgid);
  wait.thread = ThreadId{static_cast<pid_t>(record.tid), record.start_boottime / kNanosecondsPerTick};
  if (record.proven != 0) wait.queued = ConnectionId{record.proven};
  const std::size_t count = std::min<std::size_t>(record.devices, TASK_WAITS_MAX_DEVICES);
  for (std::size_t i = 0; i < count; ++i) wait.on_stack.push_back(ConnectionId{record.device[i]});
  wait.context_switches = record.context_switches;
  wait.group_exit = record.group_exit != 0;
  wait.on_stack_complete = record.devices <= TASK_WAITS_MAX_DEVICES;
  return wait;
}

class WaitIteratorReader final : public WaitReader {
 public:
  explicit WaitIteratorReader(WaitProgram program) : program_(std::move(program)) {}

  Result<std::vector<TaskWait>> read() override {
    const auto records = iterate<task_waits_record>(program_->links.collect);
    if (!records) return Failure(records.error());
    std::vector<TaskWait> waits;
    waits.reserve(records->size());
    for (const task_waits_record& record : *records) waits.push_back(from_record(record));
    return waits;
  }

 private:
  WaitProgram program_;
};

}  // namespace

Result<std::unique_ptr<WaitReader>> WaitReader::load() {
  auto program = load_iterator<task_waits_bpf__open_and_load, task_waits_bpf__attach, task_waits_bpf__destroy>(
      "the program that reads kernel stacks");
  if (!program) return Failure(program.error());
  return std::unique_ptr<WaitReader>(std::make_unique<WaitIteratorReader>(*std::move(program)));
}

}  // namespace defused
