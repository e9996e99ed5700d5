// SPDX-License-Identifier: Apache-2.0
// Whose namespace it is: container id, runtime and pod UID from a cgroup path, or from a path of its mountinfo. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/report.h"

namespace defused {

/// From one path such as `/system.slice/docker-<64 hex>.scope`, `/kubepods/burstable/pod<uid>/<64 hex>`,
/// `/machine.slice/libpod-<64 hex>.scope`, `/lxc.payload.NAME`, `/machine.slice/machine-NAME.scope`,
/// `/var/lib/docker/containers/<64 hex>/hostname`. Nothing where no container is named: a monitor beside a container
/// (conmon, lxc.monitor, nspawn's supervisor), a virtual machine, an image layer, a volume and a pod sandbox are none.
///
/// In nested ones (docker in docker, kind, podman in LXC) the innermost, that is the last, wins, with its own runtime
/// and the innermost pod. A container that may write its own cgroup tree can so append a name: the answer is for
/// reading, and proves nothing. Selectors by container id or pod UID trust it as far as the operator does; those by
/// control group can ask for the beginning of the path, which no container chooses.
///
/// The id is 64 lowercase hexadecimal digits, or the short name of an LXC or nspawn container. It is empty, beside a
/// `pod_uid`, where only the pod is known. `runtime` is empty where the path does not tell (the cgroupfs driver below
/// kubepods; containers/storage, which podman and CRI-O share).
std::optional<Container> parse_container(std::string_view path);

/// The first of `paths` that names a container; else the first that names a pod only.
std::optional<Container> find_container(const std::vector<std::string>& paths);

}  // namespace defused
