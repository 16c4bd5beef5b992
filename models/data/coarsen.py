"""`halocline coarsen`: from the fine files of each member to its data set, MEMBER.zarr.

First every fine file becomes a part (models/data/parts.py), independently and in parallel. Then the parts of a member are joined,
the target is taken from the executable of the coarse model (models/data/residual.py), and the data set is written, piece by piece.
A second call makes only what is missing. Parts stay in OUT/MEMBER.parts while they are the only source, that is, when the fine
files are gone; otherwise they go with the end of the member.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from coupler.errors import HaloclineError
from models.data import ocean, parts, store
from models.data.advective import advection
from models.data.coarse import basin, rimmed
from models.data.fine_run import SIGNATURE
from models.data.plan import Plan
from models.data.report import Report
from models.data.residual import tendency


def run(plan: Plan, jobs: int, console: Console) -> list[Report]:
    """Coarsen every member of the plan, with `jobs` processes. Returns the reports, which are also printed."""
    names = plan.members()
    for name in names:
        store.check_place(plan.out / f"{name}.zarr")
        fine = ocean.read_switches(plan.truth / name)
        burst = fine["namdia", "nn_burst_d"] * fine.step if fine["namdia", "nn_burst"] else None
        for remark in plan.check_fine(fine, burst):
            console.print(f"{name}: {remark}", highlight=False, soft_wrap=True)
    work = {name: plan.files(name) for name in names}
    _check_disk(plan, work)
    make_parts(plan, work, jobs, console)
    reports = []
    for name in names:
        reports.append(assemble(plan, name, console))
        console.print(reports[-1].table(), highlight=False)
    return reports


def make_parts(plan: Plan, work: dict[str, list[Path]], jobs: int, console: Console) -> None:
    """Make the parts that are missing, `jobs` at a time."""
    missing = [
        (fine, plan.part(name, fine))
        for name, files in work.items()
        for fine in files
        if not parts.fresh(plan.part(name, fine), fine, plan.recipe)
    ]
    with _bar(console, "fine files", len(missing)) as advance:
        if jobs == 1 or len(missing) < 2:
            for fine, part in missing:
                parts.make(fine, part, plan.recipe)
                advance(fine.name)
            return
        with parts.pool(min(jobs, len(missing))) as pool:
            futures = [(fine, pool.submit(parts.make, fine, part, plan.recipe)) for fine, part in missing]
            try:
                for fine, future in futures:
                    future.result()
                    advance(fine.name)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def assemble(plan: Plan, member: str, console: Console) -> Report:
    """Join the parts of a member into OUT/MEMBER.zarr, with targets where the truth has bursts."""
    files = plan.files(member)
    joined = [plan.part(member, fine) for fine in files]
    with xr.set_options(keep_attrs=True):
        data = xr.concat(
            [store.read(part) for part in joined],
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
        )
    time = data["time"].values
    step = plan.model.switches.step
    bursts = files[0].stem.endswith("_burst")
    centres = _centres(time, step, member) if bursts else np.arange(len(time))
    _check_spacing(time[centres], member)
    mesh = plan.model.mesh()
    report = Report(member, len(centres))
    length = parts.piece_length(mesh["tmask"][1].size * 8 * 60, plan.group.rn_maxmem)
    path = plan.out / f"{member}.zarr"
    with (
        store.Writer(path, dict(data["time"].attrs), mesh, _provenance(plan, member, files)) as writer,
        _bar(console, f"{member}: states", len(centres)) as advance,
    ):
        for first in range(0, len(centres), length):
            at = centres[first : first + length]
            writer.append(time[at], _fields(plan, data, time, at, mesh, report, bursts))
            advance("", len(at))
        writer.note("report", report.numbers())
    if all(fine.exists() for fine in files):
        shutil.rmtree(plan.out / f"{member}.parts", ignore_errors=True)
    return report


def _fields(
    plan: Plan, data: xr.Dataset, time: np.ndarray, at: np.ndarray, mesh: dict, report: Report, bursts: bool
) -> dict[str, np.ndarray]:
    """All variables of some records: states, states before, targets; the report sees them in 64 bit."""
    now = _states(data, at)
    if not bursts:
        return now
    step = plan.model.switches.step
    before = _states(data, at - 1)
    fields = now | {f"{name}_b": values for name, values in before.items()}
    residual = subgrid = None
    if plan.group.ln_target:
        after = _states(data, at + 1)
        attrs = {key: str(value) for key, value in data["time"].attrs.items()}
        rhs = plan.model.right_hand_side(now, before, time[at], attrs)
        target = {name: tendency(after[name], before[name], step) - rhs[name] for name in "uvh"}
        fields |= {"du": target["u"], "dv": target["v"]}
        residual = basin(target["u"]), basin(target["v"])
        report.add_residual(*residual)
        report.add_thickness(basin(target["h"]), basin(tendency(after["h"], before["h"], step)))
    if plan.group.ln_advective:
        corners = mesh["fmask"][1][0, :-1, :-1].astype(np.float64)
        dx, dy = (float(mesh[name][1].max()) for name in ("e1t", "e2t"))
        resolved = advection(basin(now["u"]), basin(now["v"]), corners, dx, dy)
        subgrid = data["au"][at].values - resolved[0], data["av"][at].values - resolved[1]
        fields |= {"du_adv": rimmed(subgrid[0]), "dv_adv": rimmed(subgrid[1])}
        report.add_advective(*subgrid)
    if residual is not None and subgrid is not None:
        report.compare(residual, subgrid)
    return fields


def _states(data: xr.Dataset, at: np.ndarray) -> dict[str, np.ndarray]:
    return {name: rimmed(data[name][at].values) for name in store.STATES}


def _centres(time: np.ndarray, step: float, member: str) -> np.ndarray:
    """Middles of whole bursts. HaloclineError when there is none."""
    middle = np.flatnonzero(parts.middles(time, step)[:-1])
    whole = middle[np.abs(time[middle + 1] - time[middle] - step) < 1e-3 * step]
    if len(whole):
        return whole
    gaps = np.unique(np.round(np.diff(time), 3))
    raise HaloclineError(
        f"member '{member}' has no three states {step:g} s apart (rn_Dt of the coarse model); {len(time)} states with gaps of "
        f"{', '.join(f'{gap:g}' for gap in gaps[:4])} s. The truth is too short, or rn_burst_d of &namtruth is not the coarse step."
    )


def _check_spacing(time: np.ndarray, member: str) -> None:
    gaps = np.diff(time)
    if len(gaps) and np.ptp(gaps) > 1.0:
        worst = int(np.argmax(gaps))
        raise HaloclineError(
            f"member '{member}' has a hole between {time[worst] / 86400:g} and {time[worst + 1] / 86400:g} days: states are "
            f"{gaps.min() / 86400:g} days apart elsewhere. A fine file is missing; run `halocline truth` again."
        )


def _check_disk(plan: Plan, work: dict[str, list[Path]]) -> None:
    """HaloclineError when parts and data sets do not fit; a part is about 2 / factor**2 of its file, a data set less than that."""
    fine = sum(path.stat().st_size for files in work.values() for path in files if path.exists())
    needed = 4.5 * fine / plan.group.nn_factor**2
    place = next(folder for folder in (plan.out, *plan.out.resolve().parents) if folder.exists())
    there = shutil.disk_usage(place).free
    if needed > there:
        raise HaloclineError(
            f"the coarse data need {needed / 1e9:.2f} GB on disk, {plan.out} has {there / 1e9:.2f} GB left. "
            "Free some, or give another folder with --out."
        )


def _provenance(plan: Plan, member: str, files: Sequence[Path]) -> dict:
    folder = plan.truth / member
    hashed = {
        "truth namelist": folder / "namelist_cfg",
        "truth mesh": folder / "mesh_mask.nc",
        "coarse namelist": plan.model.switches.path,
        "coarse executable": plan.model.program,
    }
    recipe = asdict(plan.recipe) | {"filter": plan.group.cn_filter}
    signed = json.loads((folder / SIGNATURE).read_text(encoding="utf-8")) if (folder / SIGNATURE).exists() else None
    return store.provenance(
        hashed, truth=str(folder), outputs=[path.name for path in files], recipe=recipe, truth_made_by=signed
    )


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar, or ten lines where there is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        count = 0

        def advance(name: str, amount: int = 1) -> None:
            nonlocal count
            count += amount
            bar.update(task, completed=count)
            if not console.is_terminal and count * 10 // total > (count - amount) * 10 // total:
                console.print(f"{what}: {count} of {total} {name}".rstrip(), highlight=False)

        yield advance
