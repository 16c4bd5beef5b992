"""The ocean's own budget: what each of its terms puts in, from trends and states that it has written.

    python -m coupler.trends RUN_DIR

The terms utrd_TERM and vtrd_TERM of *_trd.nc are taken with the velocities and thicknesses of *_inst.nc at the same times, and
the masks and metrics of mesh_mask.nc, by the formulas of coupler/energetics.py. The reference ocean writes trends every nn_trd
steps with ln_trd in &namtrd, those of the beginning of a step, and states of the end of a step: nn_write = 1 has them all.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from coupler import energetics
from coupler.errors import HaloclineError
from coupler.grid import Box, Grid
from coupler.io import read_output

if TYPE_CHECKING:
    import xarray as xr

STATE = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello"}
RHO0 = 1026.0


def budget(run: Path, rho0: float = RHO0) -> dict[str, np.ndarray]:
    """Term -> energy input of each level (k,) [W m-2], the mean over the records of trends that have a state.

    Grids that are closed or cyclic along i; the rows of a north fold are left out. Raises HaloclineError where a file is missing,
    or no record of trends has a state.
    """
    trends, states, mesh = (_read(run, name) for name in ("*_trd.nc", "*_inst.nc", "mesh_mask.nc"))
    times = states["time_counter"].values.tolist()
    pairs = [(n, times.index(t)) for n, t in enumerate(trends["time_counter"].values.tolist()) if t in times]
    if not pairs:
        raise HaloclineError(
            f"no record of the trends in {run} has a state of the same time. Let it write a state every step (nn_write = 1); "
            "trends are those of the beginning of a step, a state is that of the end."
        )
    names = ["tmask", *(f"e{n}{p}" for n in "12" for p in "tuv")]
    fields = {name: _padded(mesh[name].values) for name in names}
    ny, nx = mesh["tmask"].shape[-2:]
    on = energetics.geometry(fields, Grid(nx, ny), Box(0, 0, nx, ny))
    found: dict[str, np.ndarray] = {}
    for record, instant in pairs:
        u, v, h = (_padded(states[name].values[instant]) for name in STATE.values())
        for term in [str(name)[5:] for name in trends.data_vars if str(name).startswith("utrd_")]:
            du, dv = (np.nan_to_num(trends[f"{n}trd_{term}"].values[record].astype(np.float64)) for n in "uv")
            work = energetics.energy(u, v, h, du, dv, rho0=rho0)
            total = (work["U"] * on.area_u + work["V"] * on.area_v).sum((-2, -1)) / (on.area_t[0].sum() * len(pairs))
            found[term] = found.get(term, 0.0) + total
    return found


def table(terms: dict[str, np.ndarray]) -> Table:
    """A row for each term that is not zero everywhere, the total last; what is round-off beside the largest is zero."""
    noise = 1e-12 * max(float(np.abs(levels).max()) for levels in terms.values())
    rows = Table(title="energy input [W m-2]", title_justify="left")
    rows.add_column("term")
    for name in ("all", *(f"level {k + 1}" for k in range(len(next(iter(terms.values())))))):
        rows.add_column(name, justify="right")
    for term, levels in terms.items():
        if levels.any():
            rows.add_row(term, *(f"{0.0 if abs(x) < noise else x:.3e}" for x in (levels.sum(), *levels)))
    return rows


def _read(run: Path, pattern: str) -> "xr.Dataset":
    """The last file of that name."""
    files = sorted(run.glob(pattern))
    if not files:
        raise HaloclineError(
            f"no file {pattern} in {run}. The reference ocean writes trends with ln_trd = .true. in &namtrd."
        )
    return read_output(files[-1])


def _padded(field: np.ndarray) -> np.ndarray:
    """(k, ny + 2, nx + 2) in 64 bits, cyclic along i, zero beyond north and south and on land."""
    levels = np.nan_to_num(field.astype(np.float64)).reshape(-1, *field.shape[-2:])
    return np.pad(np.pad(levels, ((0, 0), (1, 1), (0, 0))), ((0, 0), (0, 0), (1, 1)), mode="wrap")


if __name__ == "__main__":
    try:
        Console().print(table(budget(Path(sys.argv[1] if len(sys.argv) > 1 else "."))))
    except HaloclineError as problem:
        raise SystemExit(f"halocline: {problem}") from None
