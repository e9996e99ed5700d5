// SPDX-License-Identifier: Apache-2.0
#include "detect/container.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kIdLength = 64;
constexpr std::size_t kUidLength = 36;  // 8-4-4-4-12

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool starts(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

struct Prefix {
  std::string_view text;
  std::string_view runtime;
};

// What stands before the 64 digits in a path component (systemd driver), or nothing (cgroupfs driver).
constexpr std::array<Prefix, 6> kPrefixes = {{
    {"docker-", "docker"},
    {"cri-containerd-", "containerd"},
    {"nerdctl-", "containerd"},
    {"crio-", "cri-o"},
    {"libpod-", "podman"},
    {"", ""},
}};

// The id in one component, e.g. `cri-containerd-<id>.scope`.
std::optional<Container> container_of_component(std::string_view component) {
  for (const Prefix& prefix : kPrefixes) {
    if (!starts(component, prefix.text)) continue;
    std::string_view rest = component.substr(prefix.text.size());
    const std::string_view id = rest.substr(0, kIdLength);
    rest.remove_prefix(id.size());
    if (id.size() != kIdLength || !is_hex(id)) continue;
    if (!rest.empty() && rest.front() != '.') continue;  // libpod-conmon-... is not the container
    return Container{std::string(id), std::string(prefix.runtime), {}};
  }
  return std::nullopt;
}

// `pod<uid>` or `kubepods-burstable-pod<uid with underscores>.slice` or a bare uid below kubelet/pods.
std::string pod_uid_of_component(std::string_view component) {
  const std::size_t at = component.rfind("pod");
  std::string uid(at == std::string_view::npos ? component : component.substr(at + 3));
  uid = uid.substr(0, uid.find('.'));
  std::replace(uid.begin(), uid.end(), '_', '-');
  if (uid.size() == kIdLength / 2 && is_hex(uid)) return uid;  // static pods: a hash
  if (uid.size() != kUidLength) return {};
  for (std::size_t i = 0; i < uid.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? uid[i] != '-' : !is_hex(std::string_view(uid).substr(i, 1))) return {};
  }
  return uid;
}

std::string runtime_of_parents(const std::vector<std::string_view>& components) {
  for (const std::string_view component : components) {
    if (component == "docker") return "docker";
    if (component == "libpod_parent" || starts(component, "libpod")) return "podman";
    if (component == "containerd" || component == "io.containerd.runtime.v2.task") return "containerd";
  }
  return {};
}

// LXC, LXD and systemd-nspawn have names, not numbers.
std::optional<Container> named_container(const std::vector<std::string_view>& components) {
  for (std::size_t i = 0; i < components.size(); ++i) {
    std::string_view component = components[i];
    constexpr std::string_view kPayload = "lxc.payload.";
    if (starts(component, kPayload)) return Container{std::string(component.substr(kPayload.size())), "lxc", {}};
    if (component == "lxc" && i + 1 < components.size()) return Container{std::string(components[i + 1]), "lxc", {}};
    constexpr std::string_view kMachine = "machine-";
    constexpr std::string_view kNspawn = "systemd-nspawn@";
    for (const std::string_view prefix : {kMachine, kNspawn}) {
      if (!starts(component, prefix)) continue;
      component.remove_prefix(prefix.size());
      return Container{std::string(component.substr(0, component.rfind('.'))), "nspawn", {}};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Container> parse_container(std::string_view path) {
  const std::vector<std::string_view> components = split_fields(path, '/');
  const bool kubernetes =
      path.find("kubepods") != std::string_view::npos || path.find("kubelet/pods") != std::string_view::npos;
  std::string pod_uid;
  std::optional<Container> found;
  for (const std::string_view component : components) {
    if (!found) found = container_of_component(component);
    if (kubernetes && pod_uid.empty()) pod_uid = pod_uid_of_component(component);
  }
  if (!found) found = named_container(components);
  if (!found && !pod_uid.empty()) found = Container{};
  if (!found) return std::nullopt;
  found->pod_uid = pod_uid;
  if (found->runtime.empty()) found->runtime = runtime_of_parents(components);
  return found;
}

std::optional<Container> find_container(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (auto found = parse_container(path)) return found;
  }
  return std::nullopt;
}

}  // namespace defused
