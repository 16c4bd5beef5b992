"""Scores of a closure in the coarse model: rollouts from the truth's states, and the climate of free runs."""

from dataclasses import dataclass
from typing import Any

import torch

from coupler.errors import HaloclineError
from models.qg import truth as truths
from models.qg.climate import Climate, climate, distances, free_run
from models.qg.coarse import residual
from models.qg.diagnostics import Diagnostics
from models.qg.model import Closure, Model
from models.qg.records import Records, evenly
from models.settings import NamQg

KEEP = 8  # coarse steps between states of a climate
PIECE = 16  # rollouts at a time


@dataclass(frozen=True)
class Truth:
    """What runs are held against: the test members, and how far their two halves are from each other."""

    records: Records
    group: NamQg
    model: Model
    climate: Climate
    floor: dict[str, list[float]]

    @property
    def limit(self) -> float:
        """Mean kinetic energy of both layers together [m2 s-2]."""
        return float(self.climate.kinetic.sum())


def truth_of(records: Records, group: NamQg) -> Truth:
    """From the test members, each in the first or in the second half. HaloclineError where no rollout or free run fits in."""
    _check(records, group)
    model = truths.coarse_model(group)
    states = records.q[records.test, ::KEEP]
    middle = len(states) // 2
    halves = [climate(model, part.flatten(0, 1)) for part in (states[:middle], states[middle:])]
    return Truth(records, group, model, climate(model, states.flatten(0, 1)), distances(*halves))


def _check(records: Records, group: NamQg) -> None:
    """HaloclineError for rollouts that are longer than the truth, and for free runs that are left out whole."""
    room = records.q.shape[1] - 2
    if group.nn_rollout > room:
        raise HaloclineError(
            f"nn_rollout = {group.nn_rollout} steps, a member of the truth has room for {room}.\n  {group.where('nn_rollout')}. "
            "Shorten it, or make a longer truth (rn_days)."
        )
    steps, drop = _free(group)
    if steps // KEEP * KEEP <= drop:
        raise HaloclineError(
            f"rn_drop = {group.rn_drop:g} days leave no state of free runs of rn_climate = {group.rn_climate:g} days, of which "
            f"each {KEEP}th step is kept.\n  {group.where('rn_drop')}. Lengthen rn_climate, or leave out less."
        )


def _free(group: NamQg) -> tuple[int, int]:
    """Steps of a free run, and how many of them are left out."""
    return round(group.rn_climate * truths.DAY / group.rn_dt), round(group.rn_drop * truths.DAY / group.rn_dt)


def score(truth: Truth, closure: Closure | None) -> dict[str, Any]:
    """All scores of one closure, None: the coarse model alone."""
    group = truth.group
    found = {"residual_r2": _residual(truth, closure), **_rollout(truth, closure)}
    steps, drop = _free(group)
    starts = truth.records.window(evenly(truth.records, truth.records.test, group.nn_climate, 1), 0)[:, 0]
    run = free_run(truth.model, starts, steps, drop, KEEP, truth.limit, closure)
    found |= {"free_steps": run.steps, "lasted": run.lasted}
    if len(run.states):
        one = climate(truth.model, run.states)
        found |= one.numbers() | distances(one, truth.climate)
    return found


def _residual(truth: Truth, closure: Closure | None) -> list[float]:
    """R2 about zero of the residual (2,), each layer, over the test members: the offline score; 0 without a closure."""
    if closure is None:
        return [0.0, 0.0]
    starts = torch.from_numpy(truth.records.starts(truth.records.test, 1, KEEP))
    error = total = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for piece in starts.split(64):
            now, following = truth.records.window(piece, 1).unbind(dim=1)
            target = residual(truth.model, now, following)
            error = error + (closure(now) - target).double().square().sum(dim=(0, 2, 3))
            total = total + target.double().square().sum(dim=(0, 2, 3))
    return (1 - error / total).tolist()


def _rollout(truth: Truth, closure: Closure | None) -> dict[str, Any]:
    """Error of rollouts of the test members against the truth: mean square of the difference of q over the truth's variance, of the
    waves that the coarse model's filter leaves alone.

    rollout_loss: mean over the first nn_rollout steps, both layers, all rollouts; rollout_end: at their end; rollout_10: at ten
    times that. Two states of the truth that have nothing to do with each other have 2. Infinite where a rollout is no number.
    """
    short, records = truth.group.nn_rollout, truth.records
    long = min(10 * short, records.q.shape[1] - 2)
    starts = evenly(records, records.test, truth.group.nn_starts, long)
    one = Diagnostics(truth.model)
    variance = one.free_square(records.q[records.test, ::KEEP]).double().mean(dim=(0, 1))
    curve = torch.zeros(long, dtype=torch.float64)
    with torch.no_grad():
        for piece in starts.split(PIECE):
            q, wanted = records.window(piece, 0)[:, 0], records.window(piece, long)
            for n in range(long):
                q = truth.model.step(q, None if closure is None else closure(q))
                curve[n] += (one.free_square(q - wanted[:, n + 1]).double() / variance).mean(dim=1).sum() / len(starts)
    curve = torch.where(torch.isfinite(curve), curve, torch.inf)
    return {
        "rollout_loss": float(curve[:short].mean()),
        "rollout_end": float(curve[short - 1]),
        "rollout_long": float(curve[-1]),
        "rollout_long_steps": long,
    }
