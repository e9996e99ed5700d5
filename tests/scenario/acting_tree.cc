// SPDX-License-Identifier: Apache-2.0
#include "acting_tree.h"

#include <nlohmann/json.hpp>

namespace defused {

std::vector<AuditLine> audit_records(const Tree& tree) {
  std::vector<AuditLine> records;
  std::ifstream in(tree.state() / AuditFile::kName);
  for (std::string line; std::getline(in, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record["record"] == "decision") continue;
    records.push_back({record["record"], record.value("outcome", ""), record.value("intent_time", ""), line});
  }
  return records;
}

}  // namespace defused
