# SPDX-License-Identifier: Apache-2.0
"""What documents and the program have to agree on. Each rule takes texts and what is true, and returns its findings as
sentences; it reads nothing and runs nothing, so that test_documents.py can feed each of them a bad sample.

`program` is what `defused internal-describe` prints."""
import re

# Code in a document: a span, an indented line or the lines of a fence; in a man page also what is bold.
FENCE = re.compile(r"^\t*```\w*\n(.*?)^\t*```$", re.S | re.M)
SPAN = re.compile(r"`([^`\n]+)`")
BOLD = re.compile(r"(?<![\w*\\])\*([^*\n]+)\*")
INDENTED = re.compile(r"^ {4,}(\S.*)$", re.M)
# A command as it is typed: at the beginning, or after a prompt, another command, a path or a word that runs it.
COMMAND = re.compile(r"(?:^|(?:^|[#$;&|] |sudo |ssh \S+ |[/`\"]))defused ([a-z][\w-]*)((?:(?! defused )[^|;&`\n])*)")
FLAG = re.compile(r"(?<![\w-])--?[a-z][\w.-]*")
# Flags of other programs that the documents speak of without the program: docker, certbot, cAdvisor.
OTHER_FLAGS = {"--pid", "--privileged", "--publish", "--deploy-hook", "--store_container_labels", "--whitelisted_container_labels"}
FILE_NAME = re.compile(r"\.(?:jsonl?|prom)$")
KNOB_GROUPS = ("detect", "remedy", "audit", "web", "textfile", "log")
SECTIONS = {"8": ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "FILES", "SEE ALSO"),
            "5": ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "FILES", "SEE ALSO"),
            "7": ("NAME", "DESCRIPTION", "METRICS", "EXAMPLES", "FILES", "SEE ALSO")}


def commands(program):
    """{name: description}, those of config as "config check"; hidden ones are not there."""
    found = {}
    for command in program["commands"]:
        found[command["name"]] = command
        found.update({below["name"]: below for below in command["commands"]})
    return found


def flags(command):
    """Names of the options of a command, and of those below it."""
    own = {name for option in command["options"] for name in option["names"]}
    return own.union(*(flags(below) for below in command["commands"]))


def arguments(command):
    own = {argument["name"] for argument in command["positionals"]}
    return own.union(*(arguments(below) for below in command["commands"]))


def section(page, title):
    """The text of a section of a man page's source, "" where there is none."""
    found = re.search(rf"^# {re.escape(title)}\n(.*?)(?=^# [A-Z]|\Z)", page, re.S | re.M)
    return found.group(1) if found else ""


def code_of(text, man):
    """The code in a document, a line or a span each. Fences and what is marked in a man page are written without escapes."""
    found = [line.strip() for block in FENCE.findall(text) for line in block.splitlines()]
    text = FENCE.sub("", text)
    found += [] if man else INDENTED.findall(text)
    found += SPAN.findall(text)
    return found + ([re.sub(r"\\(.)", r"\1", bold) for bold in BOLD.findall(text)] if man else [])


def check_pages(names, program):
    """Each command has a page, and each page is of a command."""
    wanted = {"defused.8", "defused.json.5", "defused-metrics.7"}
    wanted |= {f"defused-{command['name']}.8" for command in program["commands"] if command["name"] != "help"}
    return [f"{name}: no such page" for name in sorted(wanted - set(names))] + [
        f"{name}: a page of nothing" for name in sorted(set(names) - wanted)]


def check_sections(name, page):
    missing = [title for title in SECTIONS[name[-1]] if not section(page, title).strip()]
    titles = re.findall(r"^# ([A-Z ]+)$", page, re.M)
    order = [title for title in titles if title in SECTIONS[name[-1]]]
    return [f"{name}: no section {title}" for title in missing] + (
        [f"{name}: sections in another order"] if not missing and order != list(SECTIONS[name[-1]]) else [])


