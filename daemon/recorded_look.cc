// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorded_look.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "capture/looks.h"
#include "procfs/parse.h"

namespace defused {

namespace {

std::string join(std::string_view root, std::string_view path) {
  std::string out(root);
  if (!path.empty()) out.append("/").append(path);
  return out;
}

void add_errors(const char* root, const ReadRecorder& record, std::map<std::string, ReadRecorder::Failed>& all) {
  for (const auto& [path, why] : record.errors()) all[join(root, path)] = why;
}

// The PID that a path below /proc begins with; nothing where it begins with something else ("self", "uptime").
std::optional<std::uint64_t> pid_of(std::string_view path) { return parse_u64(path.substr(0, path.find('/'))); }

// Whose thread is asked for may be looked up by /proc/TID/status, which no listing of /proc has: as a process it would
// be one too many.
bool is_thread(const ReadRecorder& record, std::uint64_t pid) {
  const auto entry = record.entries().find(std::to_string(pid) + "/status");
  if (entry == record.entries().end()) return false;
  const auto status = parse_status(entry->second.text);
  return status && static_cast<std::uint64_t>(status->tgid) != pid;
}

void remove_others(const ReadRecorder& record, const std::set<pid_t>* processes, FileTree& tree) {
  const std::string root = join(kRecordedProc, "") + "/";
  std::set<std::uint64_t> unwanted;
  std::optional<std::uint64_t> last;
  for (auto at = tree.nodes().lower_bound(root);
       at != tree.nodes().end() && at->first.compare(0, root.size(), root) == 0; ++at) {
    const auto pid = pid_of(std::string_view(at->first).substr(root.size()));
    if (!pid || pid == last) continue;
    last = pid;
    const bool wanted = processes == nullptr || processes->count(static_cast<pid_t>(*pid)) > 0;
    if (!wanted || is_thread(record, *pid)) unwanted.insert(*pid);
  }
  for (const std::uint64_t pid : unwanted) tree.remove(root + std::to_string(pid));
}

// Descriptors come and go while they are listed and read. What a listing has is read at once, so a name that was not
// read is one that went meanwhile, or came later. A thread of whose descriptors none was read has the table of another
// one of its process, whatever was open at that moment.
class Descriptors {
 public:
  explicit Descriptors(const ReadRecorder& record) : record_(record) {
    for (const auto& [path, entry] : record.entries()) note(path);
    for (const auto& [path, why] : record.errors()) note(path);
  }

  void settle(FileTree& tree) const {
    for (const auto& [path, entry] : record_.entries()) {
      if (entry.kind == ReadRecorder::Kind::directory && ends_in_fdinfo(path)) settle(path, tree);
    }
  }

 private:
  using Names = std::set<std::string, std::less<>>;
  static constexpr std::string_view kDirectory = "/fdinfo";

  static bool ends_in_fdinfo(std::string_view path) {
    return path.size() > kDirectory.size() && path.substr(path.size() - kDirectory.size()) == kDirectory;
  }

  void note(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos || !ends_in_fdinfo(path.substr(0, slash))) return;
    const std::string directory(path.substr(0, slash));
    read_[directory].emplace(path.substr(slash + 1));
    tables_.emplace(std::string(path.substr(0, path.find('/'))), directory);
  }

  [[nodiscard]] const Names& names_of(const std::string& directory) const {
    static const Names kNone;
    if (const auto own = read_.find(directory); own != read_.end()) return own->second;
    const auto shared = tables_.find(directory.substr(0, directory.find('/')));
    return shared == tables_.end() ? kNone : read_.at(shared->second);
  }

  void settle(const std::string& directory, FileTree& tree) const {
    const Names& wanted = names_of(directory);
    const std::string place = join(kRecordedProc, directory) + "/";
    std::vector<std::string> others;
    for (auto at = tree.nodes().lower_bound(place);
         at != tree.nodes().end() && at->first.compare(0, place.size(), place) == 0; ++at) {
      if (wanted.count(at->first.substr(place.size())) == 0) others.push_back(at->first);
    }
    for (const std::string& path : others) tree.remove(path);
    for (const std::string& name : wanted) {
      if (tree.find(place + name) == nullptr) tree.add_file(place + name, {});
    }
  }

  const ReadRecorder& record_;
  std::map<std::string, Names> read_;          // what was read, or failed, of each directory
  std::map<std::string, std::string> tables_;  // of a PID the first directory with anything read: "4711/fdinfo"
};

}  // namespace

FileTree make_look(const Readings& readings, const std::set<pid_t>* processes) {
  FileTree tree;
  tree.add_record(kRecordedProc, readings.proc);
  Descriptors(readings.proc).settle(tree);
  remove_others(readings.proc, processes, tree);
  if (readings.fusectl_present) tree.add_record(kRecordedFusectl, readings.fusectl);
  tree.add_record(kRecordedBpf, readings.bpf);
  std::map<std::string, ReadRecorder::Failed> errors;
  add_errors(kRecordedProc, readings.proc, errors);
  add_errors(kRecordedFusectl, readings.fusectl, errors);
  add_errors(kRecordedBpf, readings.bpf, errors);
  tree.add_file("errors", render_errors(errors));
  LookAbout about = readings.about;
  about.left_out = readings.left_out();
  tree.add_file("look.json", render_look(about));
  return tree;
}

ReadHook make_recorded_hook(std::shared_ptr<const std::map<std::string, ReadRecorder::Failed>> errors,
                            std::string root) {
  return [errors = std::move(errors), root = std::move(root)](std::string_view path) -> std::optional<Error> {
    // A directory that lists itself: "." at the root, "4711/." below it.
    if (path == "." || (path.size() > 2 && path.substr(path.size() - 2) == "/."))
      path.remove_suffix(path.size() > 2 ? 2 : 1);
    const auto found = errors->find(join(root, path));
    if (found == errors->end()) return std::nullopt;
    return Error{found->second.kind, "it could not be read when this was recorded", found->second.code};
  };
}

}  // namespace defused
