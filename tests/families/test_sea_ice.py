"""The family `sea_ice`: bounds, guards, two stages, and its artefact."""

import numpy as np
import pytest
import torch

from coupler.contract import Contract
from coupler.engines.base import load_engine
from coupler.engines.selftest import sample
from coupler.errors import HaloclineError
from coupler.increments import as_tendency
from coupler.units import unit_factor
from models import export
from models.data.statistics import Statistics
from models.families import sea_ice
from models.families.bounded import CATEGORIES
from models.families.sea_ice import FIELDS, OUTPUT, SeaIce, contract
from models.settings import NamTrain
from tests.families.test_bounded import violations

K, WINDOW = 5, 432000.0
INPUTS = ["a_i", "sst", "u_ice", "v_ice", "h_ice"]


def settings(**switches):
    return NamTrain(
        **{"cn_name": "ice", "cn_family": "sea_ice", "cn_inputs": INPUTS, "nn_width": 8, "nn_kernels": [3, 3, 3]}
        | switches
    )


def statistics(rms=0.05):
    ones = dict.fromkeys(FIELDS, 1)
    return Statistics(
        mean={name: (0.2,) * (K if name == "a_i" else 1) for name in ones},
        std={name: (0.5,) * (K if name == "a_i" else 1) for name in ones},
        rms={OUTPUT: (rms,) * K, sea_ice.TOTAL: (rms,)},
        low=dict.fromkeys(ones, -2.0),
        high=dict.fromkeys(ones, 2.0),
        p001=dict.fromkeys(ones, -1.5),
        p999=dict.fromkeys(ones, 1.5),
        rate=None,
        count=10,
    )


def network(seed=0, rms=0.05, **switches):
    torch.manual_seed(seed)
    return SeaIce(settings(**switches), K, statistics(rms)).eval()


def block(net, cells=20, seed=0, **values):
    """A stacked input (1, c, J, I) with random fields; values: planes that are constant."""
    rng = np.random.default_rng(seed)
    side = cells + 2 * net.radius
    planes = []
    for spec in net.inputs:
        field = rng.standard_normal((int(spec.levels), side, side))
        if spec.name == "a_i":
            field = rng.dirichlet(np.full(K, 0.4), (side, side)).transpose(2, 0, 1)
        if spec.static:
            field = (rng.random((1, side, side)) > 0.2).astype(float)
        planes.append(np.full_like(field, values[spec.name]) if spec.name in values else field)
    return torch.from_numpy(np.float32(np.concatenate(planes))[None])


def parts(net, x):
    """Background and mask without the padding."""
    fields = {
        name: field[..., net.radius : -net.radius, net.radius : -net.radius] for name, field in net.split(x).items()
    }
    return fields["a_i"].numpy(), fields["tmask"].numpy()


def cells(field):
    return field[0].reshape(K, -1).T


def test_the_network_keeps_bounds_and_land():
    """With increments far too large; its own answer without bounds, as in training, leaves them."""
    net = network(rms=2.0)
    x = block(net)
    ice, wet = parts(net, x)
    with torch.no_grad():
        found, raw = net(x).numpy(), net.train()(x).numpy()
    net.eval()
    sea_cells = wet.reshape(-1) > 0
    assert not found[0, :, wet[0, 0] == 0].any() and found[0, :, wet[0, 0] > 0].any()
    assert violations(cells(ice)[sea_cells], cells(found)[sea_cells]) == 0
    assert violations(cells(ice)[sea_cells], cells(raw)[sea_cells]) > 10


def test_small_increments_are_zero(monkeypatch):
    """Below 1e-3 in every category and in total: none, as NEMO reads them. Without the threshold they are there."""
    net = network(rms=3e-4)
    x = block(net, a_i=0.1)
    with torch.no_grad():
        assert not net(x).any()
        monkeypatch.setattr(sea_ice, "SMALL", 0.0)
        assert net(x).any()


def test_no_ice_is_made_in_warm_water_where_none_is_seen(monkeypatch):
    """No ice in the background, none coming by stage A, water above freezing: none, whatever stage B says. Ice is made where
    stage A sees it coming, or where the water is cold.
    """
    net = network(rms=0.2)
    with torch.no_grad():
        net.stage_b[-1].bias.fill_(1.0)

        def made(change, sst):
            net.stage_a[-1].weight.zero_()
            net.stage_a[-1].bias.fill_(change)
            return bool(net(block(net, a_i=0.0, sst=sst, tmask=1.0)).any())

        assert not made(0.0, 1.0)
        assert made(1.0, 1.0) and made(0.0, -1.85)
        monkeypatch.setattr(sea_ice, "FREEZING", 99.0)
        assert made(0.0, 1.0)


def test_stage_b_does_not_move_stage_a():
    """Each stage learns from its own target: A's gradient is that of the total, and nothing else."""
    net = network().train()
    net.stages(block(net))[1].square().sum().backward()
    assert all(weight.grad is None for weight in net.stage_a.parameters())
    assert all(weight.grad.any() for weight in net.stage_b.parameters())
    net.stages(block(net))[0].square().sum().backward()
    assert all(weight.grad is not None for weight in net.stage_a.parameters())