def check_options(name, page, command):
    """The page of a command names its options and arguments, in OPTIONS and in SYNOPSIS, and no other ones."""
    text = section(page, "OPTIONS")
    entries = re.findall(r"^(\*-.*|_\w+_|\*[a-z]+\*(?: \[?_\w+_\]?)?)$", text, re.M)
    said = {flag for entry in entries for flag in FLAG.findall(entry)}
    said_arguments = {word for entry in entries if "-" not in entry for word in re.findall(r"_(\w+)_", entry)}
    findings = [f"{name}: OPTIONS lacks {flag}" for flag in sorted(flags(command) - said)]
    findings += [f"{name}: OPTIONS has {flag}, the program has not" for flag in sorted(said - flags(command))]
    findings += [f"{name}: OPTIONS: argument {word}" for word in sorted(arguments(command) ^ said_arguments)]
    synopsis = section(page, "SYNOPSIS")
    for option in command["options"]:
        if "--help" not in option["names"] and not set(option["names"]) & set(FLAG.findall(synopsis)):
            findings.append(f"{name}: SYNOPSIS lacks {option['names'][0]}")
    findings += [f"{name}: SYNOPSIS lacks {word}" for word in sorted(arguments(command)) if f"_{word}_" not in synopsis]
    findings += [f"{name}: no entry for `{below['name']}`" for below in command["commands"]
                 if f"*{below['name'].split()[-1]}*" not in text or f"*defused {below['name']}*" not in synopsis]
    return findings


def check_defaults(name, page, command):
    """A default that the program has stands in the entry of its option."""
    findings = []
    for option in command["options"]:
        entry = re.search(rf"^\*(?:-\w\*, \*)?{re.escape(option['names'][0])}\*.*\n((?:\t.*\n)*)", page, re.M)
        words = re.sub(r"\s+", " ", entry.group(1)) if entry else ""
        if option["default"] and f"Default: {option['default']}" not in words:
            findings.append(f"{name}: {option['names'][0]}: not `Default: {option['default']}`")
    return findings


def codes_of(page):
    return [int(code) for code in re.findall(r"^\*(\d+)\*$", section(page, "EXIT STATUS"), re.M)]


def check_exit_codes(name, page, codes):
    """Of a page: these and no other ones, in order."""
    said = codes_of(page)
    first = said[:len(set(codes))]  # `check` has a second list, for node-problem-detector
    return [] if first == sorted(set(codes)) and set(said) == set(codes) else [f"{name}: exit codes {said}, not {codes}"]


def check_exit_table(name, text, program):
    """The table of docs/OPERATING.md."""
    part = text.partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    said = {int(code) for code in re.findall(r"^\| `?(\d+)`? \|", part, re.M)}
    codes = {exit["code"] for exit in program["exit_codes"]}
    return [f"{name}: exit code {code} in table or program only" for code in sorted(said ^ codes)]


def flags_of_docker(text):
    """Those in the document's own command lines of docker, which may go on in the next line."""
    lines = text.replace("\\\n", " ").splitlines()
    return {flag for line in lines if line.startswith("    docker ") for flag in FLAG.findall(line)}


def check_named(name, text, program, man=False):
    """Each command and each flag that a document names is there."""
    known = commands(program)
    all_flags = flags(program) | {flag for command in known.values() for flag in flags(command)}
    others = OTHER_FLAGS | flags_of_docker(text)
    findings = []
    for code in code_of(text, man):
        found = COMMAND.findall(code)
        for word, rest in found:
            if word not in known:
                findings.append(f"{name}: `defused {word}`: no such command")
                continue
            below = rest.split()[:1]
            full = f"{word} {below[0]}" if known[word]["commands"] and below and below[0].isalpha() else word
            if full not in known:
                findings.append(f"{name}: `defused {full}`: no such command")
                continue
            findings += [f"{name}: `defused {full}` has no {flag}" for flag in FLAG.findall(rest) if flag not in flags(known[full])]
        if not found and code.startswith("--"):
            findings += [f"{name}: no command has {flag}" for flag in FLAG.findall(code) if flag not in all_flags | others]
    return findings


