"""Trained families as artefacts: ONNX and torch.export, radius and decomposition measured, the numbers those of torch."""

import numpy as np
import pytest

from coupler.engines.base import load_engine
from coupler.engines.selftest import sample
from coupler.errors import HaloclineError
from models import export
from models.families.trainable import contract
from tests.families.basin import network, settings, statistics


def write(folder, formats, **switches):
    net, train = network(**switches), settings(**switches)
    return net, export.write(
        lambda dtype: (net, contract(net, train, statistics(), {"data": "none"}, dtype)), folder, ["f4"], formats
    )


@pytest.mark.parametrize(
    ("switches", "formats"),
    [
        pytest.param({"nn_width": 32, "nn_kernels": [5, 3, 3, 3, 3]}, ["onnx", "pt2"], id="momentum_cnn"),
        pytest.param({"cn_family": "stress"}, ["onnx"], id="stress"),
        pytest.param({"cn_family": "gz21"}, ["onnx", "pt2"], id="gz21"),
        pytest.param({"ln_galilean": True, "ln_scale": True}, ["onnx"], id="galilean", marks=pytest.mark.slow),
        pytest.param({"cn_family": "stress_ann"}, ["onnx"], id="stress_ann", marks=pytest.mark.slow),
        pytest.param({"cn_symmetry": "group", "nn_kernels": [3]}, ["onnx"], id="group", marks=pytest.mark.slow),
    ],
)
def test_artefact_is_the_network(tmp_path, switches, formats):
    """It loads, passes its self-test and gives torch's numbers; cut fields have the bits of the whole (onnx)."""
    net, files = write(tmp_path, formats, **switches)
    for path in files:
        engine = load_engine(path, trust=True)
        assert engine.contract.radius == net.radius
        assert engine.contract.decomposition == "bitwise" or path.suffix == ".pt2"
        inputs, _, _ = sample(engine.contract, (2, 6, 5))
        want, found = export.call(net, engine.contract, inputs), engine.run(inputs)
        for name, part in want.items():
            assert np.allclose(found[name], part, rtol=0, atol=1e-5 * abs(part).max())
            assert not np.allclose(found[name], 1.001 * part, rtol=0, atol=1e-5 * abs(part).max())


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_crop_that_is_not_the_radius_is_refused(tmp_path, wrong):
    """A network that crops more, or less, than its contract says is found by the measurement."""
    net = network(nn_kernels=[3])
    document = contract(net, settings(nn_kernels=[3]), statistics(), {"data": "none"})
    document = document.model_copy(update={"radius": net.radius + wrong})
    with pytest.raises(HaloclineError):
        export.write(lambda dtype: (net, document), tmp_path, ["f4"], ["onnx"])
    assert not list(tmp_path.glob("*.onnx"))
