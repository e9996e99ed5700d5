// SPDX-License-Identifier: Apache-2.0
// `defused config`: what `run` would say of a configuration, before a service is restarted with it; its schema;
// defaults.
#include <unistd.h>

#include "base/text.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/configuration.h"
#include "daemon/exit_codes.h"
#include "daemon/terminal.h"
#include "daemon/web_service.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

// What we may not read may be good: not the same as bad.
int refuse_config(const Error& error) {
  const bool denied = error.kind == ErrorKind::denied && geteuid() != 0;
  return refuse(denied ? kExitNotPermitted : kExitUsage, error.message);
}

int check_config(const std::optional<std::string>& file) {
  const bool defaults = !file && access(kDefaultConfig, F_OK) != 0;
  const auto settings = load_settings(file);
  if (!settings) return refuse_config(settings.error());
  const auto web = load_web_service(*settings);
  if (!web) return refuse_config(web.error());
  if (!web->warning.empty()) complain("warning: " + web->warning);
  if (defaults) return print("no configuration file, the defaults are used\n", kExitOk);
  constexpr std::size_t kMaxShown = 4096;  // of a path, in bytes
  return print(sanitize(file.value_or(kDefaultConfig), kMaxShown) + ": good\n", kExitOk);
}

}  // namespace

int config_command(const ConfigOptions& options) {
  switch (options.what) {
    case ConfigOptions::What::check: return check_config(options.file);
    case ConfigOptions::What::schema: return print(render_settings_schema(), kExitOk);
    case ConfigOptions::What::defaults: return print(render_default_settings(), kExitOk);
  }
  return kExitFailure;
}

}  // namespace defused
