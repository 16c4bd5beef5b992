"""Trained families: blind under land, seeing walls, Galilean where asked, scaled, reproducible, and clear about what they lack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from coupler.errors import HaloclineError
from models.families.trainable import FAMILIES, build, contract
from tests.families.basin import LEVELS, METRICS, SPACING, basin, network, run, settings, statistics

ALL_FAMILIES = pytest.mark.parametrize("family", FAMILIES)


@ALL_FAMILIES
def test_land_is_not_read(family):
    """Any finite number under land and outside the walls gives the same bits."""
    net, fields = network(cn_family=family), basin()
    want = run(net, fields)
    for value in (0.0, 17.5, 400.0):
        found = run(net, fields, under_land=value)
        assert all(np.array_equal(found[name], want[name]) for name in want)


def test_reading_land_is_caught():
    """With masks that call land wet, the number under it does matter."""
    net, fields = network(), basin()
    lies = fields | {mask: np.ones_like(fields[mask]) for mask in ("tmask", "umask", "vmask")}
    assert not np.array_equal(
        run(net, {**lies, "h": np.where(fields["h"] > 0, fields["h"], 17.5)})["du"], run(net, lies)["du"]
    )


@ALL_FAMILIES
def test_walls_are_seen_and_land_faces_are_zero(family):
    """The same state without the island gives another answer beside it; on land faces means are exactly zero."""
    net, fields, open_ = network(cn_family=family), basin(), basin(island=False)
    found = run(net, fields)
    for name, mask in (("du", "umask"), ("dv", "vmask")):
        assert (found[name][:, fields[mask][0] == 0] == 0).all() and (found[name][:, fields[mask][0] > 0] != 0).any()
    masks = {mask: open_[mask] for mask in ("tmask", "umask", "vmask")}
    wet = fields["umask"] > 0
    without = run(net, {**fields, "h": np.where(fields["h"] > 0, fields["h"], 500.0), **masks})["du"]
    assert not np.allclose((found["du"] * wet), without * wet, rtol=1e-3)


@ALL_FAMILIES
@pytest.mark.parametrize("symmetry", ["none", "group"])
def test_crop_is_the_radius(family, symmetry):
    """(J, I) to (J - 2 r, I - 2 r), for every size down to one cell."""
    net = network(cn_family=family, cn_symmetry=symmetry)
    channels, out = (sum(int(spec.levels) for spec in specs) for specs in (net.inputs, net.outputs))
    for nj, ni in ((1, 1), (3, 1), (2, 7)):
        x = torch.rand(2, channels, nj + 2 * net.radius, ni + 2 * net.radius)
        assert net(x).shape == (2, out, nj, ni)


@pytest.mark.parametrize("family", ["momentum_cnn", "stress", "gz21"])
def test_galilean_networks_see_differences_only(family):
    """A velocity added to all wet points changes the answer by less than 1e-6 of it; without the switch it changes it."""

    def change(**switches):
        net, fields = network(torch.float64, cn_family=family, **switches), basin(seed=1)
        moved = {**fields, "u": fields["u"] + 0.7 * fields["umask"], "v": fields["v"] - 0.4 * fields["vmask"]}
        want, found = run(net, fields), run(net, moved)
        return max(abs(found[n] - want[n]).max() / abs(want[n]).max() for n in want)

    assert change(ln_galilean=True) < 1e-6
    assert change(ln_galilean=False) > 1e-3


def test_stress_ann_is_galilean_as_it_is():
    net, fields = network(torch.float64, cn_family="stress_ann"), basin(seed=1, island=False)
    moved = {**fields, "u": fields["u"] + 0.7 * fields["umask"]}
    want, found = run(net, fields), run(net, moved)
    inside = (slice(None), slice(4, -4), slice(4, -4))  # beside walls, which do not move, it sees them
    assert abs(found["du"] - want["du"])[inside].max() < 1e-6 * abs(want["du"]).max()


def test_scaled_network_runs_on_another_spacing():
    """Twice the spacing, half the tendency; without the switch the spacing is not read."""
    fields = basin()
    coarser = {name: 2 * field if name in METRICS else field for name, field in fields.items()}
    net = network(torch.float64, ln_scale=True)
    assert np.allclose(run(net, coarser)["du"], 0.5 * run(net, fields)["du"], rtol=1e-12)
    assert "e1t" not in [spec.name for spec in network().inputs]


def test_units_do_not_matter_where_statistics_know_them():
    """Fields and statistics in cm s-1 give the same answer; fields alone do not."""
    fields, numbers = basin(), statistics()
    in_cm = {**fields, "u": 100 * fields["u"], "v": 100 * fields["v"]}
    known = {key: {**getattr(numbers, key)} for key in ("mean", "std")}
    for name in ("u", "v"):
        for key in known:
            known[key][name] = tuple(100 * value for value in known[key][name])
    net = build(settings(), LEVELS, replace(numbers, **known), SPACING).eval()
    want = run(network(), fields)["du"]
    assert np.allclose(run(net, in_cm)["du"], want, rtol=0, atol=1e-5 * abs(want).max())
    assert not np.allclose(run(network(), in_cm)["du"], want, rtol=0, atol=1e-2 * abs(want).max())


def test_seed_makes_the_weights_and_nothing_else():
    """Equal seeds give equal weights, others do not, and the caller's random numbers are not touched."""
    torch.manual_seed(3)
    after = torch.rand(3)
    torch.manual_seed(3)
    one, same, other = (network(nn_seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), after)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_default_network_is_of_the_stated_size():
    """Kernels 5, 3, 3, 3, 3 and width 32: radius 6, 36 132 weights."""
    net = build(settings(nn_width=32, nn_kernels=[5, 3, 3, 3, 3]), LEVELS, statistics(), SPACING)
    assert (net.radius, sum(weight.numel() for weight in net.parameters())) == (6, 36132)
    assert [spec.name for spec in net.inputs] == ["u", "v", "h", "tmask", "umask", "vmask"]


