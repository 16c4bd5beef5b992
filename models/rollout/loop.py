"""The windows of a training beside the ocean: compare, learn, hand new weights over, let the ocean go on.

At the end of a window the ocean writes its state and waits. Meanwhile the network learns, from this window or from all that a
version ran. Every nn_swap windows its weights get a number and go to the coupler, which takes them at the first exchange of the
next window. Then the increments are written, and the ocean goes on. Nothing depends on how fast either side is.
"""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coupler.errors import HaloclineError
from coupler.restart import restart_name
from coupler.swap import LOG as SWAPS
from coupler.swap import request
from models.assimilation.analysis import wet
from models.assimilation.job import OceanJob
from models.data.background import State, background_file, increments_file, read_background, write_increments
from models.ended import ended_by_sigterm
from models.rollout import ocean
from models.rollout.adjoint import Adjoint
from models.rollout.learner import Learner
from models.rollout.log import RolloutLog, draw
from models.rollout.ocean import Plan
from models.rollout.propagator import Adjustment, Damped, Propagator
from models.rollout.trajectory import record_file
from models.rollout.versions import Version, Versions
from models.rollout.weights import Weights, Window
from models.training import artefact, checkpoint
from models.training.trainer import threads

if TYPE_CHECKING:
    from models.training.setup import Setup

OCEAN = "ocean"  # folder of the ocean's run
RESTART = "ocean_restart_{:05d}.nc"  # the ocean's restart that belongs to a checkpoint, by window


@dataclass
class Rollout:
    """A training: its plan, what learns, and where it stands. `window`: the last one that has ended."""

    plan: Plan
    learner: Weights
    versions: Versions
    folder: Path
    log: RolloutLog
    recipe: dict[str, Any]
    change: dict[str, np.ndarray]
    window: int
    version: Version

    def compare(self, window: int) -> tuple[State, State, float, float]:
        """Background and truth minus background at a window's end [own units], its error (persistence: 1), and the date.

        HaloclineError for a background of another step or shape.
        """
        plan = self.plan
        path = background_file(self.ocean, window * plan.steps)
        found, masks = read_background(path), plan.truth.masks()
        if found.kt != window * plan.steps:
            raise HaloclineError(f"{path} is of step {found.kt}: another ocean writes into this folder.")
        for name, mask in masks.items():
            if found.fields[name].shape != mask.shape:
                raise HaloclineError(
                    f"{path}: '{name}' has the shape {found.fields[name].shape}, the truth {mask.shape}: another grid.\n"
                    f"  {plan.rollout.where('cn_truth')}. Coarsen the truth to the ocean's grid."
                )
        background = wet(masks, found.fields)
        true = plan.truth.state(plan.begin(window) + 1)
        error = {name: (true[name] - background[name]) * masks[name] for name in masks}
        squares = [((error[name] / self.change[name]) ** 2).sum() / masks[name].sum() for name in "uvh"]
        return background, error, float(np.mean(squares)), found.date

    @property
    def ocean(self) -> Path:
        """The ocean's run folder."""
        return self.folder / OCEAN

    def increments(self, window: int, background: State, error: State) -> State:
        """What is put into the ocean at a window's end: rn_gain of the error, or all, where the truth begins again."""
        rollout, masks = self.plan.rollout, self.plan.truth.masks()
        if window % self.plan.count:
            put = {name: rollout.rn_gain * error[name] for name in rollout.cn_fields}
        else:
            true = self.plan.truth.state(self.plan.begin(window + 1))
            put = {name: (true[name] - background[name]) * masks[name] for name in rollout.cn_fields}
        for name in ("u", "v"):  # the ocean has one switch for both
            if {"u", "v"} & set(put):
                put.setdefault(name, np.zeros(masks[name].shape))
        return put

    def taken(self, window: int) -> None:
        """HaloclineError unless the coupler runs the version that it was given before this window."""
        path = self.ocean / SWAPS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = json.loads(lines[-1]) if lines else {}
        if found.get("sha256") != self.version.sha256 or found.get("kt") != (window - 1) * self.plan.steps + 1:
            raise HaloclineError(
                f"the coupler has not taken version {self.version.number} at step {(window - 1) * self.plan.steps + 1}; its last "
                f"swap is {found or 'none'}.\n  Look at run.log in {self.ocean}."
            )

    def hand_over(self, window: int, last: bool) -> None:
        """New weights as the next version: log, checkpoint with the ocean's restart, request to the coupler (none at the end)."""
        learnt = self.learner.learn(self.version.number)
        self.learner.release()
        self.version = self.versions.write(self.learner.released, self.version.number + 1, self.ocean)
        self.log(
            "version", window=window, kt=window * self.plan.steps, version=self.version.number, sha256=self.version.sha256,
            loss=self.log.since_version("loss"), error=self.log.since_version("error"), **learnt,
        )  # fmt: skip
        self.save(window)
        if last:
            return
        asked = request(self.plan.network)
        part = self.ocean / f"{asked}.part"
        part.write_text(
            json.dumps({"artefact": self.version.path.name, "sha256": self.version.sha256}), encoding="utf-8"
        )
        part.replace(self.ocean / asked)

    def save(self, window: int) -> None:
        """The checkpoint of a window, and the ocean's restart of its end; older ones go."""
        source = self.plan.restart(self.ocean, window)
        kept = self.folder / RESTART.format(window)
        try:
            shutil.copyfile(source, f"{kept}.part")
            Path(f"{kept}.part").replace(kept)
        except OSError as error:
            raise HaloclineError(f"cannot copy the ocean's restart {source} to {kept}: {error.strerror}.") from None
        self._checkpoint(window)
        for old in self.folder.glob(RESTART.replace("{:05d}", "*")):
            if old != kept:
                old.unlink()
        for old in (source, self.ocean / restart_name((window - self.plan.rollout.nn_swap) * self.plan.steps)):
            old.unlink(missing_ok=True)

    def _checkpoint(self, window: int) -> None:
        weights = {f"network.{name}": value for name, value in self.learner.result.state_dict().items()}
        document = {
            "state_dict": weights,
            "recipe": self.recipe,
            "rollout": {"window": window, "version": self.version.number, **self.learner.state()},
        }
        checkpoint.CheckpointFiles().save_checkpoint(document, self.folder / checkpoint.LAST)