def check_overview(name, page, program):
    """defused(8) lists the commands, each with its page."""
    said = re.findall(r"^\*defused[- ]([a-z]+)\*(?:\(8\)| \[_\w+_\])$", section(page, "COMMANDS"), re.M)
    return [f"{name}: COMMANDS: {word}: on one side only"
            for word in sorted(set(said) ^ {command["name"] for command in program["commands"]})]


def keys_of(schema, path=""):
    """All keys of a configuration's schema, with dots."""
    if "properties" not in schema:
        return {path}
    return set().union(*(keys_of(below, f"{path}.{name}".lstrip(".")) for name, below in schema["properties"].items()))


def check_knob_page(name, page, keys):
    """defused.json(5) has each key once."""
    said = [key.replace("\\", "") for key in re.findall(r"^\*([a-z][\w.\\]*)\*$", section(page, "OPTIONS"), re.M)]
    return [f"{name}: {key}: in the page or in the schema only" for key in sorted(set(said) ^ keys)] + (
        [f"{name}: a key twice"] if len(said) != len(set(said)) else [])


def check_knob_table(name, text, keys):
    """The first cells of the table in docs/OPERATING.md."""
    part = text.partition("\n## Configuration\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \| `", part, re.M)
    said = {key for cell in cells for key in re.findall(r"`([\w.]+)`", cell)}
    return [f"{name}: {key}: in the table or in the schema only" for key in sorted(said ^ keys)]


def check_knobs_named(name, text, keys):
    """What looks like a key is one, or an object of keys, or one value of a list of them."""
    known = keys | {key.rsplit(".", 1)[0] for key in keys}
    said = re.findall(rf"[`*]((?:{'|'.join(KNOB_GROUPS)})\.[a-z_\\.]+)[`*]", text)
    return [f"{name}: `{key}`: no such key" for key in sorted({key.replace("\\", "") for key in said} - known)
            if not FILE_NAME.search(key)]


def families(metrics):
    """{name: type} of docs/METRICS.md, which unit-prometheus compares with the program's table."""
    return dict(re.findall(r"^## (defused_\w+)\n\n(\w+),", metrics, re.M))


def check_features(name, page, features):
    """The page of `version` describes each feature that is printed, and no other ones, in that order."""
    said = [word.replace("\\", "") for word in re.findall(r"^\*([\w\\]+)\*\n\t", section(page, "DESCRIPTION"), re.M)]
    return [] if said == list(features) else [f"{name}: features {said}, printed are {list(features)}"]


def check_metric_page(name, page, known):
    said = dict(re.findall(r"^\*([\w\\]+)\*\n\t(\w+), (?:no )?labels", page, re.M))
    said = {key.replace("\\", ""): kind for key, kind in said.items()}
    return [f"{name}: {key}: another one in METRICS.md" for key in sorted(known.keys() | said.keys())
            if said.get(key) != known.get(key)]


def check_metrics_named(name, text, known):
    """What looks like a metric is one, a series of a histogram, or the beginning of several (`defused_process_*`)."""
    series = {f"{key}{end}" for key, kind in known.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")}
    findings = []
    for word, star in re.findall(r"(?<![\w/.:$-])(defused_[a-z_]+)(\*?)", text.replace("\\_", "_")):
        fits = any(key.startswith(word) for key in known) if star else word in known or word in series
        if not fits:
            findings.append(f"{name}: {word}: no such metric")
    return sorted(set(findings))


def check_see_also(name, page, names):
    said = re.findall(r"\*(defused[\w.-]*)\*\((\d)\)", page)
    return [f"{name}: {page_name}({number}): no such page" for page_name, number in said if f"{page_name}.{number}" not in names]


def check_width(name, shown, most=80):
    """Of a page as it is shown, without the marks of bold and underlined; and no name is cut by a hyphen."""
    lines = re.sub(r".\x08|\x1b\[[\d;]*m", "", shown).splitlines()
    return [f"{name}: {len(line)} columns: {line.strip()}" for line in lines if len(line) > most] + [
        f"{name}: cut: {line.strip()}" for line in lines if line.endswith("\N{HYPHEN}")]
