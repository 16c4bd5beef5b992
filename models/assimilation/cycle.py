"""The cycle: background, analysis, increments, window after window, into a data set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coupler.errors import HaloclineError
from models.assimilation.analysis import wet
from models.assimilation.errors import Errors
from models.assimilation.job import OceanJob
from models.assimilation.truth import NAMES
from models.assimilation.twin import Twin
from models.data import increment, store
from models.data.background import (
    State,
    background_file,
    date_number,
    increments_file,
    read_background,
    write_increments,
)

ARCHIVE = "archive"  # folder of the files that ln_archive keeps


class Method(Protocol):
    """How increments are made."""

    def increments(self, window: int, background: State, truth: State) -> State:
        """Increments (levels, y, x) of some of u, v, h, t, zero on land."""


@dataclass
class _Records:
    """Records gathered to whole chunks of the data set."""

    writer: increment.Writer
    times: list[float] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    changes: list[State] = field(default_factory=list)

    def add(self, time: float, background: State, changes: State) -> None:
        self.times.append(time)
        self.states.append(background)
        self.changes.append(changes)
        if len(self.times) == store.CHUNK:
            self.flush()

    def flush(self) -> None:
        if not self.times:
            return
        background, changes = _stacked(self.states), _stacked(self.changes)
        self.writer.add(
            np.asarray(self.times),
            background,
            {name: increment.Increment.of(name, values, self.writer.window) for name, values in changes.items()},
        )
        self.times, self.states, self.changes = [], [], []


def _stacked(states: Sequence[State]) -> dict[str, np.ndarray]:
    """(time, k, y, x) by the names of data sets; the temperature (time, y, x)."""
    found = {NAMES[name]: np.stack([state[name] for state in states]) for name in states[0]}
    return {name: values[:, 0] if name == "sst" else values for name, values in found.items()}


def run(twin: Twin, ocean: OceanJob, method: Method, out: Path, files: dict[str, Path], console: Console) -> Errors:
    """Drive the ocean through all windows; increments and backgrounds to the data set `out`; errors and sizes returned.

    files: what provenance names with its hash, by a title. HaloclineError when the ocean dies (its own message), or hands
    out a background of another step, date or shape; no data set is then left.
    """
    group, truth, folder = twin.group, twin.truth, ocean.job.rundir
    facts = {key: getattr(group, key) for key in type(group).model_fields if not key.startswith("_")}
    made = store.provenance(files, truth=_origin(twin), switches=facts)
    masks, errors = truth.masks(), Errors()
    part = {} if group.cn_method != "cycle" else {"gain": group.rn_gain}
    data = increment.writer(
        out, truth.time_attrs, truth.static(), made, group.rn_window, group.cn_method, update=group.cn_update, **part
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with data, bar:
        records, task = _Records(data), bar.add_task("windows", total=twin.windows)
        for window in range(1, twin.windows + 1):
            kt = window * twin.steps
            path = background_file(folder, kt)
            ocean.wait_for(path)
            background = wet(masks, _background(twin, path, window))
            true = truth.state(window)
            changes = method.increments(window, background, true)
            written = increments_file(folder, kt)
            if window < twin.windows or group.ln_archive:
                begin, end = (date_number(truth.date(number)) for number in (window - 1, window))
                write_increments(written, _both(changes, masks), begin, end)
            _put_away(path, group.ln_archive)
            if window > 1:  # the ocean has read the increments of the window before
                _put_away(increments_file(folder, kt - twin.steps), group.ln_archive)
            if window > group.nn_drop:
                records.add(float(truth.times[window]), background, changes)
                errors.add(background, changes, true, masks)
            bar.update(task, completed=window, description=str(truth.date(window))[:10])
        said = ocean.finish()
        _put_away(written, group.ln_archive)
        records.flush()
    if ocean.job.coupled:
        console.print(said.rstrip(), highlight=False)
    return errors


def _background(twin: Twin, path: Path, window: int) -> State:
    """The background of a window, which must be of its step, its date and the truth's shape."""
    found = read_background(path)
    wanted = date_number(twin.truth.date(window))
    if found.kt != window * twin.steps or abs(found.date - wanted) > 5e-7:
        raise HaloclineError(
            f"{path} is of step {found.kt} and date {found.date:.6f}; window {window} ends with step {window * twin.steps}, "
            f"at {wanted:.6f}.\n  Background and truth must be of one time."
            " Another ocean writes into this folder, or its clock is off."
        )
    for name, mask in twin.truth.masks().items():
        if found.fields[name].shape != mask.shape:
            raise HaloclineError(
                f"{path}: '{name}' has the shape {found.fields[name].shape}, the truth {mask.shape}: another grid.\n"
                f"  {twin.group.where('cn_truth')}."
            )
    return found.fields


def _both(changes: State, masks: State) -> State:
    """Both velocities where there is one of them: the ocean has one switch for them (ln_dyninc)."""
    lacking = [name for name in ("u", "v") if {"u", "v"} & set(changes) and name not in changes]
    return changes | {name: np.zeros(masks[name].shape) for name in lacking}


def _put_away(path: Path, keep: bool) -> None:
    """Into the archive, or away."""
    if not path.exists():
        return
    if not keep:
        path.unlink()
        return
    (path.parent / ARCHIVE).mkdir(exist_ok=True)
    path.replace(path.parent / ARCHIVE / path.name)


def _origin(twin: Twin) -> dict[str, object]:
    """What the truth is: its name, its times, and the hashes that it brings itself."""
    text = json.loads(twin.truth.data.attrs.get("provenance", "{}"))
    times = twin.truth.times
    return {
        "data": twin.truth.path.name,
        "first_s": float(times[0]),
        "last_s": float(times[-1]),
        "sha256": text.get("sha256", {}),
    }
