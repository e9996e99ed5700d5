// SPDX-License-Identifier: Apache-2.0
// `defused replay FILE`: what scan or explain would have said there and then.
#include <unistd.h>

#include "daemon/blocked_signals.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/configuration.h"
#include "daemon/exit_codes.h"
#include "daemon/one_shot.h"
#include "daemon/render_table.h"
#include "daemon/replay_capture.h"
#include "daemon/replay_difference.h"
#include "daemon/terminal.h"
#include "daemon/text_page.h"
#include "model/codec.h"
#include "model/sentences.h"

namespace defused {

namespace {

constexpr int kJsonIndent = 2;

Result<Settings> settings_of(const ReplayOptions& options, const Captured& captured) {
  if (options.config) return load_settings(options.config);
  auto settings = captured_settings(captured);
  if (!settings) return prepend(options.file, settings.error());
  return settings;
}

std::string describe(const Captured& captured) {
  if (!captured.about) return "A tree that does not say what it is a capture of.";
  const CaptureAbout& about = *captured.about;
  const std::string of = about.host.empty() ? std::string("an unnamed host") : about.host;
  const std::string at = about.time == Nanoseconds(0) ? std::string() : " at " + format_wall_time(about.time);
  if (about.evidence) return "Evidence of an action on " + of + at + ".";
  return "Capture of " + of + at + " by defused " + about.version + (about.all ? ", of all processes" : "") +
         (about.redacted ? ", redacted" : "") + ".";
}

// A newer version may see more, and a configuration may ask for other things; a person should know.
void tell_difference(const ReplayOptions& options, const Captured& captured, const Report& report) {
  if (captured.report.empty() || options.config) return;
  const std::string difference = find_difference(captured.report, report);
  if (!difference.empty()) {
    complain("the report in it said something else than this version does: " + difference, "replay");
  }
}

// What a report rests on may be among it.
void tell_left_out(const Captured& captured) {
  if (captured.left_out == 0) return;
  complain(count_of(captured.left_out, "reading", "readings") + " did not fit into it when it was made", "replay");
}

struct Shown {
  PassResult pass;
  Mode configured = Mode::observe;
  ExposeSource expose = ExposeSource::redacted;
};

int show(const ReplayOptions& options, const Captured& captured, const Shown& shown) {
  if (options.explain) return print_explanation(shown.pass, shown.configured, shown.expose, options.json);
  const Report& report = shown.pass.report;
  const int code = has_diagnosis(report) ? kExitOk : kExitFailure;
  if (options.json) return print(render_report_json(report, shown.expose, kJsonIndent) + "\n", code);
  const Screen screen = look_at_screen(STDOUT_FILENO);
  return print(wrap_text(describe(captured), text_width(screen, std::string::npos), 0, 2) +
                   render_table(report, shown.expose, screen),
               code);
}

// "all" is what a person types for it.
Result<std::optional<Subject>> subject_of(const ReplayOptions& options) {
  if (!options.explain) return std::optional<Subject>();
  auto subject = parse_subject(*options.explain == "all" ? std::string() : *options.explain);
  if (!subject) return Failure(subject.error());
  return std::optional<Subject>(*std::move(subject));
}

}  // namespace

int replay_command(const ReplayOptions& options) {
  const auto subject = subject_of(options);
  if (!subject) return refuse_word("replay", "--explain: " + subject.error().message);
  auto captured = read_captured(options.file);
  if (!captured) return refuse(exit_code_of_file(captured.error()), captured.error().message);
  const auto settings = settings_of(options, *captured);
  if (!settings) return refuse(kExitUsage, settings.error().message);
  // As scan and explain do.
  ReplayWish wish{for_one_look(*settings, options.explain ? Mode::dry_run : Mode::observe), *subject, {}};
  Result<PassResult> pass = fail(ErrorKind::io, "");
  {
    BlockedSignals held;
    wish.stop = [&held] { return held.came(); };
    pass = replay_captured(*captured, wish);
  }
  if (!pass) return refuse(exit_code_of_file(pass.error()), options.file + ": " + pass.error().message);
  tell_left_out(*captured);
  tell_difference(options, *captured, pass->report);
  return show(options, *captured, {*std::move(pass), settings->policy.mode, settings->expose_source});
}

}  // namespace defused
