// SPDX-License-Identifier: Apache-2.0
// The serialised forms of the model: the public report (JSON, `defused.report/v1` of DESIGN.md section 7) and the
// private payload that a prober hands to the supervisor (CBOR; same binary on both ends, so no version inside).
// nlohmann_json stays in codec.cc and render_report.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"
#include "model/web_config.h"

namespace defused {

/// The public report, one line when `indent` < 0, else indented by so many spaces. Sources are shown as `expose` says:
/// without user names, passwords and query parts; as "" ; or whole. `remedy` tells mode, circuit breaker, inhibition
/// and budget; `actions` the last ones, newest first. A time that is not known is null, as are namespace and connection
/// of an action before the last boot; `recovery_seconds` of an action is null unless it is `released`.
std::string render_report_json(const Report& report, ExposeSource expose, int indent = -1);

/// A gate that holds a decision, in words.
struct GateInWords {
  NamespaceId pid_namespace;
  Gate gate{};
  std::string looks_at;
  std::string why;
};

/// `defused.explain/v1`: what X may mean, the objects of `concerned` (a report reduced to them) and the gates that
/// hold. `configured` is the mode that the operator set; that of the report is the one in which the gates were asked.
std::string render_subject_json(const SubjectFinding& subject, const Report& concerned,
                                const std::vector<GateInWords>& gates, Mode configured, ExposeSource expose,
                                int indent = -1);

/// `defused.connections/v1`: the connections of the report, as they stand there.
std::string render_connections_json(const Report& report, ExposeSource expose, int indent = -1);

/// "0:40": major and minor as mountinfo and stat show them.
std::string device_number(ConnectionId id);

/// `source` as `expose` allows it to be shown. `redacted`: userinfo before '@' of a URL and everything from '?' on is
/// removed.
std::string expose_source(const std::string& source, ExposeSource expose);

/// A wall-clock time (nanoseconds since 1970) as RFC 3339 in UTC with milliseconds: "2026-07-01T12:00:00.000Z".
std::string format_wall_time(Nanoseconds wall);
/// The same for names of files: "20260701T120000.000Z". Sorts by time, and has no colon, after which tar would look for
/// a host of that name.
std::string format_compact_time(Nanoseconds wall);

std::vector<std::uint8_t> encode_pass(const PassResult& pass);
/// malformed: not such a payload.
Result<PassResult> decode_pass(const std::vector<std::uint8_t>& bytes);

std::vector<std::uint8_t> encode_settings(const Settings& settings);
Result<Settings> decode_settings(const std::vector<std::uint8_t>& bytes);

/// Holds a private key and password hashes: for the front alone, and never for a log or a report.
std::vector<std::uint8_t> encode_web_config(const CheckedWebConfig& checked);
Result<CheckedWebConfig> decode_web_config(const std::vector<std::uint8_t>& bytes);

}  // namespace defused