def train(setup: "Setup", folder: Path, recipe: dict[str, Any], console: Console) -> None:
    """Run the windows that are left; the weights are then in last.ckpt.

    HaloclineError for mistakes in the switches, an ocean that dies, and a training that diverges.
    """
    rollout = setup.rollout
    assert rollout is not None  # the caller looked at cn_mode
    plan = ocean.plan(rollout, setup)
    last, found = folder / checkpoint.LAST, None
    if last.exists():
        found = checkpoint.read(last)["rollout"]
    window, number = (int(found["window"]), int(found["version"])) if found else (0, 0)
    if window >= rollout.nn_windows:
        return
    with threads(setup.train), ended_by_sigterm():
        log, change = RolloutLog(folder, window, setup.train.cn_log == "tensorboard"), _change(plan)
        learner = _learner(setup, plan, change, log, console)
        if found:
            learner.load(found)
        versions = Versions(
            setup.network, setup.train, setup.statistics, artefact.trained_on(setup.train, setup.samples, recipe)
        )
        version = versions.write(learner.released, number, folder)
        restart = folder / RESTART.format(window) if window else None
        job = ocean.prepare(plan, folder / OCEAN, window, version, restart)
        run = Rollout(plan, learner, versions, folder, log, recipe, change, window, version)
        log("start", window=window, kt=window * plan.steps, version=number, sha256=version.sha256)
        console.print(
            f"rollout: {rollout.nn_windows - window} windows of {rollout.rn_window / 86400:g} days, {plan.count} until the truth "
            f"begins again; new weights every {rollout.nn_swap} windows; the ocean runs in {job.rundir}",
            highlight=False,
            soft_wrap=True,
        )
        try:
            with OceanJob(job, "training") as running:
                _windows(run, running, console)
                running.finish()
        except HaloclineError as error:
            if not last.exists():
                raise
            raise HaloclineError(
                f"{error}\n  The same command goes on from the last version, in {folder}. If that is what blew up: lower rn_lr, "
                "and begin anew with --overwrite."
            ) from None
        except (KeyboardInterrupt, SystemExit):
            at = min(run.window + 1, rollout.nn_windows)
            onward = "goes on from the last version" if last.exists() else "begins again"
            raise HaloclineError(f"interrupted in window {at}. The same command {onward}, in {folder}.") from None
        log.close()
    draw(folder, plan.count)


