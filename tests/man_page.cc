// SPDX-License-Identifier: Apache-2.0
#include "man_page.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "temporary_directory.h"

namespace defused {

std::string as_scdoc(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '*' || c == '_') out += '\\';
    out += c;
  }
  return out;
}

std::string markdown_as_scdoc(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.front() == '`' ? text.find('`', 1) : std::string_view::npos;
    const std::size_t words = text.front() == '[' ? text.find("](") : std::string_view::npos;
    const std::size_t link = words == std::string_view::npos ? words : text.find(')', words);
    if (end != std::string_view::npos) {
      out += "*" + as_scdoc(text.substr(1, end - 1)) + "*";
      text.remove_prefix(end + 1);
    } else if (link != std::string_view::npos) {
      out += as_scdoc(text.substr(1, words - 1));
      text.remove_prefix(link + 1);
    } else {
      out += as_scdoc(text.substr(0, 1));
      text.remove_prefix(1);
    }
  }
  return out;
}

void check_man_page(const std::string& path, const std::string& name, const std::string& program,
                    const std::string& body) {
  const std::string begin = "; " + name + ": written by " + program + "\n";
  std::string page = read_whole(path);
  const std::size_t first = page.find(begin);
  const std::size_t last = page.find("; end of " + name + "\n");
  REQUIRE(first != std::string::npos);
  REQUIRE(last != std::string::npos);
  const std::size_t from = first + begin.size();
  if (std::getenv("DEFUSED_WRITE_DOCS") != nullptr) {
    page.replace(from, last - from, body);
    std::ofstream(path) << page;
  } else {
    INFO("write it with DEFUSED_WRITE_DOCS=1 ./build/" + program);
    CHECK(page.substr(from, last - from) == body);
  }
}

}  // namespace defused
