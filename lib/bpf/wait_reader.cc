// SPDX-License-Identifier: Apache-2.0
#include "bpf/wait_reader.h"

#include <algorithm>

#include "bpf/iterate.h"
#include "bpf/task_waits.h"
#include "task_waits.skel.h"

namespace defused {

namespace {

struct Unload {
  void operator()(task_waits_bpf* program) const { task_waits_bpf__destroy(program); }
};

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

class IteratorReader final : public WaitReader {
 public:
  explicit IteratorReader(std::unique_ptr<task_waits_bpf, Unload> program) : program_(std::move(program)) {}

  Result<std::vector<TaskWait>> read() override {
    const auto records = iterate<task_waits_record>(program_->links.collect);
    if (!records) return Failure(records.error());
    std::vector<TaskWait> waits;
    waits.reserve(records->size());
    for (const task_waits_record& record : *records) waits.push_back(from_record(record));
    return waits;
  }

 private:
  std::unique_ptr<task_waits_bpf, Unload> program_;
};

int say_nothing(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) { return 0; }

}  // namespace

Result<std::unique_ptr<WaitReader>> WaitReader::load() {
  libbpf_set_print(say_nothing);  // libraries do not log; the error says why
  std::unique_ptr<task_waits_bpf, Unload> program(task_waits_bpf__open_and_load());
  if (!program) return fail_errno(errno, "bpf: loading the program that reads kernel stacks");
  if (const int error = task_waits_bpf__attach(program.get()); error < 0) {
    return fail_errno(-error, "bpf: attaching the iterator over tasks");
  }
  return std::unique_ptr<WaitReader>(std::make_unique<IteratorReader>(std::move(program)));
}

}  // namespace defused