def _learner(setup: "Setup", plan: Plan, change: dict[str, np.ndarray], log: RolloutLog, console: Console) -> Weights:
    """What learns, by cn_mode."""
    rollout, calls, adjoint, seed = plan.rollout, plan.calls, setup.adjoint, setup.train.nn_seed
    if calls is None or adjoint is None:
        return Learner(setup, rollout, rollout.nn_windows)
    propagator: Propagator
    if setup.emulator is not None:
        from models.emulator.fit import emulated

        known = any(line["event"] == "emulator" for line in log.lines)
        propagator = emulated(
            plan, setup.samples, setup.emulator, seed, log.path.parent, None if known else log, console
        )
    else:
        damp = math.exp(-calls.seconds / adjoint.rn_damp) if adjoint.rn_damp else 1.0
        samples, adjusted = setup.samples, None
        if adjoint.rn_radius:
            adjusted = Adjustment(samples.outputs, samples.wet, samples.spacing, adjoint.rn_radius)
        propagator = Damped(samples.channels, samples.outputs, calls.seconds, damp, adjusted)
    return Adjoint(setup, adjoint, calls, change, propagator, -(-rollout.nn_windows // rollout.nn_swap))


def _windows(run: Rollout, running: OceanJob, console: Console) -> None:
    plan, rollout, learner = run.plan, run.plan.rollout, run.learner
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    first, swapped = run.window, False
    begin, before = _first(run), 0.0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("windows", total=rollout.nn_windows, completed=first)
        if first:  # the ocean writes the background of its restart again, and waits for the same increments
            begin, before = _again(run, running)
        for window in range(first + 1, rollout.nn_windows + 1):
            path = background_file(run.ocean, window * plan.steps)
            running.wait_for(path)
            if swapped:
                run.taken(window)
            background, error, size, date = run.compare(window)
            recording = record_file(run.ocean, (window - 1) * plan.steps + 1) if plan.calls else None
            shown = learner.visit(Window(window, begin, background, error, rollout.rn_window, recording))
            run.log(
                "window", window=window, kt=window * plan.steps, version=run.version.number, state=plan.begin(window) + 1,
                error=size, **shown,
            )  # fmt: skip
            last = window == rollout.nn_windows
            swapped = window % rollout.nn_swap == 0 or last
            if swapped:
                run.hand_over(window, last)
                console.print(_said(run, rollout.nn_windows), highlight=False)
            if not last:
                put = run.increments(window, background, error)
                write_increments(increments_file(run.ocean, window * plan.steps), put, before or date, date)
                begin = {name: background[name] + put.get(name, 0.0) for name in background}
            for done in (path, recording, increments_file(run.ocean, (window - 1) * plan.steps)):
                if done is not None:
                    done.unlink(missing_ok=True)
            before, run.window = date, window
            bar.update(task, completed=window)


def _first(run: Rollout) -> State:
    """The state that the first window begins with."""
    return wet(run.plan.truth.masks(), run.plan.truth.state(run.plan.first))


def _again(run: Rollout, running: OceanJob) -> tuple[State, float]:
    """The increments at the end of the checkpoint's window, once more; the state after them, and its date."""
    kt = run.window * run.plan.steps
    path = background_file(run.ocean, kt)
    running.wait_for(path)
    background, error, _, date = run.compare(run.window)
    put = run.increments(run.window, background, error)
    write_increments(increments_file(run.ocean, kt), put, date, date)
    path.unlink()
    return {name: background[name] + put.get(name, 0.0) for name in background}, date


def _said(run: Rollout, windows: int) -> str:
    line = run.log.lines[-1]
    return (
        f"window {line['window']}/{windows}  version {line['version']} ({line['sha256'][:12]})  error {line['error']:.4g}  "
        f"loss {line['loss']:.4g}"
    )


def _change(plan: Plan) -> dict[str, np.ndarray]:
    """Rms change of u, v, h of each level over a window of the truth (levels, 1, 1), wet points: the error of persistence."""
    masks = plan.truth.masks()
    sums = {name: np.zeros(len(masks[name])) for name in "uvh"}
    before = plan.truth.state(plan.first)
    for number in range(plan.first + 1, plan.first + plan.count + 1):
        state = plan.truth.state(number)
        for name in "uvh":
            sums[name] += (((state[name] - before[name]) * masks[name]) ** 2).sum(axis=(1, 2))
        before = state
    return {
        name: np.sqrt(total / masks[name].sum(axis=(1, 2)) / plan.count)[:, None, None] for name, total in sums.items()
    }
