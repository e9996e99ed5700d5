// SPDX-License-Identifier: Apache-2.0
#include "daemon/cycle.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/text.h"
#include "bpf/recorded_readers.h"
#include "daemon/accounting.h"
#include "daemon/change_log.h"
#include "daemon/read_subject.h"
#include "detect/detect.h"
#include "detect/standing.h"
#include "policy/decide.h"
#include "remedy/ledger_file.h"

namespace defused {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return sanitize(name.data());
}

// Requests that have waited for so long that it is worth knowing who could answer them.
bool has_long_waiting(const Snapshot& snapshot, const History& before, const DetectSettings& settings) {
  return std::any_of(snapshot.connections.begin(), snapshot.connections.end(), [&](const ConnectionSample& sample) {
    const auto known = before.connections.find(sample.id);
    if (!sample.may_wait() || known == before.connections.end()) return false;
    const ConnectionMemory& memory = known->second;
    if (memory.directory_inode != sample.directory_inode || !memory.may_wait()) return false;
    if (settings.include_young) return true;
    const Nanoseconds since = memory.oldest_request != 0 ? memory.oldest_since : memory.waiting_since;
    return snapshot.taken.boottime - since >= settings.stuck_after;
  });
}

// Where /proc was read with less care because lib/bpf sees all files, and then did not.
void forget_completeness(Snapshot& snapshot) {
  if (snapshot.surroundings) snapshot.surroundings->holders_complete = snapshot.surroundings->users_complete = false;
}

// The kernel's release, knobs and FUSE symbols.
constexpr std::size_t kMostKernelReadings = 1U << 20U;

