"""One network in every kind of file: every engine gives the same numbers to round-off, and says where it ran."""

import hashlib

import numpy as np
import pytest
from engine_nets import Conv, complete, contract, fields, write

from coupler.engines.base import load_engine, read_contract
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError

torch = pytest.importorskip("torch")
SUFFIX = {"onnx": ".onnx", "pt2": ".pt2", "pt": ".pt", "py": ".py", "aoti": ".pt2"}
KINDS = ["onnx", "pt2", "pt", "py", pytest.param("aoti", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def reference():
    """The network in float64."""
    inputs = fields()
    x = torch.from_numpy(np.stack([inputs["u"], inputs["v"]], 1)).double()
    with torch.inference_mode():
        y = Conv().double()(x).numpy()
    return inputs, {"du": y[:, 0], "dv": y[:, 1]}


def opened(kind, folder, **kwargs):
    path = write(kind, folder / f"net_{kind}{SUFFIX[kind]}")
    return path, load_engine(path, trust=True, python_allow=[path.name], **kwargs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_agrees(kind, tmp_path, reference):
    path, engine = opened(kind, tmp_path)
    got = engine.run(reference[0])
    for name, want in reference[1].items():
        assert np.abs(got[name] - want).max() <= 1e-6 * np.abs(want).max()
        assert got[name].dtype == np.float32
    self_test(engine)
    assert engine.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert engine.device == "cpu"
    assert path.name in engine.description
    assert "cpu" in engine.description
    if kind != "py":
        assert read_contract(path) == engine.contract


def test_another_weight_is_seen(tmp_path, reference):
    """The broken twin: the tolerance of the agreement catches a weight that is off by 1e-4."""
    network = Conv()
    with torch.no_grad():
        network.last.weight[0, 0, 1, 1] *= 1.0001
    path = write("onnx", tmp_path / "off.onnx", network)
    got = load_engine(path).run(reference[0])["du"]
    assert np.abs(got - reference[1]["du"]).max() > 1e-6 * np.abs(reference[1]["du"]).max()


def test_the_stored_pair_sees_it_too(tmp_path):
    network, document = Conv(), complete(Conv(), contract())
    with torch.no_grad():
        network.last.bias += 1e-3
    with pytest.raises(HaloclineError, match="differs from the stored self-test"):
        self_test(load_engine(write("pt", tmp_path / "off.pt", network, document), trust=True))


def test_torchscript_says_that_it_is_deprecated(tmp_path):
    assert any("deprecated" in note for note in opened("pt", tmp_path)[1].notes)


def test_a_compiled_package_is_compiled_for_a_device(tmp_path):
    """The device is read in the archive, before anything is run."""
    import json
    import zipfile

    path = tmp_path / "gpu.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gpu/data/aotinductor/model/a.wrapper_metadata.json", json.dumps({"AOTI_DEVICE_KEY": "cuda"}))
        archive.writestr("gpu/extra/halocline.json", contract().to_json())
    with pytest.raises(HaloclineError, match="compiled for 'cuda'.*cn_device = 'cpu'"):
        load_engine(path, trust=True)


@pytest.mark.slow
def test_a_compiled_package_does_not_read_past_the_end(tmp_path):
    """Compiled code checks nothing by itself: with three channels for two it would return numbers."""
    more = [{"name": n, "units": "m s-1", "point": "T"} for n in "uvw"]
    document = contract(inputs=more, self_test=None)
    path = write("aoti", tmp_path / "net.pt2", document=document)
    with pytest.raises(HaloclineError, match="unmatched"):
        load_engine(path, trust=True)


def test_networks_keep_their_own_number_of_threads(tmp_path):
    """torch has one number for the process; each call sets its own."""
    seen = []
    engines = [opened("pt2", tmp_path, threads=n)[1] for n in (1, 2)]
    for engine in (engines[0], engines[1], engines[0]):
        engine.run(fields())
        seen.append(torch.get_num_threads())
    assert seen == [1, 2, 1]
    torch.set_num_threads(1)
