// SPDX-License-Identifier: Apache-2.0
#include "bpf/file_reader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/unique_fd.h"
#include "bpf/task_files.h"
#include "task_files.skel.h"

namespace defused {

namespace {

struct Unload {
  void operator()(task_files_bpf* program) const { task_files_bpf__destroy(program); }
};

class IteratorReader final : public FileReader {
 public:
  explicit IteratorReader(std::unique_ptr<task_files_bpf, Unload> program) : program_(std::move(program)) {}

  Result<std::vector<OpenFuseFile>> read() override {
    const UniqueFd mark(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    if (!mark) return fail_errno(errno, "bpf: opening /dev/fuse for the self-test");
    const UniqueFd iterator(bpf_iter_create(bpf_link__fd(program_->links.collect)));
    if (!iterator) return fail_errno(errno, "bpf: starting the iterator");
    auto files = read_all(iterator.get());
    if (!files) return files;
    const auto own = std::find_if(files->begin(), files->end(), [](const OpenFuseFile& file) {
      return file.pid == getpid() && file.device && file.connection.kernel_dev == 0;
    });
    if (own == files->end()) return fail(ErrorKind::malformed, "bpf: the iterator does not see our own /dev/fuse");
    files->erase(own);
    return files;
  }

 private:
  static Result<std::vector<OpenFuseFile>> read_all(int iterator) {
    std::vector<OpenFuseFile> files;
    std::array<task_file_record, 1024> buffer{};
    while (true) {
      const ssize_t got = ::read(iterator, buffer.data(), sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(errno, "bpf: reading the iterator");
      if (got == 0) return files;
      if (static_cast<std::size_t>(got) % sizeof(task_file_record) != 0) {
        return fail(ErrorKind::malformed, "bpf: half a record");
      }
      const std::size_t count = static_cast<std::size_t>(got) / sizeof(task_file_record);
      for (std::size_t i = 0; i < count; ++i) {
        const task_file_record& record = buffer[i];
        files.push_back(
            {static_cast<pid_t>(record.tgid), record.kind == TASK_FILE_DEVICE, ConnectionId{record.connection}});
      }
    }
  }

  std::unique_ptr<task_files_bpf, Unload> program_;
};

int say_nothing(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) { return 0; }

}  // namespace

Result<std::unique_ptr<FileReader>> FileReader::load() {
  libbpf_set_print(say_nothing);  // libraries do not log; the error says why
  std::unique_ptr<task_files_bpf, Unload> program(task_files_bpf__open_and_load());
  if (!program) return fail_errno(errno, "bpf: loading the program");
  if (const int error = task_files_bpf__attach(program.get()); error < 0) {
    return fail_errno(-error, "bpf: attaching the iterator");
  }
  return std::unique_ptr<FileReader>(std::make_unique<IteratorReader>(std::move(program)));
}

}  // namespace defused
