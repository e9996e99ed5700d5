// SPDX-License-Identifier: Apache-2.0
// Reading all records of a BPF iterator. Private to lib/bpf.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace defused {

/// For a unique_ptr to a skeleton.
template <auto kDestroy>
struct Unload {
  template <typename Skeleton>
  void operator()(Skeleton* program) const {
    kDestroy(program);
  }
};

/// Libraries do not log; the error says why.
inline void silence_libbpf() {
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
}

/// Loads and attaches a skeleton of one iterator; `what` is for the error: "the program that ..".
template <auto kOpenAndLoad, auto kAttach, auto kDestroy>
auto load_iterator(const std::string& what) {
  silence_libbpf();
  using Program = std::unique_ptr<std::remove_pointer_t<decltype(kOpenAndLoad())>, Unload<kDestroy>>;
  Program program(kOpenAndLoad());
  if (!program) return Result<Program>(fail_errno(errno, "bpf: loading " + what));
  if (const int error = kAttach(program.get()); error < 0) {
    return Result<Program>(fail_errno(-error, "bpf: attaching " + what));
  }
  return Result<Program>(std::move(program));
}

/// As stat shows a start time: USER_HZ is 100 wherever BPF is (fs/proc/array.c, nsec_to_clock_t).
inline constexpr std::uint64_t kNanosecondsPerTick = 10'000'000;

/// Runs the iterator behind `link` once. io, denied: it cannot be started or read; malformed: half a record; timeout:
/// it goes on for longer than kIterationLimit. After a million objects without output the kernel hands back and wants
/// to be asked again (EAGAIN; kernel/bpf/bpf_iter.c, MAX_ITER_OBJECTS).
inline constexpr Nanoseconds kIterationLimit = std::chrono::seconds(2);
template <typename Record>
Result<std::vector<Record>> iterate(const bpf_link* link) {
  const UniqueFd iterator(bpf_iter_create(bpf_link__fd(link)));
  if (!iterator) return fail_errno(errno, "bpf: starting the iterator");
  std::vector<Record> records;
  std::array<Record, 1024> buffer{};
  const Stopwatch watch;
  while (true) {
    if (watch.elapsed() > kIterationLimit)
      return fail(ErrorKind::timeout, "bpf: the iterator does not come to its end");
    const ssize_t got = ::read(iterator.get(), buffer.data(), sizeof buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail_errno(errno, "bpf: reading the iterator");
    if (got == 0) return records;
    if (static_cast<std::size_t>(got) % sizeof(Record) != 0) return fail(ErrorKind::malformed, "bpf: half a record");
    records.insert(records.end(), buffer.begin(), buffer.begin() + got / static_cast<ssize_t>(sizeof(Record)));
  }
}

}  // namespace defused
