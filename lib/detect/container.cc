// SPDX-License-Identifier: Apache-2.0
#include "detect/container.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/text.h"

namespace defused {

namespace {

using Components = std::vector<std::string_view>;

constexpr std::size_t kIdLength = 64;
constexpr std::size_t kUidLength = 36;        // 8-4-4-4-12
constexpr std::size_t kStaticUidLength = 32;  // a static pod's: the hash of its manifest

struct Word {
  std::string_view text;
  std::string_view runtime;
};

// What stands before the 64 digits in one component. libpod-conmon- and crio-conmon- leave no 64 digits over.
constexpr std::array<Word, 6> kPrefixes = {{
    {"docker-", "docker"},
    {"cri-containerd-", "containerd"},
    {"nerdctl-", "containerd"},
    {"crio-", "cri-o"},
    {"libpod-payload-", "podman"},  // --cgroups=split, the default of quadlets
    {"libpod-", "podman"},
}};

// Components above bare 64 digits that tell the runtime; the nearest one counts.
constexpr std::array<Word, 14> kParents = {{
    {"docker", "docker"},
    {"var-lib-docker", "docker"},  // the snap
    {"moby", "docker"},            // Docker's namespace in containerd
    {"ecs", "docker"},
    {"containerd", "containerd"},
    {"cri-containerd", "containerd"},
    {"nerdctl", "containerd"},
    {"k8s.io", "containerd"},
    {"default", "containerd"},  // containerd's own namespace
    {"io.containerd.runtime.v2.task", "containerd"},
    {"io.containerd.grpc.v1.cri", "containerd"},
    {"crio", "cri-o"},
    {"libpod", "podman"},
    {".local", "podman"},  // rootless containers/storage; the other rootless ones have a nearer word
}};

// Directories whose children have 64 digits as well, and are no containers.
constexpr std::array<std::string_view, 17> kOthers = {
    "overlay2", "overlay",   "fuse-overlayfs", "aufs",          "mnt",         "diff",
    "dir",      "graph",     "subvolumes",     "layers",        "volumes",     "plugins",
    "sha256",   "snapshots", "sandboxes",      "libpod_parent", "lxc.monitor",
};

template <typename Table>
const Word* find_word(const Table& table, std::string_view text) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const Word& word) { return word.text == text; });
  return at == table.end() ? nullptr : &*at;
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_id(std::string_view text) { return text.size() == kIdLength && is_hex(text); }

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (text.size() < suffix.size() || text.substr(text.size() - suffix.size()) != suffix) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// `a/b:c:<id>` as a, b, c, <id>: a runtime set up for systemd on a host without writes `slice:prefix:id` into one
// component. Other colons stay, they may belong to a name.
Components components_of(std::string_view path) {
  take_suffix(path, " (deleted)");  // kernel/cgroup/cgroup.c proc_cgroup_show(): the cgroup of an exiting task
  Components out;
  for (const std::string_view component : split_fields(path, '/')) {
    const std::size_t colon = component.rfind(':');
    if (colon == std::string_view::npos || !is_id(component.substr(colon + 1))) {
      out.push_back(component);
      continue;
    }
    for (const std::string_view part : split_fields(component, ':')) out.push_back(part);
  }
  return out;
}

// `1b2c3d4e-0001-0002-0003-0123456789ab`, with `_` for `-` in a slice, or 32 digits; with dashes, or empty.
std::string parse_uid(std::string_view text) {
  if (text.size() == kStaticUidLength && is_hex(text)) return std::string(text);
  if (text.size() != kUidLength) return {};
  std::string uid(text);
  for (std::size_t i = 0; i < uid.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? uid[i] != '-' && uid[i] != '_' : !is_hex(text.substr(i, 1))) return {};
    if (dash) uid[i] = '-';
  }
  return uid;
}

// `pod<uid>`, `kubepods-burstable-pod<uid>.slice`, or the child of kubelet's `pods`.
std::string pod_uid_of(const Components& components, std::size_t i) {
  std::string_view component = components[i];
  if (i > 0 && components[i - 1] == "pods") return parse_uid(component);
  take_suffix(component, ".slice");
  const std::size_t at = component.rfind("pod");  // no digit of a uid is a p
  if (at == std::string_view::npos || (at > 0 && component[at - 1] != '-')) return {};
  return parse_uid(component.substr(at + 3));
}

