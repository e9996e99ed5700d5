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
#include <set>
#include <string_view>

#include "procfs/cpu_clock.h"

namespace defused {

namespace {

constexpr std::size_t kMaxBytes = 65'536;

// One answer on the pipe: this, then `length` bytes of text.
struct Header {
  std::uint32_t index = 0;  // of the request
  std::uint32_t ok = 0;
  std::uint32_t kind = 0;
  std::int32_t code = 0;  // of the error
  std::uint32_t length = 0;
};

Result<std::string> read_request(const Beneath& root, const BoundedRequest& request) {
  if (request.on_cpu) return read_own_sched(root, *request.on_cpu);
  if (request.link) return root.read_link(request.path);
  auto file = root.read_unrecorded(request.path, kMaxBytes);
  if (!file) return Failure(file.error());
  return std::move(file->text);
}

void answer(const Beneath& root, const BoundedRequest& request, std::size_t index, int out) {
  const auto read = read_request(root, request);
  const std::string& text = read ? *read : read.error().message;
  Header header;
  header.index = static_cast<std::uint32_t>(index);
  header.ok = read ? 1 : 0;
  header.kind = read ? 0 : static_cast<std::uint32_t>(read.error().kind);
  header.code = read ? 0 : read.error().code;
  header.length = static_cast<std::uint32_t>(text.size());
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): goes over the pipe as it is
  const std::string_view head(reinterpret_cast<const char*>(&header), sizeof header);
  if (!write_all(out, head) || !write_all(out, text)) _exit(1);
}

void close_from_to(unsigned first, unsigned last) {
  if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
  // Before Linux 5.9. Numbers are given from below, and few of them: a limit of a billion need not be counted through.
  constexpr rlim_t kMost = 65'536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > kMost) limit.rlim_cur = kMost;
  for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; ++fd) close(static_cast<int>(fd));
}

// All but the two: a child that is left behind must not keep a channel, a lock or a log open.
void become_reader(int root, int out, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  const auto low = static_cast<unsigned>(std::min(out, root));
  const auto high = static_cast<unsigned>(std::max(out, root));
  if (low > 0) close_from_to(0, low - 1);
  close_from_to(low + 1, high - 1);
  close_from_to(high + 1, ~0U);
}

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

// A file that can be read is read in microseconds. After so long without an answer another child goes on with the next
// process, and the first one has the rest of its time to itself.
constexpr Nanoseconds kPatience = std::chrono::milliseconds(20);

// What one CPU does not answer the next one may.
std::string_view process_of(const BoundedRequest& request) {
  if (request.on_cpu) return request.path;
  return std::string_view(request.path).substr(0, request.path.find('/'));
}

class Reading {
 public:
  Reading(const Beneath& root, const std::vector<BoundedRequest>& requests, Nanoseconds each, Nanoseconds total,
          std::size_t at_once)
      : root_(root), requests_(requests), each_(each), total_(total), at_once_(at_once), answers_(requests.size()) {}

  BoundedReads run() {
    start(0);
    while (!readers_.empty() && watch_.elapsed() < total_) {
      wait();
      for (std::size_t i = 0; i < readers_.size(); ++i) attend(i);
      readers_.erase(std::remove_if(readers_.begin(), readers_.end(), [](const Reader& r) { return r.child == 0; }),
                     readers_.end());
    }
    for (Reader& reader : readers_) {
      if (watch_.elapsed() - reader.since >= kPatience) give_up(reader.at);  // else it had no time to answer
      end(reader);
    }
    return finish();
  }

 private:
  struct Reader {
    pid_t child = 0;  // 0: ended
    UniqueFd in;
    std::size_t at = 0;  // the request whose answer is awaited
    Nanoseconds since{0};
    bool leads = true;  // goes on with the next process; else it is ended once its own is through
  };

  // The first request from `index` on that is still to be read.
  [[nodiscard]] std::size_t next(std::size_t index) const {
    while (index < requests_.size() && (answers_[index] || avoided_.count(process_of(requests_[index])) > 0)) ++index;
    return index;
  }

