"""What Debian's OASIS3-MCT of 2012 accepts: checks in words, and a translation of later namcouples."""

from collections.abc import Sequence
from dataclasses import replace
from math import gcd
from pathlib import Path

from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.library import DEBIAN_LIMITS as LIMITS
from coupler.oasis.namcouple import DIRECT, INSTANT, Entry, Namcouple, compose

LONGEST = 10 ** LIMITS["digits"] - 1  # FORMAT(I8): further digits are cut off in silence


def alias(names: Sequence[str]) -> dict[str, str]:
    """Component name -> name of at most 6 letters, unique.

    Raises PyOasisException for more than 9 components (their number is read with FORMAT(I1)).
    """
    if len(names) > LIMITS["components"]:
        raise PyOasisException(
            f"{len(names)} components ({', '.join(names)}): this OASIS3-MCT couples at most {LIMITS['components']}. "
            "Merge some, or build a later OASIS3-MCT and name it: make fortran OASIS_DIR=/path."
        )
    short: dict[str, str] = {}
    for name in names:
        candidate, number = name[: LIMITS["name"]], 1
        while candidate in short.values():
            candidate = f"{name[: LIMITS['name'] - len(str(number))]}{number}"
            number += 1
        short[name] = candidate
    return short


def own_name(name: str, namcouple: Namcouple, ranks: int) -> str:
    """The name under which a component must call OASIS when the namcouple lists the models itself."""
    models = [model[: LIMITS["name"]] for model in namcouple.models]
    if len(models) > LIMITS["components"]:
        alias(namcouple.models)
    if len(set(models)) != len(models):
        raise PyOasisException(
            f"{namcouple.where}: the models {', '.join(namcouple.models)} are the same in their first {LIMITS['name']} "
            "letters, and OASIS reads no more. Rename one."
        )
    if name[: LIMITS["name"]] not in models:
        raise PyOasisException(
            f"component '{name}' is not among the models of {namcouple.where} ($NBMODEL: {', '.join(namcouple.models)})."
        )
    if ranks < len(models):
        raise PyOasisException(
            f"{namcouple.where} couples {len(models)} models ({', '.join(namcouple.models)}), this launch has {ranks} "
            "process(es). Start all of them in one mpirun: mpirun -np 1 a.exe : -np 1 python b.py"
        )
    return name[: LIMITS["name"]]


def check(namcouple: Namcouple, text: str = "") -> None:
    """Refuse what this OASIS would misread; each sentence names the line.

    text: the file as it will be read, checked for what only the Fortran reader stumbles over.
    """
    where = namcouple.where
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        trouble = ""
        if not words and any(rest.split() for rest in text.splitlines()[number:]):
            trouble = "a blank line"
        elif "\t" in line and not line.startswith("#"):
            trouble = "a tab"
        elif len(line) > LIMITS["line"]:
            trouble = f"{len(line)} characters, at most {LIMITS['line']} are read"
        elif words and words[0].startswith("$") and words[0] != "$END" and not line.startswith(" $"):
            trouble = "a keyword without its one leading blank"
        if trouble:
            raise PyOasisException(f"{where} line {number}: {trouble}. OASIS would misread it; change this line.")
    if namcouple.models and namcouple.fields != len(namcouple.entries):
        raise PyOasisException(
            f"{where}: $NFIELDS is {namcouple.fields}, but $STRINGS holds {len(namcouple.entries)} fields. "
            "OASIS needs the exact number."
        )
    for what, number in [("$RUNTIME", namcouple.runtime), *((f"line {e.line}", e.period) for e in namcouple.entries)]:
        if number > LONGEST:
            raise PyOasisException(
                f"{where}: {what}: {number} has more than {LIMITS['digits']} digits, and OASIS reads no more. Count time in "
                "another unit everywhere (model steps, hours): RUNTIME, periods, LAG and the times of put and get."
            )
    for entry in namcouple.entries:
        _check_entry(entry, where)


def _check_entry(entry: Entry, where: str) -> None:
    """Refuse a field that OASIS would misread or abort over."""
    at = f"{where} line {entry.line}"
    for name in [name for pair in entry.pairs for name in pair]:
        check_field_name(name, at)
    if entry.status in (*DIRECT, "EXPORTED", "EXPOUT"):
        if entry.status in DIRECT and not entry.operations:
            raise PyOasisException(
                f"{at}: '{entry.source}' is {entry.status} without transformation, which crashes this OASIS. Write "
                f"{DIRECT[entry.status]} with 1 transformation, LOCTRANS, and its line INSTANT."
            )
        if not entry.operations:
            raise PyOasisException(
                f"{at}: '{entry.source}' is {entry.status} with 0 transformations; this OASIS needs one. Write 1, and the two "
                "lines LOCTRANS and INSTANT, or leave $NBMODEL out: the file is then translated."
            )
    if entry.period <= 0 or not -entry.period < entry.lag <= entry.period:
        raise PyOasisException(
            f"{at}: '{entry.source}' has period {entry.period} and LAG={entry.lag}. Allowed: period > 0, -period < LAG <= period."
        )
    if entry.lag > 0 and len(entry.restart) > LIMITS["restart"]:
        raise PyOasisException(
            f"{at}: restart file '{entry.restart}' of '{entry.source}' has {len(entry.restart)} letters, OASIS keeps "
            f"{LIMITS['restart']}. Rename it, e.g. rst.nc."
        )


def check_field_name(name: str, where: str) -> None:
    """Refuse a name that OASIS cuts: such a field is never coupled, and nothing says so."""
    if len(name) > LIMITS["field"]:
        raise PyOasisException(
            f"{where}: field name '{name[:20]}...' has {len(name)} letters, OASIS keeps {LIMITS['field']}. Shorten it."
        )


def translate(namcouple: Namcouple, models: Sequence[str]) -> tuple[str, int]:
    """A namcouple of a later OASIS3-MCT in this dialect, and the seconds of its unit of time.

    models: names of at most 6 letters. The unit is 1 unless $RUNTIME has more than 8 digits; then it is the largest
    common divisor of all times, and every put and get divides by it.
    """
    entries = []
    for entry in namcouple.entries:
        new = replace(
            entry,
            status=DIRECT.get(entry.status, entry.status),
            operations=entry.operations or (() if entry.status in ("INPUT", "OUTPUT") else INSTANT),
            period=entry.period or namcouple.runtime,
        )
        if new.lag <= 0 and new.instant:
            new = replace(new, restart="rst.nc")  # never opened; a longer name would be cut
        entries.append(new)
    unit = 1
    if namcouple.runtime > LONGEST and all(entry.instant for entry in entries):
        unit = gcd(namcouple.runtime, *(entry.period for entry in entries), *(abs(entry.lag) for entry in entries))
        entries = [replace(entry, period=entry.period // unit, lag=entry.lag // unit) for entry in entries]
    runtime = namcouple.runtime // unit
    check(replace(namcouple, runtime=runtime, entries=tuple(entries), models=()))
    return compose(models, runtime, entries), unit


def translate_file(path: Path, models: Sequence[str]) -> str:
    """A namcouple for Fortran programs linked to this OASIS: what `path` says, with $NBMODEL `models`."""
    from coupler.oasis.namcouple import read

    namcouple = read(path)
    text, unit = translate(namcouple, list(alias(models).values()))
    if unit != 1:
        check(namcouple)
    return text
