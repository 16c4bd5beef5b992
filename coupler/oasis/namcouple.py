"""The namcouple file: read, write, merge our fields into a user's file, compare."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coupler.oasis.exceptions import PyOasisException

BEGIN, END = "# halocline: begin", "# halocline: end"
INSTANT = (("LOCTRANS", ("INSTANT",)),)
DIRECT = {"IGNORED": "EXPORTED", "IGNOUT": "EXPOUT"}  # an exchange without transformations, and its twin with
WITH_LINES = ("BLASOLD", "BLASNEW", "CORRECT")  # their line says how many more follow


@dataclass(frozen=True)
class Entry:
    """One field of $STRINGS: `source` of one component becomes `target` of another every `period` seconds.

    size: nx, ny of source and target; lag [s]; operations: (name, lines of its arguments) each.
    """

    source: str
    target: str
    period: int
    size: tuple[int, int, int, int] = (0, 0, 0, 0)
    grids: tuple[str, str] = ("ocea", "ocea")
    lag: int = 0
    seq: int = 1
    restart: str = "rst.nc"
    status: str = "EXPORTED"
    operations: tuple[tuple[str, tuple[str, ...]], ...] = INSTANT
    line: int = field(default=0, compare=False)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(source, target) of every field of a colon list."""
        return list(zip(self.source.split(":"), self.target.split(":"), strict=False))

    @property
    def instant(self) -> bool:
        """True where the value of the coupling time travels, without mapping or averaging."""
        return self.operations in ((), INSTANT)

    def lines(self) -> list[str]:
        """The text of the entry, valid for OASIS3-MCT of 2012 and later."""
        seq = f"  SEQ={self.seq}" if self.seq != 1 else ""
        result = [
            f"{self.source} {self.target} 1 {self.period} {len(self.operations)} {self.restart} {self.status}",
            f"{' '.join(map(str, self.size))} {' '.join(self.grids)}  LAG={self.lag}{seq}",
        ]
        if self.status in ("EXPORTED", "EXPOUT", "AUXILARY"):
            result.append("R  0  R  0")
        if self.operations:
            result.append(" ".join(name for name, _ in self.operations))
        return result + [line for _, lines in self.operations for line in lines]


@dataclass(frozen=True)
class Namcouple:
    """What a namcouple says. models is empty where there is no $NBMODEL; runtime [s]."""

    runtime: int
    entries: tuple[Entry, ...]
    models: tuple[str, ...] = ()
    fields: int = -1
    where: str = "namcouple"

    def find(self, name: str) -> list[Entry]:
        """Entries in which a field takes part."""
        return [entry for entry in self.entries if any(name in pair for pair in entry.pairs)]


