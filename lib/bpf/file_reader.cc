// SPDX-License-Identifier: Apache-2.0
#include "bpf/file_reader.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "bpf/iterate.h"
#include "bpf/task_files.h"
#include "task_files.skel.h"

namespace defused {

namespace {

using Program = std::unique_ptr<task_files_bpf, Unload<task_files_bpf__destroy>>;

// A table whose leader has ended is gone through once for each stretch of its threads in the order of all TIDs, where
// others were born between them. That a process has a file is enough.
void drop_doubles(std::vector<OpenFuseFile>& files) {
  const auto key = [](const OpenFuseFile& file) {
    return std::tuple(file.process, file.device, file.connection, file.oldest_request);
  };
  std::sort(files.begin(), files.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  files.erase(std::unique(files.begin(), files.end(), [&](const auto& a, const auto& b) { return key(a) == key(b); }),
              files.end());
}

// As the kernel has it in s_dev (include/linux/kdev_t.h).
unsigned kernel_device(dev_t device) { return major(device) << 20U | minor(device); }

class IteratorReader final : public FileReader {
 public:
  explicit IteratorReader(Program program) : program_(std::move(program)) {}

  Result<std::vector<OpenFuseFile>> read() override {
    const UniqueFd mark(memfd_create("self-test", MFD_CLOEXEC));
    struct stat status {};
    if (!mark || fstat(mark.get(), &status) < 0) return fail_errno(errno, "bpf: making a file for the self-test");
    program_->bss->mark_inode = status.st_ino;
    program_->bss->mark_device = kernel_device(status.st_dev);
    const auto records = program_->links.collect != nullptr ? read_tables() : read_holders();
    if (!records) return Failure(records.error());
    bool seen = false;
    std::vector<OpenFuseFile> files;
    files.reserve(records->size());
    for (const task_file_record& record : *records) {
      if (record.kind == TASK_FILE_MARK) {
        seen = seen || static_cast<pid_t>(record.tgid) == getpid();
        continue;
      }
      files.push_back({ProcessId{static_cast<pid_t>(record.tgid), record.start_boottime / kNanosecondsPerTick},
                       record.kind == TASK_FILE_DEVICE, ConnectionId{record.connection}, record.oldest_request});
    }
    if (!seen) return fail(ErrorKind::malformed, "bpf: the iterator does not see a file of our own");
    drop_doubles(files);
    return files;
  }

 private:
  using Records = std::vector<task_file_record>;

  Result<Records> read_tables() {
    auto& shared = *program_->bss;
    shared.count = shared.cut = 0;
    shared.looked_at = 0;
    if (const auto none = iterate<std::uint64_t>(program_->links.collect); !none) return Failure(none.error());
    if (shared.cut != 0) return fail(ErrorKind::unsupported, "bpf: too many open files to be looked at");
    const std::size_t count = std::min<std::size_t>(shared.count, TASK_FILES_MAX_RECORDS);
    return Records(std::begin(shared.records), std::begin(shared.records) + count);
  }

  Result<Records> read_holders() { return iterate<task_file_record>(program_->links.collect_holders); }

  Program program_;
};

Result<std::unique_ptr<FileReader>> load_program(FileReader::Detail detail) {
  Program program(task_files_bpf__open());
  if (!program) return fail_errno(errno, "bpf: opening the program");
  const bool full = detail == FileReader::Detail::oldest_request;
  bpf_program__set_autoload(full ? program->progs.collect_holders : program->progs.collect, false);
  if (const int error = task_files_bpf__load(program.get()); error < 0) {
    return fail_errno(-error, "bpf: loading the program");
  }
  if (const int error = task_files_bpf__attach(program.get()); error < 0) {
    return fail_errno(-error, "bpf: attaching the iterator");
  }
  return std::unique_ptr<FileReader>(std::make_unique<IteratorReader>(std::move(program)));
}

}  // namespace

Result<std::unique_ptr<FileReader>> FileReader::load(Detail most) {
  silence_libbpf();
  if (most == Detail::oldest_request) {
    if (auto full = load_program(most)) return full;
  }
  return load_program(Detail::holders);
}

}  // namespace defused
