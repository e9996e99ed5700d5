// SPDX-License-Identifier: Apache-2.0
#include "policy/selectors.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"

namespace defused {

namespace {

using Texts = std::vector<std::string>;

constexpr std::size_t kLongestCharacter = 4;  // in bytes, as sanitize() writes it: it cuts before one that is too long
constexpr std::size_t kMaxCgroupPathBytes = 4096;  // procfs keeps more of those than kMaxTextBytes

/// What one list of patterns is matched against.
struct Value {
  Texts Selectors::*list;
  Texts texts;        // deny: any of them; allow: each of them
  bool known = true;  // all of `texts`, and there are no others
  Texts others = {};  // for deny alone
  bool others_known = true;
};

bool is_known(const std::string& text, std::size_t max_bytes = kMaxTextBytes) {
  return !text.empty() && text.size() + kLongestCharacter <= max_bytes;
}

// From a cgroup namespace of its own the reader is shown the way from its own control group, `/../kubepods/..`
// (kernel/cgroup/cgroup.c cgroup_path_ns()): no pattern of a whole path can be asked of that.
bool is_whole_path(const std::string& cgroup) { return cgroup != "/.." && cgroup.rfind("/../", 0) != 0; }

bool all_known(const Texts& texts) {
  return std::all_of(texts.begin(), texts.end(), [](const std::string& text) { return is_known(text); });
}

Value value_of_mount_points(const ConnectionFinding& connection) {
  const Texts& points = connection.mount_points;
  const bool all = !points.empty() && points.size() < kMaxMountPoints && all_known(points);
  return {&Selectors::mount_points, points, all};
}

// The container's id or its pod's UID, as `member` says.
Value value_of_container(Texts Selectors::*list, std::string Container::*member, const NamespaceFinding& finding,
                         const ConnectionFinding* connection) {
  Value value{list, {}};
  if (finding.container) value.texts.push_back((*finding.container).*member);
  value.known = !value.texts.empty() && all_known(value.texts);
  if (connection == nullptr) return value;
  for (const Container& container : connection->containers) value.others.push_back(container.*member);
  value.others_known = value.others.size() < kMaxShownContainers && all_known(value.others);
  return value;
}

std::vector<Value> values_of(const NamespaceFinding& finding, const ConnectionFinding* connection) {
  std::vector<Value> values;
  if (connection != nullptr) {
    values.push_back({&Selectors::fstypes, {connection->fstype}, is_known(connection->fstype)});
    values.push_back({&Selectors::sources, {connection->source}, is_known(connection->source)});
    values.push_back(value_of_mount_points(*connection));
  }
  values.push_back(value_of_container(&Selectors::container_ids, &Container::id, finding, connection));
  values.push_back(value_of_container(&Selectors::pod_uids, &Container::pod_uid, finding, connection));
  const bool cgroup_known = is_known(finding.cgroup, kMaxCgroupPathBytes) && is_whole_path(finding.cgroup);
  values.push_back({&Selectors::cgroups, {finding.cgroup}, cgroup_known});
  return values;
}

bool matches_any(const Texts& patterns, const std::string& text) {
  return !text.empty() && std::any_of(patterns.begin(), patterns.end(),
                                      [&](const std::string& pattern) { return matches_glob(pattern, text); });
}

bool is_value_denied(const Selectors& deny, const Value& value) {
  const auto matches = [&](const std::string& text) { return matches_any(deny.*value.list, text); };
  return std::any_of(value.texts.begin(), value.texts.end(), matches) ||
         std::any_of(value.others.begin(), value.others.end(), matches);
}

bool is_value_allowed(const Selectors& allow, const Selectors& deny, const Value& value) {
  const Texts& allowed = allow.*value.list;
  const bool must_match = !allowed.empty() || value.list == &Selectors::fstypes;
  const bool may_be_denied = !(deny.*value.list).empty();
  if (!value.known && (must_match || may_be_denied)) return false;
  if (!value.others_known && may_be_denied) return false;
  return !must_match || std::all_of(value.texts.begin(), value.texts.end(),
                                    [&](const std::string& text) { return matches_any(allowed, text); });
}

}  // namespace

bool is_denied(const Selectors& deny, const NamespaceFinding& finding, const ConnectionFinding* connection) {
  const auto values = values_of(finding, connection);
  return std::any_of(values.begin(), values.end(), [&](const Value& value) { return is_value_denied(deny, value); });
}

bool is_allowed(const Selectors& allow, const Selectors& deny, const NamespaceFinding& finding,
                const ConnectionFinding& connection) {
  const auto values = values_of(finding, &connection);
  return std::all_of(values.begin(), values.end(),
                     [&](const Value& value) { return is_value_allowed(allow, deny, value); });
}

}  // namespace defused