// `cri-containerd-<id>.scope`, `crio-<id>` or `<id>`; `above` is the runtime of the components before.
std::optional<Container> numbered_container(const Components& components, std::size_t i, std::string_view above) {
  std::string_view component = components[i];
  if (is_id(component)) {
    if (i > 0 && std::find(kOthers.begin(), kOthers.end(), components[i - 1]) != kOthers.end()) return std::nullopt;
    return Container{std::string(component), std::string(above), {}};
  }
  take_suffix(component, ".scope");
  for (const Word& prefix : kPrefixes) {
    std::string_view id = component;
    if (take_prefix(id, prefix.text) && is_id(id)) return Container{std::string(id), std::string(prefix.runtime), {}};
  }
  return std::nullopt;
}

int hex_value(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

// systemd's `\x2d` -> `-`. Only what may stand in a name: the `\x0a` that sanitize() wrote must not become a line end.
std::string unescape_unit(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text.size() >= 4 && text[0] == '\\' && text[1] == 'x' && is_hex(text.substr(2, 2))) {
      const int code = hex_value(text[2]) * 16 + hex_value(text[3]);
      if (code > ' ' && code < 0x7F && code != '/' && code != '\\') {
        out += static_cast<char>(code);
        text.remove_prefix(4);
        continue;
      }
    }
    out += text.front();
    text.remove_prefix(1);
  }
  return out;
}

// `machine-NAME.scope` of systemd-machined, or `systemd-nspawn@NAME.service`.
std::optional<Container> nspawn_container(const Components& components, std::size_t i) {
  std::string_view scope = components[i];
  std::string_view service = components[i];
  std::string_view unit;
  if (take_prefix(scope, "machine-") && take_suffix(scope, ".scope")) unit = scope;
  if (take_prefix(service, "systemd-nspawn@") && take_suffix(service, ".service")) unit = service;
  if (unit.empty()) return std::nullopt;
  if (i + 1 < components.size() && components[i + 1] == "supervisor") return std::nullopt;  // nspawn's own process
  std::string name = unescape_unit(unit);
  if (name.rfind("qemu-", 0) == 0) return std::nullopt;  // libvirt's virtual machines are machines too
  return Container{std::move(name), "nspawn", {}};
}

// Whether an `lxc` at `i` is a cgroup or LXC's state directory, and not e.g. /usr/share/lxc.
bool is_lxc_directory(const Components& components, std::size_t i, bool nested) {
  if (i == 0 || nested) return true;
  const std::string_view parent = components[i - 1];
  if (parent.find('.') != std::string_view::npos) return true;  // session-2.scope/lxc, ../lxc
  return parent == "lib" && i == 2 && components[0] == "var";
}

// `lxc.payload.NAME`, `lxc.payload/NAME` (LXC 3.1) or `lxc/NAME`; a name does not begin with a dot.
std::optional<Container> lxc_container(const Components& components, std::size_t i, bool nested) {
  std::string_view name = components[i];
  const bool below = i > 0 && (components[i - 1] == "lxc.payload" ||
                               (components[i - 1] == "lxc" && is_lxc_directory(components, i - 1, nested)));
  if (!below && !take_prefix(name, "lxc.payload.")) return std::nullopt;
  if (name.empty() || name.front() == '.') return std::nullopt;
  return Container{std::string(name), "lxc", {}};
}

}  // namespace

std::optional<Container> parse_container(std::string_view path) {
  const Components components = components_of(path);
  std::optional<Container> innermost;
  std::string pod_uid;
  std::string_view above;  // the runtime that the components since the last container or pod tell
  for (std::size_t i = 0; i < components.size(); ++i) {
    if (std::string uid = pod_uid_of(components, i); !uid.empty()) {
      pod_uid = std::move(uid);
      innermost = Container{};  // a container around the pod, a kind node, is not the one in it
      above = {};
      continue;
    }
    auto found = lxc_container(components, i, innermost.has_value());
    if (!found) found = nspawn_container(components, i);
    if (!found) found = numbered_container(components, i, above);
    if (found) {
      innermost = std::move(found);
      above = {};
    } else if (const Word* parent = find_word(kParents, components[i])) {
      above = parent->runtime;
    }
  }
  if (innermost) innermost->pod_uid = std::move(pod_uid);
  return innermost;
}

std::optional<Container> find_container(const std::vector<std::string>& paths) {
  std::optional<Container> pod;
  for (const std::string& path : paths) {
    auto found = parse_container(path);
    if (found && !found->id.empty()) return found;
    if (!pod) pod = std::move(found);
  }
  return pod;
}

}  // namespace defused
