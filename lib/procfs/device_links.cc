// SPDX-License-Identifier: Apache-2.0
#include "procfs/device_links.h"

#include <set>
#include <string_view>

#include "procfs/bounded_read.h"

namespace defused {

namespace {

// A kernel-internal file: "socket:[123]", "pipe:[123]", "anon_inode:[eventfd]", "/memfd:name (deleted)".
bool is_internal(std::string_view link) { return link.empty() || link.front() != '/'; }

// "/dev/fuse" here, "/fuse" or another place where a container has its own /dev.
bool is_fuse_device(std::string_view link) {
  constexpr std::string_view kName = "/fuse";
  constexpr std::string_view kDeleted = " (deleted)";
  if (link.size() >= kDeleted.size() && link.substr(link.size() - kDeleted.size()) == kDeleted) {
    link.remove_suffix(kDeleted.size());
  }
  return link.size() >= kName.size() && link.substr(link.size() - kName.size()) == kName;
}

class LinkScan {
 public:
  LinkScan(const ProcRoot& proc, const ReadLimits& limits, Gaps& gaps) : proc_(proc), limits_(limits), gaps_(gaps) {}

  void read(const std::vector<const LinkCandidate*>& batch) {
    std::vector<BoundedRequest> requests;
    requests.reserve(batch.size());
    for (const LinkCandidate* candidate : batch) requests.push_back({candidate->path, true});
    const auto results = read_hazardous(proc_, limits_, requests);
    for (std::size_t i = 0; i < batch.size(); ++i) take(*batch[i], results[i]);
  }

  [[nodiscard]] bool is_internal_mount(int mount_id) const { return internal_.count(mount_id) > 0; }
  [[nodiscard]] bool has_hung(pid_t pid) const { return hung_.count(pid) > 0; }
  DeviceLinks links;

 private:
  void take(const LinkCandidate& candidate, const Result<std::string>& link) {
    if (!link) {
      if (link.error().kind == ErrorKind::gone) return;
      if (link.error().kind == ErrorKind::timeout) hung_.insert(candidate.pid);
      add_gap(gaps_, "fd", link.error().kind);
      links.complete = false;
      return;
    }
    if (is_internal(*link)) internal_.insert(candidate.mount_id);
    if (is_fuse_device(*link)) ++links.found[candidate.pid];
  }

  const ProcRoot& proc_;
  const ReadLimits& limits_;
  Gaps& gaps_;
  std::set<int> internal_;
  std::set<pid_t> hung_;
};

}  // namespace

DeviceLinks read_device_links(const ProcRoot& proc, const ReadLimits& limits,
                              const std::vector<LinkCandidate>& candidates, Gaps& gaps) {
  LinkScan scan(proc, limits, gaps);
  std::set<int> asked;
  std::vector<const LinkCandidate*> first;
  std::vector<const LinkCandidate*> others;
  for (const LinkCandidate& candidate : candidates) {
    (asked.insert(candidate.mount_id).second ? first : others).push_back(&candidate);
  }
  if (!first.empty()) scan.read(first);
  std::vector<const LinkCandidate*> rest;
  for (const LinkCandidate* candidate : others) {
    if (!scan.is_internal_mount(candidate->mount_id) && !scan.has_hung(candidate->pid)) rest.push_back(candidate);
  }
  if (!rest.empty()) scan.read(rest);
  return std::move(scan.links);
}

}  // namespace defused
