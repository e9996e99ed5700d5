// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <utility>

#include "base/text.h"
#include "daemon/capabilities.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/operator.h"
#include "daemon/configuration.h"
#include "daemon/describe.h"
#include "daemon/exit_codes.h"
#include "daemon/listeners.h"
#include "daemon/spawn.h"
#include "daemon/start_checks.h"
#include "daemon/supervisor.h"
#include "daemon/web_service.h"
#include "settings/settings_file.h"
#include "settings/text_rules.h"

namespace defused {

namespace {

// A shell's user names a file from where he is; "" is none.
std::string from_here(std::string path) {
  if (path.empty() || path.front() == '/') return path;
  while (path.compare(0, 2, "./") == 0) path.erase(0, 2);
  const std::unique_ptr<char, decltype(&free)> directory(getcwd(nullptr, 0), &free);
  return directory ? std::string(directory.get()) + "/" + path : path;
}

Result<Settings> load(const RunOptions& options) {
  auto settings = load_settings(options.config);
  if (!settings) return settings;
  const TextRule address = listen_address_rule();
  for (const std::string& given : options.listen_addresses) {
    if (address.fits(given)) continue;
    return fail(ErrorKind::malformed, "--web.listen-address: expected " + std::string(address.expected) + ", got \"" +
                                          sanitize(given) + "\"");
  }
  if (!options.listen_addresses.empty()) settings->web.listen_addresses = options.listen_addresses;
  if (options.telemetry_path) {
    if (auto fits = check_text("web.telemetry_path", *options.telemetry_path); !fits)
      return prepend("--web.telemetry-path", fits.error());
    settings->web.telemetry_path = *options.telemetry_path;
  }
  if (options.web_config_file) {
    const std::string path = from_here(*options.web_config_file);
    if (auto fits = check_text("web.config_file", path); !fits) return prepend("--web.config.file", fits.error());
    settings->web.config_file = path;
  }
  return settings;
}

// One daemon for each runtime directory. The lock ends with the supervisor: no child holds the descriptor.
Result<UniqueFd> take_lock(const std::string& directory) {
  UniqueFd lock(open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail_errno(errno, "opening " + directory + "/lock");
  if (flock(lock.get(), LOCK_EX | LOCK_NB) < 0) return fail_errno(errno, "locking " + directory + "/lock");
  return lock;
}

Result<UniqueFd> open_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&wanted, number);
  sigprocmask(SIG_BLOCK, &wanted, nullptr);
  signal(SIGPIPE, SIG_IGN);
  UniqueFd signals(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "signalfd");
  return signals;
}

// What the mode needs: the sentence that says what is not there, or what the daemon sees less by.
Result<StartFindings> check_host(const Settings& settings) {
  StartFindings found = check_start(settings, read_host_facts(settings));
  if (found.impossible.empty()) return found;
  return fail(ErrorKind::denied, "mode " + std::string(to_string(settings.policy.mode)) +
                                     " is not possible here: " + join(found.impossible, "; "));
}

// For HUP. What is missing is told again where the mode is another one.
std::function<Result<Settings>()> make_reload(const RunOptions& options, const Settings& first, Logger& log) {
  return [options, mode = first.policy.mode, state = first.state_directory, &log]() mutable -> Result<Settings> {
    auto fresh = load(options);
    if (!fresh) return fresh;
    Settings checked = *fresh;
    checked.state_directory = state;  // another one is for the next start
    const auto host = check_host(checked);
    if (!host) return Failure(host.error());
    if (std::exchange(mode, fresh->policy.mode) != mode) {
      for (const std::string& warning : host->warnings) log.warn(warning);
    }
    return fresh;
  };
}

}  // namespace

int run_command(const RunOptions& options) {
  auto settings = load(options);
  if (!settings) return refuse(kExitUsage, settings.error().message);
  if (geteuid() != 0) return refuse(kExitNotPermitted, "run needs root: it reads what other users' processes wait for");
  auto web = load_web_service(*settings);
  if (!web) return refuse(kExitUsage, web.error().message);
  if (auto made = make_directory(settings->runtime_directory, 0755); !made)
    return refuse(kExitFailure, made.error().message);
  if (auto made = make_state_directory(*settings); !made) return refuse(kExitFailure, made.error().message);
  const auto lock = take_lock(settings->runtime_directory);
  if (!lock && lock.error().code == EWOULDBLOCK) {
    return refuse(kExitAlreadyRunning,
                  "another defused runs with the runtime directory " + settings->runtime_directory);
  }
  if (!lock) return refuse(kExitFailure, lock.error().message);
  const auto host = check_host(*settings);
  if (!host) return refuse(kExitNotPermitted, host.error().message);
  auto listeners = open_listeners(settings->web.listen_addresses);
  if (!listeners) return refuse(kExitAddress, listeners.error().message);
  auto signals = open_signals();
  if (!signals) return refuse(kExitFailure, signals.error().message);
  const auto self = open_self();
  if (!self) return refuse(kExitFailure, self.error().message);
  Logger log(settings->log, "supervisor");
  for (const std::string& warning : host->warnings) log.warn(warning);
  // What its children may have stays permitted: under NoNewPrivs, as in the unit, exec gives nothing back.
  if (auto kept = use_capabilities(capabilities_of_supervisor()); !kept) log.warn(kept.error().message);
  const int binary = self->get();
  const auto reload = make_reload(options, *settings, log);
  Supervisor supervisor(
      *std::move(settings), reload, *std::move(listeners), *std::move(web),
      [binary](const std::vector<std::string>& arguments) { return spawn_self(binary, arguments); },
      *std::move(signals), log);
  return supervisor.run();
}

}  // namespace defused
