// SPDX-License-Identifier: Apache-2.0
#include "model/subject.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::array<std::pair<std::string_view, SubjectKind>, 4> kForms = {{
    {"pid", SubjectKind::process},
    {"namespace", SubjectKind::pid_namespace},
    {"container", SubjectKind::container},
    {"connection", SubjectKind::connection},
}};

// Ids are hexadecimal; LXC and nspawn have names.
bool may_be_id(std::string_view text) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";
  return !text.empty() && text.size() <= 256 && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

Result<Subject> parse_subject(const std::string& text) {
  Subject subject;
  if (text.empty() || text == "everything") return subject;
  const auto bad = [&](const std::string& why) {
    return fail(ErrorKind::malformed, "'" + sanitize(text, 64) + "': " + why);
  };
  const std::size_t colon = text.find(':');
  subject.kind = SubjectKind::any;
  subject.text = text;
  if (colon != std::string::npos) {
    const std::string_view form = std::string_view(text).substr(0, colon);
    const auto* const known =
        std::find_if(kForms.begin(), kForms.end(), [&](const auto& candidate) { return candidate.first == form; });
    if (known == kForms.end()) return bad("expected pid:N, namespace:N, container:ID or connection:N");
    subject.kind = known->second;
    subject.text = text.substr(colon + 1);
  }
  const auto number = parse_u64(subject.text);
  if (number) subject.number = *number;
  const bool needs_number = subject.kind != SubjectKind::any && subject.kind != SubjectKind::container;
  if (needs_number && !subject.number) return bad("a number is expected behind the colon");
  if (!may_be_id(subject.text)) return bad("neither a number nor a container id");
  return subject;
}

std::string describe_subject(const Subject& subject) {
  if (subject.kind == SubjectKind::everything) return "everything";
  for (const auto& [form, kind] : kForms) {
    if (kind == subject.kind) return std::string(form) + ":" + subject.text;
  }
  return subject.text;
}

}  // namespace defused
