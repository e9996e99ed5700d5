// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay_capture.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "base/recorder.h"
#include "base/tree_directory.h"
#include "capture/looks.h"
#include "daemon/cycle.h"
#include "daemon/recorded_look.h"
#include "procfs/parse.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

// Where the directory is made: /tmp is of memory on many a host, and small.
std::string place_of_replay() {
  const char* wanted = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): one thread
  return wanted == nullptr || *wanted == '\0' ? "/tmp" : wanted;
}

// Of a tree of one moment: it does not move, so looking again shows that nothing does.
constexpr int kLooksAtOne = 3;
constexpr Nanoseconds kBetween = std::chrono::seconds(5);
// Where a tree does not say how long its host had been up: long enough for every age.
constexpr Nanoseconds kSomeUptime = std::chrono::hours(24);

using Errors = std::map<std::string, ReadRecorder::Failed>;

const std::string* text_of(const FileTree& tree, std::string_view path) {
  const FileTree::Node* node = tree.find(path);
  return node == nullptr || node->kind != FileTree::Kind::file ? nullptr : &node->text;
}

// These are opened by their names: a link in their place would lead to what this host has.
Result<void> check_roots(const FileTree& look) {
  for (const char* root : {kRecordedProc, "sys", "sys/fs", "sys/fs/fuse", kRecordedFusectl, kRecordedBpf, "state"}) {
    const FileTree::Node* node = look.find(root);
    if (node == nullptr || node->kind == FileTree::Kind::directory) continue;
    return fail(ErrorKind::malformed, std::string(root) + ": expected a directory");
  }
  if (look.find("proc") == nullptr) {
    return fail(ErrorKind::malformed, "not a capture: expected a directory 'proc' in it");
  }
  return {};
}

// When a tree of one moment was taken, as far as it says.
Instant own_time(const LoadedTree& loaded) {
  Instant time{kSomeUptime, {}};
  const std::string* uptime = text_of(loaded.tree, "proc/uptime");
  if (uptime != nullptr) {
    // A day is enough to stay clear of both ends of what a clock can say.
    const auto parsed = parse_uptime(*uptime);
    if (parsed && *parsed >= Nanoseconds(0) && *parsed < std::chrono::hours(24 * 365 * 100)) time.boottime = *parsed;
  }
  const auto modified = loaded.modified.find("proc/uptime");
  if (modified != loaded.modified.end()) time.wall = modified->second;
  return time;
}

class Replay {
 public:
  /// What a look says of itself comes with it; `moment` is for those that say nothing.
  struct Given {
    std::optional<CaptureAbout> about;
    Instant moment;
    FileTree state;
  };

  Replay(Given given, const ReplayWish& wish, LookReader looks, TreeDirectory& directory)
      : given_(std::move(given)), wish_(wish), looks_(std::move(looks)), directory_(directory) {}

  Result<PassResult> run() {
    if (is_whole() && given_.about->looks != looks_.count()) {
      return fail(ErrorKind::malformed, "about.json: looks: expected " + std::to_string(looks_.count()) +
                                            ", as there are in it, got " + std::to_string(given_.about->looks));
    }
    Result<PassResult> last = fail(ErrorKind::malformed, "there is no look in it");
    for (std::size_t number = 1; const FileTree* look = looks_.next(); ++number) {
      const std::string where = looks_.count() == 1 ? std::string() : "look " + std::to_string(number) + ": ";
      const auto taken = take(*look);
      if (!taken) return Failure(Error{taken.error().kind, where + taken.error().message, taken.error().code});
      const int times = is_whole() || looks_.count() > 1 ? 1 : kLooksAtOne;
      for (int i = 0; i < times; ++i) {
        if (wish_.stop && wish_.stop()) return fail(ErrorKind::io, "interrupted");
        clock_.set({taken->boottime + i * kBetween, taken->wall + i * kBetween});
        if (!cycle_) {
          auto made = make_cycle();
          if (!made) return Failure(made.error());
          cycle_ = *std::move(made);
        }
        cycle_->replay_left_behind(about_.readers_left_behind);
        last = cycle_->run(Bar::none);
      }
    }
    return last;
  }
  /// Readings that did not fit, of all looks.
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  // A capture says all of itself; evidence and other trees do not.
  [[nodiscard]] bool is_whole() const { return given_.about && !given_.about->evidence; }

  // Makes the directory what the look says. Returns its time.
  Result<Instant> take(const FileTree& look) {
    if (auto checked = check_roots(look); !checked) return Failure(checked.error());
    const std::string* lines = text_of(look, "errors");
    auto errors = parse_errors(lines == nullptr ? std::string_view() : std::string_view(*lines));
    if (!errors) return Failure(errors.error());
    *errors_ = *std::move(errors);
    auto time = read_about(look);
    if (!time) return time;
    FileTree tree = look;
    tree.remove("state");
    tree.add_directory("state");
    tree.add_tree("state", given_.state);
    tree.add_directory(kRecordedBpf);
    if (auto made = directory_.become(std::move(tree), wish_.stop); !made) return Failure(made.error());
    return time;
  }

