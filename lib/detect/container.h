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
/// `/var/lib/docker/containers/<64 hex>/hostname`. Nothing where no container is named.
std::optional<Container> parse_container(std::string_view path);

/// The first of `paths` that names one.
std::optional<Container> find_container(const std::vector<std::string>& paths);

}  // namespace defused