  void start(std::size_t index) {
    index = next(index);
    if (index == requests_.size() || !left_behind_.empty()) return;
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) < 0) return fail_rest(fail_errno(errno, "making a pipe"));
    Reader reader;
    reader.in.reset(ends[0]);
    const UniqueFd to_us(ends[1]);
    const pid_t self = getpid();
    reader.child = fork();
    if (reader.child == 0) {
      become_reader(root_.fd(), to_us.get(), self);
      for (std::size_t i = index; i < requests_.size(); i = next(i + 1)) answer(root_, requests_[i], i, to_us.get());
      _exit(0);
    }
    if (reader.child < 0) return fail_rest(fail_errno(errno, "fork"));
    reader.at = index;
    reader.since = watch_.elapsed();
    readers_.push_back(std::move(reader));
  }

  void wait() {
    std::vector<pollfd> polls;
    Nanoseconds until = total_;
    for (const Reader& reader : readers_) {
      polls.push_back({reader.in.get(), POLLIN, 0});
      until = std::min(until, reader.since + (may_be_left_alone(reader) ? std::min(kPatience, each_) : each_));
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - watch_.elapsed()).count();
    poll(polls.data(), polls.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
  }

  [[nodiscard]] bool may_be_left_alone(const Reader& reader) const {
    return reader.leads && readers_.size() < at_once_;
  }

  void attend(std::size_t index) {
    const Nanoseconds waited = watch_.elapsed() - readers_[index].since;
    pollfd ready{readers_[index].in.get(), POLLIN, 0};
    if (poll(&ready, 1, 0) > 0) return take(readers_[index]);
    if (waited >= each_) return drop(readers_[index]);
    if (waited < kPatience || !may_be_left_alone(readers_[index])) return;
    readers_[index].leads = false;
    avoided_.insert(process_of(requests_[readers_[index].at]));
    start(readers_[index].at + 1);
  }

  void take(Reader& reader) {
    Header header;
    if (read_exactly(reader.in.get(), reinterpret_cast<char*>(&header), sizeof header, each_) != Read::done ||
        header.index != reader.at) {
      return drop(reader);
    }
    std::string text(std::min<std::size_t>(header.length, 2 * kMaxBytes), '\0');
    if (read_exactly(reader.in.get(), text.data(), text.size(), each_) != Read::done) return drop(reader);
    if (header.ok != 0) {
      // Recorded here: what the child notes ends with it.
      const bool link = requests_[reader.at].link;
      root_.note_read(requests_[reader.at].path, link ? ReadRecorder::Kind::link : ReadRecorder::Kind::file, text,
                      link || text.size() < kMaxBytes);
      answers_[reader.at] = Result<std::string>(std::move(text));
    } else {
      answers_[reader.at] = Failure(Error{static_cast<ErrorKind>(header.kind), std::move(text), header.code});
    }
    const std::string_view process = process_of(requests_[reader.at]);
    reader.at = reader.leads ? next(reader.at + 1) : reader.at + 1;
    reader.since = watch_.elapsed();
    const bool is_through =
        reader.at == requests_.size() || (!reader.leads && process_of(requests_[reader.at]) != process);
    if (is_through) end(reader);
  }

  // It did not answer, or ended by itself: so will the other files of that process.
  void drop(Reader& reader) {
    give_up(reader.at);
    const std::size_t after = reader.at + 1;
    const bool leads = reader.leads;
    end(reader);  // `reader` is not good any more once another one is started
    if (leads) start(after);
  }

  void give_up(std::size_t index) {
    const std::string_view process = process_of(requests_[index]);
    for (std::size_t i = index; i < requests_.size(); ++i) {
      if (!answers_[i] && process_of(requests_[i]) == process) {
        answers_[i] = fail(ErrorKind::timeout, "reading " + requests_[i].path);
      }
    }
  }

  void end(Reader& reader) {
    if (requests_[std::min(reader.at, requests_.size() - 1)].on_cpu) move_to_this_cpu(reader.child);
    if (!end_child(reader.child)) left_behind_.push_back(reader.child);
    reader.child = 0;
    reader.in.reset();
  }

  void fail_rest(const Failure& why) {
    for (auto& answer : answers_) {
      if (!answer) answer = why;
    }
  }

  BoundedReads finish() {
    BoundedReads out;
    const char* why = left_behind_.empty() ? ": budget" : ": an earlier read cannot be ended";
    for (std::size_t i = 0; i < answers_.size(); ++i) {
      if (!answers_[i]) {
        answers_[i] = Failure(Error{ErrorKind::timeout, "reading " + requests_[i].path + why, kNotAsked});
      }
      // Recorded here, as above: whatever a child could not read.
      if (!*answers_[i]) root_.note_error(requests_[i].path, answers_[i]->error());
      out.results.push_back(*std::move(answers_[i]));
    }
    out.left_behind = std::move(left_behind_);
    return out;
  }

  const Beneath& root_;
  const std::vector<BoundedRequest>& requests_;
  Nanoseconds each_;
  Nanoseconds total_;
  std::size_t at_once_;
  std::vector<std::optional<Result<std::string>>> answers_;
  std::set<std::string_view> avoided_;  // processes that another child is at
  std::vector<Reader> readers_;
  std::vector<pid_t> left_behind_;
  Stopwatch watch_;
};

}  // namespace

BoundedReads read_bounded(const Beneath& root, const std::vector<BoundedRequest>& requests, Nanoseconds each,
                          Nanoseconds total, std::size_t at_once) {
  return Reading(root, requests, each, total, at_once).run();
}

namespace {

std::vector<Result<std::string>> read_within(const ProcRoot& proc, const ReadLimits& limits,
                                             const std::vector<BoundedRequest>& requests, Nanoseconds each,
                                             Nanoseconds total) {
  if (requests.empty()) return {};
  if (limits.readers == 0) {
    const Failure not_asked(Error{ErrorKind::timeout, "too many readers are stuck", kNotAsked});
    for (const BoundedRequest& request : requests) proc.files().note_error(request.path, not_asked.value());
    std::vector<Result<std::string>> none(requests.size(), not_asked);
    return none;
  }
  BoundedReads reads = read_bounded(proc.files(), requests, each, total, limits.readers);
  for (const pid_t reader : reads.left_behind) {
    if (limits.left_behind) limits.left_behind(reader);
  }
  return std::move(reads.results);
}

}  // namespace

std::vector<Result<std::string>> read_hazardous(const ProcRoot& proc, const ReadLimits& limits,
                                                const std::vector<BoundedRequest>& requests) {
  return read_within(proc, limits, requests, limits.hazard_timeout, limits.hazard_budget);
}

std::vector<Result<std::string>> read_clocks(const ProcRoot& proc, const ReadLimits& limits,
                                             const std::vector<BoundedRequest>& requests) {
  return read_within(proc, limits, requests, limits.clock_timeout, limits.clock_budget);
}

}  // namespace defused
