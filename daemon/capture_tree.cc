// SPDX-License-Identifier: Apache-2.0
#include "daemon/capture_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <version.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <optional>
#include <set>

#include "base/beneath.h"
#include "base/text.h"
#include "capture/about.h"
#include "capture/looks.h"
#include "capture/redact.h"
#include "daemon/one_shot.h"
#include "daemon/recorded_look.h"
#include "daemon/replay_capture.h"
#include "model/codec.h"
#include "remedy/inhibit.h"
#include "remedy/ledger_file.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

constexpr const char* kRedactedHost = "redacted";
constexpr int kReportIndent = 2;

// A file of the state directory: whatever was put in its place is neither followed nor waited for. Nothing: it is not
// there; "" where it is there and is no file that can be read.
std::optional<std::string> read_state(const std::string& directory, const char* name, std::size_t max_bytes) {
  const auto root = Beneath::open_root(directory);
  if (!root) return std::nullopt;
  const auto file = root->open_file(name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return file.error().kind == ErrorKind::gone ? std::nullopt : std::optional<std::string>("");
  struct stat found {};
  if (fstat(file->get(), &found) != 0 || !S_ISREG(found.st_mode)) return "";
  auto text = read_up_to(file->get(), max_bytes);
  return text ? std::move(text->text) : std::string();
}

void add_state(const std::string& directory, FileTree& tree) {
  constexpr std::size_t kMaxInhibitBytes = 4096;  // more than its first line is not looked at
  const std::string root = "state/";
  if (auto ledger = read_state(directory, LedgerFile::kName, LedgerFile::kMaxBytes)) {
    tree.add_file(root + LedgerFile::kName, *std::move(ledger));
  }
  if (auto inhibit = read_state(directory, kInhibitName, kMaxInhibitBytes)) {
    tree.add_file(root + kInhibitName, *std::move(inhibit));
  }
}

// When and what was done stays, and not in which words. Of a ledger that cannot be read nothing is kept.
void add_redacted_state(const std::string& directory, Instant now, FileTree& tree) {
  const std::string root = "state/";
  if (read_inhibition(directory)) tree.add_file(root + kInhibitName, {});
  auto ledger = LedgerFile(directory, read_boot_id()).load(now);
  if (!ledger || (ledger->entries.empty() && !ledger->breaker.is_open() && ledger->breaker.failures == 0)) return;
  for (LedgerEntry& entry : ledger->entries) entry.detail.clear();
  ledger->breaker.detail.clear();
  tree.add_file(root + LedgerFile::kName, render_ledger(*ledger, ""));
}

void drop_names(Selectors& selectors) {
  for (auto* list : {&selectors.sources, &selectors.mount_points, &selectors.container_ids, &selectors.pod_uids,
                     &selectors.cgroups}) {
    list->clear();
  }
}

std::size_t count_numbers(const FileTree& look, const std::string& directory) {
  std::size_t count = 0;
  for (const auto& [path, node] : look.nodes()) {
    if (path.rfind(directory + "/", 0) != 0) continue;
    if (parse_u64(std::string_view(path).substr(directory.size() + 1))) ++count;
  }
  return count;
}

Result<LookAbout> about_look(const FileTree& look) {
  const FileTree::Node* node = look.find("look.json");
  if (node == nullptr) return fail(ErrorKind::malformed, "a look came without its look.json");
  return parse_look(node->text);
}

Result<CaptureSize> measure(const std::vector<FileTree>& looks) {
  CaptureSize size;
  size.looks = looks.size();
  size.processes = count_numbers(looks.front(), kRecordedProc);
  size.connections = count_numbers(looks.front(), kRecordedFusectl);
  std::set<std::string> unreadable;
  for (const FileTree& look : looks) {
    const FileTree::Node* lines = look.find("errors");
    const auto errors = parse_errors(lines == nullptr ? std::string_view() : std::string_view(lines->text));
    if (!errors) return Failure(errors.error());
    for (const auto& [path, why] : *errors) unreadable.insert(path);
    const auto about = about_look(look);
    if (!about) return Failure(about.error());
    size.left_out += about->left_out;
  }
  size.unreadable = unreadable.size();
  return size;
}

CaptureAbout about_capture(const CaptureInput& input, Nanoseconds time) {
  CaptureAbout about;
  about.version = std::string(kVersion) + " (" + kRevision + ")";
  about.host = input.report.host;
  about.time = time;
  about.boot_id = read_boot_id();
  about.all = input.all;
  about.looks = static_cast<std::uint32_t>(input.looks.size());
  return about;
}

}  // namespace

Result<CaptureTree> make_capture(CaptureInput input) {
  const auto first = about_look(input.looks.front());
  if (!first) return Failure(first.error());
  const auto size = measure(input.looks);
  if (!size) return Failure(size.error());
  CaptureTree out{join_looks(input.looks), first->begin.wall, *size};
  out.tree.add_file("about.json", render_about(about_capture(input, out.time)));
  out.tree.add_file("settings.json", render_report_settings(input.settings));
  add_state(input.settings.state_directory, out.tree);
  out.tree.add_file("report.json",
                    render_report_json(input.report, input.settings.expose_source, kReportIndent) + "\n");
  return out;
}

Result<CaptureTree> make_redacted_capture(CaptureInput input, const std::function<bool()>& stop) {
  const auto first = about_look(input.looks.front());
  if (!first) return Failure(first.error());
  Redactor redactor;
  for (FileTree& look : input.looks) {
    if (stop && stop()) return fail(ErrorKind::io, "interrupted");
    look = redactor.redact(look);
  }
  auto size = measure(input.looks);
  if (!size) return Failure(size.error());
  size->dropped = redactor.dropped();
  CaptureTree out{join_looks(input.looks), first->begin.wall, *size};
  CaptureAbout about = about_capture(input, out.time);
  about.host = kRedactedHost;
  about.boot_id.clear();
  about.redacted = true;
  out.tree.add_file("about.json", render_about(about));
  drop_names(input.settings.policy.allow);
  drop_names(input.settings.policy.deny);
  out.tree.add_file("settings.json", render_report_settings(input.settings));
  add_redacted_state(input.settings.state_directory, first->begin, out.tree);

  auto captured = take_captured({out.tree, {}});
  if (!captured) return Failure(captured.error());
  const auto pass = replay_captured(*captured, {for_one_look(input.settings, Mode::observe), std::nullopt, stop});
  if (!pass) return prepend("diagnosing what was redacted", pass.error());
  out.tree.add_file("report.json",
                    render_report_json(pass->report, input.settings.expose_source, kReportIndent) + "\n");
  return out;
}

std::string default_capture_path(const std::string& host, Nanoseconds time) {
  std::string name = host.empty() ? "host" : host;
  const auto is_odd = [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '.'; };
  std::replace_if(name.begin(), name.end(), is_odd, '_');
  return "./defused-" + name + "-" + format_compact_time(time) + ".tar";
}

}  // namespace defused
