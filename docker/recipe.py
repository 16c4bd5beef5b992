"""Recipes of images as steps: Dockerfiles and Apptainer definitions, read into the same words.

Only what our recipes use is known; anything else is refused with its line, so that nothing is proven by being skipped.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path


class RecipeError(Exception):
    """A recipe that cannot be read: what, where, and what is known instead."""


@dataclass(frozen=True)
class Step:
    """One instruction: its word, its text (variables not yet replaced), its line in the recipe."""

    word: str
    text: str
    line: int


@dataclass
class Stage:
    """From a base to an image: `base` names an image or an earlier stage."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        """Its steps of one word, in order."""
        return [step for step in self.steps if step.word == word]

    def last(self, word: str, default: str = "") -> str:
        """The text of the last step of one word: what counts of USER, CMD and the like."""
        return next((step.text for step in reversed(self.steps) if step.word == word), default)


WORDS = ("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "USER", "VOLUME", "WORKDIR")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """$A, ${A} and ${A:-default} from `values`; an unknown name becomes nothing, as with docker."""

    def value(found: re.Match[str]) -> str:
        return values.get(found[1] or found[3], "") or found[2] or ""

    return VARIABLE.sub(value, text)


def pairs(text: str) -> list[tuple[str, str]]:
    """`A=1 B="two words"` of ENV, LABEL and ARG; a name alone has an empty value."""
    return [(name, value) for name, _, value in (word.partition("=") for word in shlex.split(text))]


def command(text: str) -> list[str]:
    """CMD or ENTRYPOINT as a list of words; the form without brackets goes to a shell."""
    return json.loads(text) if text.startswith("[") else (["/bin/sh", "-c", text] if text else [])


def dockerfile(path: Path, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """The stages of a Dockerfile. `arguments`: values for the ARGs before the first FROM.

    Raises RecipeError for an instruction that is not known here, or one before the first FROM.
    """
    known = dict(arguments or {})
    stages: list[Stage] = []
    for line, text in _logical(path):
        word, _, rest = text.partition(" ")
        word, rest = word.upper(), rest.strip()
        if word not in WORDS or word == "ADD":
            raise RecipeError(f"{path} line {line}: instruction {word}. Known: {', '.join(WORDS[1:])}.")
        if word == "FROM":
            words = expand(rest, known).split()
            stages.append(Stage(words[0], words[2] if len(words) == 3 else str(len(stages))))
        elif stages:
            stages[-1].steps.append(Step(word, rest, line))
        elif word == "ARG":
            for name, value in pairs(rest):
                known.setdefault(name, value)
        else:
            raise RecipeError(f"{path} line {line}: {word} before the first FROM. Only ARG may stand there.")
    if not stages:
        raise RecipeError(f"{path}: no FROM.")
    return stages


def _logical(path: Path) -> list[tuple[int, str]]:
    """Lines without comments, continued ones joined: (number of the first, text)."""
    whole: list[tuple[int, str]] = []
    joined, first = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        first = first or number
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        whole.append((first, joined))
        joined, first = "", 0
    if joined:
        raise RecipeError(f"{path} line {first}: the last line ends in a backslash.")
    return whole


SECTIONS = ("files", "post", "environment", "runscript", "labels")


def definition(path: Path) -> list[Stage]:
    """The stages of an Apptainer definition: %files as COPY, %post as RUN, %environment as SETUP, %runscript as SCRIPT.

    Raises RecipeError for a header or a section that is not known here.
    """
    stages: list[Stage] = []
    word, head = "", 0
    body: list[str] = []

    def close() -> None:
        text = "\n".join(body).strip("\n")
        if word == "files":
            origin = f"--from={_words[2]} " if len(_words) == 3 else ""
            for offset, line in enumerate(body, 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    stages[-1].steps.append(Step("COPY", origin + line.strip(), head + offset))
        elif word:
            into = {"post": "RUN", "environment": "SETUP", "runscript": "SCRIPT", "labels": "LABELS"}[word]
            stages[-1].steps.append(Step(into, text, head))

    _words: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        key, _, value = line.partition(":")
        if line.startswith("%"):
            close()
            _words = line.split()
            word, head, body = _words[0][1:], number, []
            if word not in SECTIONS:
                raise RecipeError(f"{path} line {number}: section %{word}. Known: %{', %'.join(SECTIONS)}.")
        elif not line.startswith((" ", "#")) and value and key in ("Bootstrap", "From", "Stage"):
            if key == "Bootstrap":
                close()
                word, body = "", []
                stages.append(Stage("", str(len(stages))))
            elif key == "From":
                stages[-1].base = value.strip()
            else:
                stages[-1].name = value.strip()
        elif word:
            body.append(line)
        elif line.strip() and not line.startswith("#"):
            raise RecipeError(
                f"{path} line {number}: '{line}'. Before the first section stand Bootstrap, From and Stage."
            )
    close()
    if not stages:
        raise RecipeError(f"{path}: no Bootstrap.")
    return stages


class Ignored:
    """What .dockerignore keeps out of the context; patterns with `!` are refused."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        patterns = [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]
        if any(pattern.startswith("!") for pattern in patterns):
            raise RecipeError(f"{path}: a pattern that begins with ! is not known here.")
        self._anywhere = [re.compile(translate(p[3:])) for p in patterns if p.startswith("**/")]
        self._exact = [re.compile(translate(p)) for p in patterns if not p.startswith("**/")]

    def __call__(self, path: str) -> bool:
        """Whether `path`, relative to the context, is kept out."""
        name = path.rsplit("/", 1)[-1]
        return any(p.match(name) for p in self._anywhere) or any(p.match(path) for p in self._exact)
