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

struct Unload {
  void operator()(task_places_bpf* program) const { task_places_bpf__destroy(program); }
};

class IteratorReader final : public PlaceReader {
 public:
  explicit IteratorReader(std::unique_ptr<task_places_bpf, Unload> program) : program_(std::move(program)) {}

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
  std::unique_ptr<task_places_bpf, Unload> program_;
};

int say_nothing(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) { return 0; }

}  // namespace

Result<std::unique_ptr<PlaceReader>> PlaceReader::load() {
  libbpf_set_print(say_nothing);  // libraries do not log; the error says why
  std::unique_ptr<task_places_bpf, Unload> program(task_places_bpf__open_and_load());
  if (!program) return fail_errno(errno, "bpf: loading the program that reads mount namespaces");
  if (const int error = task_places_bpf__attach(program.get()); error < 0) {
    return fail_errno(-error, "bpf: attaching the iterator over tasks");
  }
  return std::unique_ptr<PlaceReader>(std::make_unique<IteratorReader>(std::move(program)));
}

}  // namespace defused
