// SPDX-License-Identifier: Apache-2.0
// Cycle: one pass as named steps -
//   read processes -> read connections -> read hazards -> read surroundings -> detect -> decide -> report -> act
// - and the Memory between passes. It announces each step, so that the supervisor's deadline is that of the step. What
// acting needs and leaves on disk is the Actor's (daemon/acting.h). Must not: wait for an exporter, act twice in a
// pass, act outside of Mode::enforce. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/file_tree.h"
#include "bpf/file_reader.h"
#include "bpf/place_reader.h"
#include "bpf/wait_reader.h"
#include "capture/about.h"
#include "daemon/acting.h"
#include "daemon/bar.h"
#include "daemon/kept_surroundings.h"
#include "daemon/log.h"
#include "daemon/recording.h"
#include "detect/detect.h"
#include "fusectl/fuse_root.h"
#include "model/history.h"
#include "model/settings.h"
#include "procfs/proc_root.h"
#include "remedy/remedy.h"

namespace defused {

/// A replay: what the looks knew beside what lies below proc_path and fusectl_path (docs/decisions/0008).
struct Replayed {
  std::string host;
  std::string boot_id;           ///< that the ledger is read by; "": of another boot than all that is in it
  std::string bpf_path;          ///< directory with `files` and `waits` (bpf/recorded_readers.h)
  LookAbout look;                ///< which readers served
  bool tells_blindness = false;  ///< a reader that is missing here was missing there: the report says `bpf`
  ReadHook fusectl_hook;         ///< instead of CycleSources::hook
  ReadHook bpf_hook;
};

/// Where a cycle reads; a capture has the same shape.
struct CycleSources {
  std::string proc_path = "/proc";
  std::string fusectl_path = "/sys/fs/fuse/connections";
  bool capture = false;  ///< a copy of another moment: no file-system type is checked, this kernel is not asked
  OwnProcesses own;
  ReadHook hook;
  std::optional<Subject> subject;  ///< a person asks about this: PassResult says what it is
  bool whole_index = false;        ///< holders, users and viewers are wanted even if nothing is stuck
  RecordUse records = RecordUse::read;
  std::string records_read_only = {};     ///< why nothing can be recorded (Actor)
  Recording recording = Recording::none;  ///< of each pass, see take_recording(); then it reads all anew each time
  std::optional<Replayed> replayed;       ///< a replay reads all anew each time too
  std::optional<HandOrder> by_hand;       ///< `defused abort`: only this connection is judged
  Aborter* aborter = nullptr;             ///< null: the fusectl at fusectl_path; tests have others
};

/// What a cycle tells while it runs. Each may be empty.
struct CycleEvents {
  std::function<void(std::string_view name, Nanoseconds at_most)> phase;  ///< the next step and its deadline
  std::function<void(const PassResult&)> publish;  ///< a result worth showing: after deciding, before and after acting
  std::function<void(const LogLine& line)> changed;  ///< a line for the log: what changed, what failed
  std::function<void(pid_t reader)> left_behind;     ///< a child that reads for it and does not die of SIGKILL
};

class Cycle {
 public:
  /// Errors: /proc cannot be opened, or what a replay is of.
  static Result<std::unique_ptr<Cycle>> create(Settings settings, CycleSources sources, CycleEvents events,
                                               Clock& clock);

  /// Goes on from what an earlier prober knew.
  void seed(Memory memory);
  void set_settings(Settings settings);

  /// One pass. A bar holds every action. What may hang a reader is read by at most `readers` children at once; one that
  /// cannot be ended ends such reading for the rest of the pass, so that no more than `readers` are left behind. 0: it
  /// is not read.
  PassResult run(Bar bar, std::size_t readers = ReadLimits{}.readers);

  /// Before a pass of a replay: so many readers were left behind then.
  void replay_left_behind(std::uint64_t readers) { left_behind_ = readers; }

  /// What the last pass was read from, as sources.recording says: proc/, sys/, bpf/, errors, look.json (lib/capture).
  [[nodiscard]] FileTree take_recording();

  /// The snapshot of the last pass, for tests and evidence.
  [[nodiscard]] const Snapshot& last_snapshot() const { return snapshot_; }

