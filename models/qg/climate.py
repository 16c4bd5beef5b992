"""What a run is like in the long term: energies, spectra, distributions; distances between two runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from models.evaluation.spectra import log_error
from models.qg.diagnostics import Diagnostics
from models.qg.model import Closure, Model

BLOWN = 10.0  # times the truth's kinetic energy
POINTS = 200_000  # of a layer, for the distribution
SHARE = 2 / 3  # of the Nyquist wavenumber: the last shell of a spectrum's score, as in Ross et al. (2023)


@dataclass(frozen=True)
class Climate:
    """Means over states: kinetic energy (2,) [m2 s-2] and its spectrum (2, shells), enstrophy (2,) [s-2], potential energy
    [m2 s-2], and values of q (2, points) [s-1].
    """

    kinetic: np.ndarray
    spectrum: np.ndarray
    enstrophy: np.ndarray
    potential: float
    values: np.ndarray

    def numbers(self) -> dict[str, Any]:
        """Energies and enstrophy as plain values."""
        return {
            "kinetic": self.kinetic.tolist(),
            "enstrophy": self.enstrophy.tolist(),
            "potential": self.potential,
            "spectrum": self.spectrum.tolist(),
        }


def climate(model: Model, states: Tensor) -> Climate:
    """Of states (n, 2, m, m) [s-1]."""
    one = Diagnostics(model)
    flat = states.transpose(0, 1).flatten(1)
    return Climate(
        one.kinetic(states).double().mean(dim=0).numpy(),
        one.kinetic_spectrum(states).double().mean(dim=0).numpy(),
        one.enstrophy(states).double().mean(dim=0).numpy(),
        float(one.potential(states).double().mean()),
        flat[:, :: max(1, flat.shape[1] // POINTS)].numpy(),
    )


def distances(run: Climate, truth: Climate) -> dict[str, list[float]]:
    """Of each layer: kinetic energy over truth's; rms of log10 of the ratio of its spectra, up to 2/3 of the Nyquist wavenumber;
    and the Wasserstein-1 distance of the distributions of q, in truth's standard deviations.
    """
    last = int(SHARE * (truth.spectrum.shape[-1] - 1))
    layers = range(2)
    return {
        "energy_ratio": [float(run.kinetic[k] / truth.kinetic[k]) for k in layers],
        "log_spectrum": [log_error(run.spectrum[k], truth.spectrum[k], 1, last) for k in layers],
        "wasserstein": [
            float(wasserstein_distance(run.values[k], truth.values[k]) / truth.values[k].std()) for k in layers
        ],
    }


@dataclass(frozen=True)
class FreeRun:
    """States (n, 2, m, m) that were kept of the runs that lasted, and after how many steps each run (members,) ended, `steps` if
    it lasted.
    """

    states: Tensor
    lasted: list[int]
    steps: int


def free_run(
    model: Model, starts: Tensor, steps: int, drop: int, every: int, limit: float, closure: Closure | None
) -> FreeRun:
    """Runs from starts (members, 2, m, m); states each `every` steps after `drop`.

    A run has ended when it is no number or its kinetic energy of both layers passes 10 x limit [m2 s-2].
    """
    one, q, kept = Diagnostics(model), starts, []
    lasted = torch.full((len(starts),), steps)
    with torch.no_grad():
        for n in range(every, steps + 1, every):
            q = model.after(q, every, closure)
            well = (one.kinetic(q).sum(dim=1) < BLOWN * limit) & torch.isfinite(q).all(dim=(1, 2, 3))
            lasted = torch.where(well | (lasted < steps), lasted, n)
            q = torch.where((lasted == steps)[:, None, None, None], q, 0.0)
            if n > drop:
                kept.append(q)
    states = torch.stack(kept, dim=1)[lasted == steps].flatten(0, 1)
    return FreeRun(states, lasted.tolist(), steps)
