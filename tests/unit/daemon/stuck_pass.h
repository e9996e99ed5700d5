// SPDX-License-Identifier: Apache-2.0
// The pass of a test over one stuck namespace and one connection, asked about and decided about.
#pragma once

#include "model/history.h"

namespace defused {

inline constexpr NamespaceId kNamespace{4026532178};
inline constexpr ConnectionId kConnection{40};

/// `finding` gets kNamespace, `connection` kConnection; the decision is to hold by `reasons`.
inline PassResult make_stuck_pass(NamespaceFinding finding, ConnectionFinding connection, std::vector<Gate> reasons) {
  PassResult pass;
  finding.id = kNamespace;
  finding.stuck = true;
  connection.id = kConnection;
  pass.report.findings.namespaces = {std::move(finding)};
  pass.report.findings.connections = {std::move(connection)};
  Decision decision;
  decision.pid_namespace = kNamespace;
  decision.connection = kConnection;
  decision.reasons = std::move(reasons);
  pass.report.decisions = {decision};
  SubjectReading reading;
  reading.subject = Subject{SubjectKind::pid_namespace, "4026532178", kNamespace.inode};
  reading.pid_namespaces = {kNamespace};
  reading.connections = {kConnection};
  pass.subject = SubjectFinding{reading.subject, {reading}, 1};
  return pass;
}

}  // namespace defused
