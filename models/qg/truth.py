"""`halocline qg truth`: members of the fine model, coarse-grained at each coarse step, as one data set."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from rich.console import Console

from coupler.errors import HaloclineError
from coupler.settings import config_file
from models.console import console as open_console
from models.data import store
from models.qg.coarse import Coarsening, refined, substeps
from models.qg.model import Model
from models.qg.parameters import of
from models.settings import NamQg, load
from models.training.perturb import generator

DAY = 86400.0
RECORDS = 1024  # of a chunk
NAME = "truth.zarr"
NOISE = 1.0e-5  # of the first state, of the size of the flow's own potential vorticity [s-1]
STREAM = 11  # random stream of a member's first state
MADE_OF = (
    "cn_regime rn_length nn_fine nn_coarse rn_dt_fine rn_dt cn_filter nn_seed rn_spinup rn_adapt rn_days nn_train nn_val nn_test"
).split()


def settings(cfg: Path) -> NamQg:
    """&namqg of CFG. HaloclineError without it, and for grids and steps that do not go together."""
    if not (groups := load(cfg, NamQg)):
        raise HaloclineError(
            f"{config_file(cfg)} has no group &namqg. Add it: it names the regime, grids and steps (namelists/qg_eddy has one)."
        )
    group = groups[0]
    for name in ("nn_fine", "nn_coarse"):
        if getattr(group, name) % 2:
            raise HaloclineError(f"{name} = {getattr(group, name)} is odd.\n  {group.where(name)}. Set an even number.")
    if group.nn_coarse >= group.nn_fine:
        raise HaloclineError(
            f"nn_coarse = {group.nn_coarse} is not below nn_fine = {group.nn_fine}.\n  {group.where('nn_coarse')}. Lower it."
        )
    if not substeps(group.rn_dt, group.rn_dt_fine):
        raise HaloclineError(
            f"rn_dt = {group.rn_dt:g} s is no multiple of rn_dt_fine = {group.rn_dt_fine:g} s.\n  {group.where('rn_dt')}. Set one."
        )
    if group.rn_days * DAY < 2 * group.rn_dt:
        raise HaloclineError(
            f"rn_days = {group.rn_days:g} holds no two coarse steps of {group.rn_dt:g} s.\n  {group.where('rn_days')}. Lengthen it."
        )
    return group


def coarse_model(group: NamQg, dtype: torch.dtype = torch.float32) -> Model:
    """The coarse model of &namqg."""
    return Model(of(group), group.nn_coarse, group.rn_dt, dtype)


def member(group: NamQg, number: int) -> np.ndarray:
    """Coarse records (time, 2, m, m) [s-1] of one member, 32-bit; number counts from 0.

    Noise, rn_spinup days on half the fine grid with twice its step, rn_adapt days on the fine grid, then rn_days with a record at
    each coarse step. HaloclineError when the fine model blows up.
    """
    parameters, dtype = of(group), torch.float32
    half = Model(parameters, group.nn_fine // 2, 2 * group.rn_dt_fine, dtype)
    fine = Model(parameters, group.nn_fine, group.rn_dt_fine, dtype)
    coarsening = Coarsening(fine, Model(parameters, group.nn_coarse, group.rn_dt, dtype), group.cn_filter)
    every, count = substeps(group.rn_dt, group.rn_dt_fine), int(group.rn_days * DAY / group.rn_dt)
    with torch.no_grad():
        stream = generator(STREAM, group.nn_seed + number)
        q = NOISE * torch.randn(2, half.n, half.n, generator=stream)
        q = half.after(q - q.mean(dim=(-2, -1), keepdim=True), int(group.rn_spinup * DAY / half.dt))
        q = fine.after(refined(q, fine.n), int(group.rn_adapt * DAY / fine.dt))
        records = torch.empty(count, 2, group.nn_coarse, group.nn_coarse)
        for n in range(count):
            records[n] = coarsening(q)
            q = fine.after(q, every)
    if not torch.isfinite(records).all():
        raise HaloclineError(
            f"the fine model blew up in member {number + 1}.\n  {group.where('rn_dt_fine')}. Shorten it, or look at the flow's own "
            "numbers (rn_beta, rn_delta, rn_rd, rn_u1, rn_u2, rn_length)."
        )
    return records.numpy()


def make(cfg: Path, out: Path, console: Console | None = None) -> Path:
    """All members of CFG into the data set; returns its path. One that is there already and fits is left as it is.

    HaloclineError for mistakes in the namelist, for a data set of another namelist, and when the fine model blows up.
    """
    group, console = settings(cfg), console or open_console()
    path = place(group, out)
    if path.exists():
        read(group, out)
        console.print(f"{path} is there", highlight=False)
        return path
    store.check_place(path)
    total, members = group.nn_train + group.nn_val + group.nn_test, []
    for number in range(total):
        start = time.perf_counter()
        members.append(member(group, number))
        console.print(
            f"member {number + 1}/{total}  {len(members[-1])} records  rms q {np.std(members[-1], axis=(0, 2, 3))} s-1  "
            f"{time.perf_counter() - start:.0f} s",
            highlight=False,
        )
    _write(path, np.stack(members), group, cfg)
    return path


def place(group: NamQg, out: Path) -> Path:
    """Where the data set is."""
    return Path(group.cn_data) if group.cn_data else out / NAME


def _made_of(group: NamQg) -> dict[str, object]:
    """The switches that decide what is in the data set."""
    return {name: getattr(group, name) for name in MADE_OF} | vars(of(group))


def _write(path: Path, q: np.ndarray, group: NamQg, cfg: Path) -> None:
    side = of(group).length / group.nn_coarse * (np.arange(group.nn_coarse) + 0.5)
    axis = {"units": "m", "long_name": "distance eastward"}
    data = xr.Dataset(
        {
            "q": (
                ("member", "time", "k", "y", "x"),
                q,
                {"units": "s-1", "long_name": "quasi-geostrophic potential vorticity, anomaly of the mean flow's"},
            )
        },
        {
            "time": (
                "time",
                group.rn_dt * np.arange(q.shape[1]),
                {"units": "seconds since 2000-01-01", "calendar": "360_day", "standard_name": "time"},
            ),
            "x": ("x", side, axis),
            "y": ("y", side, axis | {"long_name": "distance northward"}),
        },
        {
            "halocline_format": store.FORMAT,
            "namqg": json.dumps(_made_of(group)),
            "digest": hashlib.sha256(q.tobytes()).hexdigest(),
            "provenance": json.dumps(store.provenance({"namelist": config_file(cfg)})),
        },
    )
    part = path.with_name(f"{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        chunks = {"q": {"chunks": (1, min(RECORDS, q.shape[1]), *q.shape[2:])}}
        data.to_zarr(part, mode="w", consolidated=False, encoding=chunks)
        os.replace(part, path)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise HaloclineError(f"cannot write {path}: {error.strerror or error}. Make room, then run again.") from None


def read(group: NamQg, out: Path) -> xr.Dataset:
    """The data set of &namqg. HaloclineError where it is not there, or was made with other switches."""
    path = place(group, out)
    if not path.is_dir():
        raise HaloclineError(
            f"there is no data set {path}.\n  {group.where('cn_data')}. `halocline qg truth` makes it; paths count from the "
            "folder in which the command runs."
        )
    data = store.read(path, ("q",))
    found, wanted = json.loads(data.attrs.get("namqg", "{}")), json.loads(json.dumps(_made_of(group)))
    if differ := [name for name in wanted if found.get(name) != wanted[name]]:
        lines = "\n".join(f"  {name}: {found.get(name)!r} there, {wanted[name]!r} now" for name in differ)
        raise HaloclineError(
            f"{path} was made with other switches:\n{lines}\n  {group.where()}. Remove it and run `halocline qg truth` again, or "
            "name another one (cn_data)."
        )
    return data
