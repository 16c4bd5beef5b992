"""What is read from a data set, what is refused, and that the statistics are those of the training part."""

import numpy as np
import pytest
import torch
import xarray as xr

from coupler.errors import HaloclineError
from models.data import statistics
from models.training import fit
from models.training.samples import collect
from tests.training.synthetic import dataset, switches


def refused(data, *words, **changes):
    with pytest.raises(HaloclineError) as error:
        train, parts = switches(**changes)
        fit.prepare(train, parts, {"data": data})
    for word in words:
        assert word in str(error.value)


def test_channels_and_parts():
    """Fields in the order of cn_inputs, then k; blocks of time with a gap that no part holds."""
    train, parts = switches(cn_inputs=["v", "u", "t"])
    samples = collect({"data": dataset()}, train, parts)
    assert [str(channel) for channel in samples.channels] == ["v1", "v2", "u1", "u2", "t"]
    assert [str(channel) for channel in samples.outputs] == ["du1", "du2", "dv1", "dv2"]
    together = np.concatenate([samples.train, samples.val, samples.test])
    assert (np.diff(together) >= 1).all() and len(together) < 60
    assert samples.val[0] - samples.train[-1] > 1 and samples.test[0] - samples.val[-1] > 1


def test_the_advective_target_is_another():
    train, parts = switches(cn_target="advective")
    half = collect({"data": dataset()}, train, parts).target
    assert torch.equal(2 * half, collect({"data": dataset()}, *switches()).target)


def test_two_data_sets_and_one_held_out():
    """Each is split by itself; what is held out is in no part, and scored apart."""
    data = {"a.zarr": dataset(seed=1), "b.zarr": dataset(seed=2), "c.zarr": dataset(seed=3)}
    train, parts = switches(cn_hold_data=["b"])
    samples = collect(data, train, parts)
    assert list(samples.others) == ["b"] and samples.others["b"].tolist() == list(range(60, 120))
    parts_of = np.concatenate([samples.train, samples.val, samples.test])
    assert not np.isin(parts_of, samples.others["b"]).any() and (parts_of >= 120).any()


def test_statistics_come_from_the_training_part():
    """States of validation and test may be anything: the network is the same. The twin, over all states, is another."""
    data, train_and_parts = dataset(), switches()
    setup = fit.prepare(*train_and_parts, {"data": data})
    other = data.copy(deep=True)
    other["h"][int(setup.samples.train[-1]) + 1 :] *= 3.0
    changed = fit.prepare(*train_and_parts, {"data": other})
    assert changed.statistics == setup.statistics
    assert all(torch.equal(a, b) for a, b in zip(setup.network.buffers(), changed.network.buffers(), strict=True))
    everything = np.arange(60)
    assert statistics.of(other, everything) != statistics.of(data, everything)


def test_regions_held_out_are_not_in_loss_or_statistics():
    train, parts = switches(cn_hold_region=["2:5,2:11"])
    data = dataset()
    setup = fit.prepare(train, parts, {"data": data})
    data["u"][..., 1:11, 1:5] *= 7.0
    assert fit.prepare(train, parts, {"data": data}).statistics == setup.statistics
    assert (setup.views[0].loss.weight[:, 1:11, 1:5] == 0).all() and (setup.views[0].loss.weight > 0).any()
    assert fit.prepare(train, switches()[1], {"data": data}).statistics != setup.statistics


def test_nan_in_the_ocean_is_named():
    data = dataset()
    data["v"][17, 1, 3, 2] = np.nan
    refused(data, "v is nan", "sample 18 of 60", "level 2", "(3, 4)")


def test_nan_under_land_does_not_matter():
    """The twin is the NaN in the ocean above."""
    data, dry = dataset(), dataset()
    dry["u"] = dry["u"].where(dry["umask"] > 0)
    train, parts = switches()
    assert torch.equal(collect({"a": data}, train, parts).inputs, collect({"a": dry}, train, parts).inputs)


def test_a_missing_variable_is_named():
    refused(dataset().drop_vars("du"), "has no variable du", "there are: ", "ln_burst")


def test_an_unknown_input_is_named():
    refused(dataset(), "'w'", "Allowed: u, v, h, t", cn_inputs=["u", "v", "w"])


def test_all_land_is_named():
    data = dataset()
    data["tmask"][:] = 0
    refused(data, "all land", "tmask")


def test_a_record_too_short_is_named():
    refused(dataset(states=9), "too short for the split", "days")


def test_another_grid_is_named():
    train, parts = switches()
    with pytest.raises(HaloclineError, match="has a grid of"):
        collect({"a": dataset(), "b": dataset(ny=13)}, train, parts)


def test_no_data_is_named():
    train, parts = switches()
    with pytest.raises(HaloclineError, match="cn_data is empty"):
        collect({}, train, parts)


def test_a_target_of_zero_is_named():
    data = dataset()
    data["dv"] = xr.zeros_like(data["dv"])
    refused(data, "dv1 is zero everywhere", "nothing to learn")
