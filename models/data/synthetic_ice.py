"""A small sea-ice and mixed-layer model on a grid with land: a truth, a model with errors of its own, and their increments.

For developing and testing corrections of sea-ice concentration where no archive is at hand; not a model of any sea. Ice lies in
five categories of fixed thickness, with the concentrations a(k, j, i), over a mixed layer of temperature t(j, i). In a day:

    drift     da_k/dt = -div(v a_k), upstream; v = drift W (1 - resist A^2), W the wind, A the sum of a_k
    ridging   what is over 1 leaves the thinner categories for the thickest, volume for volume; what then is still over 1 is lost
    surface   da_k/dt moves ice to the next category at conduct (Tf - Ta) / (h_k rho L (h_k+1 - h_k)) in frost, back in thaw
    ocean     C dt/dt = exchange (1 - A) (Ta - t) - melt A (t - Tf); the heat melts ice, and what would cool the water below Tf
              becomes new ice of the first category

A truth and a model differ in four coefficients (`Physics`), so that the model's error depends on its state: on the ice that is
there to be melted, moved or thickened. Weather (wind and air) is the same for both, and a function of the seed alone.
Arrays (k, y, x) or (y, x); U(j, i) is the east face of T(j, i), V(j, i) its north face; one rim of land.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from coupler.units import unit_factor
from models.data.quantities import Increment, Tendency

DAY, YEAR = 86400.0, 360
FREEZING = -1.8  # [degC]
THICKNESS = (0.3, 0.9, 1.8, 3.0, 4.5)  # of the categories [m]
HEAT = 1025.0 * 3990.0 * 30.0  # capacity of 30 m of sea water [J m-2 K-1]
LATENT = 900.0 * 3.3e5  # to melt a cubic metre of ice [J m-3]
THAW = 20.0  # heat into thawing ice [W m-2 K-1]
SPACING = 50000.0  # [m]
FASTEST = 0.25  # of the drift [m s-1]: half a cell per day along i and j
MEMORY = 4.0  # e-folding time of the weather [days]

Fields = Mapping[str, np.ndarray]
Correction = Callable[[Fields], np.ndarray]


@dataclass(frozen=True)
class Physics:
    """Coefficients: wind factor of the drift, internal resistance [1]; fluxes melt, exchange [W m-2 K-1], conduct [W m-1 K-1]."""

    drift: float = 0.02
    resist: float = 0.8
    melt: float = 180.0
    exchange: float = 30.0
    conduct: float = 2.0


TRUTH = Physics()
BIASED = Physics(drift=0.024, resist=0.3, melt=90.0, exchange=25.0)


@dataclass(frozen=True)
class Ice:
    """A state: concentrations a (k, y, x) [1] and temperature t (y, x) [degC] at the end of day `day`, counted from 0."""

    a: np.ndarray
    t: np.ndarray
    day: int


class World:
    """Land and weather: `days` days from a seed, the same for every model; `warmer` air [K] makes another climate of it.

    tmask, umask, vmask (y, x).
    """

    def __init__(self, seed: int = 1, days: int = 12 * YEAR, ny: int = 24, nx: int = 30, warmer: float = 0.0) -> None:
        if ny < 12 or nx < 12 or days < 1:
            raise HaloclineError(f"a synthetic sea of {nx} x {ny} cells, {days} days: at least 12 x 12 cells, 1 day.")
        rng = np.random.default_rng(seed)
        self.days, self.shape, self.warmer = days, (ny, nx), warmer
        mask = np.zeros((ny, nx))
        mask[1:-1, 1:-1] = 1.0
        mask[ny // 2 : ny // 2 + 3, nx // 3 : nx // 3 + 4] = 0.0  # an island
        mask[-4:, 1 : nx // 5] = 0.0  # a cape
        self.tmask, self.umask, self.vmask = mask, np.zeros_like(mask), np.zeros_like(mask)
        self.umask[:, :-1], self.vmask[:-1] = mask[:, :-1] * mask[:, 1:], mask[:-1] * mask[1:]
        # Weather: six waves of random phase per field, each an AR(1) series.
        self._waves = {name: _waves(rng, ny, nx) for name in ("air", "east", "north")}
        self._series = {name: _series(rng, days, len(waves)) for name, waves in self._waves.items()}
        self._north = np.arange(ny)[:, None] / (ny - 1) * np.ones(nx)

    def weather(self, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Air temperature [degC] and wind along i and j [m s-1] at T points on a day. HaloclineError beyond the last one."""
        if not 0 <= day < self.days:
            raise HaloclineError(f"day {day} is not in the weather of {self.days} days. Make a World with more days.")
        season = np.cos(2 * np.pi * (day % YEAR - 210) / YEAR)
        air, east, north = (np.tensordot(self._series[n][day], self._waves[n], 1) for n in ("air", "east", "north"))
        air = 5.0 + self.warmer - 16.0 * self._north + (7.0 + 5.0 * self._north) * season + 3.0 * air
        return air, 2.0 - 3.0 * season + 5.0 * east, -1.0 + 4.0 * north

    def rest(self) -> Ice:
        """Open water at the freezing point on day 0."""
        return Ice(np.zeros((len(THICKNESS), *self.shape)), np.full(self.shape, FREEZING) * self.tmask, 0)


