"""Families of increments: the climatology of the right cell and day, walls and land, cut fields, what the contract says."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coupler.contract import Contract
from coupler.engines.base import load_engine
from coupler.engines.selftest import sample
from coupler.errors import HaloclineError
from models import export
from models.data import climatology
from models.families.increment import FIELDS_OUT, Climate, check
from models.families.increment_cnn import Dilated, recipe
from models.families.trainable import INCREMENTS, build, contract
from tests.families import basin
from tests.families.basin import LEVELS, SPACING, padded

NY, NX, WINDOW, YEAR = 14, 11, 432000.0, 360.0
ALL = pytest.mark.parametrize("family", INCREMENTS)
STATE = pytest.mark.parametrize("family", ["increment_cnn", "increment_mlp"])
OUTPUTS = [FIELDS_OUT[name].output for name in ("u", "u", "v", "v", "h", "h", "t")]


def settings(**switches):
    common = {"cn_family": "increment_cnn", "cn_target": "increment", "cn_inputs": ["u", "v", "h", "t"]}
    return basin.settings(**{**common, "cn_conserve": ["h"], **switches})


def statistics():
    numbers = basin.statistics()
    for name, rms in (("du_bias", 0.02), ("dv_bias", 0.03), ("dh_bias", 7.0), ("dt_bias", 0.2)):
        numbers.rms[name] = (rms,) * (1 if name == "dt_bias" else LEVELS)
        numbers.p001[name], numbers.p999[name] = -3 * rms, 4 * rms
    return numbers


def climate(harmonics=1, seed=3, scale=1.0):
    """Random maps, zero on the island and nowhere else; the same values for any caller."""
    maps = np.random.default_rng(seed).normal(0, scale, (1 + 2 * harmonics, len(OUTPUTS), NY, NX))
    return Climate(torch.from_numpy(maps * fields()["tmask"]), YEAR, WINDOW)


def fields(**how):
    made = basin.basin(NY, NX, **how)
    j, i = np.mgrid[1 : NY + 1, 1 : NX + 1].astype(float)
    t = made["tmask"] * np.random.default_rng(9).uniform(5, 25, (1, NY, NX))
    return {**made, "t": t, "mig": i[None], "mjg": j[None]}


def network(part=None, **switches):
    part = climate() if part is None else part
    return build(settings(**switches), LEVELS, statistics(), SPACING, part).eval()


def run(net, values, day=100.25, **how):
    """The outputs (o, nj, ni)."""
    with torch.inference_mode():
        scalars = (torch.tensor([day]),) if net.scalars else ()
        return net(
            padded(values, SimpleNamespace(inputs=net.inputs, radius=net.radius, parameters=weightless), **how),
            *scalars,
        )[0]


def weightless():
    """The type of the tensor, also of a network without weights."""
    yield torch.zeros(1)


def masks(values):
    return torch.from_numpy(
        np.concatenate([values[name] for name in ("umask", "umask", "vmask", "vmask", "tmask", "tmask", "tmask")])
    )


@pytest.mark.parametrize("harmonics", [0, 1, 3])
def test_climatology_is_that_of_the_cell_and_the_day(harmonics):
    """As models.data.climatology evaluates it; maps moved by one cell, and another year, are seen."""
    part, values = climate(harmonics), fields()
    net = network(part, cn_family="increment_mean", nn_harmonics=harmonics)
    coefficients = {"x": part.maps.numpy()}
    want = torch.from_numpy(climatology.Climatology(coefficients, YEAR).at(np.array([211.5]))["x"][0]) * masks(values)
    assert torch.allclose(run(net, values, 211.5).double(), want, atol=1e-5)
    for axis in (-1, -2):
        moved = network(Climate(part.maps.roll(1, axis), YEAR, WINDOW), cn_family="increment_mean")
        assert not torch.allclose(run(moved, values, 211.5).double(), want, atol=0.1)
    if harmonics:
        other = network(Climate(part.maps, 365.0, WINDOW), cn_family="increment_mean")
        assert not torch.allclose(run(other, values, 211.5).double(), want, atol=1e-3)


def test_the_phase_counts_from_the_middle_of_the_first_day():
    """Day 1.0 is 1 January, 00:00, half a day before the phase is zero: a_1 alone is felt at 1/2; the coupler counts from 1.0."""
    maps = torch.zeros(3, len(OUTPUTS), NY, NX)
    maps[2] = 1.0
    net = network(Climate(maps, YEAR, WINDOW), cn_family="increment_mean")
    assert abs(run(net, fields(), 0.5)).max() < 1e-6
    day = 0.5 + YEAR / 4
    assert torch.allclose(run(net, fields(), day), masks(fields()).float())
    assert abs(run(net, fields(), day) - run(net, fields(), day + 1.0)).max() > 1e-5


@STATE
def test_the_whole_is_climatology_plus_state(family):
    """Each part by itself; without one of them the sum is another."""
    values, part = fields(), climate()
    whole = run(network(part, cn_family=family), values)
    mean = run(network(part, cn_family="increment_mean"), values)
    state = run(network(Climate(torch.zeros_like(part.maps), YEAR, WINDOW), cn_family=family), values)
    assert torch.allclose(whole, mean + state, atol=1e-5)
    assert not torch.allclose(whole, mean, atol=1e-3) and not torch.allclose(whole, state, atol=1e-3)


@ALL
def test_land_is_not_read_and_gets_nothing(family):
    """Any number under land gives the same bits, and land faces are zero at their own points."""
    values = fields()
    net = network(cn_family=family)
    want, land = run(net, values), masks(values) == 0
    assert (want[land] == 0).all() and (want[~land] != 0).any()
    if net.fitted is not None:
        assert torch.equal(run(net, values, under_land=17.5), want)
        lies = values | {mask: np.ones_like(values[mask]) for mask in ("tmask", "umask", "vmask")}
        lies["h"] = np.where(values["h"] > 0, values["h"], 17.5)
        assert not torch.equal(run(net, lies)[~land], want[~land])


@ALL
def test_crop_is_the_radius(family):
    """One cell to one cell; the default dilations see 11 cells."""
    net = network(cn_family=family)
    values = torch.ones(2, sum(int(spec.levels) for spec in net.inputs), 1 + 2 * net.radius, 3 + 2 * net.radius)
    assert net(values, torch.tensor([1.0])).shape == (2, len(OUTPUTS), 1, 3)
    wide = network(nn_kernels=[3], nn_dilations=[1, 1, 2, 4, 2, 1])
    assert wide.radius == 11 and len(wide.state.trunk.layers) == 6


def test_residual_layers_pass_their_input_on():
    """With the weights of the inner layers at zero the input of the second is the input of the last."""
    trunk = Dilated(3, 5, [3, 3, 3], [1, 2, 1], 4).eval()
    torch.nn.init.zeros_(trunk.layers[1].weight)
    torch.nn.init.zeros_(trunk.layers[1].bias)
    x = torch.randn(1, 3, 12, 12)
    want = trunk.layers[2](torch.relu(trunk.layers[0](x))[..., 2:-2, 2:-2])
    assert torch.equal(trunk(x), want)
    assert not torch.equal(trunk(x), trunk.layers[2](torch.relu(trunk.layers[0](x))[..., 1:-3, 2:-2]))


SAMPLE = (("increment_cnn", 1), ("increment_mlp", 1), ("increment_mean", 0))
MATRIX = [(family, harmonics) for family in INCREMENTS for harmonics in (0, 1)]


@pytest.mark.parametrize(
    ("family", "harmonics"), [pytest.param(*one, marks=[] if one in SAMPLE else pytest.mark.slow) for one in MATRIX]
)
def test_artefact_is_the_network(tmp_path, family, harmonics):
    """ONNX has torch's numbers, on any day, and the bits of the whole where the field is cut; pt2 has the numbers."""
    train, part = settings(cn_family=family, nn_harmonics=harmonics), climate(harmonics)
    net = network(part, cn_family=family)
    document = contract(net, train, statistics(), {"data": "none"})
    for path in export.write(lambda dtype: (net, document), tmp_path, ["f4"], ["onnx", "pt2"]):
        engine = load_engine(path, trust=True)
        assert engine.contract.decomposition == "bitwise" or path.suffix == ".pt2"
        assert (engine.contract.window, engine.contract.radius) == (WINDOW, net.radius)
        inputs, _, _ = sample(engine.contract, (2, 6, 5))
        packed = torch.from_numpy(np.concatenate(list(inputs.values())))[None]
        for day in (100.25, 200.0) if harmonics else (100.25,):
            scalars = {"day_of_year": day} if harmonics else {}
            found = np.concatenate(list(engine.run(inputs, None, scalars).values()))
            with torch.inference_mode():
                want = net(packed, *(torch.tensor([value]) for value in scalars.values()))[0].numpy()
            assert np.allclose(found, want, rtol=0, atol=1e-4 * abs(want).max())
            assert not np.allclose(found, 1.01 * want, rtol=0, atol=1e-4 * abs(want).max())


