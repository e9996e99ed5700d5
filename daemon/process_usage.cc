// SPDX-License-Identifier: Apache-2.0
#include "daemon/process_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/text.h"

namespace defused {

namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// 2381 1010 790 ...: the second field is resident pages.
std::uint64_t read_resident(int statm) {
  std::array<char, 256> text{};
  const ssize_t got = pread(statm, text.data(), text.size(), 0);
  if (got <= 0) return 0;
  std::string_view rest(text.data(), static_cast<std::size_t>(got));
  take_field(rest, ' ');
  return parse_u64(take_field(rest, ' ')).value_or(0) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t count_descriptors(int directory) {
  if (lseek(directory, 0, SEEK_SET) != 0) return 0;
  std::uint64_t count = 0;
  alignas(dirent64) std::array<char, 8192> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
  ssize_t got = 0;
  while ((got = getdents64(directory, buffer.data(), buffer.size())) > 0) {
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      if (entry->d_name[0] != '.') ++count;
    }
  }
  return count;
}

// "/proc/4711": by the number that this /proc has for us, since a prober's /proc follows no link, /proc/self neither.
std::string own_directory() {
  std::array<char, 32> number{};
  const ssize_t length = readlink("/proc/self", number.data(), number.size());
  return "/proc/" + std::string(number.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
}

}  // namespace

UsageReader::UsageReader()
    : statm_(open((own_directory() + "/statm").c_str(), O_RDONLY | O_CLOEXEC)),
      descriptors_(open((own_directory() + "/fd").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      start_time_seconds_(to_seconds(SystemClock().now().wall)) {}

ProcessUsage UsageReader::read() const {
  ProcessUsage usage;
  rusage own{};
  if (getrusage(RUSAGE_SELF, &own) == 0) usage.cpu_seconds = seconds_of(own.ru_utime) + seconds_of(own.ru_stime);
  if (statm_) usage.resident_bytes = read_resident(statm_.get());
  if (descriptors_) usage.open_fds = count_descriptors(descriptors_.get());
  usage.start_time_seconds = start_time_seconds_;
  return usage;
}

}  // namespace defused