def _waves(rng: np.random.Generator, ny: int, nx: int, count: int = 6) -> np.ndarray:
    j, i = np.meshgrid(np.arange(ny) / ny, np.arange(nx) / nx, indexing="ij")
    kj, ki, phase = rng.uniform(-1.5, 1.5, count), rng.uniform(-1.5, 1.5, count), rng.uniform(0, 2 * np.pi, count)
    waves = [np.sin(2 * np.pi * (a * j + b * i) + c) for a, b, c in zip(kj, ki, phase, strict=True)]
    return np.stack(waves) * np.sqrt(2.0 / count)


def _series(rng: np.random.Generator, days: int, count: int) -> np.ndarray:
    keep, noise = np.exp(-1.0 / MEMORY), rng.standard_normal((days, count))
    series = np.empty((days, count))
    series[0] = noise[0]
    for day in range(1, days):
        series[day] = keep * series[day - 1] + np.sqrt(1 - keep**2) * noise[day]
    return series


def step(world: World, physics: Physics, ice: Ice, tendency: Tendency | None = None) -> Ice:
    """One day; `tendency` of the concentrations [s-1] (k, y, x) is added before the model brings them into their bounds.

    HaloclineError for anything else than a tendency in s-1: an increment has to be converted first.
    """
    air, u, v = _drift(world, physics, ice)
    a = _ridge(_upstream(world, ice.a, u, v))
    a = _surface(a, air, physics)
    a, t = _ocean(a, ice.t, air, physics)
    if tendency is not None:
        if not isinstance(tendency, Tendency) or unit_factor(tendency.units, "s-1") != 1.0:
            raise HaloclineError(
                f"the synthetic sea takes a Tendency in s-1, got {type(tendency).__name__} in "
                f"{getattr(tendency, 'units', '?')}. An increment becomes one by .tendency()."
            )
        a = a + DAY * tendency.values
    a = np.clip(a, 0.0, 1.0) * world.tmask
    a = a / np.maximum(a.sum(axis=0), 1.0)
    return Ice(a, t * world.tmask, ice.day + 1)


