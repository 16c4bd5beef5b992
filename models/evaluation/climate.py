"""What a run is reduced to: its climate. Small enough to be shipped, and additive: the climate of two runs is exact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce as fold
from pathlib import Path

import numpy as np

from coupler.errors import HaloclineError
from models.evaluation import archive, distributions, energetics, means, spectra
from models.evaluation.mesh import Mesh
from models.evaluation.stability import Stability, good_states
from models.evaluation.states import DAY, Piece, open_states

Arrays = dict[str, np.ndarray]
MASKS = ("tmask", "umask", "vmask")
METRICS = ("e1t", "e2t", "e1u", "e2v", "e1f", "e2f", "gred")


@dataclass(frozen=True)
class Climate:
    """The climate of a run on a grid of k layers, (ny, nx) cells.

    mean, variance: time-mean maps, and those of the squared deviations from them: u, v, h (k, ny, nx) at their C-grid points
    [m s-1, m], t [degC] and eta [m] (ny, nx).
    spectra: time means (k, n/2 + 1) of `ke` [m2 s-2], `ens` [s-2] and, where the residual tendency is known, `transfer` [m2 s-3].
    power: area mean (k,) of h (u du + v dv) [m3 s-3], where it is known; else empty.
    counts: histograms (k, BINS) over distributions.AXES. time (n,) [s] and ke (n, k) [m2 s-2]: area means of each state.
    states, seconds: how many states, and the time they stand for; year: length of a year [s].
    """

    name: str
    mesh: Mesh
    year: float
    states: int
    seconds: float
    mean: Arrays
    variance: Arrays
    spectra: Arrays
    power: np.ndarray
    counts: Arrays
    time: np.ndarray
    ke: np.ndarray
    stability: Stability = field(default_factory=Stability)

    @property
    def years(self) -> float:
        """How long the average is."""
        return self.seconds / self.year

    @property
    def grid(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.mesh.shape[1:]

    @property
    def mke(self) -> np.ndarray:
        """Kinetic energy of the mean flow, maps (k, ny, nx) [m2 s-2]."""
        return means.kinetic_energy(self.mean["u"], self.mean["v"], self.mesh)

    @property
    def eke(self) -> np.ndarray:
        """Mean kinetic energy of the deviations from this run's own mean flow, maps (k, ny, nx) [m2 s-2]."""
        u, v = np.sqrt(self.variance["u"]), np.sqrt(self.variance["v"])
        return means.kinetic_energy(u, v, self.mesh)

    @property
    def sd_eta(self) -> np.ndarray:
        """Standard deviation of the sea surface height in time, map (ny, nx) [m]."""
        return np.sqrt(self.variance["eta"])

    @classmethod
    def from_states(
        cls,
        pieces: Iterable[Piece],
        mesh: Mesh,
        name: str = "run",
        skip: float = 0.0,
        year: float = 360 * DAY,
        ended: str = "",
    ) -> "Climate":
        """Reduce a run piece by piece; the states of its first `skip` days are left out.

        The run ends before its first bad state (not finite, faster than 10 m s-1, a layer gone): `stability` says so, and the
        climate is that of the states before. Without any state left, `states` is 0 and every mean is NaN.
        """
        total = cls._empty(name, mesh, year)
        start, last, finite = None, 0.0, True
        speed, thin = 0.0, np.inf
        for piece in pieces:
            good = good_states(piece.u, piece.v, piece.h, piece.t, mesh.tmask)
            start = piece.seconds[0] if start is None else start
            if good:
                last = piece.seconds[good - 1]
                speed = max(speed, np.abs(piece.u[:good]).max(), np.abs(piece.v[:good]).max())
                thin = min(thin, piece.h[:good][:, mesh.tmask].min())
            kept = slice(int(np.searchsorted(piece.seconds[:good], start + skip * DAY)), good)
            if kept.start < good:
                total = _sum(total, cls._of_piece(piece, kept, total))
            if good < len(piece.seconds):
                finite = False
                break
        reached = last - start if start is not None and last else 0.0
        step = float(np.median(np.diff(total.time))) if total.states > 1 else 0.0
        worst = Stability(finite, float(speed), float(thin), float(reached), ended)
        return replace(total, seconds=total.states * step, stability=worst)

    @classmethod
    def joint(cls, climates: "Sequence[Climate]", name: str = "truth") -> "Climate":
        """The climate of all their states together, as of one long record: variances are about the joint mean.

        HaloclineError when the grids differ, or there is none.
        """
        if not climates:
            raise HaloclineError("there is no climate to join. Give at least one truth.")
        for other in climates[1:]:
            must_fit(other, climates[0])
        return replace(fold(_sum, climates), name=name)

    @classmethod
    def _empty(cls, name: str, mesh: Mesh, year: float) -> "Climate":
        k, ny, nx = mesh.shape
        maps = {
            **{key: np.full((k, ny, nx), np.nan) for key in "uvh"},
            **{key: np.full((ny, nx), np.nan) for key in ("t", "eta")},
        }
        lines = np.full((k, spectra.largest(ny, nx) + 1), np.nan)
        counts = {key: np.zeros((k, distributions.BINS), np.int64) for key in distributions.AXES}
        return cls(
            name,
            mesh,
            year,
            0,
            0.0,
            maps,
            maps,
            {"ke": lines, "ens": lines},
            np.empty(0),
            counts,
            np.empty(0),
            np.empty((0, k)),
        )

    @classmethod
    def _of_piece(cls, piece: Piece, rows: slice, like: "Climate") -> "Climate":
        mesh = like.mesh
        u, v, h, t = piece.u[rows], piece.v[rows], piece.h[rows], piece.t[rows]
        fields = {"u": u, "v": v, "h": h, "t": t, "eta": mesh.height(h)}
        energy = means.kinetic_energy(u, v, mesh)
        zeta = mesh.vorticity(u, v)
        samples = {
            "u": [u[:, k, mesh.umask[k]] for k in range(len(mesh.tmask))],
            "v": [v[:, k, mesh.vmask[k]] for k in range(len(mesh.tmask))],
            "ke": [energy[:, k, mesh.tmask[k]] for k in range(len(mesh.tmask))],
            "zeta": [zeta[:, k, mesh.inner[k]] for k in range(len(mesh.tmask))],
        }
        samples["ens"] = [0.5 * values**2 for values in samples["zeta"]]
        lines = {
            "ke": spectra.energy_spectrum(u, v, mesh).mean(0),
            "ens": spectra.enstrophy_spectrum(u, v, mesh).mean(0),
        }
        power = like.power
        if piece.du is not None and piece.dv is not None:
            du, dv = piece.du[rows], piece.dv[rows]
            lines["transfer"] = spectra.transfer_spectrum(u, v, du, dv, mesh).mean(0)
            power = means.weighted_mean(energetics.power(u, v, h, du, dv, mesh), mesh.area).mean(0)
        return replace(
            like,
            states=len(u),
            mean={key: values.mean(0) for key, values in fields.items()},
            variance={key: values.var(0) for key, values in fields.items()},
            spectra=lines,
            power=power,
            counts={
                key: np.stack([distributions.AXES[key].count(layer) for layer in layers])
                for key, layers in samples.items()
            },
            time=piece.seconds[rows],
            ke=means.weighted_mean(energy, mesh.area),
        )

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> Path:
        """Write an .npz of 32-bit numbers (archive.py); returns its path. HaloclineError when the place cannot be written."""
        words = {key: getattr(self, key) for key in ("name", "year", "states", "seconds")}
        words["stability"] = {**vars(self.stability), "thickness": min(self.stability.thickness, 1e30)}
        arrays: Arrays = {f"mesh_{key}": getattr(self.mesh, key).astype(np.uint8) for key in MASKS}
        arrays |= {f"mesh_{key}": getattr(self.mesh, key) for key in METRICS}
        for group in ("mean", "variance", "spectra"):
            arrays |= {f"{group}_{key}": values.astype(np.float32) for key, values in getattr(self, group).items()}
        arrays |= {f"counts_{key}": values.astype(np.uint32) for key, values in self.counts.items()}
        arrays |= {"power": self.power, "time": self.time, "ke": self.ke.astype(np.float32)}
        return archive.write(Path(path), words, arrays)

    @classmethod
    def load(cls, path: Path | str) -> "Climate":
        """Read what `save` wrote. HaloclineError when it is missing, is something else, or of another format."""
        words, arrays = archive.read(Path(path))

        def group(prefix: str, kind: type) -> Arrays:
            return {
                key.removeprefix(prefix): values.astype(kind)
                for key, values in arrays.items()
                if key.startswith(prefix)
            }

        return cls(
            **{key: words[key] for key in ("name", "year", "states", "seconds")},
            mesh=Mesh(**group("mesh_", float)),
            mean=group("mean_", float),
            variance=group("variance_", float),
            spectra=group("spectra_", float),
            power=arrays["power"],
            counts=group("counts_", np.int64),
            time=arrays["time"],
            ke=arrays["ke"].astype(float),
            stability=Stability(**words["stability"]),
        )


