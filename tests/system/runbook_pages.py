# SPDX-License-Identifier: Apache-2.0
"""`Page`: a runbook as its text says it: headings, the commands to type and what is said of each of them.

In a block of ```sh a line is a command, with `# exit code N` behind it where that is not 0. Below it may stand
`# -> words` (what it prints; `..` for whatever stands between) and `# type: ANSWER` (it asks). A line `# if CASE:` says that
what comes after it in that block is for that case alone."""
import re
from dataclasses import dataclass, field

HEADINGS = ("What it means", "How to confirm it", "What to do", "What not to do", "When it goes away")
MAY_STAND = "When it may be a false alarm"
# Where code in running text is a warning or a name, not something to type.
ONLY_TOLD = ("What it means", "What not to do", "When it goes away", MAY_STAND)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
WORD = re.compile(r"(?<![\w-])[A-Z][A-Z_]*[A-Z](?![\w-])")
# What a page may have typed: none of these looks at a mount or at the memory of a process, which hangs beside a deadlock.
PROGRAMS = ("cat", "curl", "defused", "echo", "editor", "grep", "journalctl", "kill", "mount", "promtool", "systemctl", "timeout")
# In running text each of their commands has to stand in a block as well, and so has one of these: that is, not at all.
OTHERS = ("apt-get", "crictl", "ctr", "df", "docker", "fuser", "kubectl", "ls", "lsof", "modprobe", "pkill", "ps", "reboot", "rm", "top",
          "umount")
CHANGES = re.compile(r"\babort\b|^kill\b|--reset-breaker")
LOOKS_WHO = re.compile(r"grep -E '\^\(Name\b.*' /proc/([A-Z_]+)/status")
ENDS_WHOM = re.compile(r"kill (?!-CONT)(?:-\w+ )?([A-Z_]+)")
# A page may speak of it where it does not help.
MAY_BE_NAMED = ("defused abort",)


@dataclass
class Command:
    text: str
    section: str
    exit_code: int = 0
    shown: list = field(default_factory=list)
    typed: str = ""
    case: str = ""

    def is_for(self, cases):
        return not self.case or self.case in cases


def parse_block(text, section):
    """(commands, findings) of the lines of one block."""
    commands, findings, case = [], [], ""
    for line in filter(str.strip, text.splitlines()):
        only = re.fullmatch(r"# if (.+):", line)
        told = re.fullmatch(r"# (->|type:) (.+)", line)
        typed = re.fullmatch(r"([^#\s].*?)(?: +# exit code (\d+))?", line)
        if only:
            case = only.group(1)
        elif told and not commands:
            findings.append(f"{section}: {line}: of no command")
        elif told and told.group(1) == "->":
            commands[-1].shown.append(told.group(2))
        elif told:
            commands[-1].typed = told.group(2)
        elif typed and "# " not in typed.group(1):
            commands.append(Command(typed.group(1), section, int(typed.group(2) or 0), case=case))
        else:
            findings.append(f"{section}: {line}: neither a command nor what is said of one")
    return commands, findings