def _drift(world: World, physics: Physics, ice: Ice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Air temperature at T, and the drift at U and V points [m s-1]."""
    air, east, north = world.weather(ice.day)
    factor = physics.drift * (1.0 - physics.resist * ice.a.sum(axis=0) ** 2)
    u, v = np.zeros(world.shape), np.zeros(world.shape)
    u[:, :-1] = 0.5 * ((factor * east)[:, :-1] + (factor * east)[:, 1:])
    v[:-1] = 0.5 * ((factor * north)[:-1] + (factor * north)[1:])
    return air, np.clip(u, -FASTEST, FASTEST) * world.umask, np.clip(v, -FASTEST, FASTEST) * world.vmask


def _upstream(world: World, a: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    courant = DAY / SPACING
    east, north = np.zeros_like(a), np.zeros_like(a)
    east[..., :-1] = courant * (np.maximum(u, 0)[:, :-1] * a[..., :-1] + np.minimum(u, 0)[:, :-1] * a[..., 1:])
    north[:, :-1] = courant * (np.maximum(v, 0)[:-1] * a[:, :-1] + np.minimum(v, 0)[:-1] * a[:, 1:])
    a = a - east - north
    a[..., 1:] += east[..., :-1]
    a[:, 1:] += north[:, :-1]
    return a * world.tmask


def _ridge(a: np.ndarray) -> np.ndarray:
    """Area over 1 leaves the thinner categories; a part h_k / h_5 of it arrives in the thickest one: volume is kept."""
    h = np.array(THICKNESS)[:, None, None]
    over = np.maximum(a.sum(axis=0) - 1.0, 0.0)
    lost = (a[:-1] * (1.0 - h[:-1] / h[-1])).sum(axis=0)
    part = np.minimum(over / np.maximum(lost, 1e-12), 1.0)
    moved = part * a[:-1]
    return np.concatenate([a[:-1] - moved, a[-1:] + (moved * h[:-1] / h[-1]).sum(axis=0, keepdims=True)])


def _surface(a: np.ndarray, air: np.ndarray, physics: Physics) -> np.ndarray:
    h = np.array(THICKNESS)[:, None, None]
    gap = np.diff(np.array(THICKNESS))[:, None, None]
    up = a[:-1] * np.minimum(physics.conduct * np.maximum(FREEZING - air, 0) / (h[:-1] * LATENT * gap) * DAY, 0.5)
    rate = THAW * np.maximum(air, 0) / LATENT * DAY
    down = a[1:] * np.minimum(rate / gap, 0.5)
    gone = a[:1] * np.minimum(rate / h[:1], 0.5)
    nothing = np.zeros_like(gone)
    return (
        a
        - np.concatenate([gone, down])
        + np.concatenate([down, nothing])
        + (np.concatenate([nothing, up]) - np.concatenate([up, nothing]))
    )


def _ocean(a: np.ndarray, t: np.ndarray, air: np.ndarray, physics: Physics) -> tuple[np.ndarray, np.ndarray]:
    h = np.array(THICKNESS)[:, None, None]
    cover = a.sum(axis=0)
    heat = np.maximum(physics.melt * cover * (t - FREEZING), 0.0)  # [W m-2] from the water into the ice
    volume = (a * h).sum(axis=0)
    part = np.minimum(heat * DAY / LATENT / np.maximum(volume, 1e-6), 0.8)
    heat = part * volume * LATENT / DAY
    a = a * (1.0 - part)
    t = t + DAY / HEAT * (physics.exchange * (1.0 - cover) * (air - t) - heat)
    frozen = HEAT * np.maximum(FREEZING - t, 0.0) / LATENT / THICKNESS[0]
    a[0] += np.minimum(frozen, np.maximum(1.0 - a.sum(axis=0), 0.0))
    return a, np.maximum(t, FREEZING)


def predictors(world: World, physics: Physics, ice: Ice) -> dict[str, np.ndarray]:
    """What a network reads, float32: a_i (k, y, x) [1]; sst, t_skin [degC], u_ice, v_ice [m s-1], h_ice [m] (y, x)."""
    air, u, v = _drift(world, physics, replace(ice, day=max(ice.day - 1, 0)))
    cover = ice.a.sum(axis=0)
    fields = {
        "a_i": ice.a,
        "sst": ice.t,
        "u_ice": u,
        "v_ice": v,
        "h_ice": (ice.a * np.array(THICKNESS)[:, None, None]).sum(axis=0),
        "t_skin": (cover * np.minimum(air, 0.0) + (1.0 - cover) * ice.t) * world.tmask,
    }
    return {name: np.ascontiguousarray(field, np.float32) for name, field in fields.items()}


def forecast(world: World, physics: Physics, ice: Ice, days: int, tendency: Tendency | None = None) -> Ice:
    """The state `days` later; `tendency`: see step."""
    for _ in range(days):
        ice = step(world, physics, ice, tendency)
    return ice


def increments(world: World, ice: Ice, windows: int, days: int, model: Physics = BIASED) -> xr.Dataset:
    """Background and increments of `windows` windows of `days` days each: from `ice` the truth and `model` set out together.

    At the end of each window the concentrations of the truth are inserted; the water is not touched, so that its errors stay with
    the model, as where ice alone is assimilated. The data set holds what `predictors` gives of the backgrounds (before the
    increment), a_i_inc (time, k, y, x) per window [1], masks, spacings; attribute `increments` as models/data/increment.py.
    """
    records: list[dict[str, np.ndarray]] = []
    truth = background = ice
    for _ in range(windows):
        truth, background = forecast(world, TRUTH, truth, days), forecast(world, model, background, days)
        fields = predictors(world, model, background)
        records.append(fields | {"a_i_inc": truth.a.astype(np.float32) - fields["a_i"]})
        background = replace(background, a=truth.a)
    planes, columns = ("time", "y", "x"), ("time", "k", "y", "x")
    series = {name: np.stack([record[name] for record in records]) for name in records[0]}
    time = (ice.day + days * np.arange(1.0, windows + 1)) * DAY
    data = xr.Dataset(
        {name: (columns if values.ndim == 4 else planes, values) for name, values in series.items()}
        | {"time": ("time", time, {"units": "seconds since 2001-01-01", "calendar": "360_day"})}
        | {n: (("level", "y", "x"), getattr(world, n)[None].astype(np.float32)) for n in ("tmask", "umask", "vmask")}
        | {name: (("y", "x"), np.full(world.shape, SPACING, np.float32)) for name in ("e1t", "e2t")}
    )
    facts = {"window": days * DAY, "method": "insert", "model": asdict(model), "truth": asdict(TRUTH)}
    return data.assign_attrs(increments=json.dumps(facts), boundary="closed")


def run(
    world: World, physics: Physics, ice: Ice, windows: int, days: int, correction: Correction | None = None
) -> np.ndarray:
    """A free run: the total concentration (window, y, x), float32, at the end of each window of `days` days.

    correction: from the predictors at the begin of a window to the increment of the concentrations per window; it is spread
    over that window as a tendency, as an incremental update does.
    """
    series = np.empty((windows, *world.shape), np.float32)
    for n in range(windows):
        tendency = None
        if correction is not None:
            values = np.asarray(correction(predictors(world, physics, ice)), np.float64)
            tendency = Increment(values, days * DAY, "1", "a_i", "T").tendency()
        ice = forecast(world, physics, ice, days, tendency)
        series[n] = ice.a.sum(axis=0)
    return series
