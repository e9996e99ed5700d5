# SPDX-License-Identifier: Apache-2.0
"""As much of C++ as the tidy test needs: code without comments and strings, and where functions begin and end."""
import re

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<raw>R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<number>\b\d[\w']*)                      # 16'384 opens no character
  | (?P<character>'(?:\\.|[^'\\\n])+')
    """,
    re.VERBOSE | re.DOTALL,
)


def blank_comments_and_strings(text):
    """`text` with the inside of comments, strings and characters as spaces; every line and column stays where it was."""

    def blank(match):
        if match.lastgroup == "number":
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())

    return _TOKEN.sub(blank, text)


def _kind_of_scope(header):
    """What a `{` opens, from the code before it: "container" (namespace, class ..), "function" or "other"."""
    flat = header
    while True:  # parentheses and what they hold, inner ones first
        stripped = re.sub(r"\([^()]*\)", "@", flat)
        if stripped == flat:
            break
        flat = stripped
    flat = re.sub(r"\[\[.*?\]\]", " ", flat, flags=re.DOTALL)
    if re.search(r"\boperator\b", flat):
        return "function"
    if re.search(r"\b(?:namespace|class|struct|union|enum|extern)\b", flat) and "@" not in flat.replace("alignas@", ""):
        return "container"
    if "@" not in flat or "=" in re.sub(r"<[^<>]*>", "", flat):
        return "other"
    return "function"


def _name_of(header):
    before = header.split("(", 1)[0].split()
    name = before[-1].lstrip("*&") if before else "?"
    return name


def find_functions(text):
    """(name, first line, last line) of each function body outside of functions, from its first line to its brace."""
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  blank_comments_and_strings(text), flags=re.MULTILINE)
    functions = []
    scopes = []  # (kind, header, where the header starts)
    start = 0  # of the header: behind the last ; { or }
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        inside = any(kind != "container" for kind, _, _ in scopes)
        if match.group() == "{":
            header = re.sub(r"\b(?:public|private|protected)\s*:", " ", code[start:at])
            kind = "other" if inside else _kind_of_scope(header)
            scopes.append((kind, header, start))
        elif match.group() == "}" and scopes:
            kind, header, begun = scopes.pop()
            follows = code[at + 1 :].lstrip()[:1]
            if kind == "function" and follows in (",", "{"):  # a member initialiser, `: a_{1}, b_{2} {`
                start = begun
                continue
            if kind == "function":
                first = code.count("\n", 0, begun + len(code[begun:at]) - len(code[begun:at].lstrip())) + 1
                functions.append((_name_of(header), first, code.count("\n", 0, at) + 1))
        if match.group() != ";" or not inside:
            start = at + 1
    return functions
