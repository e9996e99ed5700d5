// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/exit_codes.h"
#include "daemon/explain_text.h"
#include "daemon/terminal.h"

namespace defused {

namespace {

int exit_code(const SubjectFinding& subject) {
  if (subject.readings.empty()) return kExitNothingThere;
  return subject.reading_count > 1 ? kExitUsage : kExitOk;
}

}  // namespace

int explain_command(const ExplainOptions& options) {
  const auto subject = parse_subject(options.subject);
  if (!subject) return refuse_word("explain", subject.error().message);
  Wish wish;
  wish.subject = *subject;
  // dry_run: the gates beyond `mode` are asked too, and nothing can be written.
  const auto taken = take_look("explain", options.look, Mode::dry_run, wish);
  if (const int* code = std::get_if<int>(&taken)) return *code;
  const Look& look = std::get<Look>(taken);
  return print_explanation(look.pass, look.settings.policy.mode, look.settings.expose_source, options.look.json);
}

int print_explanation(const PassResult& pass, Mode configured, ExposeSource expose, bool json) {
  if (!pass.subject) return refuse(kExitFailure, "the prober ended before it had looked for what was asked");
  const int code = has_diagnosis(pass.report) ? exit_code(*pass.subject) : kExitFailure;
  const ExplainInput input{pass, configured, put_in_words(pass.report.decisions), expose,
                           look_at_screen(STDOUT_FILENO)};
  if (!json) return print(render_explanation(input), code);
  constexpr int kIndent = 2;
  const Report concerned = reduce_to_subject(pass);
  const std::string text =
      render_subject_json(*pass.subject, concerned, put_in_words(concerned.decisions), configured, expose, kIndent);
  return print(text + "\n", code);
}

}  // namespace defused
