// SPDX-License-Identifier: Apache-2.0
// The operator's selectors: which connections may be acted on, by what they are and whose they are. Private to
// lib/policy. Pure.
//
// Patterns are globs (matches_glob of base/text.h): `*` is any text, also `/`, and `?` is one byte. They are matched
// against the whole of a value:
//
//   list          | its values
//   --------------|--------------------------------------------------------------------------------------------------
//   fstypes       | ConnectionFinding::fstype
//   sources       | ConnectionFinding::source
//   mount_points  | ConnectionFinding::mount_points, all of them
//   container_ids | NamespaceFinding::container, its id; for deny also those of ConnectionFinding::containers
//   pod_uids      | the same, by pod UID
//   cgroups       | NamespaceFinding::cgroup
//
// A value is not known where it is empty (no container, a container in no pod, no mount point), where it is so long
// that it may have been cut when it was read, and where its list of mount points or containers is as long as such a
// list may be: there may be more. What is not known is matched by no pattern, not even by `*`.
#pragma once

#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// Whether a pattern of any list of `deny` matches any of its values: one mount point of several, one container of
/// several. `connection` may be null: then only what is known of the namespace is looked at.
bool is_denied(const Selectors& deny, const NamespaceFinding& finding, const ConnectionFinding* connection);

/// False where
/// - no pattern of `allow.fstypes` matches: an empty one allows nothing, and a type that is not known is not allowed;
/// - another list of `allow` is not empty, and one of its values is matched by none of its patterns: EVERY mount point
///   must match one;
/// - a value is not known while its list of `allow` or of `deny` is not empty: it cannot be said that it is allowed, or
///   that it is not denied.
/// Whatever `deny` matches is asked by is_denied() alone.
bool is_allowed(const Selectors& allow, const Selectors& deny, const NamespaceFinding& finding,
                const ConnectionFinding& connection);

}  // namespace defused
