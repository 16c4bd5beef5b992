"""Ensembles of forecasts from states of the truth: is the spread of a stochastic network as large as the error of its mean?"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from coupler import launch
from coupler.errors import HaloclineError
from models.campaign import runs
from models.campaign.matrix import EVERY, Row
from models.data import store
from models.data.coarse import basin
from models.evaluation.mesh import Mesh
from models.evaluation.probabilistic import spread_skill
from models.evaluation.states import open_states

DAYS = 60  # length of a forecast
STEP = round(EVERY / 86400)  # days between its states


def start_state(data: xr.Dataset, record: int, path: Path) -> None:
    """A restart with the now level only, from which the ocean begins with a forward step. data: of `halocline coarsen`."""
    state = data.isel(time=record).load()
    fields = {"un": state.u, "vn": state.v, "e3t_n": state.h, "tn": state.sst}
    levels = {"k": "deptht"}
    restart = xr.Dataset(
        {
            name: ([levels.get(str(dim), dim) for dim in field.dims], field.values.astype(float))
            for name, field in fields.items()
        },
        attrs={"kt": 0.0},
    )
    restart.to_netcdf(path, encoding={name: {"_FillValue": None} for name in restart.variables})


def ensemble(
    campaign: runs.Campaign, row: Row, truth: Path, members: int, dates: int, console: Console
) -> list[dict[str, Any]]:
    """Spread-skill of sea surface height and of both velocities of layer 1, lead by lead.

    row: the network and its call period; truth: data set of `halocline coarsen` with states 5 days apart; `dates` start states,
    evenly spaced over it, `members` runs from each that differ by their noise (nn_member). Errors are pooled over dates and cells.
    HaloclineError when the truth is too short for that, or a run fails: an ensemble with holes has no spread.
    """
    data = store.read(truth)
    steps = DAYS // STEP
    last = data.sizes["time"] - steps - 1
    if last < dates:
        raise HaloclineError(f"{truth} has {data.sizes['time']} states: too few for {dates} forecasts of {DAYS} days.")
    found: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    for record in np.linspace(0, last, dates).astype(int):
        with tempfile.TemporaryDirectory(prefix="halocline_forecast_") as scratch:
            restart = Path(scratch) / runs.START
            start_state(data, int(record), restart)
            group = []
            for member in range(members):
                one = replace(row, restart=restart, days=DAYS, member=member)
                folder = Path(scratch) / f"member_{member}"
                launch.run(runs.prepared(campaign, one, console, folder), console)
                group.append(_fields(folder))
            found.append(np.stack(group))
        wanted.append(_truth(data, int(record), steps, open_states(truth).mesh))
    x, y = np.stack(found, axis=1), np.stack(wanted)  # (member, date, lead, field, ny, nx), (date, lead, field, ny, nx)
    return list(_leads(x, y))


def _leads(x: np.ndarray, y: np.ndarray) -> Iterator[dict[str, Any]]:
    for lead in range(y.shape[1]):
        line: dict[str, Any] = {"days": (lead + 1) * STEP}
        for n, name in enumerate(("eta", "u1", "v1")):
            members, truth = x[:, :, lead, n], y[:, lead, n]
            line[f"{name}_spread_skill"] = spread_skill(members, truth)
            line[f"{name}_rmse"] = float(np.sqrt(np.mean((members.mean(0) - truth) ** 2)))
        yield line


def _fields(folder: Path) -> np.ndarray:
    """(lead, field, ny, nx): sea surface height [m] and velocities of layer 1 [m s-1] of a forecast."""
    states = open_states(folder)
    pieces = list(states.pieces())
    return np.concatenate([np.stack([states.mesh.height(p.h), p.u[:, 0], p.v[:, 0]], axis=1) for p in pieces])


def _truth(data: xr.Dataset, record: int, steps: int, mesh: Mesh) -> np.ndarray:
    rows = data.isel(time=slice(record + 1, record + 1 + steps))
    u, v, h = (basin(rows[name].values.astype(float)) for name in "uvh")
    return np.stack([mesh.height(h), u[:, 0], v[:, 0]], axis=1)
