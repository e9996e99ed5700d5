// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/html.h"

#include <catch2/catch.hpp>

#include "page_tree.h"

using namespace defused;

TEST_CASE("what would be markup becomes text") {
  CHECK(escape_html("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#39;");
  CHECK(escape_html("plain \\ text, \xC3\xA9\xE2\x9C\x95") == "plain \\ text, \xC3\xA9\xE2\x9C\x95");
  CHECK(escape_html("").empty());
}

TEST_CASE("what is not seen, turns the writing round or is not UTF-8 is told by its bytes") {
  CHECK(escape_html("a\xE2\x80\xAE"
                    "b") == "a\\xe2\\x80\\xaeb");
  CHECK(escape_html("\xE2\x80\x8B<\xEF\xBB\xBF") == "\\xe2\\x80\\x8b&lt;\\xef\\xbb\\xbf");
  CHECK(escape_html("\xE2\x80\x94\xE2\x80\xA6\xD8\x9D") == "\xE2\x80\x94\xE2\x80\xA6\xD8\x9D");
  CHECK(escape_html("\u00ae\u3163\u6f22\ufffd\U0001f600") == "\u00ae\u3163\u6f22\ufffd\U0001f600");
  CHECK(escape_html("x\xFF\x1B\n\xE2\x80") == "x\\xff\\x1b\\x0a\\xe2\\x80");
}

TEST_CASE("elements close in the reverse order of their opening") {
  Html html;
  {
    const Html::Element root = html.open("html", {{"lang", "e\"n"}});
    const Html::Element body = html.open("body");
    html.leaf("bdi", "<x>");
    html.single("br");
    html.prose("say `a<b` and ` alone");
  }
  CHECK(html.written() ==
        "<!doctype html>\n<html lang=\"e&quot;n\"><body><bdi>&lt;x&gt;</bdi><br>"
        "say <code>a&lt;b</code> and ` alone</body></html>");
}

TEST_CASE("the reader of pages refuses what a browser would mend") {
  const std::string begin = "<!doctype html>\n<html><body>";
  const std::string end = "</body></html>";
  CHECK_NOTHROW(test::parse_page(begin + "<p id=\"a\">x<br>&lt;</p><a href=\"#a\">y</a>" + end));
  for (const char* wrong : {"<p>", "</p>", "<p><div></div></p>", "<b><i></b></i>", "a > b", "a & b", "&nbsp;",
                            "<p id=x></p>", "<p id=\"a\" id=\"b\"></p>", "<p id=\"a\"></p><p id=\"a\"></p>",
                            "<a href=\"#none\">x</a>", "<p aria-labelledby=\"none\"></p>", "<li>x</li>",
                            "<ul><p>x</p></ul>", "<table><tr></tr></table>", "< p></p>"}) {
    CAPTURE(wrong);
    CHECK_THROWS(test::parse_page(begin + wrong + end));
  }
  CHECK_THROWS(test::parse_page("<html></html>"));
  CHECK_THROWS(test::parse_page(begin + "</body>"));
}
