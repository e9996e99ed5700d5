// SPDX-License-Identifier: Apache-2.0
#include "procfs/bounded_read.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace defused {

namespace {

constexpr std::size_t kMaxBytes = 65'536;

// One answer on the pipe: this, then `length` bytes of text.
struct Header {
  std::uint32_t ok = 0;
  std::uint32_t kind = 0;
  std::uint32_t length = 0;
};

bool write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

void answer(const Beneath& root, const BoundedRequest& request, int out) {
  std::string text;
  Header header;
  if (request.link) {
    auto link = root.read_link(request.path);
    header.ok = link ? 1 : 0;
    header.kind = link ? 0 : static_cast<std::uint32_t>(link.error().kind);
    text = link ? *link : link.error().message;
  } else {
    auto file = root.read_file(request.path, kMaxBytes);
    header.ok = file ? 1 : 0;
    header.kind = file ? 0 : static_cast<std::uint32_t>(file.error().kind);
    text = file ? file->text : file.error().message;
  }
  header.length = static_cast<std::uint32_t>(text.size());
  if (!write_all(out, &header, sizeof header) || !write_all(out, text.data(), text.size())) _exit(1);
}

void close_from_to(unsigned first, unsigned last) {
  if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
  // Before Linux 5.9. Numbers are given from below, and few of them: a limit of a billion need not be counted through.
  constexpr rlim_t kMost = 65'536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > kMost) limit.rlim_cur = kMost;
  for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; ++fd) close(static_cast<int>(fd));
}

[[noreturn]] void run_child(const Beneath& root, const std::vector<BoundedRequest>& requests, std::size_t first,
                            int out, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  // All but the two: a child that is left behind must not keep a channel, a lock or a log open.
  const auto low = static_cast<unsigned>(std::min(out, root.fd()));
  const auto high = static_cast<unsigned>(std::max(out, root.fd()));
  if (low > 0) close_from_to(0, low - 1);
  close_from_to(low + 1, high - 1);
  close_from_to(high + 1, ~0U);
  for (std::size_t i = first; i < requests.size(); ++i) answer(root, requests[i], out);
  _exit(0);
}

class Stopwatch {
 public:
  [[nodiscard]] Nanoseconds elapsed() const { return clock_.now().boottime - start_; }

 private:
  SystemClock clock_;
  Nanoseconds start_ = clock_.now().boottime;
};

enum class Read { done, timeout, closed };

Read read_exactly(int fd, char* at, std::size_t size, Nanoseconds timeout) {
  const Stopwatch watch;
  while (size > 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(timeout - watch.elapsed()).count();
    pollfd ready{fd, POLLIN, 0};
    const int events = poll(&ready, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (events < 0 && errno == EINTR) continue;
    if (events == 0) return Read::timeout;
    const ssize_t got = read(fd, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Read::closed;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return Read::done;
}

// Reads one answer; nothing where none came in time (`timeout`) or at all.
std::optional<Result<std::string>> take_answer(int fd, Nanoseconds timeout) {
  Header header;
  if (read_exactly(fd, reinterpret_cast<char*>(&header), sizeof header, timeout) != Read::done) return std::nullopt;
  std::string text(std::min<std::size_t>(header.length, 2 * kMaxBytes), '\0');
  if (read_exactly(fd, text.data(), text.size(), timeout) != Read::done) return std::nullopt;
  if (header.ok != 0) return Result<std::string>(std::move(text));
  return Result<std::string>(Failure(Error{static_cast<ErrorKind>(header.kind), std::move(text), 0}));
}

// True when the child is dead and reaped.
bool end_child(pid_t child) {
  kill(child, SIGKILL);
  const Stopwatch watch;
  while (watch.elapsed() < std::chrono::milliseconds(100)) {
    const pid_t reaped = waitpid(child, nullptr, WNOHANG);
    if (reaped == child || (reaped < 0 && errno == ECHILD)) return true;
    poll(nullptr, 0, 1);
  }
  return false;
}

}  // namespace

BoundedReads read_bounded(const Beneath& root, const std::vector<BoundedRequest>& requests, Nanoseconds each,
                          Nanoseconds total) {
  BoundedReads out;
  out.results.reserve(requests.size());
  const Stopwatch watch;
  while (out.results.size() < requests.size()) {
    if (out.left_behind || watch.elapsed() >= total) {
      const char* why = out.left_behind ? ": an earlier read cannot be ended" : ": budget";
      out.results.emplace_back(fail(ErrorKind::timeout, "reading " + requests[out.results.size()].path + why));
      continue;
    }
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) < 0) {
      out.results.emplace_back(fail_errno(errno, "making a pipe"));
      continue;
    }
    UniqueFd in(ends[0]);
    UniqueFd to_us(ends[1]);
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) run_child(root, requests, out.results.size(), to_us.get(), self);
    to_us.reset();
    if (child < 0) {
      out.results.emplace_back(fail_errno(errno, "fork"));
      continue;
    }
    while (out.results.size() < requests.size() && watch.elapsed() < total) {
      auto one = take_answer(in.get(), std::min(each, total - watch.elapsed()));
      if (one) {
        out.results.push_back(*std::move(one));
        continue;
      }
      out.results.emplace_back(fail(ErrorKind::timeout, "reading " + requests[out.results.size()].path));
      break;
    }
    if (!end_child(child)) out.left_behind = child;
  }
  return out;
}

std::vector<Result<std::string>> read_hazardous(const ProcRoot& proc, const ReadLimits& limits,
                                                const std::vector<BoundedRequest>& requests) {
  if (requests.empty()) return {};
  if (!limits.hazards) {
    std::vector<Result<std::string>> none;
    for (const BoundedRequest& request : requests) {
      none.emplace_back(fail(ErrorKind::timeout, "reading " + request.path + ": too many readers are stuck"));
    }
    return none;
  }
  BoundedReads reads = read_bounded(proc.files(), requests, limits.hazard_timeout, limits.hazard_budget);
  if (reads.left_behind && limits.left_behind) limits.left_behind(*reads.left_behind);
  return std::move(reads.results);
}

}  // namespace defused
