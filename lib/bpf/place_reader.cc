// SPDX-License-Identifier: Apache-2.0
#include "bpf/place_reader.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"
#include "bpf/iterate.h"
#include "bpf/task_places.h"
#include "task_places.skel.h"

namespace defused {

namespace {

using PlaceProgram = std::unique_ptr<task_places_bpf, Unload<task_places_bpf__destroy>>;

// "mnt:[4026531841]". Read, not followed: the prober's /proc follows no link.
std::optional<std::uint64_t> own_mount_namespace() {
  std::array<char, 64> text{};
  const ssize_t self = readlink("/proc/self", text.data(), text.size());
  if (self <= 0) return std::nullopt;
  const std::string link = "/proc/" + std::string(text.data(), static_cast<std::size_t>(self)) + "/ns/mnt";
  const ssize_t length = readlink(link.c_str(), text.data(), text.size());
  if (length <= 0) return std::nullopt;
  std::string_view name(text.data(), static_cast<std::size_t>(length));
  take_field(name, '[');
  return parse_u64(take_field(name, ']'));
}

class PlaceIteratorReader final : public PlaceReader {
 public:
  explicit PlaceIteratorReader(PlaceProgram program) : program_(std::move(program)) {}

  Result<std::vector<ThreadPlace>> read() override {
    const auto own = own_mount_namespace();
    if (!own) return fail_errno(errno, "bpf: our own mount namespace");
    const auto records = iterate<task_places_record>(program_->links.collect);
    if (!records) return Failure(records.error());
    std::vector<ThreadPlace> places;
    places.reserve(records->size());
    for (const task_places_record& record : *records) {
      places.push_back({static_cast<pid_t>(record.tgid), static_cast<pid_t>(record.tid), {record.mount_namespace}});
    }
    const bool sees_us = std::any_of(places.begin(), places.end(), [&](const ThreadPlace& place) {
      return place.tid == getpid() && place.mount_namespace.inode == *own;
    });
    if (!sees_us) return fail(ErrorKind::malformed, "bpf: the iterator does not see our own mount namespace");
    return places;
  }

 private:
  PlaceProgram program_;
};

}  // namespace

Result<std::unique_ptr<PlaceReader>> PlaceReader::load() {
  auto program = load_iterator<task_places_bpf__open_and_load, task_places_bpf__attach, task_places_bpf__destroy>(
      "the program that reads mount namespaces");
  if (!program) return Failure(program.error());
  return std::unique_ptr<PlaceReader>(std::make_unique<PlaceIteratorReader>(*std::move(program)));
}

}  // namespace defused