def test_a_place_counted_from_the_block_is_not_the_field(tmp_path):
    """A cut field with its own columns has the bits of the whole; with columns counted from the cut it has not."""
    net, values = network(cn_family="increment_mean"), fields()
    whole = run(net, values)
    cut = {name: field[:, 3:9, 4:10] for name, field in values.items()}
    assert torch.equal(run(net, cut), whole[:, 3:9, 4:10])
    counted = cut | {"mig": cut["mig"] - 4, "mjg": cut["mjg"] - 3}
    assert not torch.equal(run(net, counted), whole[:, 3:9, 4:10])


def test_contract_says_what_an_increment_is():
    """Kind, units per window, window, climatology, conservation, pairs; without its window the contract refuses."""
    train = settings(nn_harmonics=1)
    document = contract(network(), train, statistics(), {"data": "none"})
    assert [(out.name, out.units, out.kind) for out in document.outputs] == [
        ("du_bias", "m s-1", "increment"),
        ("dv_bias", "m s-1", "increment"),
        ("dh_bias", "m", "increment"),
        ("dt_bias", "degC", "increment"),
    ]
    assert (document.window, document.scalars) == (WINDOW, ("day_of_year",))
    assert (document.climatology.harmonics, document.climatology.year_days) == (1, YEAR)
    assert [out.conserve for out in document.outputs] == ["none", "none", "mass", "none"]
    assert document.outputs[0].vector_pair == "dv_bias" and document.outputs[2].bounds == (-280.0, 280.0)
    assert document.inputs[-1].valid_range == (1, NY) and document.inputs[-2].valid_range == (1, NX)
    text = {key: value for key, value in document.model_dump(exclude_none=True).items() if key != "window"}
    with pytest.raises(HaloclineError, match="window"):
        Contract.from_dict(text)


