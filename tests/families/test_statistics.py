"""Statistics: of wet points and the given times only, equal to plain numpy, and kept bit for bit in a document."""

import numpy as np
import pytest
import xarray as xr

from coupler.errors import HaloclineError
from models.data import statistics
from models.data.statistics import Statistics, of


@pytest.fixture
def data():
    """70 states of two layers, half of it land that holds nonsense; later states are larger."""
    draw = np.random.default_rng(0)
    shape = (70, 2, 6, 8)
    growth = np.linspace(1, 3, 70)[:, None, None, None]
    mask = np.zeros((2, 6, 8))
    mask[:, 1:-1, 2:-2] = 1
    dims = ("time", "k", "y", "x")
    fields = {
        name: (dims, np.where(mask > 0, mean + growth * draw.normal(0, std, shape), 1e20).astype("f4"))
        for name, mean, std in (
            ("u", 0, 0.1),
            ("v", 0, 0.1),
            ("h", 500, 40),
            ("du", 0, 1e-6),
            ("dv", 0, 1e-6),
            ("du_adv", 0, 2e-6),
            ("dv_adv", 0, 2e-6),
        )
    }
    fields["sst"] = (("time", "y", "x"), draw.normal(15, 3, (70, 6, 8)).astype("f4"))
    masks = {f"{point}mask": (("k", "y", "x"), mask) for point in "tuv"}
    return xr.Dataset({**fields, **masks, "ff_t": (("y", "x"), np.full((6, 8), 7e-5))})


def test_equal_to_numpy(data):
    """Mean, std, rms, extremes and percentiles of the wet points of the first 40 states, in float64."""
    found, wet = of(data, range(40)), data["umask"].values[0] > 0
    for name in ("u", "h", "du", "sst"):
        values = data[name].values[:40].astype("f8")
        values = (values if values.ndim == 4 else values[:, None])[..., wet]
        assert found.mean[name] == pytest.approx(values.mean((0, 2)), rel=1e-12)
        assert found.std[name] == pytest.approx(values.std((0, 2)), rel=1e-12)
        assert (found.low[name], found.high[name]) == (values.min(), values.max())
        assert (found.p001[name], found.p999[name]) == pytest.approx(np.percentile(values, (0.1, 99.9)))
    assert found.rms["du"] == pytest.approx(np.sqrt((data["du"].values[:40][..., wet].astype("f8") ** 2).mean((0, 2))))
    assert found.mean["ff_t"] == pytest.approx((7e-5,)) and found.count == 40 and found.rate is None


def test_only_the_given_times_count(data):
    """Statistics that had seen the later part would differ by far."""
    first, everything = of(data, range(30)), of(data, range(70))
    changed = data.copy(deep=True)
    changed["u"][30:] *= 100
    assert of(changed, range(30)) == first
    assert everything.std["u"][0] > 1.2 * first.std["u"][0]


def test_blocks_and_chunks_do_not_matter(data, monkeypatch):
    want = of(data, range(70))
    monkeypatch.setattr(statistics, "BLOCK", 7)
    found = of(data.chunk({"time": 5}), range(70))
    for key in ("mean", "std", "rms"):
        for name, values in getattr(want, key).items():
            assert getattr(found, key)[name] == pytest.approx(values, rel=1e-10)
    assert (found.low, found.high, found.p999) == (want.low, want.high, want.p999)


def test_either_target(data):
    residual, advective = of(data, range(70)), of(data, range(70), "advective")
    assert advective.rms["du"][0] == pytest.approx(2 * residual.rms["du"][0], rel=0.2)


def test_document_keeps_every_bit(data):
    found = of(data, range(0, 70, 3))
    assert Statistics.from_json(found.to_json()) == found
    with pytest.raises(HaloclineError, match="not a document"):
        Statistics.from_json('{"mean": {}}')
    with pytest.raises(HaloclineError, match="not a document"):
        Statistics.from_json("[1, 2")


def test_nan_under_water_is_named(data):
    data["h"][3, 1, 2, 4] = np.nan
    with pytest.raises(HaloclineError, match=r"'h' is nan under water at time index 3, level 2, cell \(5, 3\)"):
        of(data, range(70))
    of(data, range(4, 70))


def test_what_is_missing_is_named(data):
    with pytest.raises(HaloclineError, match="no time"):
        of(data, [])
    with pytest.raises(HaloclineError, match="no 'umask'"):
        of(data.drop_vars("umask"), range(5))
    with pytest.raises(HaloclineError, match="no wet point"):
        of(data.assign(vmask=0 * data["vmask"]), range(5))