def read(path: Path | str = "namcouple") -> Namcouple:
    """Read a namcouple file; raises PyOasisException, with file and line, where it cannot be understood."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise PyOasisException(
            f"OASIS needs a file '{path}' in the run folder ({Path.cwd()}): {error.strerror}. "
            "`halocline namcouple CFG` writes one."
        ) from None
    return parse(text, str(path))


def _sections(text: str) -> dict[str, list[tuple[int, list[str]]]]:
    """Keyword -> its lines as (line number, words), comments and blank lines left out."""
    result: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith("$"):
            current = result.setdefault(words[0], [])
        else:
            current.append((number, words))
    return result


def parse(text: str, where: str = "namcouple") -> Namcouple:
    """Understand the text of a namcouple, of any OASIS3-MCT; `where` is its name in messages."""
    sections = _sections(text)
    try:
        first = {keyword: lines[0][1] for keyword, lines in sections.items() if lines}
        runtime, fields = int(first["$RUNTIME"][0]), int(first["$NFIELDS"][0])
        models: tuple[str, ...] = ()
        if "$NBMODEL" in first:
            count = int(first["$NBMODEL"][0])
            models = tuple(first["$NBMODEL"][1 : 1 + count])
            if len(models) != count:
                raise PyOasisException(f"{where}: $NBMODEL announces {count} models and names {len(models)}.")
        entries = _entries(sections["$STRINGS"], where)
    except (KeyError, IndexError, ValueError) as error:
        what = f"section {error} is missing" if isinstance(error, KeyError) else str(error)
        raise PyOasisException(
            f"{where}: {what}. Needed: $NFIELDS, $RUNTIME with one number each, and $STRINGS with the fields."
        ) from None
    return Namcouple(runtime, tuple(entries), models, fields, where)


def _entries(lines: list[tuple[int, list[str]]], where: str) -> list[Entry]:
    """The fields of $STRINGS."""
    left = iter(range(len(lines)))
    entries: list[Entry] = []
    start = 0
    try:
        for at in left:
            start, words = lines[at]
            direct_output = len(words) > 5 and words[5].startswith("OUTPUT")
            status = "OUTPUT" if direct_output else words[6]
            period = int(words[3]) if words[3] != "ONCE" else 0
            count = int(words[4])
            entry = Entry(words[0], words[1], period, restart=words[5], status=status, operations=(), line=start)
            if status != "INPUT":
                entry = _second_line(entry, lines[next(left)][1])
                third = lines[at + 2][1] if at + 2 < len(lines) else []
                if len(third) == 4 and third[0] in ("P", "R"):
                    next(left)
            if count:
                names = lines[next(left)][1]
                operations = []
                for name in names[:count]:
                    arguments: list[str] = []
                    if name != "NOINTERP":
                        arguments.append(" ".join(lines[next(left)][1]))
                    if name in WITH_LINES:
                        arguments += [" ".join(lines[next(left)][1]) for _ in range(int(arguments[0].split()[1]))]
                    operations.append((name, tuple(arguments)))
                entry = replace(entry, operations=tuple(operations))
            entries.append(entry)
    except (IndexError, ValueError, StopIteration):
        raise PyOasisException(
            f"{where} line {start}: this field of $STRINGS cannot be read. Expected: SOURCE TARGET label period "
            "transformations RESTART STATUS, then sizes and grids, then P or R, then the transformations."
        ) from None
    return entries


def _second_line(entry: Entry, words: list[str]) -> Entry:
    """Sizes, grid names, LAG and SEQ of a field."""
    marks = {word.split("=")[0].upper(): int(word.split("=")[1]) for word in words if "=" in word}
    plain = [word for word in words if "=" not in word]
    if len(plain) >= 6:
        entry = replace(entry, size=(int(plain[0]), int(plain[1]), int(plain[2]), int(plain[3])))
        plain = plain[4:]
    return replace(entry, grids=(plain[0], plain[1]), lag=marks.get("LAG", 0), seq=marks.get("SEQ", 1))


def compose(models: Sequence[str], runtime: int, entries: Sequence[Entry], log_level: str = "0 0") -> str:
    """The text of a namcouple. Keywords have their one leading blank, values have none.

    log_level 0 0: two small files per component; 1 writes every call of every routine (7 kB per put).
    """
    lines = [" $NFIELDS", str(len(entries)), " $END", " $NBMODEL", f"{len(models)} {' '.join(models)}", " $END"]
    lines += [" $RUNTIME", str(runtime), " $END", " $NLOGPRT", log_level, " $END", " $STRINGS"]
    lines += [BEGIN, *(line for entry in entries for line in entry.lines()), END, " $END"]
    return "\n".join(lines) + "\n"


def merge(text: str, models: Sequence[str], runtime: int, entries: Sequence[Entry], where: str = "namcouple") -> str:
    """Our fields in a user's namcouple: a marked block at the end of $STRINGS; no foreign line is touched.

    Models that are missing are added to $NBMODEL, $NFIELDS is counted anew, an older block of ours is replaced.
    Raises PyOasisException when $RUNTIME differs or when a foreign field already fills one of our targets.
    """
    lines = text.splitlines()
    if BEGIN in lines and END in lines:
        del lines[lines.index(BEGIN) : lines.index(END) + 1]
    foreign = parse("\n".join(lines), where)
    if foreign.runtime != runtime:
        raise PyOasisException(
            f"{where}: $RUNTIME is {foreign.runtime} s, the namelists say {runtime} s. Every component of the run must "
            "agree: change $RUNTIME or the length of the run."
        )
    targets = {target for entry in entries for _, target in entry.pairs}
    for entry in foreign.entries:
        taken = targets & {target for _, target in entry.pairs}
        if taken:
            raise PyOasisException(
                f"{where} line {entry.line}: field '{sorted(taken)[0]}' is already filled by '{entry.source}' and would get a "
                "second source. Remove that entry or rename the field."
            )
    names = [*foreign.models, *(name for name in models if name[:6] not in [known[:6] for known in foreign.models])]
    _set_value(lines, "$NFIELDS", str(len(foreign.entries) + len(entries)))
    _set_value(lines, "$NBMODEL", f"{len(names)} {' '.join(names)}")
    block = [BEGIN, *(line for entry in entries for line in entry.lines()), END]
    at = _keyword(lines, "$STRINGS")
    stop = next((i for i in range(at + 1, len(lines)) if lines[i].lstrip().startswith("$END")), len(lines))
    lines[stop:stop] = block
    return "\n".join(lines) + "\n"


def write(path: Path, models: Sequence[str], runtime: int, entries: Sequence[Entry]) -> None:
    """Write our fields to `path`: a new file, or merged into the one that is there. Whole or not at all."""
    text = merge(path.read_text(encoding="utf-8"), models, runtime, entries, str(path)) if path.exists() else ""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text or compose(models, runtime, entries), encoding="utf-8")
    new.replace(path)


def verify(path: Path, models: Sequence[str], runtime: int, entries: Sequence[Entry]) -> None:
    """Refuse a namcouple that says otherwise than the namelists; PyOasisException lists every difference."""
    differences = compare(read(path), models, runtime, entries)
    if differences:
        raise PyOasisException(
            "\n  ".join([*differences, "Write it anew (`halocline namcouple CFG`) or change the namelists."])
        )


def _keyword(lines: list[str], keyword: str) -> int:
    """Line index of a keyword, -1 where it is missing."""
    return next((i for i, line in enumerate(lines) if line.split()[:1] == [keyword]), -1)


def _set_value(lines: list[str], keyword: str, value: str) -> None:
    """Change the value line of a keyword; a missing section is put first."""
    at = _keyword(lines, keyword)
    if at < 0:
        lines[:0] = [f" {keyword}", value, " $END"]
        return
    while lines[at + 1].split()[:1] == [] or lines[at + 1].startswith("#"):
        at += 1
    if lines[at + 1].split() != value.split():
        lines[at + 1] = value


def compare(have: Namcouple, models: Iterable[str], runtime: int, entries: Iterable[Entry]) -> list[str]:
    """What a namcouple says otherwise than the namelists, one sentence each; empty where they agree."""
    differences = []
    if have.runtime != runtime:
        differences.append(f"{have.where}: $RUNTIME is {have.runtime}, the namelists say {runtime}.")
    if have.fields != len(have.entries):
        differences.append(f"{have.where}: $NFIELDS is {have.fields}, $STRINGS holds {len(have.entries)} fields.")
    for name in models:
        if have.models and name[:6] not in [model[:6] for model in have.models]:
            differences.append(f"{have.where}: $NBMODEL lacks '{name}'.")
    for entry in entries:
        found = [other for other in have.entries if (other.source, other.target) == (entry.source, entry.target)]
        if not found:
            differences.append(f"{have.where}: field '{entry.source}' -> '{entry.target}' is missing.")
        for other in found[:1]:
            for what in ("period", "lag", "size"):
                got, want = getattr(other, what), getattr(entry, what)
                if got != want:
                    differences.append(
                        f"{have.where} line {other.line}: {what} of '{entry.source}' is {got}, the namelists say {want}."
                    )
            if not other.instant:
                differences.append(
                    f"{have.where} line {other.line}: '{entry.source}' is transformed on the way "
                    f"({' '.join(name for name, _ in other.operations)}); the exchange must be LOCTRANS INSTANT alone."
                )
    return differences
