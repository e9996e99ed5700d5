// SPDX-License-Identifier: Apache-2.0
#include "daemon/abort_answer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/exit_codes.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

std::string_view word_of(int exit_code) {
  const auto codes = exit_codes_of("abort");
  const auto found = std::find_if(codes.begin(), codes.end(), [&](const ExitCode& it) { return it.code == exit_code; });
  return found == codes.end() ? "" : found->word;
}

}  // namespace

std::string render_abort_json(const AbortAnswer& answer) {
  Json json;
  json["schema"] = "defused.abort/v1";
  json["connection"] = answer.connection.kernel_dev;
  json["pid_namespaces"] = Json::array();
  for (const NamespaceId id : answer.pid_namespaces) json["pid_namespaces"].push_back(id.inode);
  json["gates"] = Json::array();
  for (const GateInWords& gate : answer.gates) {
    Json one;
    one["pid_namespace"] = gate.pid_namespace.inode;
    one["gate"] = to_string(gate.gate);
    one["looks_at"] = gate.looks_at;
    one["why"] = gate.why;
    json["gates"].push_back(one);
  }
  json["outcome"] = nullptr;
  if (answer.outcome) {
    json["outcome"] = {{"outcome", to_string(answer.outcome->outcome)},
                       {"pid_namespace", answer.outcome->pid_namespace.inode},
                       {"detail", answer.outcome->detail}};
  }
  json["exit_code"] = answer.exit_code;
  json["exit"] = word_of(answer.exit_code);
  constexpr int kIndent = 2;
  return json.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace defused
