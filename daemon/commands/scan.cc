// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/exit_codes.h"
#include "daemon/render_table.h"
#include "daemon/terminal.h"
#include "model/codec.h"

namespace defused {

int scan_command(const ScanOptions& options) {
  const auto taken = take_look("scan", options, Mode::observe, {});
  if (const int* code = std::get_if<int>(&taken)) return *code;
  const Look& look = std::get<Look>(taken);
  constexpr int kIndent = 2;
  return print(options.json
                   ? render_report_json(look.pass.report, look.settings.expose_source, kIndent) + "\n"
                   : render_table(look.pass.report, look.settings.expose_source, look_at_screen(STDOUT_FILENO)),
               has_diagnosis(look.pass.report) ? kExitOk : kExitFailure);
}

}  // namespace defused