def test_stage_b_is_pointwise():
    """The reach is that of stage A's kernels: a concentration outside of it changes nothing, one inside does."""
    net = network()
    assert net.radius == 3 and network(nn_kernels=[5, 3]).radius == 3
    x = block(net, cells=7, tmask=1.0)
    with torch.no_grad():
        before = net.stages(x)[1]
        x[0, 0, net.radius + 3, net.radius + 3] += 0.5
        change = (net.stages(x)[1] != before).any(dim=1)[0]
    assert change[3, 3] and change[0, 0]
    x = block(net, cells=9, tmask=1.0)
    with torch.no_grad():
        before = net.stages(x)[1]
        x[0, 0, net.radius, net.radius] += 0.5
        assert not (net.stages(x)[1] != before).any(dim=1)[0, 4:, 4:].any()


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    net = network(rms=0.5)
    document = contract(net, settings(), statistics(0.5), WINDOW, {"data": "none"})
    (path,) = export.write(lambda _: (net, document), tmp_path_factory.mktemp("ice"), ["f4"], ["onnx"])
    return net, load_engine(path, trust=True)


def test_the_artefact_is_an_increment_with_its_window(artefact):
    """Kind, window, names and units; radius and bits as measured at export."""
    net, engine = artefact
    document = engine.contract
    (out,) = document.outputs
    assert (out.name, out.kind, out.units, out.levels, out.mask) == (OUTPUT, "increment", "1", K, "tmask")
    assert (document.window, document.radius, document.decomposition) == (WINDOW, net.radius, "bitwise")
    assert [(spec.name, spec.units, spec.levels) for spec in document.inputs[:4]] == [
        ("a_i", "1", K), ("sst", "degC", 1), ("u_ice", "m s-1", 1), ("v_ice", "m s-1", 1)
    ]  # fmt: skip
    assert unit_factor(as_tendency(out, document).units, "s-1") == 1.0
    text = document.model_dump(mode="json", exclude_none=True)
    del text["window"]
    with pytest.raises(HaloclineError, match="window"):
        Contract.from_dict(text)


def test_the_artefact_is_the_network(artefact):
    """onnxruntime has torch's numbers; a hundredth more is seen."""
    net, engine = artefact
    inputs, _, _ = sample(engine.contract, (K, 12, 9))
    with torch.inference_mode():
        want = net(torch.from_numpy(np.concatenate(list(inputs.values())))[None])[0].numpy()
    found = np.array(engine.run(inputs)[OUTPUT])
    assert abs(want).max() > 0.02
    assert np.allclose(found, want, rtol=0, atol=2e-6) and not np.allclose(found, 1.01 * want, rtol=0, atol=2e-6)


def test_the_artefact_keeps_the_bounds(artefact):
    """onnxruntime computes the same rounding; a background that fills the cells or is out of bounds."""
    net, engine = artefact
    inputs, _, _ = sample(engine.contract, (K, 40, 40))
    rng = np.random.default_rng(2)
    side = inputs["a_i"].shape[-1]
    inputs["a_i"] = np.ascontiguousarray(rng.dirichlet(np.full(K, 0.4), (side, side)).transpose(2, 0, 1), np.float32)
    for factor, twin in ((1.0, 1.001), (1.3, 0.999), (-0.2, 0.999)):
        fields = {**inputs, "a_i": np.float32(factor) * inputs["a_i"]}
        found = np.array(engine.run(fields)[OUTPUT])
        wet = fields["tmask"][0, net.radius : -net.radius, net.radius : -net.radius].ravel() > 0
        ice = fields["a_i"][:, net.radius : -net.radius, net.radius : -net.radius].reshape(K, -1).T
        assert violations(ice[wet], found.reshape(K, -1).T[wet]) == 0
        assert not found.reshape(K, -1).T[~wet].any()
        assert violations(ice[wet], np.float32(twin) * found.reshape(K, -1).T[wet]) > 0


def test_it_reads_all_its_fields():
    net = network(cn_inputs=list(FIELDS))
    assert [spec.name for spec in net.inputs] == [*FIELDS, "tmask", "umask", "vmask"]
    assert net(block(net)).shape == (1, K, 20, 20)


@pytest.mark.parametrize(
    ("switches", "categories", "words"),
    [
        ({"cn_inputs": ["a_i"]}, K, "needs the input 'sst'"),
        ({"cn_inputs": ["a_i", "sst", "h"]}, K, "cannot read 'h'"),
        ({"cn_inputs": ["a_i", "sst", "sst"]}, K, "twice"),
        ({"nn_kernels": [3, 4]}, K, "odd"),
        ({}, CATEGORIES + 1, "proven for 1 to 14"),
        ({}, 4, r"statistics have 5 level\(s\) of the target"),
    ],
)
def test_what_does_not_fit_is_refused(switches, categories, words):
    with pytest.raises(HaloclineError, match=words):
        SeaIce(settings(**switches), categories, statistics())