 private:
  Cycle(Settings settings, CycleSources sources, CycleEvents events, Clock& clock, ProcRoot proc);

  static constexpr const char* kReader = "reader";  ///< the gap of children that read for us and were left behind
  /// What one look may be recorded of, in bytes.
  static constexpr std::size_t kMostRecorded = 256U << 20U;
  /// Whether passes go on from nothing that an earlier one read, so that a record of one is all that it rests on.
  [[nodiscard]] bool reads_anew() const { return sources_.recording != Recording::none || sources_.replayed; }
  /// Whether another moment is read, or another host: this kernel has no say in it.
  [[nodiscard]] bool is_copy() const { return sources_.capture || sources_.replayed; }
  /// From here on what is read is noted in `readings_`, at most `most` bytes; 0: it is not.
  void begin_recording(std::size_t most);
  void end_recording();
  void record_kernel_facts();
  void record_kernel(const char* name, const Result<std::string>& said);

  /// may_be_kept: as little as showing needs, and what does not change is kept. fresh: everything, by all readers.
  enum class Evidence { may_be_kept, fresh };
  /// Everything up to Findings, with Surroundings if a blocked thread may wait for FUSE or a connection is stalled.
  Result<void> read_snapshot(Snapshot& snapshot, Evidence evidence);
  Result<FuseRoot> open_fusectl() const;
  Result<void> open_replay();
  void read_connections(const Result<FuseRoot>& fuse, Snapshot& snapshot);
  std::optional<std::vector<TaskWait>> read_waits(Snapshot& snapshot);
  void read_around(Snapshot& snapshot, Evidence evidence);
  void read_index(Snapshot& snapshot, Evidence evidence);
  bool read_index_by_kernel(Snapshot& snapshot);
  void read_index_by_proc(Snapshot& snapshot);
  void read_for_history(Snapshot& snapshot);
  void read_open_files(Snapshot& snapshot, bool beside_proc);
  [[nodiscard]] bool files_are_due(const Snapshot& snapshot) const;
  void load_readers();
  void read_kernel();
  /// What is found and decided from a snapshot; nothing new where it could not be read.
  Detection judge(const Result<void>& read, std::vector<Decision>& decisions, bool fresh);
  [[nodiscard]] std::vector<Decision> decide_on(const Findings& findings, const Restraints& restraints) const;
  Result<void> read_for_acting();
  void fill(Report& report, const Result<void>& read, Instant begin);
  void account(const Report& report);
  void act(PassResult& pass);
  void publish_again(PassResult& pass);
  Result<World::SecondLook> look_again(const Ledger& before_intent, NamespaceId acted_on);
  PassResult make_result(Report report) const;
  void announce_surroundings() const;
  void announce(std::string_view phase, Nanoseconds at_most) const;

  Settings settings_;
  CycleSources sources_;
  CycleEvents events_;
  Clock& clock_;
  ProcRoot proc_;
  ReadLimits limits_;
  ReadRecorder kernel_readings_;  ///< what kernel_ was made of
  KernelFacts kernel_;
  bool readers_asked_for_ = false;
  std::unique_ptr<FileReader> file_reader_;  ///< null: /proc serves alone
  std::unique_ptr<WaitReader> wait_reader_;  ///< null: /proc can only list candidates
  std::unique_ptr<PlaceReader> place_reader_;
  WalkMemory walk_;
  KeptSurroundings kept_;
  std::set<pid_t> around_subject_;         ///< servers and users that the last pass found for it
  std::uint64_t left_behind_ = 0;          ///< readers, since the last look at it
  std::optional<Nanoseconds> files_read_;  ///< boot time of the last reading of all open files
  Nanoseconds files_cost_{0};              ///< CPU time that it took
  Actor actor_;
  std::unique_ptr<Readings> readings_;  ///< of the last reading that was recorded: for a capture, or for acting
  Readings* recording_ = nullptr;       ///< the same, while it is read
  std::string host_;
  Memory memory_;
  Snapshot snapshot_;
};

/// "hold: mode, too_young" or "abort 40": for logs and for counting changes.
std::string describe_decision(const Decision& decision);

}  // namespace defused
