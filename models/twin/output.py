"""The NetCDF files of a run of the twin, those of the ocean: output at instants, means, bursts, restarts, mesh_mask.nc."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coupler.errors import HaloclineError
from models.data.ocean_restart import FIELDS as RESTART
from models.data.ocean_restart import LEVELS
from models.twin.files import Field, File, Head, head
from models.twin.momentum import curl
from models.twin.run import Twin
from models.twin.state import State
from models.twin.wide import widen

GRAVITY = 9.81  # [m s-2]
FIELDS = (
    Field("vozocrtx", "U", True, "sea_water_x_velocity", "velocity along i", "m s-1"),
    Field("vomecrty", "V", True, "sea_water_y_velocity", "velocity along j", "m s-1"),
    Field("thkcello", "T", True, "cell_thickness", "layer thickness", "m"),
    Field("sosstsst", "T", False, "sea_surface_temperature", "temperature of layer 1", "degC"),
    Field("sossheig", "T", False, "", "surface height: sum over k of g(k) (h(1)+...+h(k)) / 9.81", "m"),
    Field("ssrelvor", "F", False, "", "relative vorticity of layer 1, with the slip of the walls", "s-1"),
)


class Output:
    """What a run of the twin writes into `folder`. The steps of a run without member axis are given to `after`, in order."""

    def __init__(self, twin: Twin, folder: Path, first: int, last: int) -> None:
        """HaloclineError for switches that ask for fields that do not exist, or for bursts that overlap."""
        self.twin, self.folder, self.last = twin, folder, last
        self.kind: Any = np.float32 if twin.dtype == torch.float32 else np.float64
        b, switches = twin.basin, twin.switches
        self.head: Head = head(switches, (b.nj, b.ni), b.cyclic, b.depth, self.kind)
        self.wet = b.tmask.at().cpu().numpy() > 0
        self.every, self.stock = int(switches["namrun", "nn_write"]), int(switches["namrun", "nn_stock"])
        self.burst, self.half = int(switches["namdia", "nn_burst"]), int(switches["namdia", "nn_burst_d"])
        self._check()
        self.files: dict[str, File] = {}
        self.sums: list[np.ndarray] = []
        self.steps = 0  # in the sums
        wanted = {
            "inst": self.every > 0 and switches["namdia", "ln_inst"],
            "mean": self.every > 0 and switches["namdia", "ln_mean"],
            "burst": self.burst > 0,
        }
        stem = f"{self.head.experiment}_{first:08d}_{last:08d}"
        chosen = {kind: _chosen(twin, kind) for kind, on in wanted.items() if on}
        for kind, fields in chosen.items():
            path, mean = folder / f"{stem}_{kind}.nc", kind == "mean"
            double = bool(switches["namdia", "ln_dia_r8"])
            self.files[kind] = File(path, kind, self.head, fields, time=True, bounds=mean, double=double)
        if switches["namdom", "ln_meshmask"]:
            self._mesh()

    def _check(self) -> None:
        where = self.twin.switches.where
        for (group, name), value in {("namrun", "nn_write"): self.every, ("namdia", "nn_burst"): self.burst}.items():
            if value < 0:
                raise HaloclineError(f"{name} must not be negative.\n  {where(group, name)}. 0 writes nothing.")
        if self.burst > 0 and not 0 <= 2 * self.half < self.burst:
            raise HaloclineError(
                "bursts overlap: nn_burst_d must be less than half of nn_burst, and not negative.\n"
                f"  {where('namdia', 'nn_burst_d')}."
            )

    def after(self, kt: int, state: State) -> None:
        """Write what is due at the end of step kt."""
        writes, burst = self.every > 0 and kt % self.every == 0, self._in_burst(kt)
        if "mean" in self.files or burst or (writes and self.files):
            now = [x.detach().cpu().numpy() for x in state.now]
            if "mean" in self.files:
                self._add(now)
            if writes and "inst" in self.files:
                self._record("inst", now, self._seconds(kt))
            if writes and "mean" in self.files:
                self._mean(kt)
            if burst:
                self._record("burst", now, self._seconds(kt))
        if kt == self.last or (self.stock > 0 and kt % self.stock == 0):
            self._restart(kt, state)

    def _in_burst(self, kt: int) -> bool:
        """The first, middle or last step of a burst."""
        if self.burst == 0:
            return False
        return (kt + self.half) % self.burst - self.half in (-self.half, 0, self.half)

    def _seconds(self, kt: int) -> float:
        """From nn_date0 to the end of step kt."""
        return float(round(kt * self.twin.physics.rn_dt))

    def _add(self, now: list[np.ndarray]) -> None:
        values = [array.astype(np.float64) for array in now]
        self.sums = [one + two for one, two in zip(self.sums, values, strict=True)] if self.steps else values
        self.steps += 1

    def _mean(self, kt: int) -> None:
        """Mean over the steps since the last one. States are those of steps' ends: half a step later than their intervals."""
        half = 0.5 * float(self.kind(self.twin.physics.rn_dt))
        bounds = (self._seconds(kt - self.steps) + half, self._seconds(kt) + half)
        self._record(
            "mean", [(total * (1.0 / self.steps)).astype(self.kind) for total in self.sums], sum(bounds) / 2, bounds
        )
        self.steps = 0

    def _record(
        self, kind: str, level: list[np.ndarray], time: float, bounds: tuple[float, float] | None = None
    ) -> None:
        u, v, h, t = level
        height = sum(
            self.kind(g) * above for g, above in zip(self.twin.basin.gravity, np.cumsum(h, axis=0), strict=True)
        )
        values = [u, v, h, t[0], height / self.kind(GRAVITY), self._vorticity(u[0], v[0])]
        named = dict(zip((field.name for field in FIELDS), values, strict=True))
        self.files[kind].record(named, time, bounds, self.wet)

    def _vorticity(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        b = self.twin.basin
        along_i, along_j = (widen(torch.as_tensor(x, device=self.twin.device), b.cyclic) for x in (u, v))
        return curl(b, along_i, along_j, 0, 0).cpu().numpy()

    def _restart(self, kt: int, state: State) -> None:
        restart = self.twin.restart(state, kt)
        fields = [
            Field(stem + level, point, deep, "", f"{words}, {when}", units)
            for stem, (words, units, point, deep) in RESTART.items()
            for level, when in LEVELS.items()
        ]
        path = self.folder / f"{self.head.experiment}_{kt:08d}_restart.nc"
        with File(path, "restart", self.head, fields, numbers=restart.numbers, aside=".tmp") as file:
            file.put(restart.fields)

    def _mesh(self) -> None:
        """mesh_mask.nc."""
        b, switches = self.twin.basin, self.twin.switches
        kinds = {
            "glam": ("distance from the western wall", "km", self.head.lam),
            "gphi": ("distance from the southern wall", "km", self.head.phi),
            "e1": ("width along i", "m", None),
            "e2": ("width along j", "m", None),
        }
        fields, values = [], {}
        width = np.full((b.nj, b.ni), b.dx)
        for name, (words, units, places) in kinds.items():
            for point in "TUVF":
                fields.append(Field(name + point.lower(), point, False, "", words, units))
                values[name + point.lower()] = width if places is None else places[point]
        f0, beta = (self.kind(switches["namusr_def", name]) for name in ("rn_f0", "rn_beta"))
        rows = np.arange(1, b.nj + 1, dtype=self.kind) - self.kind(1.5)
        middle = self.kind(0.5) * self.kind(switches.size[1]) * self.kind(b.dx)
        for point, offset in (("T", 0.0), ("F", 0.5)):
            name = f"ff_{point.lower()}"
            fields.append(Field(name, point, False, "coriolis_parameter", "Coriolis parameter", "s-1"))
            line = f0 + beta * (self.kind(b.dx) * (rows + self.kind(offset)) - middle)
            values[name] = line[:, None] * np.ones((b.nj, b.ni), self.kind)
        for point in "TUVF":
            name, coast = f"{point.lower()}mask", ", rn_shlat on the coast" if point == "F" else ""
            fields.append(Field(name, point, True, "", f"1 wet, 0 land{coast}", "1"))
            values[name] = np.broadcast_to(getattr(b, name).at().cpu().numpy(), (b.levels, b.nj, b.ni))
        with File(self.folder / "mesh_mask.nc", "coordinates, metrics and masks", self.head, fields) as file:
            file.put(values)

    def close(self) -> None:
        """Close the files: they get their names."""
        for file in self.files.values():
            file.close()

    def drop(self) -> None:
        """Close the files of a run that did not end."""
        for file in self.files.values():
            file.drop()


def _chosen(twin: Twin, kind: str) -> Sequence[Field]:
    """The fields that cn_inst, cn_mean or cn_burst asks for, in the order of FIELDS. HaloclineError for a name that is none."""
    name = f"cn_{kind}"
    words = str(twin.switches["namdia", name]).split()
    known = [field.name for field in FIELDS]
    unknown = [word for word in words if word not in known] if words != ["all"] else []
    if unknown:
        raise HaloclineError(
            f"there is no output field '{unknown[0]}'.\n  {twin.switches.where('namdia', name)}. "
            f"There are: all, {', '.join(known)}."
        )
    cells = "mean" if kind == "mean" else "point"
    return [replace(field, cells=cells) for field in FIELDS if words == ["all"] or field.name in words]
