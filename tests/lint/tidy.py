# SPDX-License-Identifier: Apache-2.0
"""The tidy test: rules of STYLE.md and DESIGN.md that no compiler checks. Prints one line per finding, `file:line: what`.

tidy.py [ROOT]   exit 0 where there is none, else 1. Each rule is one function `check_*`; tidy_selftest.py feeds each of
them bad samples.
"""
import ast
import pathlib
import re
import subprocess
import sys

from cpp_source import blank_comments_and_strings, find_functions

SPDX = "SPDX-License-Identifier: "
SOURCE_DIRECTORIES = ("daemon", "lib", "exporters", "tests")
PRODUCT_DIRECTORIES = ("daemon", "lib", "exporters")
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
MAX_TEST_FILE_LINES = 600

# "file" or "file:function" -> why it may be longer.
LENGTH_EXCEPTIONS = {
    "lib/settings/settings_table.cc:judging_keys": "one table of keys",
    "tests/unit/model/codec_test.cc:TEST_CASE": "every field is compared",
    "tests/unit/model/expose_source_test.cc:TEST_CASE": "one table of sources",
    "tests/unit/policy/decide_test.cc:one_gate_each": "one table of gates",
}

# DESIGN.md section 3 names the top level. cmake/ and CMakePresets.json are not in its drawing: presets have to lie here, and
# CMakeLists.txt would be long without the modules.
TOP_LEVEL = {
    *("CMakeLists.txt", "CMakePresets.json", "cmake", "daemon", "lib", "exporters", "config", "systemd", "tests", "docs"),
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "dev"),
}

# What product code may not call -> (why, files that may). Patterns see code without comments and strings.
BANNED_CALLS = {
    r"\b(?:std::)?(?:stoi|stol|stoll|stoul|stoull|stof|stod)\s*\(": ("throws and ignores the rest; parse_u64", ()),
    r"\b(?:std::)?(?:atoi|atol|atoll|atof|strtol|strtoll|strtoul|strtoull|sscanf)\s*\(": ("no end check; parse_u64", ()),
    r"(?<![\w.>])(?:std::|::)?system\s*\(": ("a shell", ()),
    r"(?<![\w.>])(?:::)?popen\s*\(": ("a shell", ()),
    r"\bstd::filesystem\b": ("opens paths outside the root descriptors", ()),
    r"\b(?:sleep_for|sleep_until|usleep)\s*\(": ("sleeps on no clock of ours; Clock::sleep or poll", ()),
    r"(?<![\w.>])(?:::)?sleep\s*\(\s*\d": ("sleeps on no clock of ours; Clock::sleep or poll", ()),
    r"\bgetenv\s*\(": (
        "options and configuration say what to do; NO_COLOR, TERM and COLUMNS say what the terminal is, TMPDIR where there is room",
        ("daemon/notify.cc", "daemon/replay_capture.cc", "daemon/systemd.cc", "daemon/terminal.cc"),
    ),
    r"(?<![\w.>])(?:::)?(?:sync|syncfs|statfs|statvfs|fstatfs)\s*\(": (
        "blocks on a FUSE mount; only the magic of fusectl's and /proc's own descriptors is asked for",
        ("lib/fusectl/fuse_root.cc", "lib/procfs/walk.cc"),
    ),
}
CONSOLE = re.compile(r"\bstd::(?:cout|cerr)\b|(?<![\w.>])(?:std::)?(?:printf|puts)\s*\(")
SLOW_HEADERS = ("nlohmann/", "spdlog/", "prometheus/", "microhttpd")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
SYSTEM_HEADER = re.compile(r"\.h$")
IMPURE_HEADERS = {"filesystem", "fstream", "iostream", "thread", "mutex", "future", "cstdio", "csignal", "ctime"}
VAGUE_NAME = re.compile(r"(?:^|_)(?:utils?|misc|helpers?|common)(?:_|$)")


def is_cpp(path):
    return path.suffix in (".cc", ".h")


def in_directory(path, directories):
    return path.parts[0] in directories