def must_fit(run: Climate, truth: Climate) -> None:
    """HaloclineError when two climates are not on the same grid, or their reduced gravities or wet cells differ."""
    if run.mesh.shape != truth.mesh.shape:
        (k, ny, nx), (tk, tny, tnx) = run.mesh.shape, truth.mesh.shape
        raise HaloclineError(
            f"'{run.name}' has {nx} x {ny} cells and {k} layers, '{truth.name}' {tnx} x {tny} and {tk}: they cannot be compared.\n"
            "  Coarsen the truth to the grid of the run (halocline coarsen, nn_factor)."
        )
    if not np.array_equal(run.mesh.tmask, truth.mesh.tmask):
        raise HaloclineError(f"'{run.name}' and '{truth.name}' have land in different cells: they cannot be compared.")
    if not np.allclose(run.mesh.gred, truth.mesh.gred, rtol=1e-5):
        raise HaloclineError(
            f"'{run.name}' has reduced gravities {run.mesh.gred}, '{truth.name}' {truth.mesh.gred}: their sea surface heights "
            "cannot be compared.\n  Look at rn_gred (&namusr_def)."
        )


def climate_of(
    path: Path | str,
    shape: tuple[int, int] | None = None,
    skip: float = 0.0,
    sigma: float = 20000.0,
    name: str | None = None,
) -> Climate:
    """The climate of a run folder, a data set (.zarr), or a climate that was saved (.npz: `skip` is then no longer possible).

    shape: (ny, nx) of the truth, to which a finer run is brought (open_states); skip: days left out at the start.
    Raises HaloclineError when there is nothing to read.
    """
    path = Path(path)
    if path.suffix == ".npz":
        climate = Climate.load(path)
        return replace(climate, name=name) if name else climate
    states = open_states(path, shape, sigma)
    return Climate.from_states(states.pieces(), states.mesh, name or states.name, skip, states.year, states.ended)


