// SPDX-License-Identifier: Apache-2.0
// The part of a pass that is recorded, and what a replay of such a record reads instead of this host.
#include <set>
#include <utility>

#include "bpf/recorded_readers.h"
#include "daemon/concerned_processes.h"
#include "daemon/cycle.h"

namespace defused {

namespace {

std::uint64_t count_left_behind(const char* reader, const Gaps& gaps) {
  const auto found = gaps.find({reader, ErrorKind::timeout});
  return found == gaps.end() ? 0 : found->second;
}

}  // namespace

void Cycle::begin_recording(std::size_t most) {
  readings_ = most == 0 ? nullptr : std::make_unique<Readings>(most);
  recording_ = readings_.get();
  if (recording_ == nullptr) return;
  record_kernel_facts();
  proc_.record_to(&recording_->proc);
}

// They were read at the start.
void Cycle::record_kernel_facts() {
  if (recording_ == nullptr) return;
  for (const auto& [path, read] : kernel_readings_.entries()) {
    recording_->proc.note(path, read.kind, read.text, read.whole);
  }
  for (const auto& [path, why] : kernel_readings_.errors()) recording_->proc.note_error(path, why);
}

void Cycle::record_kernel(const char* name, const Result<std::string>& said) {
  if (said) {
    recording_->bpf.note(name, ReadRecorder::Kind::file, *said);
  } else {
    recording_->bpf.note_error(name, {said.error().kind, said.error().code});
  }
}

void Cycle::end_recording() {
  proc_.record_to(nullptr);
  if (recording_ == nullptr) return;
  LookAbout& about = recording_->about;
  about.begin = snapshot_.taken;
  about.file_reader = file_reader_ != nullptr;
  about.wait_reader = wait_reader_ != nullptr;
  about.own = sources_.own.self;
  about.parent = sources_.own.parent;
  about.readers_left_behind = count_left_behind(kReader, snapshot_.gaps);
  for (const ConnectionSample& sample : snapshot_.connections) {
    about.connection_inodes[sample.id.kernel_dev] = sample.directory_inode;
  }
  recording_ = nullptr;
}

FileTree Cycle::take_recording() {
  if (sources_.recording == Recording::none || !readings_) return {};
  std::set<pid_t> concerned;
  const bool all = sources_.recording == Recording::all;
  if (!all) concerned = concerned_processes(snapshot_, memory_.history, sources_.own, readings_->proc);
  FileTree tree = make_look(*readings_, all ? nullptr : &concerned);
  readings_.reset();
  return tree;
}

Result<void> Cycle::open_replay() {
  if (!sources_.replayed) return {};
  const Replayed& replayed = *sources_.replayed;
  // What was put off for lack of time then is put off again (Beneath::is_put_off); how fast this machine is must not
  // count beside it.
  constexpr Nanoseconds kEnough = std::chrono::hours(1);
  limits_.suspects_budget = limits_.surroundings_budget = limits_.hazard_timeout = limits_.hazard_budget = kEnough;
  limits_.thread_tables = !replayed.look.file_reader;
  const auto open = [&] { return Beneath::open_root(replayed.bpf_path, replayed.bpf_hook); };
  const auto load = [&](bool served, auto& reader, auto make) -> Result<void> {
    if (!served) return {};
    auto directory = open();
    if (!directory) return prepend("what the kernel said", directory.error());
    reader = make(*std::move(directory));
    return {};
  };
  auto files = load(replayed.look.file_reader, file_reader_, &recorded_files);
  auto waits = load(replayed.look.wait_reader, wait_reader_, &recorded_waits);
  for (auto* loaded : {&files, &waits}) {
    if (!*loaded) return std::move(*loaded);
  }
  return {};
}

}  // namespace defused
