"""`halocline replay`: the coupler without an ocean, on a recording, and its answers against the recorded ones."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console

from coupler import loop, settings
from coupler.engines.base import find_artefact
from coupler.errors import HaloclineError
from coupler.exchange import Exchange, Plan
from coupler.grid import Box, ownership
from coupler.land import mask_name
from coupler.log import Log
from coupler.progress import PROGRESS_FILE
from coupler.record import artefact_hashes
from coupler.score import Scores
from coupler.settings import Settings
from coupler.timers import Timers
from coupler.transport.recording import RecordFile, Recording
from coupler.transport.replay import ReplayTransport

MARKERS = (PROGRESS_FILE.name, loop.END_FILE.name)
NARROWEST = 140  # columns that the table needs


def replay(
    record: Path,
    cfg: Path | None = None,
    artefact: Sequence[str] = (),
    out: Path = Path("halocline_replay.nc"),
    steps: str = "",
    console: Console | None = None,
    trace: bool = False,
) -> Scores:
    """Run the networks on the recorded states, write their answers to `out` (a recording too), print and return the scores.

    cfg: namelist in place of the recorded one; artefact: FILE, or NETWORK=FILE, in place of that network's; steps:
    'FIRST:LAST', either may be missing; trace: write one. Everything else that the loop writes stays in a scratch folder, but
    for the log, the trace and the files of &namdiag and the guards, which get the name of `out` in front.
    Raises HaloclineError for a recording that cannot be used, for steps or fields that it does not hold, and as a run does.
    """
    console = console or Console()
    recording = Recording(record)
    span, notes = _span(recording, steps)
    if out.resolve() in (record.resolve(), record.resolve().with_suffix("")):
        raise HaloclineError(f"the answers would replace the recording {record}. Give another name (--out).")
    if not out.resolve().parent.is_dir():
        raise HaloclineError(
            f"there is no folder {out.parent} for {out.name}. Make it, or choose another name with --out."
        )
    with tempfile.TemporaryDirectory(prefix="halocline_replay_") as scratch:
        switches = _settings(recording, cfg, Path(scratch))
        hashes = artefact_hashes(switches)
        switches, changes = _with_artefacts(switches, artefact)
        switches = _for_replay(switches, span[0] == recording.shake.time.nn_it000, trace)
        if not artefact:
            changes += _changed(recording, hashes)
        for line in [_headline(recording, span), *notes, *changes]:
            _say(console, line)
        answers = Answers(recording, span, out.resolve(), artefact_hashes(switches))
        timers, log = Timers(), Log()
        transport = ReplayTransport(recording, span, answers)
        transport.receive = timers.around("unpack", transport.receive)  # type: ignore[method-assign]
        transport.send = timers.around("pack", transport.send)  # type: ignore[method-assign]
        try:
            with contextlib.chdir(scratch):
                _couple(switches, transport, timers, log)
        except HaloclineError as error:
            if answers.scores is None:  # before the first step: what does not fit may be what was not recorded
                have = ", ".join(recording.names("to_coupler"))
                raise HaloclineError(f"{error}\n  {record} holds the fields {have}; a replay has no others.") from None
            raise
        finally:
            _keep(Path(scratch), out.resolve())
    scores = answers.close()
    recording.close()
    wide = console if console.width >= NARROWEST else Console(file=console.file, width=NARROWEST)
    wide.print(scores.table())
    for name, number in scores.alone.items():
        if number:
            _say(console, f"{name}: {number} answers have no recorded counterpart and are not compared")
    _say(console, f"answers: {out}{'; every one has the recorded bits' if scores.same else ''}")
    return scores


def _couple(switches: Settings, transport: ReplayTransport, timers: Timers, log: Log) -> None:
    """The loop, whose error is the last event of the log."""
    try:
        loop.couple(switches, transport, timers, log)
    except HaloclineError as error:
        log.last_words(str(error))
        raise


class Answers:
    """The listener of a replay: writes every answer and compares it with the recorded one."""

    def __init__(self, recording: Recording, span: tuple[int, int], out: Path, artefacts: Mapping[str, str]) -> None:
        """Nothing is opened before `begin`."""
        self._recording, self._span, self._out, self._artefacts = recording, span, out, artefacts
        self._file: RecordFile | None = None
        self.scores: Scores | None = None

    def begin(self, plans: Sequence[Plan]) -> None:
        """Open the file, find out where the ocean is wet."""
        sent = [plan for plan in plans if plan.exchange.direction == "to_ocean"]
        grids = self._recording.shake.grids
        units, owned, wet = {}, {}, {}
        for field in (field for plan in sent for field in plan.exchange.fields):
            part, mask = grids[field.grid - 1], self._recording.fields.get(("to_coupler", mask_name(field)))
            shape = (field.levels, part.ny, part.nx)
            owned[field.name] = np.broadcast_to(ownership(part.grid, part.boxes).rank >= 0, shape)
            wet[field.name] = owned[field.name]
            if mask is not None and mask.variable.shape[1] in (1, field.levels):
                values = self._recording.read("to_coupler", mask_name(field), None)
                wet[field.name] = owned[field.name] & (values != 0)
            units[field.name] = field.units
        self.scores = Scores(self._span[0], min(self._span[1], self._recording.last), units, owned, wet)
        about = {
            "title": f"Halocline: answers of a replay of {self._recording.path.name}",
            "namelist_cfg": self._recording.namelist,
            "artefacts": json.dumps(dict(self._artefacts)),
            "halocline": version("halocline"),
        }
        kinds = [(plan.exchange, plan.stack.dtype) for plan in sent]
        self._file = RecordFile(self._out, self._recording.shake, kinds, about)

    def heard(self, exchange: Exchange, kt: int, status: int, fields: Mapping[str, np.ndarray]) -> None:
        """One answer of the networks."""
        assert self._file is not None and self.scores is not None
        shape = next(iter(fields.values())).shape
        self._file.append(exchange, kt, {"status": status}, [(Box(0, 0, shape[2], shape[1]), fields)])
        for name, values in fields.items():
            series = self._recording.fields.get(("to_ocean", name))
            known = series is not None and kt in series.records
            self.scores.add(name, kt, self._recording.read("to_ocean", name, kt) if known else None, values)

    def close(self) -> Scores:
        """Give the file its name."""
        assert self._file is not None and self.scores is not None
        self._file.close()
        return self.scores


def _span(recording: Recording, steps: str) -> tuple[tuple[int, int], list[str]]:
    """First and last step to replay, and what the user must know about them."""
    time, last = recording.shake.time, recording.last
    first, notes = recording.first, []
    if last < first:
        raise HaloclineError(f"the recording {recording.path} holds no whole step. Record again.")
    if recording.path.suffix == ".part" or last < recording.end:
        notes.append(f"the recording is of a run that ended at step {last} of {time.nn_it000} to {time.nn_itend}")
    if first > time.nn_it000:
        notes.append(
            f"one of several recordings of its run, steps {first} to {last}: lagged answers, noise with memory and held values "
            "begin anew"
        )
    if not steps:
        return (first, time.nn_itend), notes  # where the records end, the loop is told so, as by an ocean
    head, _, tail = steps.partition(":")
    try:
        span = (int(head) if head else first, int(tail) if tail else (last if ":" in steps else int(head)))
    except ValueError:
        raise HaloclineError(f"steps '{steps}' cannot be read. Give FIRST:LAST, e.g. {first}:{last}.") from None
    if not first <= span[0] <= span[1] <= last:
        raise HaloclineError(
            f"steps {span[0]} to {span[1]} are not in {recording.path}, which holds {first} to {last}. Ask for steps among those."
        )
    if span[0] > first:
        notes.append(
            f"the replay begins at step {span[0]}, the recording at {first}: lagged answers, noise with memory and held values "
            "begin anew"
        )
    return span, notes


def _settings(recording: Recording, cfg: Path | None, scratch: Path) -> Settings:
    """The switches of CFG, or those recorded; files are then looked for beside the recording."""
    if cfg is not None:
        return settings.load(cfg)
    text = scratch / f"namelist_cfg of {recording.path.name}"  # the name that messages show
    text.write_text(recording.namelist, encoding="utf-8")
    return replace(settings.load(text), path=recording.path.resolve().parent / text.name)


def _with_artefacts(switches: Settings, artefact: Sequence[str]) -> tuple[Settings, list[str]]:
    """Networks with other artefacts, and a note for each."""
    files, notes = {}, []
    names = [group.cn_name for group in switches.namnet]
    for item in artefact:
        name, equals, file = item.partition("=")
        if not equals:
            if len(names) != 1:
                raise HaloclineError(
                    f"--artefact {item}: the run has {len(names)} networks ({', '.join(names)}). Say which: NETWORK={item}."
                )
            name, file = names[0], item
        if name not in names:
            raise HaloclineError(f"--artefact {item}: the run has no network '{name}'. It has: {', '.join(names)}.")
        files[name] = file
    search = [switches.path.resolve().parent, Path.cwd()]
    groups = []
    for group in switches.namnet:
        file = files.get(group.cn_name, "" if group.cn_engine == "null" else group.cn_artefact)
        places = (
            search[::-1] if group.cn_name in files else search
        )  # one of the command line counts from the current folder
        change: dict[str, str] = {"cn_artefact": str(find_artefact(file, places))} if file else {}
        if group.cn_name in files:
            pinned = "; the pinned sha256 is that of the other file and is not asked for" if group.cn_sha256 else ""
            notes.append(
                f"network '{group.cn_name}': {file} in place of {group.cn_artefact or group.cn_engine}{pinned}"
            )
            change |= {"cn_engine": "auto", "cn_sha256": ""}
        groups.append(group.model_copy(update=change))
    exchanges = switches.namexc
    if files:  # every cell is in the recording: the new network may have the halo that it needs
        exchanges = [group.model_copy(update={"nn_halo": -1}) for group in exchanges]
    return replace(switches, namnet=groups, namexc=exchanges), notes


def _for_replay(switches: Settings, from_start: bool, trace: bool) -> Settings:
    """Nothing is recorded again, answers are computed although nothing applies them, restarts only from the start."""
    change: dict[str, str | bool | int] = {"ln_record": False, "ln_active": True, "nn_steps": 0}
    exchanges = switches.namexc
    restart = switches.namcpl.cn_rst_in
    if restart and from_start:
        places = [Path.cwd(), switches.path.resolve().parent]
        change["cn_rst_in"] = str(
            next((p / restart for p in places if (p / restart).is_file()), Path(restart).absolute())
        )
    elif not from_start:
        change["cn_rst_in"] = ""
        exchanges = [
            group.model_copy(update={"cn_first": "zero"}) if group.cn_first == "restart" else group
            for group in exchanges
        ]
    log: dict[str, int | bool] = {"nn_log_rank": 0, "ln_trace": trace}  # there is one rank
    return replace(
        switches,
        namcpl=switches.namcpl.model_copy(update=change),
        namexc=exchanges,
        namlog=switches.namlog.model_copy(update=log),
    )


def _changed(recording: Recording, hashes: Mapping[str, str]) -> list[str]:
    """A note for every artefact that is another file than in the recorded run."""
    return [
        f"network '{name}': the artefact is not that of the recorded run (sha256 {found[:12]}..., recorded "
        f"{recording.artefacts[name][:12]}...)"
        for name, found in hashes.items()
        if recording.artefacts.get(name, found) != found
    ]


def _headline(recording: Recording, span: tuple[int, int]) -> str:
    """What is replayed."""
    shake = recording.shake
    return (
        f"replay of {recording.path}: steps {span[0]} to {min(span[1], recording.last)} of '{shake.model}', recorded over "
        f"{shake.transport} by Halocline {recording.version}"
    )


def _keep(scratch: Path, out: Path) -> None:
    """What the loop wrote (diagnostics, guards, shadows), whole or not, beside `out`; its restarts and markers are of no run."""
    for made in scratch.iterdir():
        if made.name not in MARKERS and not made.stem.endswith("_restart") and not made.name.startswith("namelist_cfg"):
            shutil.move(made, out.with_name(f"{out.stem}_{made.name.removeprefix('halocline').lstrip('._')}"))


def _say(console: Console, line: str) -> None:
    """One line, neither wrapped nor marked up."""
    console.print(f"halocline: {line}", soft_wrap=True, highlight=False, markup=False)
