"""Fortran namelist files: cut into groups with their line numbers, so that foreign groups are never parsed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import f90nml

from coupler.errors import HaloclineError


@dataclass(frozen=True)
class Group:
    """One namelist group: its lower-case name, the text from `&name` to `/`, and where it stands."""

    name: str
    text: str
    path: Path
    line: int

    def where(self, key: str | None = None) -> str:
        """File, line and group of `key`, or of the group itself, for messages."""
        part = f", {key}" if key is not None else ""
        return f"{self.path.name} line {self.line_of(key) or self.line} (&{self.name}{part})"

    def line_of(self, key: str | None) -> int | None:
        """Line of the file where `key` is set, None where it is not."""
        found = self._find(key)
        return None if found is None else self.line + found[0]

    def spelt(self, key: str) -> str:
        """The key as the file spells it."""
        found = self._find(key)
        return key if found is None else found[1]

    def _find(self, key: str | None) -> tuple[int, str] | None:
        """Row within the group, from 0, and spelling of a key: the last of several, which holds; of array elements the first."""
        if key is None:
            return None
        found = None
        pattern = re.compile(rf"(?<![\w%])({re.escape(key)})\s*(\([^)]*\))?\s*=", re.IGNORECASE)
        for number, row in enumerate(self.text.splitlines()):
            hit = pattern.search(_without_comment(row))
            if hit and (found is None or not hit[2]):
                found = number, hit[1]
        return found

    def values(self) -> dict[str, Any]:
        """Keys (lower case) and values. Raises HaloclineError when the group cannot be parsed."""
        try:
            parsed = f90nml.reads(self.text + "\n")
        except Exception as error:  # f90nml raises many kinds for malformed text; all mean the same to the user
            raise HaloclineError(
                f"cannot read namelist group &{self.name}: {error or type(error).__name__}.\n  {self.where()}. "
                "Check quotes, commas and the closing slash."
            ) from error
        if not isinstance(parsed.get(self.name), f90nml.Namelist):  # nothing, or a list: a group inside a group
            raise HaloclineError(
                f"cannot read namelist group &{self.name}: it is not one list of values.\n  {self.where()}. Check its slash."
            )
        return {key.lower(): value for key, value in parsed[self.name].items()}


def _without_comment(row: str) -> str:
    """The part of a line before a `!` that stands outside quotes."""
    quote = ""
    for position, char in enumerate(row):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "!":
            return row[:position]
    return row


def read_groups(path: Path) -> list[Group]:
    """All groups of a namelist file, in order.

    Raises HaloclineError for a missing or unreadable file, and for a group without its closing slash.
    """
    try:
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise HaloclineError(
            f"cannot read the namelist {path}: {error.strerror}. Give a folder that holds namelist_cfg."
        ) from None
    groups: list[Group] = []
    name, start, kept, quote = "", 0, [""], ""
    for number, row in enumerate(rows, start=1):
        if not name:
            opening = re.match(r"\s*&([A-Za-z]\w*)", row)
            if opening is None:
                continue
            name, start, kept, quote = opening.group(1).lower(), number, [], ""
        end, quote = _end_of_group(row, quote)
        kept.append(row if end is None else row[: end + 1])
        if end is not None:
            groups.append(Group(name, "\n".join(kept), path, start))
            name = ""
    if name:
        raise HaloclineError(f"namelist group &{name} has no closing slash.\n  {path.name} line {start}.")
    return groups


def with_value(text: str, group: Group, key: str, value: str) -> str:
    """The text of a namelist file with `key = value` in one of its groups; comments and all else stay."""
    rows = text.splitlines()
    pattern = re.compile(rf"^(\s*){re.escape(key)}(\s*)=", re.IGNORECASE)
    for number in range(group.line - 1, group.line - 1 + len(group.text.splitlines())):
        if pattern.match(rows[number]):
            rows[number] = f"   {key} = {value}"
            return "\n".join(rows) + "\n"
    start = rows[group.line - 1]
    cut = start.lower().index(group.name) + len(group.name)
    rows[group.line - 1] = f"{start[:cut]} {key} = {value} {start[cut:]}".rstrip()
    return "\n".join(rows) + "\n"


def _end_of_group(row: str, quote: str) -> tuple[int | None, str]:
    """Position of the slash that closes the group in this line (None: not here), and the quote left open."""
    for position, char in enumerate(row):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "!":
            return None, ""
        elif char == "/":
            return position, ""
    return None, quote


def distance(a: str, b: str) -> int:
    """Letters to change, add or drop to turn `a` into `b` (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]