def test_fields_that_are_not_corrected_have_no_output():
    part = climate()
    alone = Climate(part.maps[:, 4:], YEAR, WINDOW)
    net = network(alone, cn_outputs=["h", "t"])
    assert [spec.name for spec in net.outputs] == ["dh_bias", "dt_bias"]
    one = Climate(part.maps[:, :2], YEAR, WINDOW)
    assert network(one, cn_outputs=["u"], cn_conserve=[]).outputs[0].vector_pair is None


def test_damping_only_damps():
    """Half of the state-dependent part, none of the climatology; factors above one, or below zero, are refused."""
    values, part = fields(), climate()
    net, mean = network(part), run(network(part, cn_family="increment_mean"), values)
    whole = run(net, values)
    net.fitted.damp(torch.full((len(OUTPUTS),), 0.5))
    assert torch.allclose(run(net, values) - mean, 0.5 * (whole - mean), atol=1e-5)
    for factor in (1.01, -0.1, float("nan")):
        with pytest.raises(HaloclineError, match="between 0 and 1"):
            net.fitted.damp(torch.full((len(OUTPUTS),), factor))


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"cn_target": "residual"}, "do not go together"),
        ({"cn_family": "momentum_cnn"}, "do not go together"),
        ({"cn_family": "stress", "cn_target": "residual", "ln_damp": True, "cn_conserve": []}, "ln_damp is for"),
        ({"ln_galilean": True}, "knows its place"),
        ({"cn_symmetry": "group"}, "knows its place"),
        ({"cn_family": "increment_mlp", "nn_dilations": [1, 2]}, "nn_dilations is for"),
        ({"cn_outputs": ["u", "w"]}, "cn_outputs has 'w'"),
        ({"cn_outputs": ["u", "u"]}, "a name twice"),
        ({"cn_outputs": []}, "cn_outputs is empty"),
        ({"cn_conserve": ["u"]}, "cn_conserve has 'u'"),
        ({"cn_conserve": ["t"], "cn_outputs": ["u", "v"]}, "does not correct"),
    ],
)
def test_switches_that_do_not_go_together_are_refused(switches, words):
    with pytest.raises(HaloclineError, match=words):
        check(settings(**switches))
    check(settings())


@pytest.mark.parametrize("switches", [{"nn_kernels": [3, 3], "nn_dilations": [1, 2, 4]}, {"nn_dilations": [0]}])
def test_a_recipe_that_does_not_fit_is_refused(switches):
    with pytest.raises(HaloclineError, match="nn_dilations"):
        recipe(settings(**switches))
    assert recipe(settings(nn_kernels=[3], nn_dilations=[1, 2])) == ([3, 3], [1, 2])
