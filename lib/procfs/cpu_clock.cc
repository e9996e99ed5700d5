// SPDX-License-Identifier: Apache-2.0
#include "procfs/cpu_clock.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "procfs/read_parsed.h"

namespace defused {

namespace {

constexpr std::size_t kMostCpus = 8192;  // NR_CPUS of the largest kernels; a cpu_set_t ends at 1024
constexpr std::size_t kBits = CHAR_BIT * sizeof(unsigned long);

int bind_to(pid_t task, std::uint32_t cpu) {
  std::array<unsigned long, kMostCpus / kBits> mask{};
  if (cpu >= kMostCpus) return EINVAL;
  mask[cpu / kBits] = 1UL << (cpu % kBits);
  return syscall(SYS_sched_setaffinity, task, sizeof mask, mask.data()) == 0 ? 0 : errno;
}

// "4711/task/4712/": followed by hand, since without openat2 (Linux before 5.6) no link is.
Result<std::string> own_directory(const Beneath& proc) {
  const auto link = proc.open_file("thread-self", O_PATH);
  if (!link) return Failure(link.error());
  std::array<char, 64> target{};
  const ssize_t length = readlinkat(link->get(), "", target.data(), target.size());
  if (length < 0) return fail_errno(errno, "reading link thread-self");
  return std::string(target.data(), static_cast<std::size_t>(length)) + "/";
}

// Not `gone`: that nobody may say is another thing than that nobody asked.
Failure cannot_be_told(Error error) {
  if (error.kind == ErrorKind::gone) error.kind = ErrorKind::unsupported;
  return Failure(std::move(error));
}

}  // namespace

Result<std::string> read_own_sched(const Beneath& proc, std::uint32_t cpu) {
  if (const int error = bind_to(0, cpu); error != 0) {
    return fail_errno(error, "running on CPU " + std::to_string(cpu));
  }
  sched_yield();  // the scheduler brings se.exec_start up to this moment
  const auto directory = own_directory(proc);
  if (!directory) return cannot_be_told(directory.error());
  auto file = proc.read_unrecorded(*directory + "sched", kMaxSmallFile);
  if (!file) return cannot_be_told(file.error());
  return std::move(file->text);
}

void move_to_this_cpu(pid_t child) {
  if (const int cpu = sched_getcpu(); cpu >= 0) bind_to(child, static_cast<std::uint32_t>(cpu));
}

}  // namespace defused