class Page:
    """`findings`: what is wrong with it as a page, as sentences."""

    def __init__(self, name, text):
        self.name = name
        self.text = text
        self.commands = []
        self.findings = []
        titles = re.findall(r"^# (.+)$", FENCE.sub("", text), re.M)
        if titles != [name]:
            self.findings.append(f"its title is {titles}")
        parts = re.split(r"^## (.+)\n", FENCE.sub(self._keep, text), flags=re.M)
        self.sections = dict(zip(parts[1::2], parts[2::2]))
        self._check_headings()
        for title, body in self.sections.items():
            self._read_section(title, body)
        self._check_running_text()
        self._check_commands()

    @staticmethod
    def _keep(block):
        """A `## ` in a block is no heading."""
        return re.sub(r"^## ", "# # ", block.group(), flags=re.M)

    def _check_headings(self):
        wanted = [*HEADINGS, *([MAY_STAND] if MAY_STAND in self.sections else [])]
        if list(self.sections) != wanted:
            self.findings.append(f"its headings are {list(self.sections)}")
        self.findings += [f"{title}: empty" for title, body in self.sections.items() if not body.strip()]

    def _read_section(self, title, body):
        for language, text in FENCE.findall(body):
            commands, findings = parse_block(text, title)
            self.commands += commands
            self.findings += findings
            if language != "sh":
                self.findings.append(f"{title}: a block of `{language}`")
            if title in ONLY_TOLD:
                self.findings.append(f"{title}: commands to type")
        if title in HEADINGS[1:3] and not FENCE.search(body):
            self.findings.append(f"{title}: nothing to type")

    def _check_running_text(self):
        """What is to be typed stands in a block, or nobody has run it."""
        known = [command.text for command in self.commands]
        for title, body in self.sections.items():
            if title in ONLY_TOLD:
                continue
            for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", body)):
                program, _, rest = code.partition(" ")
                is_command = program in PROGRAMS + OTHERS and rest
                if is_command and code not in MAY_BE_NAMED and not any(code in text for text in known):
                    self.findings.append(f"{title}: `{code}` stands in no block")
            if re.search(r"^ {4,}\S", FENCE.sub("", body), re.M):
                self.findings.append(f"{title}: commands outside of a block of sh")

    def _check_commands(self):
        captured = False
        looked_at, named = set(), set()
        for command in self.commands:
            captured = captured or command.text.startswith("defused capture")
            if command.text.split()[0] not in PROGRAMS:
                self.findings.append(f"{command.section}: {command.text}: not a program that may be typed there")
            if CHANGES.search(command.text) and not captured:
                self.findings.append(f"{command.section}: {command.text}: before the evidence is kept")
            looked_at.update(LOOKS_WHO.findall(command.text))
            if not looked_at.issuperset(ENDS_WHOM.findall(command.text)):
                self.findings.append(f"{command.section}: {command.text}: nobody has looked who that is")
            named.update(command.shown if command.text.startswith("defused explain ") else ())
            if command.text.startswith("echo") and not {command.text, "(proven)"} <= named | set(" ".join(named).split()):
                self.findings.append(f"{command.section}: {command.text}: `explain` need not name it, or not say that it is proven")

    def words(self):
        """The words in capitals that have to be replaced."""
        texts = [text for command in self.commands for text in (command.text, command.typed)]
        return {word for text in texts for word in WORD.findall(text)}


def words_of_index(text):
    """Those that README.md explains."""
    part = text.partition("\n## Words in capitals\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| ([A-Z_]+) \|", part, re.M))


def pages_of_index(text):
    return re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| \S.* \|$", text, re.M)


def alerts_of(rules):
    """{name: (runbook_url, severity, wait)} of a file of Prometheus' rules; read as text, so that it needs no YAML. What it waits
    for is its `for`, or, where that is short beside an age in its expression, `> SECONDS`."""
    found = {}
    for name, body in re.findall(r"^ +- alert: (\w+)\n(.*?)(?=^ +- |^ *# |\Z)", rules, re.S | re.M):
        url, severity, wait = (value.group(1) if value else "" for value in (
            re.search(rf"^ +{key}: (\S+)$", body, re.M) for key in ("runbook_url", "severity", "for")))
        age = re.search(r" (> \d{3,})$", body, re.M)
        found[name] = (url, severity, age.group(1) if age and wait in ("30s", "1m") else wait)
    return found


def headline(severity, wait):
    """What a page begins with, below its title."""
    is_age = wait.startswith("> ")
    if is_age:
        wait = f"{int(wait[2:]) // 60}m"
    number, unit = int(wait[:-1] or 0), {"m": "minute", "h": "hour", "": ""}[wait[-1:]]
    how_long = f"{number} {unit}{'s' * (number > 1)}"
    if is_age:
        return f"`{severity}`, when it has stood still for {how_long}"
    return f"`{severity}`, " + (f"after {how_long}" if number else "at once")


def fits(shown, output):
    """Whether the words stand in the output, in order; how it is wrapped does not matter."""
    text = " ".join(output.split())
    at = 0
    for piece in re.split(r"\s+\.\.\s+", shown):
        at = text.find(" ".join(piece.split()), at)
        if at < 0:
            return False
        at += len(piece)
    return True
