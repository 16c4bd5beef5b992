"""The static ensemble: departures that stand for the errors of a background."""

from pathlib import Path

import numpy as np

from coupler.errors import HaloclineError
from models.data.background import State
from models.data.coarse import rimmed
from models.evaluation.states import open_states


def departures(path: Path, members: int, apart: int, factor: float, masks: State, where: str) -> State:
    """Departures (members, levels, y, x) of u, v, h, t from the states of a data set or run folder, times `factor`.

    apart 0: of `members` states, evenly spaced in time, from their mean: errors as large as the ocean's variability.
    apart n > 0: differences of states n records apart, over sqrt(2), less their mean: variability of shorter times, no annual
    cycle. Divided so that their covariance is sum(a a^T) / (members - 1). where: where the namelist names it, for messages.
    HaloclineError: no states, too few of them, or another grid.
    """
    shape = masks["h"].shape
    try:
        states = open_states(path)
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {where}.") from None
    if states.mesh.shape != (shape[0], shape[1] - 2, shape[2] - 2):
        raise HaloclineError(
            f"the ensemble {path} has {_size(states.mesh.shape)}, the ocean {_size((shape[0], shape[1] - 2, shape[2] - 2))}.\n"
            f"  {where}. Take states on the ocean's grid."
        )
    pieces = list(states.pieces())
    whole = {name: np.concatenate([getattr(piece, name) for piece in pieces]).astype(np.float32) for name in "uvht"}
    there = len(whole["t"]) - apart
    if there < members:
        raise HaloclineError(
            f"{path} has {there + apart} states: too few for {members} members"
            f"{f' of states {apart} records apart' if apart else ''}.\n  {where}. Lower nn_ensemble, or take a longer run."
        )
    chosen = np.linspace(0, there - 1, members).round().astype(int)
    found = {}
    for name, values in whole.items():
        picked = values[chosen].astype(np.float64)
        if apart:
            picked = (values[chosen + apart] - picked) / np.sqrt(2.0)
        rim = rimmed(picked if name != "t" else picked[:, None])
        found[name] = factor * (rim - rim.mean(0)) * masks[name]
    return found


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} layers of {shape[2]} x {shape[1]} cells"