// Of this process; what a child reads for it waits more than it works.
Nanoseconds cpu_time() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + Nanoseconds(used.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<Cycle>> Cycle::create(Settings settings, CycleSources sources, CycleEvents events,
                                             Clock& clock) {
  auto proc = ProcRoot::open(sources.proc_path, sources.hook);
  if (!proc) return prepend("the process file system", proc.error());
  std::unique_ptr<Cycle> cycle(
      new Cycle(std::move(settings), std::move(sources), std::move(events), clock, *std::move(proc)));
  if (auto opened = cycle->open_replay(); !opened) return Failure(opened.error());
  return cycle;
}

Cycle::Cycle(Settings settings, CycleSources sources, CycleEvents events, Clock& clock, ProcRoot proc)
    : settings_(std::move(settings)),
      sources_(std::move(sources)),
      events_(std::move(events)),
      clock_(clock),
      proc_(std::move(proc)),
      kernel_readings_(kMostKernelReadings),
      actor_(settings_, sources_.records, sources_.records_read_only, sources_.by_hand,
             sources_.replayed ? sources_.replayed->boot_id : read_boot_id(), clock,
             [this](const LogLine& line) {
               if (events_.changed) events_.changed(line);
             }),
      host_(sources_.replayed ? sources_.replayed->host : host_name()) {
  read_kernel();
  init_counters(memory_.counters);
  limits_.left_behind = [this](pid_t reader) {
    limits_.readers = 0;
    ++left_behind_;
    if (events_.left_behind) events_.left_behind(reader);
  };
}

void Cycle::read_kernel() {
  proc_.record_to(&kernel_readings_);
  kernel_ = read_kernel_facts(proc_);
  proc_.record_to(recording_ == nullptr ? nullptr : &recording_->proc);
  record_kernel_facts();
}

void Cycle::load_readers() {
  readers_asked_for_ = true;
  if (kernel_.fuse_flush_waits == FlushWaits::unknown) read_kernel();
  const auto tell = [this](const std::string& what, const Error& error) {
    if (events_.changed) events_.changed(what + ": " + error.message);
  };
  auto files = FileReader::load();
  if (files) {
    file_reader_ = *std::move(files);
    limits_.thread_tables = false;
  } else {
    tell("/proc serves alone", files.error());
  }
  auto waits = WaitReader::load();
  if (waits) {
    wait_reader_ = *std::move(waits);
  } else if (file_reader_) {
    tell("which connection a thread waits for is told by its mounts alone", waits.error());
  }
  auto places = PlaceReader::load();
  if (places) place_reader_ = *std::move(places);
}

void Cycle::seed(Memory memory) {
  memory_ = std::move(memory);
  init_counters(memory_.counters);
}

void Cycle::set_settings(Settings settings) {
  settings_ = std::move(settings);
  actor_.set_settings(settings_);
}

void Cycle::announce(std::string_view phase, Nanoseconds at_most) const {
  if (events_.phase) events_.phase(phase, at_most);
}

// Opened anew each pass: fusectl may be mounted, unmounted or covered at any time.
Result<FuseRoot> Cycle::open_fusectl() const {
  const ReadHook& hook = sources_.replayed ? sources_.replayed->fusectl_hook : sources_.hook;
  auto fuse =
      is_copy() ? FuseRoot::open_capture(sources_.fusectl_path, hook) : FuseRoot::open(sources_.fusectl_path, hook);
  if (fuse && recording_ != nullptr) {
    recording_->fusectl_present = true;
    fuse->record_to(&recording_->fusectl);
  }
  return fuse;
}

void Cycle::read_connections(const Result<FuseRoot>& fuse, Snapshot& snapshot) {
  snapshot.fusectl_present = fuse.has_value();
  if (fuse) {
    snapshot.connections = fuse->read_connections(snapshot.gaps);
  } else {
    snapshot.blind.emplace_back("fusectl");
  }
}

Result<void> Cycle::read_snapshot(Snapshot& snapshot, Evidence evidence) {
  snapshot.taken = clock_.now();
  announce("processes", settings_.pass_deadline);
  const auto fuse = open_fusectl();
  // FUSE may be a module that was not there before.
  if (fuse && !is_copy() && !readers_asked_for_) load_readers();
  // Asked before /proc: who has not run when /proc is read for the second time stood there all the time in between.
  const auto waits = read_waits(snapshot);
  WalkOrder order;
  const bool in_full = evidence == Evidence::fresh || is_copy() || sources_.subject;
  order.depth = in_full ? WalkDepth::full : WalkDepth::changes;
  if (waits) {
    order.told_to_die = told_to_die(*waits);
    order.dying_threads = threads_of(*waits);
    order.rotation = std::chrono::minutes(5);  // who is told to die is told in each pass
  }
  if (auto read = read_processes(proc_, limits_, order, walk_, snapshot); !read) return read;
  announce("connections", settings_.pass_deadline);
  read_connections(fuse, snapshot);
  read_request_timeouts(proc_, kernel_);
  snapshot.kernel = kernel_;
  if (sources_.subject) read_subject(proc_, limits_, *sources_.subject, memory_.history, around_subject_, snapshot);
  constexpr Nanoseconds kMargin = std::chrono::seconds(1);
  announce("hazards", limits_.hazard_budget + 2 * limits_.clock_budget + kMargin);
  read_hazards(proc_, limits_, walk_, snapshot);
  if (waits) merge_waits(*waits, snapshot.suspects);
  read_around(snapshot, evidence);
  if (left_behind_ > 0) snapshot.gaps[{kReader, ErrorKind::timeout}] += std::exchange(left_behind_, 0);
  return {};
}

// Nothing where nobody can say.
std::optional<std::vector<TaskWait>> Cycle::read_waits(Snapshot& snapshot) {
  if (!wait_reader_) return std::nullopt;
  auto waits = wait_reader_->read();
  if (recording_ != nullptr) record_kernel("waits", waits.map(&render_waits));
  if (waits) return *std::move(waits);
  add_gap(snapshot.gaps, "bpf", waits.error().kind);
  return std::nullopt;
}

void Cycle::read_around(Snapshot& snapshot, Evidence evidence) {
  const bool stalled = has_long_waiting(snapshot, memory_.history, settings_.detect);
  const bool files_due = files_are_due(snapshot);
  const bool asked = sources_.whole_index || sources_.subject || reads_anew();
  const std::set<ThreadId> standing = standing_threads(snapshot, memory_.history);
  if (!needs_surroundings(snapshot, standing) && !stalled && !asked) {
    if (files_due) read_for_history(snapshot);
    return;
  }
  if (evidence == Evidence::may_be_kept && kept_.restore(snapshot, standing)) {
    if (files_due) read_open_files(snapshot, false);
    return;
  }
  const Gaps before = snapshot.gaps;
  const Nanoseconds begin = cpu_time();
  read_index(snapshot, evidence);
  kept_.keep(snapshot, standing, before, cpu_time() - begin);
}

// For showing, the kernel's word is enough where it can be had; before acting /proc has to say the same.
void Cycle::read_index(Snapshot& snapshot, Evidence evidence) {
  const bool for_showing = evidence == Evidence::may_be_kept && !is_copy();
  if (for_showing && read_index_by_kernel(snapshot)) return;
  if (for_showing) refresh_processes(proc_, snapshot);
  read_index_by_proc(snapshot);
}

bool Cycle::read_index_by_kernel(Snapshot& snapshot) {
  if (!file_reader_ || !place_reader_) return false;
  announce_surroundings();
  const auto places = place_reader_->read();
  if (!places) {
    add_gap(snapshot.gaps, "bpf", places.error().kind);
    return false;
  }
  snapshot.surroundings = read_viewers(proc_, limits_, sources_.own, *places, snapshot);
  read_open_files(snapshot, true);
  return snapshot.surroundings->exact;
}

void Cycle::announce_surroundings() const {
  announce("surroundings", limits_.surroundings_budget + 3 * limits_.hazard_budget + std::chrono::seconds(1));
}

void Cycle::read_index_by_proc(Snapshot& snapshot) {
  announce_surroundings();
  snapshot.surroundings = read_surroundings(proc_, limits_, sources_.own, clock_, snapshot);
  files_read_ = snapshot.taken.boottime;
  read_open_files(snapshot, true);
}

// /proc alone gives the whole index for that, or nothing.
void Cycle::read_for_history(Snapshot& snapshot) {
  if (file_reader_) {
    read_open_files(snapshot, false);
  } else {
    read_index(snapshot, Evidence::may_be_kept);
  }
}

// Whether the oldest request moves is worth a look while requests wait; who has what open, at times: it is needed only
// where several connections are there to be told apart, and only once the descriptors are gone.
bool Cycle::files_are_due(const Snapshot& snapshot) const {
  const bool several = snapshot.connections.size() >= 2;
  if (!file_reader_) {
    constexpr Nanoseconds kForHistoryByProc = std::chrono::minutes(5);  // it reads each descriptor of the host
    return several && (!files_read_ || snapshot.taken.boottime - *files_read_ >= kForHistoryByProc);
  }
  const auto since = [&] { return snapshot.taken.boottime - *files_read_; };
  const bool waits = std::any_of(snapshot.connections.begin(), snapshot.connections.end(), [&](const auto& sample) {
    const auto before = memory_.history.connections.find(sample.id);
    return sample.waiting.value_or(0) > 0 && before != memory_.history.connections.end() && before->second.may_wait();
  });
  if (!files_read_) return waits || several;
  if (settings_.detect.include_young && waits) return true;
  constexpr int kShare = 1000;  // of one CPU
  constexpr Nanoseconds kForHistory = std::chrono::minutes(1);
  constexpr Nanoseconds kSeldomEnough = std::chrono::minutes(5);
  const Nanoseconds affordable = std::min<Nanoseconds>(kShare * files_cost_, kSeldomEnough);
  return (waits && since() >= std::max<Nanoseconds>(settings_.detect.stuck_after / 3, affordable)) ||
         (several && since() >= std::max<Nanoseconds>(kForHistory, affordable));
}

// The kernel's own list beside that of /proc: it needs no right over a process that hides its descriptors.
void Cycle::read_open_files(Snapshot& snapshot, bool beside_proc) {
  if (!file_reader_) return;
  announce("open files", settings_.pass_deadline);
  const Nanoseconds begin = cpu_time();
  const auto files = file_reader_->read();
  if (recording_ != nullptr) record_kernel("files", files.map(&render_open_files));
  files_cost_ = cpu_time() - begin;
  files_read_ = snapshot.taken.boottime;
  if (!files) {
    add_gap(snapshot.gaps, "bpf", files.error().kind);
    forget_completeness(snapshot);
    return;
  }
  snapshot.open_files = users_of(*files);
  snapshot.oldest_requests = oldest_requests(*files);
  const auto is_there = [this](pid_t pid) {
    const auto status = proc_.files().read_file(std::to_string(pid) + "/status", 64);
    return status || status.error().kind != ErrorKind::gone;
  };
  if (beside_proc && !merge_open_files(*files, snapshot.processes, is_there, *snapshot.surroundings)) {
    add_gap(snapshot.gaps, "bpf", ErrorKind::malformed);
    snapshot.surroundings->readers_disagree = true;
    forget_completeness(snapshot);
  }
}

std::vector<Decision> Cycle::decide_on(const Findings& findings, const Restraints& restraints) const {
  return decide(findings, settings_.policy, actor_.ledger(), restraints, clock_.now());
}

PassResult Cycle::make_result(Report report) const { return PassResult{std::move(report), memory_, std::nullopt}; }

// Nothing is concluded from nothing: what was known stays.
Detection Cycle::judge(const Result<void>& read, std::vector<Decision>& decisions, bool fresh) {
  announce("diagnosis", settings_.pass_deadline);
  Detection made = read ? detect(snapshot_, memory_.history, settings_.detect) : Detection{{}, memory_.history};
  const auto& found = made.findings.namespaces;
  const bool any_stuck = std::any_of(found.begin(), found.end(), [](const auto& finding) { return finding.stuck; });
  decisions = decide_on(made.findings, fresh ? actor_.restraints_now() : actor_.restraints(any_stuck));
  return made;
}

PassResult Cycle::run(Bar bar, std::size_t readers) {
  snapshot_ = Snapshot{};
  limits_.readers = std::min(readers, ReadLimits{}.readers);
  const Instant begin = clock_.now();
  actor_.begin(bar, memory_.counters);
  Report report;
  if (sources_.recording != Recording::none) begin_recording(kMostRecorded);
  Result<void> read = read_snapshot(snapshot_, reads_anew() ? Evidence::fresh : Evidence::may_be_kept);
  end_recording();
  Detection detection = judge(read, report.decisions, false);
  if (any_abort(report.decisions)) {
    read = read_for_acting();
    detection = judge(read, report.decisions, true);
  }
  report.findings = std::move(detection.findings);
  fill(report, read, begin);
  if (read) {
    actor_.record_decisions(report,
                            tell_changes(report, memory_.log, memory_.counters, begin.boottime, events_.changed));
  }
  actor_.describe(report);
  memory_.history = std::move(detection.history);
  report.duration = clock_.now().boottime - begin.boottime;
  account(report);
  PassResult pass = make_result(std::move(report));
  if (sources_.subject) around_subject_ = tell_subject(*sources_.subject, snapshot_, pass);
  if (events_.publish) events_.publish(pass);
  act(pass);
  announce("idle", Nanoseconds(0));
  return pass;
}

void Cycle::fill(Report& report, const Result<void>& read, Instant begin) {
  report.scanned_at = begin.wall;
  report.host = host_;
  report.mode = settings_.policy.mode;
  report.kernel = kernel_;
  if (!read) {
    ++memory_.counters.scan_failures["processes"];
    report.blind.emplace_back("processes");
    if (events_.changed) events_.changed("pass failed: " + read.error().message);
  }
  const bool tells = sources_.replayed ? sources_.replayed->tells_blindness : !sources_.capture;
  if ((!file_reader_ || !wait_reader_) && tells) report.blind.emplace_back("bpf");
  report.blind.insert(report.blind.end(), snapshot_.blind.begin(), snapshot_.blind.end());
  report.gaps = snapshot_.gaps;
  report.gap_processes = snapshot_.gap_processes;
  if (snapshot_.surroundings) add_gap_processes(report.gap_processes, snapshot_.surroundings->gap_processes);
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    if (finding.blocked_thread_count > finding.blocked_threads.size())
      add_gap(report.gaps, "threads", ErrorKind::unsupported);
  }
  report.pid_namespace_count = static_cast<std::uint32_t>(std::count_if(
      snapshot_.processes.begin(), snapshot_.processes.end(), [](const ProcessBrief& p) { return p.is_init(); }));
  report.provisional = settings_.detect.include_young && is_young(report.findings, settings_.detect);
}

void Cycle::account(const Report& report) {
  Counters& counters = memory_.counters;
  ++counters.scans;
  observe(counters.scan_duration, to_seconds(report.duration));
  for (const auto& [key, count] : report.gaps) {
    counters.read_gaps[{key.first, std::string(to_string(key.second))}] += count;
  }
}

}  // namespace defused
