"""A small archive of a centre made up for tests: a rotating ocean, its increments and backgrounds, in NEMO's files."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import cftime
import netCDF4
import numpy as np

from tests.data.nemo_run import Run

POINT = {"u": "u", "v": "v", "t": "t", "s": "t", "ssh": "t", "h": "t"}
INC = {"u": "bckinu", "v": "bckinv", "t": "bckint", "s": "bckins", "ssh": "bckineta", "h": "bckinthk"}
NOW = {"u": "un", "v": "vn", "t": "tn", "s": "sn", "ssh": "sshn", "h": "e3t_n"}


@dataclass
class Archive:
    """Backgrounds and increments by field, (windows, k, y, x) or (windows, y, x); the switches write broken ones."""

    windows: int = 12
    days: int = 10
    calendar: str = "360_day"
    start: tuple[int, int, int] = (2000, 1, 11)
    names: tuple[str, ...] = ("u", "v", "t", "s", "ssh")
    gain: float = 0.7
    seed: int = 0
    background: dict[str, np.ndarray] = field(default_factory=dict)
    increments: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = Run(seed=self.seed)
        first = cftime.datetime(*self.start, calendar=self.calendar)
        self.dates = [first + timedelta(days=self.days * n) for n in range(self.windows)]
        random = np.random.default_rng(self.seed)
        for name in self.names:
            mask = self.mask(name)
            truth, x = np.zeros(mask.shape), np.zeros(mask.shape)
            states, changes = [], []
            for _ in range(self.windows):  # truth: AR(1); model: the same memory without what drives it, and a bias
                truth = 0.8 * truth + random.standard_normal(mask.shape)
                x = 0.8 * x + 0.1
                states.append(x * mask)
                changes.append(self.gain * (truth - x) * mask)
                x = x + changes[-1]
            self.background[name], self.increments[name] = np.array(states), np.array(changes)

    def mask(self, name: str) -> np.ndarray:
        mask = self.run.mesh[f"{POINT[name]}mask"]
        return mask[0] if name == "ssh" else mask

    def write(self, folder: Path, fill: float = 0.0, analysis: bool = False, leave: tuple[int, ...] = ()) -> Path:
        """One folder for each window; `fill` on land; analysis: the states after the increment; leave: windows not written."""
        folder.mkdir(parents=True, exist_ok=True)
        self.run.write_mesh(folder)
        for n, date in enumerate(self.dates):
            if n in leave:
                continue
            place = folder / date.strftime("%Y%m%d")
            place.mkdir()
            shift = self.increments if analysis else dict.fromkeys(self.names, 0.0)
            state = {NOW[name]: (self.background[name] + shift[name])[n] for name in self.names}
            change = {INC[name]: self.increments[name][n] for name in self.names}
            begin = date - timedelta(days=self.days)
            self.file(place / "assim_background_state_DI.nc", state, {"rdastp": date}, fill)
            stamps = {"time": date, "z_inc_dateb": begin, "z_inc_datef": date}
            self.file(place / "assim_background_increments.nc", change, stamps, fill)
        return folder

    def file(self, path: Path, fields: dict[str, np.ndarray], stamps: dict[str, cftime.datetime], fill: float) -> None:
        with netCDF4.Dataset(path, "w") as out:
            out.calendar = self.calendar
            first = next(iter(fields.values()))
            for name, size in (("t", 1), ("z", self.run.depth), ("y", first.shape[-2]), ("x", first.shape[-1])):
                out.createDimension(name, size)
            for name, values in fields.items():
                ours = next(key for table in (INC, NOW) for key, called in table.items() if called == name)
                dims = ("t", "z", "y", "x") if values.ndim == 3 else ("t", "y", "x")
                mask = self.mask(ours)
                mask = mask if values.shape == mask.shape else np.ones(values.shape)
                out.createVariable(name, "f8", dims)[0] = np.where(mask != 0, values, fill)
            for name, date in stamps.items():
                out.createVariable(name, "f8", ())[...] = stamp(date)


def stamp(date: cftime.datetime) -> float:
    """yyyymmdd.hhmmss."""
    return date.year * 10000 + date.month * 100 + date.day + (date.hour * 10000 + date.minute * 100 + date.second) / 1e6