def test_gz21_gives_precision_over_its_floor():
    """1/std is at least softplus(floor) / rms, is finite, and the contract makes the noise from it."""
    net, fields = network(cn_family="gz21"), basin()
    found = run(net, fields)
    rms = statistics().rms
    for name in ("du", "dv"):
        floor = float(softplus(net.floor.detach())) / np.array(rms[name])[:, None, None]
        assert (found[f"{name}_inv_std"] >= 0.999999 * floor).all() and np.isfinite(found[f"{name}_inv_std"]).all()
        assert not (found[name] >= floor).any()
    document = contract(net, settings(cn_family="gz21"), statistics(), {"data": "none"})
    assert document.stochastic.kind == "gaussian" and document.partners == {"du_inv_std", "dv_inv_std"}


def test_static_inputs_come_last():
    """f may stand anywhere in cn_inputs; what varies comes first, then f, masks and metrics."""
    net = network(cn_inputs=["ff_t", "u", "t", "v", "h"], ln_scale=True)
    names = [spec.name for spec in net.inputs]
    assert names == ["u", "t", "v", "h", "ff_t", "tmask", "umask", "vmask", "e1t"]
    assert [spec.static for spec in net.inputs] == sorted(spec.static for spec in net.inputs)
    assert next(spec for spec in net.inputs if spec.name == "t").levels == 1


def test_contract_knows_the_training():
    """Percentiles and bounds come from the statistics, tests from the same ranges."""
    train = settings(cn_name="mine")
    document = contract(network(), train, statistics(), {"data": "truth"})
    u = document.inputs[0]
    assert (document.name, document.family, document.tensors) == ("mine", "momentum_cnn", "stacked")
    assert u.percentiles == (-0.9, 0.9) and u.valid_range[0] < -1 and u.valid_range[1] > 1
    assert document.inputs[2].valid_range[0] == 0
    assert document.outputs[0].bounds == pytest.approx((-9e-5, 9e-5)) and document.outputs[0].mask == "umask"
    assert document.level_axis == "channel" and document.trained_on == {"data": "truth"}


@pytest.mark.parametrize(
    ("switches", "levels", "words"),
    [
        ({"cn_inputs": ["u", "v", "w"]}, 2, "cannot read 'w'(.|\n)*u, v, h, t, ff_t"),
        ({"cn_inputs": ["u", "v", "u"]}, 2, "twice"),
        ({"cn_inputs": ["u", "h"]}, 2, "needs the input 'v'"),
        ({"cn_inputs": ["u", "v"], "cn_family": "stress"}, 2, "needs the input 'h'"),
        ({"nn_kernels": [3, 4]}, 2, "odd"),
        ({"nn_kernels": []}, 2, "odd"),
        ({"cn_family": "gz21", "ln_scale": True}, 2, "no dimensional scaling"),
        ({"cn_family": "stress_ann", "cn_inputs": ["u", "v", "h", "t"]}, 2, "cannot read 't'"),
        ({}, 3, r"statistics have 2 level\(s\) of 'u'"),
    ],
)
def test_what_does_not_fit_is_refused(switches, levels, words):
    with pytest.raises(HaloclineError, match=words):
        build(settings(**switches), levels, statistics(), SPACING)


def test_statistics_without_target_are_refused():
    with pytest.raises(HaloclineError, match="no rms of the target 'du'"):
        build(settings(), LEVELS, replace(statistics(), rms={}), SPACING)
