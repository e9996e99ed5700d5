// SPDX-License-Identifier: Apache-2.0
// defused-audit-samples: a JSON object with "records" (every kind of audit record) and "words" (those of the code, by
// the names that the published schema has for them). schema_test.py compares both with the schema.
#include <iostream>
#include <nlohmann/json.hpp>

#include "audit_samples.h"
#include "model/words.h"

namespace {

using nlohmann::json;

template <typename Word>
json words() {
  json out = json::array();
  for (const Word word : defused::AllWords<Word>::values) out.push_back(std::string(to_string(word)));
  return out;
}

json error_kinds() {
  using defused::ErrorKind;
  json out = json::array();
  for (const ErrorKind kind : {ErrorKind::gone, ErrorKind::denied, ErrorKind::timeout, ErrorKind::malformed,
                               ErrorKind::unsupported, ErrorKind::io}) {
    out.push_back(std::string(to_string(kind)));
  }
  return out;
}

}  // namespace

int main() {
  json out;
  for (const std::string& record : defused::make_audit_samples()) out["records"].push_back(json::parse(record));
  out["words"] = {{"action", words<defused::Action>()},
                  {"attribution", words<defused::Attribution>()},
                  {"breaker_cause", words<defused::BreakerCause>()},
                  {"dying_state", words<defused::DyingState>()},
                  {"error_kind", error_kinds()},
                  {"evidence", words<defused::Evidence>()},
                  {"gate", words<defused::Gate>()},
                  {"mode", words<defused::Mode>()},
                  {"outcome", words<defused::Outcome>()},
                  {"server_state", words<defused::ServerState>()},
                  {"verdict", words<defused::Verdict>()},
                  {"wait_class", words<defused::WaitClass>()},
                  {"witness", words<defused::Witness>()}};
  std::cout << out.dump() << "\n";
  return 0;
}
