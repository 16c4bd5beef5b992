"""The fenced code blocks of a page with their markers, and what a test does with each.

Markers are HTML comments directly above a fence; the contributing page lists them. A block that no rule covers has no
treatment, and a page that holds one is refused.
"""

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w+-]*)(?P<rest>.*)$")
COMMENT = re.compile(r"^ *<!-- *(?P<words>.*?) *-->$")
MARKERS = (
    "not run", "file", "file+", "output", "fails", "try", "compile", "test", "section", "slow", "numbers", "page",
)  # fmt: skip
WITH_VALUE = ("not run", "file", "file+", "compile", "test", "section", "numbers", "page")
REPEATED = ("test",)
PAGE_WORDS = ("slow", "needs spinup", "needs demo")
HEADING = re.compile(r"^#+ (?P<words>.*)$")
NAMELIST = re.compile(r"^\s*&nam\w*", re.MULTILINE | re.IGNORECASE)
UNIT = re.compile(
    r"^\s*(?:program|module|submodule|(?:pure |recursive |elemental )*subroutine)\b", re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, its text without indentation, its markers."""

    page: str
    line: int
    language: str
    text: str
    markers: dict[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    heading: str = ""

    @property
    def where(self) -> str:
        return f"{self.page} line {self.line}"


@dataclass(frozen=True)
class Page:
    """A page: its blocks in order, and what it needs."""

    path: Path
    name: str
    words: frozenset[str]
    blocks: list[Block]
    faults: list[str]

    @property
    def slow(self) -> bool:
        return bool(self.words)


def page_of(path: Path, name: str | None = None) -> Page:
    """Read a page; what is wrong with its markers stands in `faults`."""
    return parse(path.read_text(encoding="utf-8"), path, name or path.name)


def parse(text: str, path: Path, name: str) -> Page:
    """Blocks of a text."""
    blocks, faults, words = [], [], set()
    pending: list[tuple[int, str]] = []  # comments above the present line
    lines = text.splitlines()
    number, heading = 0, ""
    while number < len(lines):
        line = lines[number]
        number += 1
        if comment := COMMENT.match(line):
            pending.append((number, comment["words"]))
            words |= set(page_words(comment["words"]))
            continue
        if not (fence := FENCE.match(line)):
            heading = anchor(words_of["words"]) if (words_of := HEADING.match(line)) else heading
            faults += [f"{name} line {at}: <!-- {said} --> stands above no block" for at, said in pending if bare(said)]
            pending = []
            continue
        body, opened = [], number
        closing = re.compile(rf"^ *{fence['fence']}`* *$")
        while number < len(lines) and not closing.match(lines[number]):
            body.append(lines[number])
            number += 1
        if number == len(lines):
            faults.append(f"{name} line {opened}: the block is not closed")
        number += 1
        markers, hidden = {}, []
        for at, said in pending:
            marker, value = split(said)
            if marker in REPEATED:
                hidden.append(value)
            elif marker and marker != "page":
                markers[marker] = value
            if marker in WITH_VALUE and not value:
                faults.append(f"{name} line {at}: <!-- {said} --> says nothing after the colon")
            if marker is None:
                faults.append(f"{name} line {at}: <!-- {said} --> is no marker; known: {', '.join(MARKERS)}")
        pending = []
        content = textwrap.dedent("\n".join(body)) + "\n"
        blocks.append(Block(name, opened, fence["language"], content, markers, tuple(hidden), heading))
    faults += [f"{name} line {at}: indented code; fence it, with a language" for at in indented(text)]
    faults += [f"{name}: unknown word '{word}' after 'page:'" for word in sorted(words - set(PAGE_WORDS))]
    return Page(path, name, frozenset(words), blocks, faults)


def indented(text: str) -> list[int]:
    """Lines at which an indented code block begins: it has no language and no marker. Lists and admonitions are none."""
    found, head, blank, inside = [], "", True, False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside and line.strip():
            if blank and line.startswith("    ") and not re.match(r"!!!|[-*] |\d+\. ", head):
                found.append(number)
            head = head if line.startswith(" ") else line
        blank = not line.strip()
    return found


def anchor(words: str) -> str:
    """What a heading is called in links."""
    return re.sub(r"[^\w]+", "-", words.lower()).strip("-")


def split(said: str) -> tuple[str | None, str]:
    """Marker and value of a comment; None for one that is no marker."""
    marker, _, value = said.partition(":")
    return (marker.strip(), value.strip()) if marker.strip() in MARKERS else (None, "")


def bare(said: str) -> bool:
    """Is this a marker that needs a block below it?"""
    return split(said)[0] not in (None, "page")


def page_words(said: str) -> list[str]:
    marker, value = split(said)
    return [word.strip() for word in value.split(",")] if marker == "page" else []


def treatment(block: Block) -> str | None:
    """What a test does with a block, in a word; None where no rule covers it."""
    language, markers = block.language, block.markers
    if "not run" in markers:
        return "reason given"
    if "file" in markers or "file+" in markers:
        return "written"
    if "output" in markers:
        return "compared"
    if "try" in markers:
        return "tried" if language == "fortran" else None
    if language == "console":
        return "run" if commands(block) else None
    if language in ("sh", "python"):
        return "run"
    if language == "json":
        return "parsed"
    if language == "fortran":
        if "compile" in markers or UNIT.search(block.text):
            return "compiled"
        return "read" if NAMELIST.search(block.text) else None
    return None


@dataclass
class Command:
    """A command of a console block and the output that is shown below it."""

    line: str
    output: str = ""


def commands(block: Block) -> list[Command]:
    r"""Commands of a console block: `$ `, more lines after a `\` or up to the end word of a here-document."""
    found: list[Command] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            if not found:
                return []  # output of nothing, or root's prompt
            found[-1].output += line + "\n"
            continue
        typed = [line[2:]]
        while typed[-1].endswith("\\"):
            typed.append(next(lines, ""))
        if word := re.search(r"<<-? *(['\"]?)(\w+)\1", typed[-1]):
            for more in lines:
                typed.append(more)
                if more.strip() == word[2]:
                    break
        found.append(Command("\n".join(typed)))
    return found
