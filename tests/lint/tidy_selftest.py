# SPDX-License-Identifier: Apache-2.0
"""Feeds the tidy test small bad trees and sees it complain, and a good one and sees it silent."""
import pathlib
import tempfile
import unittest
import unittest.mock

import tidy
from cpp_source import find_functions

SPDX_CC = "// SPDX-License-Identifier: Apache-2.0\n"
SPDX_CMAKE = "# SPDX-License-Identifier: Apache-2.0\n"
GOOD_HEADER = SPDX_CC + "// Thing: what it is, in a sentence.\n#pragma once\n"
GOOD_TREE = {
    "CMakeLists.txt": SPDX_CMAKE + "add_subdirectory(lib)\n",
    "lib/base/CMakeLists.txt": SPDX_CMAKE + "defused_module(base SOURCES thing.cc)\n",
    "lib/base/thing.cc": SPDX_CC + "int f() { return 1; }\n",
    "lib/base/thing.h": GOOD_HEADER,
}


def findings_of(**changes):
    """What tidy says of the good tree with `changes` (path -> text, None removes)."""
    return findings_of_tree({**GOOD_TREE, **changes})


def findings_of_tree(tree):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for path, text in tree.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return tidy.tidy(root)


def with_code(code, path="lib/base/thing.cc"):
    tree = dict(GOOD_TREE)
    tree[path] = SPDX_CC + code + "\n"
    where = pathlib.PurePath(path)
    tree[f"{where.parent}/CMakeLists.txt"] = SPDX_CMAKE + f"defused_module(m SOURCES {where.name} thing.cc)\n"
    return findings_of_tree(tree)


class Silent(unittest.TestCase):
    def test_good_tree(self):
        self.assertEqual(findings_of(), [])

    def test_words_in_comments_strings_and_longer_names(self):
        code = """
// system("x") and std::stoi are named here only
/* atoi(x) */ const char* text = "popen(1) \\" std::filesystem"; auto raw = R"x(strtol( " )x"; char c = '"';
int g() { return my_system(1) + object.system(2) + pointer->sync(3) + 1'000; }
"""
        self.assertEqual(with_code(code), [])

    def test_daemon_may_write_to_the_console(self):
        self.assertEqual(with_code('void f() { std::cout << "x"; }', "daemon/say.cc"), [])

    def test_own_directory_called_prometheus(self):
        self.assertEqual(with_code('#include "exporters/prometheus/render.h"', "lib/base/thing.cc"), [])