def _sum(a: Climate, b: Climate) -> Climate:
    """All states of both. Variances: n var = n_a (var_a + d_a^2) + n_b (var_b + d_b^2), d the distance from the joint mean."""
    if not a.states or not b.states:
        full, none = (a, b) if a.states else (b, a)
        return replace(full, stability=full.stability.joined(none.stability))
    n = a.states + b.states
    wa, wb = a.states / n, b.states / n
    mean = {key: wa * a.mean[key] + wb * b.mean[key] for key in a.mean}
    variance = {
        key: wa * (a.variance[key] + (a.mean[key] - mean[key]) ** 2)
        + wb * (b.variance[key] + (b.mean[key] - mean[key]) ** 2)
        for key in mean
    }
    return replace(
        a,
        states=n,
        seconds=a.seconds + b.seconds,
        mean=mean,
        variance=variance,
        spectra={key: wa * a.spectra[key] + wb * b.spectra[key] for key in a.spectra.keys() & b.spectra.keys()},
        power=wa * a.power + wb * b.power if a.power.shape == b.power.shape else np.empty(0),
        counts={key: a.counts[key] + b.counts[key] for key in a.counts},
        time=np.concatenate([a.time, b.time]),
        ke=np.concatenate([a.ke, b.ke]),
        stability=a.stability.joined(b.stability),
    )
