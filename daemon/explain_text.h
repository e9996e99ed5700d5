// SPDX-License-Identifier: Apache-2.0
// `defused explain` in words: what X is, what holds it, the lines that this rests on, what is not known, what the
// policy would do, and what a person can type. Pure: text from one PassResult. Strings in it are sanitised already.
#pragma once

#include <string>
#include <vector>

#include "daemon/terminal.h"
#include "model/codec.h"
#include "model/history.h"
#include "model/settings.h"

namespace defused {

struct ExplainInput {
  const PassResult& pass;
  Mode configured = Mode::observe;  ///< what the operator set; the gates were asked as in dry_run
  std::vector<GateInWords> gates;   ///< of every decision in the report, in words
  ExposeSource expose = ExposeSource::redacted;
  Screen screen = {};  ///< what the text is for; none: as a document, 100 columns wide
};

/// The whole text. Ends with a newline.
std::string render_explanation(const ExplainInput& input);

/// The report reduced to what concerns the only reading of the subject, or to nothing.
Report reduce_to_subject(const PassResult& pass);

}  // namespace defused