class Complains(unittest.TestCase):
    def one(self, findings, *words):
        self.assertEqual(len(findings), 1, findings)
        for word in words:
            self.assertIn(word, findings[0])

    def test_calls(self):
        calls = ("std::stoi(s)", "atoi(s)", "strtol(s, 0, 10)", 'system("x")', "::system(x)", "popen(c, m)", "sync()",
                 "std::filesystem::exists(p)", "std::this_thread::sleep_for(x)", "usleep(1)", "sleep(1)", 'getenv("X")')
        for call in calls:
            self.one(with_code(f"void f() {{ {call}; }}"), "lib/base/thing.cc:2", "banned call")

    def test_console_outside_daemon(self):
        self.one(with_code('void f() { std::cout << "x"; }'), "only daemon/")
        self.one(with_code('void f() { printf("x"); }'), "only daemon/")

    def test_slow_header_in_a_header(self):
        for header in ("<nlohmann/json.hpp>", "<spdlog/spdlog.h>", "<microhttpd.h>"):
            self.one(findings_of(**{"lib/base/thing.h": GOOD_HEADER + f"#include {header}\n"}), "in a header")

    def test_prometheus_elsewhere(self):
        self.one(with_code("#include <prometheus/registry.h>"), "outside exporters/prometheus")
        self.assertEqual(with_code("#include <prometheus/registry.h>", "exporters/prometheus/render.cc"), [])

    def test_system_header_in_pure_module(self):
        for header in ("unistd.h", "sys/stat.h", "fstream"):
            for module in ("detect", "policy"):
                self.one(with_code(f"#include <{header}>", f"lib/{module}/judge.cc"), "are pure")
        self.assertEqual(with_code('#include <vector>\n#include "model/report.h"', "lib/detect/judge.cc"), [])

    def test_no_spdx(self):
        self.one(findings_of(**{"lib/base/thing.cc": "int f();\n"}), "SPDX")
        self.one(findings_of(**{"lib/base/CMakeLists.txt": "defused_module(base SOURCES thing.cc)\n"}), "SPDX")

    def test_header_says_nothing(self):
        self.one(findings_of(**{"lib/base/thing.h": SPDX_CC + "#pragma once\n"}), "what it is")
        self.one(findings_of(**{"lib/base/thing.h": SPDX_CC + "// Thing: what it is, in a sentence.\n"}), "#pragma once")

    def test_file_that_nobody_compiles(self):
        self.one(findings_of(**{"lib/base/lost.cc": SPDX_CC}), "lib/base/lost.cc", "nobody compiles")
        self.one(findings_of(**{"lib/base/ing.cc": SPDX_CC}), "nobody compiles")  # part of another name
        commented = SPDX_CMAKE + "defused_module(base SOURCES thing.cc) # lost.cc\n"
        self.one(findings_of(**{"lib/base/CMakeLists.txt": commented, "lib/base/lost.cc": SPDX_CC}), "nobody compiles")

    def test_glob(self):
        text = GOOD_TREE["CMakeLists.txt"] + "file(GLOB all *.cc)\n"
        self.one(findings_of(**{"CMakeLists.txt": text}), "GLOB")

    def test_top_level(self):
        self.one(findings_of(**{"scripts/x.sh": "true\n"}), "scripts", "top-level")

    def test_vague_names(self):
        for name in ("util", "string_utils", "misc", "test_helpers"):
            self.one(findings_of(**{f"lib/base/{name}.h": GOOD_HEADER}), "says nothing")

    def test_long_file(self):
        self.one(with_code("//\n" * 400), "more than 400")
        self.assertEqual(with_code("//\n" * 400, "tests/unit/x_test.cc"), [])
        self.one(with_code("//\n" * 600, "tests/unit/x_test.cc"), "more than 600")

    def test_long_function(self):
        body = "  x += 1;\n" * 59
        self.assertEqual(with_code("int f() {\n" + body[:-1] + "}"), [])
        self.one(with_code("int f() {\n" + body + "}"), "thing.cc:2", "function f has 61 lines")
        self.one(with_code("namespace a {\nstruct B {\n int g() const {\n" + body + "}\n};\n}"), "function g")
        self.one(with_code("B::B(int x) : a_{x},\n  b_{1} {\n" + body + "}"), "function B::B has 62 lines")
        self.one(findings_of(**{"tests/x.py": SPDX_CMAKE + "def f():\n" + "    pass\n" * 60}), "function f")

    def test_named_exceptions(self):
        code = "int f() {\n" + "  x += 1;\n" * 60 + "}"
        with unittest.mock.patch.dict(tidy.LENGTH_EXCEPTIONS, {"lib/base/thing.cc:f": "because"}):
            self.assertEqual(with_code(code), [])


class Functions(unittest.TestCase):
    def test_what_is_one(self):
        code = """namespace n {
constexpr std::array<int, 2> kTable = {f(1), f(2)};
const auto kValues = [] { return 1; }();
enum class E { a, b };
std::vector<std::string> names() {
  if (x) { y(); }
  return {};
}
struct S {
  S(const S&) = delete;
  int one{1};
  bool operator==(const S&) const { return true; }
  [[nodiscard]] int get() const { return one; }
};
template <typename T> requires std::integral<T> auto twice(T value) -> T { return value + value; }
}  // namespace n
"""
        found = [(name, first, last) for name, first, last in find_functions(code)]
        self.assertEqual(found, [("names", 5, 8), ("operator==", 12, 12), ("get", 13, 13), ("twice", 15, 15)])


if __name__ == "__main__":
    unittest.main()
