// SPDX-License-Identifier: Apache-2.0
// What is kept from pass to pass because it can be seen only while all is well, or only twice. Private to lib/detect.
// Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "detect/world.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

/// Since when requests have waited, and since when the oldest one is the same.
std::map<ConnectionId, ConnectionMemory> remember_connections(const Snapshot& snapshot, const History& before);

/// The control groups of living inits: cgroup v1 shows "/" for a task that exits.
std::map<pid_t, ContainerMemory> remember_containers(const Snapshot& snapshot, const History& before);

/// Which connections each process had files open on: the descriptors of an exiting thread are gone. Bounded.
std::map<ProcessId, OpenFilesMemory> remember_open_files(const Snapshot& snapshot,
                                                         const std::map<ConnectionId, MountFacts>& mounts,
                                                         const History& before);

/// Whose namespace it is: from its control groups, else from what was remembered, else from a mount table in it.
std::optional<Container> container_of(const DyingNamespace& dying, const History& memory);

/// The path of its init's control group, v2 before v1: as its init shows it, else what was remembered, else what those
/// of its members that show one agree on. "": not known. Without the mark of a removed one.
std::string cgroup_of(const DyingNamespace& dying, const History& memory);

/// Whose a suspect is, in no dying namespace: from its control groups, else from the init above it.
std::optional<Container> container_of(const ProcessSample& suspect, const ProcessTree& tree, const History& memory);

/// The container whose living init is `pid` or above it.
std::optional<Container> container_above(pid_t pid, const ProcessTree& tree, const History& memory);

/// The containers that see or serve a connection, as far as the inits above and the mount tables tell; bounded.
std::vector<Container> containers_around(const ConnectionFinding& connection, const Snapshot& snapshot,
                                         const ProcessTree& tree, const History& memory);

}  // namespace defused