  Result<Instant> read_about(const FileTree& look) {
    const std::string* text = text_of(look, "look.json");
    if (text == nullptr && is_whole()) {
      return fail(ErrorKind::malformed, "look.json: expected one in each look of a capture");
    }
    if (text == nullptr) return given_.moment;
    auto parsed = parse_look(*text);
    if (!parsed) return Failure(parsed.error());
    if (told_ && parsed->begin.boottime < about_.begin.boottime) {
      return fail(ErrorKind::malformed, "look.json: expected a time after that of the look before");
    }
    if (told_) {
      for (const auto& [connection, inode] : parsed->connection_inodes) {
        const auto before = about_.connection_inodes.find(connection);
        if (before == about_.connection_inodes.end() || before->second == inode) continue;
        directory_.replace_next(std::string(kRecordedFusectl) + "/" + std::to_string(connection));
      }
    }
    about_ = *std::move(parsed);
    told_ = true;
    left_out_ += about_.left_out;
    return about_.begin;
  }

  Result<std::unique_ptr<Cycle>> make_cycle() {
    const std::string& root = directory_.path();
    CycleSources sources;
    sources.proc_path = root + "/" + kRecordedProc;
    sources.fusectl_path = root + "/" + kRecordedFusectl;
    sources.capture = true;
    sources.subject = wish_.subject;
    // A capture has what its own look wanted; nothing more was read, and nothing less is shown.
    sources.whole_index = is_whole();
    if (told_) sources.own = OwnProcesses{about_.own, about_.parent};
    sources.hook = make_recorded_hook(errors_, kRecordedProc);
    Replayed replayed;
    replayed.host = given_.about ? given_.about->host : "unknown";
    replayed.boot_id = given_.about ? given_.about->boot_id : "";
    replayed.bpf_path = root + "/" + kRecordedBpf;
    replayed.look = about_;
    replayed.tells_blindness = told_;
    replayed.fusectl_hook = make_recorded_hook(errors_, kRecordedFusectl);
    replayed.bpf_hook = make_recorded_hook(errors_, kRecordedBpf);
    sources.replayed = std::move(replayed);
    Settings settings = wish_.settings;
    settings.state_directory = root + "/state";
    return Cycle::create(std::move(settings), std::move(sources), CycleEvents{}, clock_);
  }

  Given given_;
  const ReplayWish& wish_;
  LookReader looks_;
  TreeDirectory& directory_;
  std::shared_ptr<Errors> errors_ = std::make_shared<Errors>();
  LookAbout about_;
  std::uint64_t left_out_ = 0;
  bool told_ = false;  // a look.json said what is in about_
  ManualClock clock_{Instant{}};
  std::unique_ptr<Cycle> cycle_;
};

Result<LoadedTree> load(const std::string& path) {
  struct stat found {};
  const bool directory = stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
  return directory ? read_tree_directory(path) : read_tree_archive(path);
}

}  // namespace

Result<Captured> take_captured(LoadedTree loaded) {
  if (auto checked = check_roots(loaded.tree); !checked) return Failure(checked.error());
  Captured captured{std::move(loaded), std::nullopt, {}};
  if (const std::string* report = text_of(captured.loaded.tree, "report.json")) captured.report = *report;
  const std::string* text = text_of(captured.loaded.tree, "about.json");
  if (text == nullptr) return captured;
  auto about = parse_about(*text);
  if (!about) return Failure(about.error());
  captured.about = *std::move(about);
  return captured;
}

Result<Captured> read_captured(const std::string& path) {
  auto loaded = load(path);
  if (!loaded) return Failure(loaded.error());
  auto captured = take_captured(*std::move(loaded));
  if (!captured) return prepend(path, captured.error());
  return captured;
}

Result<Settings> captured_settings(const Captured& captured) {
  const std::string* text = text_of(captured.loaded.tree, "settings.json");
  if (text == nullptr || text->empty()) return Settings{};
  if (text->size() > kMaxSettingsBytes) {
    return fail(ErrorKind::malformed, "settings.json: longer than " + std::to_string(kMaxSettingsBytes) + " bytes");
  }
  return parse_settings(*text, "settings.json");
}

Result<PassResult> replay_captured(Captured& captured, const ReplayWish& wish) {
  Replay::Given given{captured.about, own_time(captured.loaded), captured.loaded.tree.below("state")};
  auto looks = LookReader::open(std::move(captured.loaded.tree));
  captured.loaded.tree = FileTree();
  if (!looks) return Failure(looks.error());
  const auto directory = TreeDirectory::create(place_of_replay());
  if (!directory) return Failure(directory.error());
  Replay replay(std::move(given), wish, *std::move(looks), **directory);
  auto pass = replay.run();
  captured.left_out = replay.left_out();
  return pass;
}

}  // namespace defused
