// SPDX-License-Identifier: Apache-2.0
// The published schema of `defused.report/v1`, as it was when the program was built: it fits the reports that this very
// program makes, and does not refuse what a later one may add. Constant, any thread.
#pragma once

#include <string_view>

namespace defused {

/// config/defused.report.schema.json, JSON Schema 2020-12, with a newline at its end.
std::string_view report_schema_json();

}  // namespace defused
