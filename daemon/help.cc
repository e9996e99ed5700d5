// SPDX-License-Identifier: Apache-2.0
#include "daemon/help.h"

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "daemon/command_texts.h"
#include "daemon/text_page.h"

namespace defused {

namespace {

constexpr std::size_t kWidthWithoutScreen = 80;
constexpr std::size_t kHelpIndent = 2;
constexpr std::size_t kDeepIndent = 6;
constexpr std::size_t kGap = 2;
constexpr std::size_t kWidestTerm = 28;    // a longer one has its text below it
constexpr std::size_t kLeastForText = 30;  // columns: with less beside the term, all texts stand below

// wrap_text() lets a word stand that is longer than a line; here it is broken.
std::string break_words(std::string_view text, std::size_t longest) {
  std::string out;
  std::size_t in_word = 0;
  for (const char c : text) {
    in_word = c == ' ' ? 0 : in_word + 1;
    if (in_word > longest) {
      out += ' ';
      in_word = 1;
    }
    out += c;
  }
  return out;
}

struct Entry {
  std::string term;
  std::string text;
};

class HelpPage {
 public:
  explicit HelpPage(const Screen& screen) : screen_(screen), width_(text_width(screen, kWidthWithoutScreen)) {}

  void heading(std::string_view text) {
    out_ += out_.empty() ? "" : "\n";
    out_ += paint(text, Tone::heading, screen_) + "\n";
  }

  void say(std::string_view text, std::size_t indent) { hang(text, indent, indent); }

  // What is typed: its continuation is indented, so that it is seen to be one.
  void type(std::string_view text, std::size_t indent) { hang(text, indent, indent + 4); }

  void list(const std::vector<Entry>& entries) {
    std::size_t widest = 0;
    for (const Entry& entry : entries) {
      if (entry.term.size() <= kWidestTerm) widest = std::max(widest, entry.term.size());
    }
    const std::size_t column = kHelpIndent + widest + kGap;
    const bool beside = column + kLeastForText <= width_;
    for (const Entry& entry : entries) add(entry, beside ? column : kDeepIndent, beside);
  }

  [[nodiscard]] const std::string& text() const { return out_; }

 private:
  void hang(std::string_view text, std::size_t first, std::size_t indent) {
    out_ += wrap_text(break_words(text, width_ - indent), width_, first, indent);
  }

  void add(const Entry& entry, std::size_t column, bool beside) {
    const std::string text = wrap_text(break_words(entry.text, width_ - column), width_, column, column);
    if (!beside || kHelpIndent + entry.term.size() + kGap > column) {
      type(entry.term, kHelpIndent);
      if (!entry.text.empty()) out_ += text;
      return;
    }
    out_ += std::string(kHelpIndent, ' ') + entry.term;
    out_ += text.substr(kHelpIndent + entry.term.size());
  }

  Screen screen_;
  std::size_t width_;
  std::string out_;
};

std::string call_of(const CommandDescription& command) {
  return command.name.empty() ? "defused" : "defused " + command.name;
}

std::string usage_of(const CommandDescription& command) {
  std::string usage = call_of(command);
  if (!command.commands.empty()) usage += " COMMAND";
  if (command.options.size() > 1 || command.name.empty()) usage += " [OPTIONS]";
  for (const OptionDescription& argument : command.arguments) {
    const std::string word = argument.names.front() + (argument.repeatable ? ".." : "");
    usage += argument.required ? " " + word : " [" + word + "]";
  }
  return usage;
}

std::vector<Entry> entries_of(const std::vector<OptionDescription>& options) {
  std::vector<Entry> out;
  out.reserve(options.size());
  for (const OptionDescription& option : options) {
    Entry entry;
    for (const std::string& name : option.names) entry.term += (entry.term.empty() ? "" : ", ") + name;
    if (!option.value.empty()) entry.term += " " + option.value;
    entry.text = option.text;
    if (!option.default_value.empty()) entry.text += " (default: " + option.default_value + ")";
    out.push_back(entry);
  }
  return out;
}

std::vector<Entry> entries_of(const std::vector<ExitCode>& codes) {
  std::vector<Entry> out;
  out.reserve(codes.size());
  for (const ExitCode& exit : codes) out.push_back({std::to_string(exit.code), std::string(exit.meaning)});
  return out;
}

void add_commands(HelpPage& page, const CommandDescription& command) {
  std::vector<std::string> groups;
  for (const CommandDescription& below : command.commands) {
    if (std::find(groups.begin(), groups.end(), below.group) == groups.end()) groups.push_back(below.group);
  }
  for (const std::string& group : groups) {
    page.heading(group.empty() ? "Commands" : group);
    std::vector<Entry> entries;
    for (const CommandDescription& below : command.commands) {
      if (below.group == group) entries.push_back({below.name.substr(below.name.rfind(' ') + 1), below.summary});
    }
    page.list(entries);
  }
}

void add_program(HelpPage& page) {
  page.heading("Examples");
  for (const Example& example : first_examples()) {
    page.type(example.command, kHelpIndent);
    page.say(example.shows, kDeepIndent);
  }
  page.heading("Exit codes");
  std::vector<ExitCode> codes;
  std::string of_check = "Of `check`, as monitoring expects them:";
  for (const ExitCode& exit : exit_codes()) {
    if (exit.commands == "check") {
      of_check += (of_check.back() == ':' ? " " : ", ") + std::to_string(exit.code) + " " + std::string(exit.word);
    } else {
      codes.push_back(exit);
    }
  }
  page.list(entries_of(codes));
  page.say(of_check + ".", kHelpIndent);
  page.heading("Manual");
  page.say(
      "`defused COMMAND --help` for each command; man 8 defused; the documents in share/doc/defused, OPERATING.md "
      "first.",
      kHelpIndent);
}

void add_command(HelpPage& page, const CommandDescription& command) {
  if (!command.example.empty()) {
    page.heading("Example");
    page.type(command.example, kHelpIndent);
    page.say(command.shows, kDeepIndent);
  }
  page.heading("Exit codes");
  page.list(entries_of(command.exit_codes));
  if (command.see_also.empty()) return;
  page.heading("See also");
  std::string all;
  for (const std::string& one : command.see_also) {
    const bool document = one.find(".md") != std::string::npos;
    all += (all.empty() ? "" : ", ") + (document ? one : "defused " + one);
  }
  page.say(all, kHelpIndent);
}

}  // namespace

std::string render_help(const CommandDescription& command, const Screen& screen) {
  HelpPage page(screen);
  page.say(command.about, 0);
  page.heading("Usage");
  page.type(usage_of(command), kHelpIndent);
  add_commands(page, command);
  if (!command.arguments.empty()) {
    page.heading("Arguments");
    page.list(entries_of(command.arguments));
  }
  page.heading("Options");
  page.list(entries_of(command.options));
  if (command.name.empty()) {
    add_program(page);
  } else {
    add_command(page, command);
  }
  return page.text();
}

}  // namespace defused
