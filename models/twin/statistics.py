"""The checks after every step of the twin, and run.stat: the ocean's module stpctl."""

from pathlib import Path

import numpy as np
import torch

from coupler.errors import HaloclineError
from models.twin.run import Twin
from models.twin.state import Level


def check(twin: Twin, now: Level, kt: int) -> None:
    """HaloclineError when a value is not finite or a layer thinner than rn_hmin, with the ocean's words: field, cell, date."""
    total = sum(x.sum() for x in now)
    least = now.h.min()
    if torch.isfinite(total) and least >= twin.physics.rn_hmin:
        return
    fields = {
        "velocity along i (uu) [m s-1]": (now.u, -np.inf),
        "velocity along j (vv) [m s-1]": (now.v, -np.inf),
        "layer thickness (e3t) [m]": (now.h, twin.physics.rn_hmin),
        "temperature (ts) [degC]": (now.t, -np.inf),
    }
    for name, (values, minimum) in fields.items():
        array = values.detach().cpu().numpy()
        bad = np.argwhere(~(np.isfinite(array) & (array >= minimum)))
        if len(bad):
            k, j, i = bad[0]
            date = twin.date(kt)
            place = f"(i,j,k) = ({i + 1},{j + 1},{k + 1}) in step kt = {kt}, date {_digits(date)}"
            raise HaloclineError(f"{name} at {place}:\n  {_reason(float(array[k, j, i]), minimum)}")


def _reason(value: float, least: float) -> str:
    if not np.isfinite(value):
        return f"the value {value} is not finite: the run blew up. A shorter time step (rn_Dt) or more friction (rn_cs4) keeps it."
    return (
        f"the layer outcrops: it is {value:.4g}, the least allowed (rn_hmin) is {least:.4g}. "
        "Weaker wind, thicker layers or more friction keep it."
    )


class Statistics:
    """run.stat: a line every nn_stat steps and after the last one.

    Columns: step, date, second of the day, largest speed [m s-1], mean kinetic energy of each layer [m2 s-2] and of all
    [J m-2], least thickness [m], over wet cells.
    """

    def __init__(self, twin: Twin, folder: Path, last: int) -> None:
        self.twin, self.last, self.every = twin, last, int(twin.switches["namrun", "nn_stat"])
        self.wet = twin.basin.tmask.at().cpu().numpy() > 0
        self.path = folder / "run.stat"
        self.path.unlink(missing_ok=True)

    def after(self, kt: int, now: Level) -> str | None:
        """Write the line of step kt if it is due; the same in words, for the log."""
        if self.every <= 0 or (kt % self.every and kt != self.last):
            return None
        u, v, h = (x.detach().cpu().numpy().astype(float) for x in (now.u, now.v, now.h))
        west, south = np.roll(u, 1, axis=-1), np.roll(v, 1, axis=-2)
        energy = (0.25 * ((u**2 + west**2) + (v**2 + south**2)))[:, self.wet]
        whole = float(self.twin.physics.rn_rho0) * float((energy * h[:, self.wet]).sum()) / energy.shape[1]
        speed = max(abs(u[:, self.wet]).max(), abs(v[:, self.wet]).max())
        numbers = [speed, *energy.mean(axis=1), whole, h[:, self.wet].min()]
        date = self.twin.date(kt)
        day, seconds = _digits(date), date.hour * 3600 + date.minute * 60 + date.second
        self._write(f"{kt:10d}  {day}{seconds:7d}" + "".join(f"{number:25.16E}" for number in numbers))
        words = f" it = {kt}  date {day}  max |u| {speed:8.4f} m s-1  KE {whole:11.4E} J m-2  min h {numbers[-1]:9.2f}"
        return words

    def _write(self, line: str) -> None:
        begun = self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            if not begun:
                layers = "".join(f"  KE{k + 1}[m2/s2]" for k in range(self.twin.basin.levels))
                file.write(f"# it  date[yyyymmdd]  second_of_day  max|u|[m/s]{layers}  KE[J/m2]  min_h[m]\n")
            file.write(line + "\n")


def _digits(date) -> str:  # type: ignore[no-untyped-def]  # cftime has no type hints
    return f"{date.year:04d}{date.month:02d}{date.day:02d}"
