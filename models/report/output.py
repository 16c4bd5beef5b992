"""The states of a run, read once: its climate, and the series and maps that a climate does not hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from coupler.errors import HaloclineError
from models.evaluation import means
from models.evaluation.climate import Climate
from models.evaluation.mesh import Mesh
from models.evaluation.stability import good_states
from models.evaluation.states import DAY, Piece, open_states
from models.report.folder import Folder

KEPT = ("mesh_mask.nc", "namelist_cfg", "halocline.abort")  # what the states need beside them


@dataclass(frozen=True)
class Output:
    """What was reduced from the states of a run.

    climate: without the days that were skipped. The series are of all good states, time (n,) in seconds from the first step:
    ke (n, k) [m2 s-2], enstrophy (n, k) [s-2], tracer (n,) [degC m], the area mean of T h in layer 1.
    speed, speed_rms: maps (ny, nx) [m s-1] of layer 1. remark: what the reader must know, '' for nothing.
    """

    climate: Climate
    time: np.ndarray
    ke: np.ndarray
    enstrophy: np.ndarray
    tracer: np.ndarray
    speed: np.ndarray
    speed_rms: np.ndarray
    remark: str = ""

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south, north of the wet basin [km]."""
        mesh, (ny, nx) = self.climate.mesh, self.climate.grid
        return 0.0, 1e-3 * nx * mesh.width, 0.0, 1e-3 * ny * float(mesh.e2t.mean())


class Watch:
    """Reduces states as they pass by on their way to a climate."""

    def __init__(self, mesh: Mesh, skip: float) -> None:
        self.mesh, self.skip = mesh, skip * DAY
        self.time: list[np.ndarray] = []
        self.ke: list[np.ndarray] = []
        self.enstrophy: list[np.ndarray] = []
        self.tracer: list[np.ndarray] = []
        self.speed = np.zeros(mesh.shape[1:])
        self.states = 0
        self.start: float | None = None

    def over(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The same pieces; nothing of a state from the first bad one on is taken."""
        whole = True
        for piece in pieces:
            if self.start is None:
                self.start = float(piece.seconds[0])
            if whole:
                good = good_states(piece.u, piece.v, piece.h, piece.t, self.mesh.tmask)
                self._add(piece, good)
                whole = good == len(piece.seconds)
            yield piece

    def _add(self, piece: Piece, good: int) -> None:
        mesh = self.mesh
        u, v, h, t = piece.u[:good], piece.v[:good], piece.h[:good], piece.t[:good]
        energy = means.kinetic_energy(u, v, mesh)
        self.time.append(piece.seconds[:good])
        self.ke.append(means.weighted_mean(energy, mesh.area))
        self.enstrophy.append(means.weighted_mean(0.5 * mesh.vorticity(u, v) ** 2, mesh.e1f * mesh.e2f * mesh.inner))
        self.tracer.append(means.weighted_mean(t * h[:, 0], mesh.area[0]))
        kept = piece.seconds[:good] >= (self.start or 0.0) + self.skip
        self.speed += np.sqrt(2 * energy[kept, 0]).sum(0)
        self.states += int(kept.sum())


def read(folder: Folder, skip: float = 0.0, step: float = 0.0, first: int = 1) -> Output:
    """The output of the reference ocean in a run folder; averages leave out its first `skip` days.

    step [s], first: time step and first step of the run, which place its first state after its start; 0: not known.
    HaloclineError when there is no such output, or no good state in it.
    """
    with _finished(folder.path) as place:
        return _read(folder, place, skip, step, first)


@contextmanager
def _finished(path: Path) -> Iterator[Path]:
    """The folder; where a run has not ended, or died, a folder of links in which its unfinished output has its final name."""
    parts = sorted(path.glob("*_inst.nc.part"))
    if not parts:
        yield path
        return
    with TemporaryDirectory() as name:
        place = Path(name)
        for file in [*path.glob("*_inst.nc"), *(path / own for own in KEPT if (path / own).exists())]:
            (place / file.name).symlink_to(file.resolve())
        for file in parts:
            (place / file.stem).symlink_to(file.resolve())
        yield place


def _read(folder: Folder, place: Path, skip: float, step: float, first: int) -> Output:
    states = open_states(place)
    watch = Watch(states.mesh, skip)
    climate = Climate.from_states(
        watch.over(states.pieces()), states.mesh, folder.name, skip, states.year, states.ended
    )
    if not climate.states:
        if skip and watch.time and sum(map(len, watch.time)):
            short = _read(folder, place, 0.0, step, first)
            text = f"The run is not longer than the {skip:g} days that were to be left out: its averages are over all of it."
            return Output(**{**vars(short), "remark": text})
        raise HaloclineError(f"the output in {folder.path} has no good state: every one has a bad number in it.")
    time = np.concatenate(watch.time)
    origin = (first - 1) * step if step and time[0] > (first - 1) * step else time[0]
    return Output(
        climate,
        time - origin,
        np.concatenate(watch.ke),
        np.concatenate(watch.enstrophy),
        np.concatenate(watch.tracer),
        watch.speed / max(watch.states, 1),
        np.sqrt(2 * (climate.mke[0] + climate.eke[0])),
    )
