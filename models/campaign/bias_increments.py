"""Increments of a twin: made by `halocline assimilate`, with or without networks in the model, compared, and put together.

Re-cycling (Gregory et al. 2024): with a network in the model, the increment of a window is what is still missing. What is missing
in all is that increment and what the network has added in the same window, so the second network is trained on their sum, on the
backgrounds of the corrected model.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from coupler.artefacts.page import contract_of
from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from models.campaign import runs
from models.campaign.command import command
from models.campaign.matrix import Row
from models.data import increment, store
from models.data.increment import FIELDS, Increment, Tendency, per_second

ASSIMILATE = runs.NAMELISTS / "gyre_assimilate" / "namelist_cfg"
DIAGNOSED = "added.nc"  # what a network added, daily
DAY = 86400.0
ADDED = {"u": "du_bias", "v": "dv_bias", "h": "dh_bias", "sst": "dt_bias"}
METHODS: dict[str, dict[str, str]] = {
    "insert": {},
    "cycle": {"cn_method": "'cycle'", "rn_gain": "0.5", "nn_drop": "5"},
    "enoi": {"cn_method": "'enoi'", "nn_drop": "5"},
}


@dataclass(frozen=True)
class Ensemble:
    """Run folder whose states give (c) its covariances, and the factor on their departures.

    It is the run of the model with the closure network: that of the model alone has no eddies. Innovations of sea surface height,
    a year of the twin with the wrong wind: 6.5 cm with the model alone, 3.4 with the closure, 3.1 with the truth's own states.
    """

    path: Path
    inflate: float = 1.0


def namelist(row: Row, method: str, truth: Path, windows: int, ensemble: Ensemble, path: Path) -> None:
    """Write the namelist of an assimilation: the model of the row, &namassim of gyre_assimilate with the method's switches.

    truth: data set; ensemble: read by 'enoi'; windows: how many, 0 for all of the truth.
    """
    runs.namelist(row, path)
    group = next(group for group in read_groups(ASSIMILATE) if group.name == "namassim")
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{group.text}\n", encoding="utf-8")
    switches = {"cn_truth": f"'{truth}'", "nn_windows": str(windows), **METHODS[method]}
    if method == "enoi":
        switches["cn_ensemble"] = f"'{ensemble.path}'"
        switches["rn_inflate"] = f"{ensemble.inflate:g}"
    edits = {f"namassim.{key}": value for key, value in switches.items()}
    edits |= {"namrun.nn_write": "0", "namrun.ln_rstart": ".true."}
    runs.fortran(path, edits)
    if row.bias is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(
                f"\n&namdiag\n   rn_diag = {DAY:.0f}.\n   cn_diag = {_added(row)}\n   cn_diag_file = '{DIAGNOSED}'\n/\n"
            )


def _added(row: Row) -> str:
    outputs = [out.name for out in contract_of(row.bias).outputs] if row.bias is not None else []
    return ", ".join(f"'{name}'" for name in outputs)


def made(
    row: Row,
    method: str,
    truth: Path,
    windows: int,
    ensemble: Ensemble,
    folder: Path,
    ocean: Path,
    core: int | None = None,
) -> Path:
    """The data set `folder`/increments.zarr, made unless the same namelist with the same networks has made it (as runs are).

    HaloclineError as `halocline assimilate` has them.
    """
    cfg, data = folder / "cfg", folder / "increments.zarr"
    cfg.mkdir(parents=True, exist_ok=True)
    namelist(row, method, truth, windows, ensemble, cfg / "namelist_cfg")
    for file in row.networks:
        (cfg / file.name).unlink(missing_ok=True)
        (cfg / file.name).symlink_to(file.resolve())
    digest = runs.sha256(cfg / "namelist_cfg")
    if data.is_dir() and origin(data).get("namelist") == digest:
        return data
    mark = folder / "made.json"
    mark.unlink(missing_ok=True)
    command(
        ["assimilate", str(cfg), "--rundir", str(folder / "run"), "--out", str(data), "--ocean", str(ocean), "--overwrite"],
        folder / "assimilate.log",
        core if row.networks else None,
    )  # fmt: skip
    mark_as(mark, {"namelist": digest, "executable": runs.sha256(ocean)})
    return data


def origin(data: Path) -> dict[str, str]:
    """What made a data set: hashes of namelist and executable, {} where nothing says so."""
    try:
        return json.loads((data.parent / "made.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def mark_as(mark: Path, record: Mapping[str, Any]) -> None:
    """Write a record aside, then rename it."""
    part = mark.with_name(mark.name + ".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(mark)


def total(residual: Path, diagnosed: Path, out: Path) -> Path:
    """The data set `out`: increments of `residual` and what the network added in each window; the same backgrounds.

    diagnosed: daily fields of the network [units of the state per second], each held for a day. HaloclineError for a window that
    lacks a day.
    """
    found = increment.open_increments(residual)
    data = found.data.load()
    with xr.open_dataset(diagnosed, engine="netcdf4", decode_times=False) as file:
        days = file.load()
    calls = round(found.window / DAY)
    count = len(found.times)
    start = days.time_counter.values.size - count * calls  # windows that were dropped at the start, in days
    if start < 0 or start % calls:
        raise HaloclineError(
            f"{diagnosed} holds {days.time_counter.values.size} days, the {count} windows of {residual} have {count * calls}: "
            "they are not of one run. Remove both, and make them again."
        )
    facts = {key: value for key, value in found.info.items() if key not in ("window", "method")}
    static = {
        str(name): (field.dims, field.values, dict(field.attrs))
        for name, field in data.data_vars.items()
        if "time" not in field.dims
    }
    made_from = {"residual": json.loads(data.attrs["provenance"])}
    writer = increment.writer(
        out, found.time_attrs, static, made_from, found.window, found.method, **facts, recycled=True
    )
    with writer:
        for first in range(0, count, store.CHUNK):
            rows = slice(first, min(first + store.CHUNK, count))
            span = slice(start + rows.start * calls, start + rows.stop * calls)
            background = {name: data[name].values[rows] for name in store.STATES}
            changes = {}
            for name in found.fields:
                missing = found.increment(name)
                left = Increment.of(name, np.asarray(missing.values[rows]), found.window)
                changes[name] = left + _sum(days, name, span, calls, found) if ADDED[name] in days else left
            writer.add(found.times[rows], background, changes)
    return out


def _sum(days: xr.Dataset, name: str, span: slice, calls: int, found: increment.Increments) -> Increment:
    """What the network added to a field in each window: daily tendencies times a day, summed."""
    daily = days[ADDED[name]].values[span]
    mean = daily.reshape(-1, calls, *daily.shape[1:]).mean(1) * (found.masks(name) > 0)
    units, point = FIELDS[name]
    return Tendency(mean, per_second(units), name, point).over(found.window)


def rms(path: Path, last: float = 1.0) -> dict[str, float]:
    """Rms of the increments over wet points, by field and level ('u1', 'v2', 'h1', 'sst'), in its last part (of 1)."""
    found = increment.open_increments(path)
    sizes = {}
    for name in found.fields:
        values = np.asarray(found.increment(name).values)
        values = values[round((1 - last) * len(values)) :]
        mask = found.masks(name) > 0
        if values.ndim == 3:
            sizes[name] = float(np.sqrt((values[:, mask] ** 2).mean()))
            continue
        for k, wet in enumerate(mask):
            sizes[f"{name}{k + 1}"] = float(np.sqrt((values[:, k, wet] ** 2).mean()))
    return sizes


def compared(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """Increments with a network in the model over those without, by field; 'total': root mean square of the ratios.

    HaloclineError where they are of different fields.
    """
    if set(before) != set(after):
        raise HaloclineError(f"increments of {', '.join(before)} and of {', '.join(after)} cannot be compared.")
    ratios = {key: after[key] / before[key] for key in before}
    return {
        "before": dict(before),
        "after": dict(after),
        "ratio": ratios,
        "total": float(np.sqrt(np.mean(np.square(list(ratios.values()))))),
    }
