"""A basin with an island, and random fields of known covariance in it: what the analysis is tested with."""

from functools import cache

import numpy as np

from models import settings
from models.assimilation.enoi import Interpolation
from models.assimilation.observations import Network

NY, NX, DX = 16, 14, 40000.0
CUT = 240000.0
GRED, REST = np.array([0.008, 0.006]), np.array([500.0, 750.0])
FIELDS = {"u": 2, "v": 2, "h": 2, "t": 1}
SCALE = {"u": 0.05, "v": 0.05, "h": 10.0, "t": 0.5}


def group(**changes):
    """&namassim with defaults of these tests."""
    given = {"cn_truth": "truth", "nn_track": 3, "nn_sst": 2, "nn_profiles": 6, "rn_localise": CUT} | changes
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in settings.NamAssim.model_fields.items()
    }
    return settings.NamAssim.model_construct(**{**defaults, **given})


@cache
def wet():
    mask = np.zeros((NY + 2, NX + 2), bool)
    mask[1:-1, 1:-1] = True
    mask[5:7, 4:8] = False  # an island
    return mask


def masks():
    return {name: np.broadcast_to(wet(), (levels, *wet().shape)).astype(float) for name, levels in FIELDS.items()}


def smooth(generator, count):
    """Random fields (count, levels, y, x), correlated over some cells and between each other."""
    white = generator.standard_normal((count, 3, NY + 2, NX + 2))
    wave = np.fft.rfft2(white)
    kj, ki = np.fft.fftfreq(NY + 2)[:, None], np.fft.rfftfreq(NX + 2)
    base = np.fft.irfft2(wave * np.exp(-60.0 * (kj**2 + ki**2)), (NY + 2, NX + 2))
    base /= base.std()
    a, b, c = base[:, 0], base[:, 1], base[:, 2]
    fields = {
        "h": np.stack([a, -0.6 * a + 0.8 * b], 1),
        "u": np.stack([np.gradient(a, axis=-2), 0.5 * b], 1),
        "v": np.stack([-np.gradient(a, axis=-1), 0.5 * c], 1),
        "t": (0.7 * a + 0.7 * c)[:, None],
    }
    found = {name: SCALE[name] * values * masks()[name] for name, values in fields.items()}
    found["h"] -= (
        masks()["h"] * (found["h"].sum((-2, -1)) / masks()["h"].sum((-2, -1)))[..., None, None]
    )  # volumes stay
    return found


def state(departure):
    """A state (levels, y, x) from a departure."""
    rest = {"h": REST[:, None, None], "t": 15.0, "u": 0.0, "v": 0.0}
    return {name: (values + rest[name]) * masks()[name] for name, values in departure.items()}


def member(fields, number):
    return {name: values[number] for name, values in fields.items()}


def ensemble(count=40, seed=1):
    found = smooth(np.random.default_rng(seed), count)
    return {name: values - values.mean(0) for name, values in found.items()}


def method(cut=CUT, members=None, **changes):
    network = Network(wet(), GRED, REST, group(**changes))
    return Interpolation(network, members or ensemble(), masks(), DX, cut)
