// SPDX-License-Identifier: Apache-2.0
#include "daemon/terminal.h"

#include <catch2/catch.hpp>

#include "daemon/text_page.h"

using namespace defused;

namespace {

TerminalFacts terminal() {
  TerminalFacts facts;
  facts.is_terminal = true;
  facts.columns = 100;
  facts.term = "xterm-256color";
  return facts;
}

}  // namespace

TEST_CASE("where it is no terminal, nothing of it matters") {
  TerminalFacts facts = terminal();
  facts.is_terminal = false;
  facts.columns_variable = "60";
  const Screen screen = judge_screen(facts);
  CHECK(screen.width == 0);
  CHECK_FALSE(screen.colours);
  CHECK(text_width(screen, 80) == 80);
  CHECK(paint("stuck", Tone::bad, screen) == "stuck");
}

TEST_CASE("the width is the terminal's; COLUMNS only where it does not know its own") {
  TerminalFacts facts = terminal();
  facts.columns_variable = "60";
  CHECK(judge_screen(facts).width == 100);
  facts.columns = 0;
  CHECK(judge_screen(facts).width == 60);
  for (const char* nonsense : {"", "-1", "wide", "0", "99999999999999999999999"}) {
    facts.columns_variable = nonsense;
    CHECK(judge_screen(facts).width == 80);
  }
  facts.columns_variable.reset();
  CHECK(judge_screen(facts).width == 80);
  facts.columns = 7;
  CHECK(judge_screen(facts).width == 40);
  facts.columns = 300;
  CHECK(judge_screen(facts).width == 300);
  CHECK(text_width(judge_screen(facts), 80) == 120);
}

TEST_CASE("NO_COLOR and TERM") {
  TerminalFacts facts = terminal();
  CHECK(judge_screen(facts).colours);
  facts.no_color = "";
  CHECK(judge_screen(facts).colours);  // no-color.org: present and not empty
  facts.no_color = "0";
  CHECK_FALSE(judge_screen(facts).colours);
  facts.no_color.reset();
  for (const char* term : {"dumb", ""}) {
    facts.term = term;
    CHECK_FALSE(judge_screen(facts).colours);
  }
  facts.term.reset();
  CHECK_FALSE(judge_screen(facts).colours);
}

TEST_CASE("each line is painted by itself, and ends without colour") {
  const Screen screen{80, true};
  CHECK(paint("a\nb", Tone::good, screen) == "\033[32ma\033[0m\n\033[32mb\033[0m");
}

TEST_CASE("columns of text") {
  CHECK(count_columns("") == 0);
  CHECK(count_columns("abc") == 3);
  CHECK(count_columns("\xC3\xA4") == 1);                  // one letter, two bytes
  CHECK(count_columns("\xE6\xBC\xA2\xE5\xAD\x97") == 4);  // two wide ones
  CHECK(count_columns("e\xCC\x81") == 1);                 // a letter and its accent
  CHECK(count_columns("\xF0\x9F\x94\xA5") == 2);
  CHECK(count_columns("\xE6") == 1);  // cut short: no read beyond it
}

TEST_CASE("sentences are wrapped at the screen, or at 100 columns; commands never") {
  const std::string words = "aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii jjjj";
  TextPage narrow(Screen{40, false});
  narrow.title(words);
  narrow.command(words);
  CHECK(narrow.text() == "aaaa bbbb cccc dddd eeee ffff gggg hhhh\niiii jjjj\n        # " + words + "\n");
  TextPage document;
  document.title(words + " " + words + " end");
  CHECK(document.text() == words + " " + words + "\nend\n");
  TextPage coloured(Screen{40, true});
  coloured.heading("Why");
  CHECK(coloured.text() == "\n  \033[1mWhy\033[0m\n");
}
