"""What is observed: statistics of a climate as one vector, their values in the truth, and how well these are known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coupler.errors import HaloclineError
from models.data import store
from models.evaluation import spectra
from models.evaluation.climate import Climate, must_fit
from models.evaluation.means import weighted_mean
from models.evaluation.mesh import Mesh
from models.evaluation.states import DAY, Piece, States, open_states
from models.settings import NamEki

FEWEST = 4  # blocks of the truth from which an error can be taken


def _layers(maps: np.ndarray, mesh: Mesh, boxes: int) -> np.ndarray:
    """Area means of maps (k, ny, nx) over boxes, layer by layer; boxes without water are left out."""
    _, ny, nx = mesh.shape
    rows, columns = (np.arange(n) * min(boxes, n) // n for n in (ny, nx))
    box = (rows[:, None] * min(boxes, nx) + columns).ravel()
    found = []
    for layer, area in zip(maps, mesh.area, strict=False):  # a map of the surface alone has the first area
        weight = np.bincount(box, area.ravel())
        total = np.bincount(box, np.where(area > 0, layer * area, 0.0).ravel())
        found.append(total[weight > 0] / weight[weight > 0])
    return np.concatenate(found)


def _spectrum(climate: Climate) -> np.ndarray:
    """Logarithms of the kinetic energy spectra, wavenumbers 1 to 2/3 of Nyquist's, layer by layer."""
    last = max(1, 2 * spectra.largest(*climate.grid) // 3)
    return np.log(climate.spectra["ke"][:, 1 : last + 1]).ravel()


STATISTICS: dict[str, tuple[str, Callable[[Climate, int], np.ndarray]]] = {
    "eke": (
        "ln of eddy kinetic energy, area mean of each layer",
        lambda c, n: np.log(weighted_mean(c.eke, c.mesh.area)),
    ),
    "eke_map": ("ln of eddy kinetic energy, box means of each layer", lambda c, n: np.log(_layers(c.eke, c.mesh, n))),
    "spectrum": ("ln of the kinetic energy spectra of each layer, to 2/3 of Nyquist", lambda c, n: _spectrum(c)),
    "ssh": ("mean sea surface height, box means [m]", lambda c, n: _layers(c.mean["eta"][None], c.mesh, n)),
    "sd_ssh": ("its standard deviation in time, box means [m]", lambda c, n: _layers(c.sd_eta[None], c.mesh, n)),
    "h": ("mean thickness, box means of each layer [m]", lambda c, n: _layers(c.mean["h"], c.mesh, n)),
    "sst": ("mean surface temperature, box means [degC]", lambda c, n: _layers(c.mean["t"][None], c.mesh, n)),
}  # eddies: deviations from the mean over the same length of time, in the truth's blocks and in the runs


def vector(climate: Climate, names: Sequence[str], boxes: int) -> np.ndarray:
    """The statistics of a climate, one after the other, (d,)."""
    return np.concatenate([STATISTICS[name][1](climate, boxes) for name in names])


@dataclass(frozen=True)
class Observation:
    """What the runs are to match.

    mean (d,): statistics of the truth, mean of its blocks. whitening (d, d): W with W^T W the inverse of the error's covariance.
    sizes: how many numbers each statistic has. blocks: how many pieces of `days` the truth has. every: time between its states [s].
    like: the climate of the first block, whose grid the runs must have.
    """

    names: Sequence[str]
    boxes: int
    mean: np.ndarray
    whitening: np.ndarray
    sizes: Sequence[int]
    blocks: int
    days: float
    every: float
    like: Climate

    def whitened(self, statistics: np.ndarray) -> np.ndarray:
        """Statistics (..., d) in units of the error."""
        return statistics @ self.whitening.T

    def of(self, climate: Climate) -> np.ndarray:
        """The statistics of a run (d,). HaloclineError for a run on another grid."""
        must_fit(climate, self.like)
        return vector(climate, self.names, self.boxes)

    def parts(self, statistics: np.ndarray) -> dict[str, float]:
        """Rms difference of each statistic from the truth, in the standard deviations of its own error (correlations left out)."""
        spread = np.sqrt(np.diag(np.linalg.inv(self.whitening.T @ self.whitening)))
        far = np.split((statistics - self.mean) / spread, np.cumsum(self.sizes)[:-1])
        return {name: float(np.sqrt(np.mean(one**2))) for name, one in zip(self.names, far, strict=True)}


def observation(eki: NamEki) -> Observation:
    """The statistics of cn_observed in blocks of cn_truth as long as what is kept of a run, their mean, and its error.

    A run differs from the truth's mean, in a perfect model, by the error of one block and of the mean of n blocks: covariance
    rn_error^2 (1 + 1/n) C, with C that of the blocks, shrunk (`shrunk`). HaloclineError for unknown names, data sets that are
    not there or of another grid, lengths that are no multiple of the truth's interval, and too few blocks.
    """
    for name in eki.cn_observed:
        if name not in STATISTICS:
            raise HaloclineError(
                f"cn_observed holds '{name}'. Allowed: {', '.join(STATISTICS)}.\n  {eki.where('cn_observed')}."
            )
    if not eki.cn_observed or len(set(eki.cn_observed)) < len(eki.cn_observed):
        raise HaloclineError(f"cn_observed names no statistic, or one twice.\n  {eki.where('cn_observed')}.")
    if not eki.cn_truth:
        raise HaloclineError(
            f"cn_mode = 'eki' needs a truth: cn_truth is empty.\n  {eki.where('cn_truth')}. Name data sets of halocline coarsen."
        )
    days = eki.rn_days - eki.rn_spinup
    if days <= 0:
        raise HaloclineError(
            f"rn_spinup = {eki.rn_spinup:g} leaves nothing of a run of rn_days = {eki.rn_days:g}.\n  {eki.where('rn_spinup')}."
        )
    blocks: list[Climate] = []
    every = 0.0
    for name in eki.cn_truth:
        states, interval = _open(Path(name), eki)
        if every and abs(interval - every) > 1.0:
            raise HaloclineError(
                f"the data sets of cn_truth have states {every:g} s and {interval:g} s apart.\n  {eki.where('cn_truth')}."
            )
        every = interval
        for key in ("rn_days", "rn_spinup"):
            number = getattr(eki, key) * DAY / every
            if abs(number - round(number)) > 1e-6 * max(number, 1.0):
                raise HaloclineError(
                    f"{key} = {getattr(eki, key):g} days is no multiple of {every / DAY:g} days, the time between the truth's "
                    f"states.\n  {eki.where(key)}."
                )
        blocks += [
            Climate.from_states(pieces, states.mesh, f"{states.name} {n}", 0.0, states.year)
            for n, pieces in enumerate(_blocks(states.pieces(), round(days * DAY / every)), start=1)
        ]
    if len(blocks) < FEWEST:
        raise HaloclineError(
            f"cn_truth holds {len(blocks)} blocks of {days:g} days (rn_days - rn_spinup); {FEWEST} or more are needed to know how "
            f"much they vary.\n  {eki.where('cn_truth')}. Take a longer truth, or shorter runs."
        )
    for block in blocks[1:]:
        must_fit(block, blocks[0])
    samples = np.stack([vector(block, eki.cn_observed, eki.nn_boxes) for block in blocks])
    bad = ~np.isfinite(samples).all(0) | (samples.std(0) == 0)
    if bad.any():
        raise HaloclineError(
            f"{bad.sum()} of {bad.size} statistics of the truth are not finite or never vary (no eddies in a box, a layer at "
            f"rest).\n  {eki.where('cn_observed')}. Leave them out, or take fewer boxes (nn_boxes)."
        )
    covariance = eki.rn_error**2 * (1 + 1 / len(blocks)) * shrunk(samples)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    sizes = [len(vector(blocks[0], [name], eki.nn_boxes)) for name in eki.cn_observed]
    return Observation(
        eki.cn_observed, eki.nn_boxes, samples.mean(0), whitening, sizes, len(blocks), days, every, blocks[0]
    )


def shrunk(samples: np.ndarray) -> np.ndarray:
    """Covariance (d, d) of samples (n, d), its correlations shrunk so that it can be inverted for d > n.

    r* = (1 - s) r off the diagonal, s = sum var(r) / sum r^2: Schaefer & Strimmer (2005), doi:10.2202/1544-6115.1175.
    """
    n, d = samples.shape
    spread = samples.std(0, ddof=1)
    scaled = (samples - samples.mean(0)) / spread
    products = scaled[:, :, None] * scaled[:, None, :]
    mean = products.mean(0)
    r = n / (n - 1) * mean
    variance = n / (n - 1) ** 3 * ((products - mean) ** 2).sum(0)
    off = ~np.eye(d, dtype=bool)
    total = float((r[off] ** 2).sum())
    strength = min(1.0, float(variance[off].sum()) / total) if total else 1.0
    return np.where(off, (1 - strength) * r, 1.0) * np.outer(spread, spread)


def _open(path: Path, eki: NamEki) -> tuple[States, float]:
    """The states of a data set, and the time between them [s]."""
    try:
        states, time = open_states(path), store.read(path)["time"].values.astype(float)
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {eki.where('cn_truth')}.") from None
    apart = np.diff(time)
    if not apart.size or np.ptp(apart) > 1.0:
        raise HaloclineError(
            f"{path} has states that are not regular in time ({apart.min(initial=0):g} to {apart.max(initial=0):g} s apart); "
            f"blocks of equal length are needed.\n  {eki.where('cn_truth')}."
        )
    return states, float(apart[0])


def _blocks(pieces: Iterator[Piece], count: int) -> Iterator[list[Piece]]:
    """Consecutive blocks of `count` states; what is left at the end is dropped."""
    block: list[Piece] = []
    room = count
    for piece in pieces:
        start, length = 0, len(piece.seconds)
        while start < length:
            rows = slice(start, min(start + room, length))
            block.append(
                replace(piece, **{name: values[rows] for name, values in vars(piece).items() if values is not None})
            )
            room -= rows.stop - rows.start
            start = rows.stop
            if not room:
                yield block
                block, room = [], count