def check_length(path, text):
    lines = text.count("\n")
    limit = MAX_TEST_FILE_LINES if path.parts[0] == "tests" else MAX_FILE_LINES
    if lines > limit and str(path) not in LENGTH_EXCEPTIONS:
        yield 1, f"{lines} lines, more than {limit}"
    if is_cpp(path):
        functions = find_functions(text)
    elif path.suffix == ".py":
        nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        functions = [(node.name, node.lineno, node.end_lineno) for node in nodes]
    else:
        functions = []
    for name, first, last in functions:
        length = last - first + 1
        if length > MAX_FUNCTION_LINES and f"{path}:{name}" not in LENGTH_EXCEPTIONS:
            yield first, f"function {name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def check_calls(path, text):
    if not is_cpp(path) or not in_directory(path, PRODUCT_DIRECTORIES):
        return
    for number, line in enumerate(blank_comments_and_strings(text).splitlines(), 1):
        for pattern, (why, allowed) in BANNED_CALLS.items():
            found = re.search(pattern, line)
            if found and str(path) not in allowed:
                yield number, f"banned call {found.group().strip()}: {why}"
        found = CONSOLE.search(line)
        if found and path.parts[0] != "daemon":
            yield number, f"{found.group().strip()}: only daemon/ speaks to people"


def check_includes(path, text):
    if not is_cpp(path):
        return
    pure = path.parts[:2] in (("lib", "detect"), ("lib", "policy"))
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        header = found.group(1)
        at_home = header.startswith("prometheus/") and path.parts[:2] == ("exporters", "prometheus")
        if path.suffix == ".h" and header.startswith(SLOW_HEADERS) and not at_home:
            yield number, f"{header} in a header: it costs every file that includes it; .cc files only"
        if header.startswith("prometheus/") and path.parts[:2] != ("exporters", "prometheus") and path.parts[0] != "tests":
            yield number, f"{header} outside exporters/prometheus"
        angled = "<" in line
        if pure and angled and (SYSTEM_HEADER.search(header) or header in IMPURE_HEADERS):
            yield number, f"{header}: lib/detect and lib/policy are pure, no system header"


def check_top_of_file(path, text):
    lines = text.splitlines() + ["", "", ""]
    if lines[0].startswith("#!"):
        lines = lines[1:]
    if not (lines[0].startswith(("// " + SPDX, "# " + SPDX, "/* " + SPDX))):
        yield 1, "the first line is not the SPDX line"
    if path.suffix != ".h":
        return
    if not re.match(r"// \S.{15,}", lines[1]):
        yield 2, "a header begins with a comment that says what it is"
    if "#pragma once" not in lines:
        yield 1, "no #pragma once"


def check_name(path, _text):
    for part in path.parts:
        if VAGUE_NAME.search(part.split(".")[0]):
            yield 1, f"'{part}' says nothing; name it after what it does"


def cmake_files(root, files):
    found = [path for path in files if path.name == "CMakeLists.txt" or path.suffix == ".cmake"]
    return {path: re.sub(r"#.*", "", (root / path).read_text()) for path in found}


def check_built(cmake, path):
    """Whether a CMakeLists.txt of the file's own directory or one above names it."""
    if path.suffix != ".cc" or not in_directory(path, SOURCE_DIRECTORIES):
        return
    for script, text in cmake.items():
        if script.parent in path.parents:
            name = re.escape(str(path.relative_to(script.parent)))
            if re.search(rf"(?<![\w./-]){name}(?![\w./-])", text):
                return
    yield 1, "is in no CMakeLists.txt: nobody compiles it"


def check_cmake(path, text):
    if re.search(r"\bGLOB(?:_RECURSE)?\b", text):
        yield 1, "file(GLOB): name the files"


def check_top_level(files):
    for name in sorted({path.parts[0] for path in files}):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield f"{name}:1: not a top-level entry of DESIGN.md section 3"


def list_files(root):
    """What git knows or would add; without git, what lies there but for the build directory."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(command, cwd=root, capture_output=True, timeout=60, check=True).stdout.decode().split("\0")
        paths = [pathlib.Path(name) for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path.relative_to(root) for path in root.rglob("*")]
        paths = [path for path in paths if path.parts[0] not in (".git", "build") and "__pycache__" not in path.parts]
    return sorted(path for path in set(paths) if (root / path).is_file())


def tidy(root):
    """All findings below `root`, as lines."""
    files = list_files(root)
    cmake = cmake_files(root, files)
    findings = list(check_top_level(files))
    for path in files:
        found = list(check_built(cmake, path))
        if path in cmake:
            found += check_cmake(path, cmake[path])
        is_ours = in_directory(path, SOURCE_DIRECTORIES) and (is_cpp(path) or path.suffix in (".py", ".sh"))
        if is_ours or path in cmake or str(path) == "dev":
            text = (root / path).read_text(errors="replace")
            for check in (check_length, check_calls, check_includes, check_top_of_file, check_name):
                found += check(path, text)
        findings += [f"{path}:{number}: {what}" for number, what in found]
    return findings


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    findings = tidy(root)
    for line in findings:
        print(line)
    print(f"tidy: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
