// SPDX-License-Identifier: Apache-2.0
#include "bpf/place_reader.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "bpf/iterate.h"
#include "bpf/task_places.h"
#include "task_places.skel.h"

namespace defused {

namespace {

using Program = std::unique_ptr<task_places_bpf, Unload<task_places_bpf__destroy>>;

class IteratorReader final : public PlaceReader {
 public:
  explicit IteratorReader(Program program) : program_(std::move(program)) {}

  Result<std::vector<ThreadPlace>> read() override {
    struct stat own {};
    if (stat("/proc/self/ns/mnt", &own) < 0) return fail_errno(errno, "bpf: our own mount namespace");
    const auto records = iterate<task_places_record>(program_->links.collect);
    if (!records) return Failure(records.error());
    std::vector<ThreadPlace> places;
    places.reserve(records->size());
    for (const task_places_record& record : *records) {
      places.push_back({static_cast<pid_t>(record.tgid), static_cast<pid_t>(record.tid), {record.mount_namespace}});
    }
    const bool sees_us = std::any_of(places.begin(), places.end(), [&](const ThreadPlace& place) {
      return place.tid == getpid() && place.mount_namespace.inode == own.st_ino;
    });
    if (!sees_us) return fail(ErrorKind::malformed, "bpf: the iterator does not see our own mount namespace");
    return places;
  }

 private:
  Program program_;
};

}  // namespace

Result<std::unique_ptr<PlaceReader>> PlaceReader::load() {
  auto program = load_iterator<task_places_bpf__open_and_load, task_places_bpf__attach, task_places_bpf__destroy>(
      "the program that reads mount namespaces");
  if (!program) return Failure(program.error());
  return std::unique_ptr<PlaceReader>(std::make_unique<IteratorReader>(*std::move(program)));
}

}  // namespace defused
