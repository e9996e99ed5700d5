// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/connections_table.h"
#include "daemon/exit_codes.h"
#include "daemon/terminal.h"
#include "model/codec.h"

namespace defused {

int connections_command(const ConnectionsOptions& options) {
  Wish wish;
  wish.whole_index = true;
  auto taken = take_look("connections", options.look, Mode::observe, wish);
  if (const int* code = std::get_if<int>(&taken)) return *code;
  Look& look = std::get<Look>(taken);
  sort_connections(look.pass.report.findings.connections);
  constexpr int kIndent = 2;
  return print(options.look.json
                   ? render_connections_json(look.pass.report, look.settings.expose_source, kIndent) + "\n"
                   : render_connections(look.pass.report, look.settings.expose_source, look_at_screen(STDOUT_FILENO)),
               has_diagnosis(look.pass.report) ? kExitOk : kExitFailure);
}

}  // namespace defused
