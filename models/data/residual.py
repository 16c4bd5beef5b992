"""The residual target: what the coarse model lacks to follow the coarsened truth.

S = [u(t+d) - u(t-d)] / (2 d) - RHS(now = state t, before = state t-d), d = one step of the coarse model. RHS comes from the
coarse model's own executable (&namrhs), all terms in: friction and drag of the before level, pressure with the after thickness of
its own continuity equation, as in a leapfrog step. A step from the states t-d and t with S added ends in u(t+d).
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import ocean

STATE = {
    "u": "vozocrtx",
    "v": "vomecrty",
    "h": "thkcello",
    "sst": "sosstsst",
}  # our names, and those of the ocean's files


TRENDS = {"u": "utrd_tot", "v": "vtrd_tot", "h": "htrd_adv"}


@dataclass(frozen=True)
class CoarseModel:
    """The coarse ocean: an executable and its switches. Its files carry one row of land round the basin."""

    program: Path
    switches: ocean.Switches

    def right_hand_side(
        self, now: dict[str, np.ndarray], before: dict[str, np.ndarray], time: np.ndarray, units: dict[str, str]
    ) -> dict[str, np.ndarray]:
        """du/dt and dv/dt [m s-2] ('u', 'v') and dh/dt [m s-1] ('h') of states, each (time, k, y, x), float64.

        now, before: u, v, h (time, k, y, x) and sst (time, y, x) with the row of land; time [s] with its CF attributes.
        HaloclineError carries the ocean's own words.
        """
        with tempfile.TemporaryDirectory(prefix="halocline_rhs_") as name:
            folder = Path(name)
            self._run(folder, time, units, {"": now, "_b": before})
            with xr.open_dataset(folder / "trends.nc", decode_times=False) as trends:
                found = {key: trends[label].values for key, label in TRENDS.items()}
        found["h"] = np.where(now["h"] > 0, found["h"], 0.0)  # the file has a fill value on land
        return found

    def mesh(self) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
        """Masks (k, y, x), metrics and Coriolis parameter (y, x), g' and thickness at rest (k): dims, values, attributes."""
        nx, ny = self.switches.size
        layers = int(self.switches["namusr_def", "nn_layers"])
        rest = np.atleast_1d(np.asarray(self.switches["namusr_def", "rn_h"], np.float64))[:layers]
        gred = np.atleast_1d(np.asarray(self.switches["namusr_def", "rn_gred"], np.float64))[:layers]
        shape = (1, layers, ny + 2, nx + 2)
        zero = np.zeros(shape)
        still = {"u": zero, "v": zero, "h": zero + rest[:, None, None], "sst": zero[:, 0]}
        with tempfile.TemporaryDirectory(prefix="halocline_mesh_") as name:
            folder = Path(name)
            self._run(folder, np.zeros(1), {}, {"": still})
            with xr.open_dataset(folder / "mesh_mask.nc", decode_times=False) as mesh:
                found: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
                for label in [f"{point}mask" for point in "tuvf"]:
                    found[label] = (("k", "y", "x"), mesh[label].values.astype(np.float32), dict(mesh[label].attrs))
                for label in [f"e{axis}{point}" for axis in "12" for point in "tuvf"] + ["ff_t", "ff_f"]:
                    found[label] = (("y", "x"), mesh[label].values.astype(np.float32), dict(mesh[label].attrs))
        for values in found.values():
            values[2].pop("coordinates", None)
        found["gred"] = (
            ("k",),
            gred.astype(np.float32),
            {"units": "m s-2", "long_name": "reduced gravity below the layer"},
        )
        found["h_rest"] = (("k",), rest.astype(np.float32), {"units": "m", "long_name": "thickness at rest"})
        return found

    def _run(
        self, folder: Path, time: np.ndarray, units: dict[str, str], levels: dict[str, dict[str, np.ndarray]]
    ) -> None:
        """Evaluate right-hand sides into FOLDER/trends.nc; levels: states by the ending of their names, '' or '_b'."""
        states = xr.Dataset({"time_counter": ("time_counter", time, units)})
        for ending, state in levels.items():
            for key, label in STATE.items():
                dims = ("time_counter", "y", "x") if key == "sst" else ("time_counter", "deptht", "y", "x")
                states[label + ending] = (dims, state[key])
        try:
            states.to_netcdf(folder / "states.nc", encoding={label: {"_FillValue": None} for label in states.variables})
        except (OSError, RuntimeError) as error:
            raise HaloclineError(
                f"cannot write the states for the coarse model into {folder}: {error}.\n  Free some disk, or name another folder "
                "with the environment variable TMPDIR."
            ) from None
        rhs = {"ln_rhs": True, "cn_rhs_in": "states.nc", "cn_rhs_out": "trends.nc"}
        text = self.switches.changed(
            {"namrhs": rhs, "namrun": {"ln_rstart": False, "nn_it000": 1}, "namdom": {"ln_meshmask": True}}
        )
        try:
            ocean.run(self.program, folder, text)
        except HaloclineError as error:
            raise HaloclineError(f"the right-hand side of the coarse model was not evaluated.\n  {error}") from None


def tendency(after: np.ndarray, before: np.ndarray, step: float) -> np.ndarray:
    """Centred difference over two steps of the coarse model: (after - before) / (2 step) [units per second]."""
    return (after - before) / (2.0 * step)
