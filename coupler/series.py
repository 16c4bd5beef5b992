"""A table over time in a CSV file, a line as soon as it is known; a continued run goes on in it."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from coupler.errors import HaloclineError


class Series:
    """Lines 'kt,date,...' of numbers with all their digits, so that equal bits are equal text."""

    def __init__(self, path: Path, columns: Sequence[str], first: int) -> None:
        """first: first step of this run; lines of an earlier run up to there stay, later ones are made anew.

        A file of other columns, or of later steps only, gets its steps into its name, NAME_KT1_KT2.csv, and a new one begins.
        Raises HaloclineError where the place cannot be written.
        """
        self.path, head = path, ["kt", "date", *columns]
        self._columns = list(columns)
        try:
            kept = _earlier(path, head, first)
            aside = path.with_name(path.name + ".part")
            with open(aside, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([head, *kept])
            aside.replace(path)
        except OSError as error:
            raise HaloclineError(f"cannot write {path}: {error}. Is the disk full, or the file another's?") from error

    def row(self, kt: int, date: str, values: Mapping[str, float]) -> None:
        """Add a line. Raises HaloclineError where the disk does not take it."""
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                line = [kt, date, *(repr(values[name]) for name in self._columns)]
                csv.writer(file, lineterminator="\n").writerow(line)
        except OSError as error:
            raise HaloclineError(f"cannot write {self.path}: {error}. Is the disk full?") from error


def _earlier(path: Path, head: list[str], first: int) -> list[list[str]]:
    """Whole lines of a file of these columns before step `first`; a file that has none of them is renamed."""
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]  # a run that died leaves half a line
    lines = list(csv.reader(whole.splitlines()))
    body = [line for line in lines[1:] if len(line) == len(lines[0]) and line[0].isdigit()]
    if body and (lines[0] != head or int(body[0][0]) >= first):
        path.replace(path.with_name(f"{path.stem}_{int(body[0][0]):08d}_{int(body[-1][0]):08d}{path.suffix}"))
        return []
    return [line for line in body if int(line[0]) < first]
