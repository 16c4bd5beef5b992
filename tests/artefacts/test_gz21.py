"""Guillaumin & Zanna (2021): the published pair, the receptive field, the amplitude of the noise, and what import refuses."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import typer
from onnx import numpy_helper
from typer.testing import CliRunner

from coupler.artefacts.radius import block_case, engine_reach, measure_radius
from coupler.engines.base import load_engine
from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError
from coupler.noise import Noise
from coupler.outlet import Outlet, sample
from models.cli import register
from models.families import gz21
from tests.artefacts.conftest import GZ21

REPO = Path(__file__).resolve().parents[2]
SHIPPED = REPO / "models" / "zoo" / "gz21_f4.onnx"
NAMES = {"du": "mean_u", "dv": "mean_v", "du_inv_std": "inv_std_u", "dv_inv_std": "inv_std_v"}


@pytest.fixture(scope="session")
def reference():
    """Inputs (1, J, I) in float32 and outputs (nj, ni) in float64, published with the weights."""
    path = GZ21 / "reference_io.npz"
    if not path.is_file():
        pytest.skip(f"the published pair of inputs and outputs is not there: {path}")
    with np.load(path) as pair:
        inputs = {name: np.ascontiguousarray(pair[name][None], "f4") for name in ("u", "v")}
        return inputs, {name: pair[theirs] for name, theirs in NAMES.items()}


@pytest.fixture(scope="session")
def shipped():
    return load_engine(SHIPPED)


@pytest.fixture
def command():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def weights(seed=0):
    """A state dict of the right shapes that nobody trained."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: 0.1 * torch.randn(shape, generator=draw) if shape else torch.tensor(0.0015)
        for name, shape in gz21.WEIGHTS.items()
    }


def errors(got, want):
    """Largest difference of each output over its rms."""
    return {n: float(abs(got[n][0] - want[n]).max() / np.sqrt((want[n] ** 2).mean())) for n in want}


@pytest.mark.parametrize("kind", ["onnx", "pt2", "pt"])
def test_reproduces_the_published_pair(kind, made, reference):
    inputs, want = reference
    found = errors(load_engine(made[kind], trust=True).run(inputs), want)
    assert max(found.values()) < 1e-5, found


@pytest.mark.parametrize("broken", ["units", "order", "floor"])
def test_a_wrong_normalisation_is_caught(broken, published, reference, monkeypatch):
    """Inputs in other units, u and v exchanged, the floor passed through softplus a second time."""
    (u, v), want = reference[0].values(), reference[1]
    state = torch.load(published, weights_only=True)
    if broken == "floor":
        state[gz21.FLOOR] = torch.nn.functional.softplus(state[gz21.FLOOR])
    network = gz21.network(state).double()
    pair = {"units": (u * 10, v * 10), "order": (v, u)}.get(broken, (u, v))
    with torch.inference_mode():
        result = network(torch.from_numpy(np.stack(pair, axis=1)).double()).numpy()
    got = {name: result[:, c] for c, name in enumerate(NAMES)}
    assert max(errors(got, want).values()) > 1e-2


def test_shipped_is_what_the_published_weights_give(made):
    """Bit for bit with the pinned torch; the contract with any."""
    if torch.__version__.startswith("2.13."):
        assert made["onnx"].read_bytes() == SHIPPED.read_bytes()
    assert load_engine(made["onnx"]).contract == load_engine(SHIPPED).contract


def test_shipped_passes_its_self_test_bitwise(shipped):
    assert shipped.contract.trained_on["sha256"] == gz21.PUBLISHED
    assert self_test(shipped) == "bitwise" == shipped.contract.decomposition


def test_self_test_catches_a_changed_kernel(tmp_path):
    model = onnx.load(SHIPPED)
    tensor = next(t for t in model.graph.initializer if list(t.dims) == [64, 128, 5, 5])
    changed = numpy_helper.to_array(tensor).copy()
    changed[24, 0] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    with pytest.raises(HaloclineError, match="differs from the stored self-test"):
        self_test(OnnxEngine(model.SerializeToString(), tmp_path / "changed.onnx"))


def test_measured_radius_is_10(shipped):
    assert engine_reach(shipped, 2) == (10, {"u": 10, "v": 10})
    assert shipped.contract.radius == 10


def test_radius_catches_padding_inside(shipped):
    """Morays provides 7 cells and lets the network see zeros beyond: the crop is then less than the reach."""

    def padded(inputs):
        wide = {name: np.pad(field, ((0, 0), (3, 3), (3, 3))) for name, field in inputs.items()}
        return {name: np.array(field) for name, field in shipped.run(wide).items()}

    crop, reach = measure_radius(padded, lambda seed: block_case(shipped.contract, seed)[0], 2)
    assert crop == 7 < reach == 10


def test_at_rest_it_is_not_zero(shipped):
    """Why it must be masked: science.md found |mean| up to 5.5e-10 m s-2 and a std of 4.5e-9 without any motion."""
    rest = {name: np.zeros((1, 31, 31), "f4") for name in ("u", "v")}
    got = shipped.run(rest)
    assert abs(got["du"]).max() > 1e-11 and abs(got["dv"]).max() < 6e-10
    assert 4e-9 < (1 / got["du_inv_std"]).max() < 5e-9


def eddies(shipped, cells=24):
    """Outputs in a field of eddies: precision spans a factor of over ten."""
    j, i = np.mgrid[: cells + 20, : cells + 20] / 5.0
    u = (0.8 * np.sin(j) * np.cos(i) * (i < 4.4)).astype("f4")[None]
    v = (-0.8 * np.cos(j) * np.sin(i) * (i < 4.4)).astype("f4")[None]
    return {name: np.array(field) for name, field in shipped.run({"u": u, "v": v}).items()}


def spread(rule, mean, inv_std, draws=4000):
    """Standard deviation of samples times inv_std, cell by cell: 1 where the rule is right."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((draws, *mean.shape)).astype("f4")
    return np.std([rule(mean, n, inv_std) for n in noise], axis=0, dtype="f8") * inv_std


def test_noise_has_the_amplitude_one_over_precision(shipped):
    got = eddies(shipped)
    precision = got["du_inv_std"] * gz21.S_SCALE
    assert precision.max() > 10 * precision.min()
    assert abs(spread(sample, got["du"], got["du_inv_std"]) - 1).max() < 0.06  # 5 / sqrt(2 draws)


def test_the_square_root_of_one_over_precision_is_caught(shipped):
    def root(mean, noise, inv_std):
        return mean + gz21.S_SCALE * noise * np.sqrt(1 / (inv_std * gz21.S_SCALE))

    got = eddies(shipped)
    wrong = spread(root, got["du"], got["du_inv_std"])
    assert wrong.min() < 0.8 and wrong.max() > 2


def on_land(results, mask):
    """What the runtime makes of results, where the mask is zero."""
    cells = np.arange(mask.size).reshape(mask.shape[1:])
    noise = Noise("gz21.du", cells, None, 1, seed=1, member=0, time="white", memory=0.0, shared=False)
    outlet = Outlet("du", np.full(mask.shape, 9.0, "f4"), mask, "T", "T", 0, noise, "du_inv_std")
    outlet.take_static()
    outlet.put(results, 0)
    assert (outlet.target[mask != 0] != 0).all()
    return outlet.target[mask == 0]


def test_the_mask_comes_last(shipped):
    results = eddies(shipped)
    mask = np.ones_like(results["du"])
    mask[:, 5:12, 3:9] = 0
    assert (on_land(results, mask) == 0).all()


def test_mask_before_denormalisation_is_caught(shipped):
    """Zero as the network's raw output leaves a precision of log 2 + floor on land: noise of 1.4e-7 m s-2."""
    results = eddies(shipped)
    mask = np.ones_like(results["du"])
    mask[:, 5:12, 3:9] = 0
    mean, precision = results["du"] / gz21.S_SCALE, results["du_inv_std"] * gz21.S_SCALE
    raw = np.where(precision > 20, precision, np.log(np.expm1(np.minimum(precision, 20))))
    inv_std = (np.log1p(np.exp(np.minimum(raw * mask, 20))) + 0.0015) / gz21.S_SCALE
    noise = np.random.default_rng(0).standard_normal(mean.shape)
    wrong = sample(gz21.S_SCALE * mean * mask, noise, inv_std)[mask == 0]
    assert np.std(wrong) > 1e-7


def test_import_says_what_the_file_is(command, tmp_path):
    torch.save(weights(), tmp_path / "own.pth")
    result = command("import", "gz21", tmp_path / "own.pth", "--out", tmp_path, "--format", "onnx")
    assert result.exit_code == 0, result.output
    assert "these are not the published weights of gz21" in result.output and "cn_sha256 = '" in result.output
    contract = load_engine(tmp_path / "gz21_f4.onnx").contract
    assert contract.trained_on["data"] == "not known" and contract.trained_on["sha256"] != gz21.PUBLISHED


class Code:
    """Unpickling it would run code."""

    def __reduce__(self):
        return print, ("code ran",)


def missing(state):
    del state["14.bias"], state[gz21.FLOOR]
    return state


WRONG = {
    "missing": (missing, "'14.bias' 4 is missing.*'final_transformation.min_value' scalar is missing.*has 15 entries"),
    "shape": (lambda s: s | {"0.weight": torch.zeros(128, 3, 5, 5)}, "'0.weight' is 128x3x5x5, needed 128x2x5x5"),
    "type": (lambda s: s | {"0.bias": s["0.bias"].double()}, "'0.bias' is torch.float64, needed torch.float32"),
    "unknown": (lambda s: s | {"16.bias": torch.zeros(4)}, "'16.bias' is not known"),
    "not finite": (lambda s: s | {"2.bias": s["2.bias"] / 0}, "'2.bias' holds values that are not finite"),
    "no tensor": (lambda s: s | {"2.bias": 3.0}, "'2.bias' is of type float"),
    "no dict": (lambda s: s["0.bias"], "type Tensor, not a state dict"),
    "code": (lambda s: Code(), "without running code"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_weights_are_refused_in_words(name, command, tmp_path, capfd):
    change, words = WRONG[name]
    torch.save(change(weights()), tmp_path / "wrong.pth")
    result = command("import", "gz21", tmp_path / "wrong.pth", "--out", tmp_path / "out")
    assert isinstance(result.exception, HaloclineError)
    assert re.search(words, str(result.exception), re.DOTALL), str(result.exception)
    assert "code ran" not in result.output + capfd.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "gz21", "nowhere.pth"), "nowhere.pth cannot be read"),
        (("import", "gz21", __file__), "without running code"),
        (("import", "zb20", __file__), "has no weights.*halocline export zb20"),
        (("export", "gz21"), "needs trained weights.*halocline import gz21 FILE"),
    ],
)
def test_other_mistakes_are_refused_in_words(arguments, words, command, tmp_path):
    result = command(*arguments, "--out", tmp_path / "out")
    assert isinstance(result.exception, HaloclineError)
    assert re.search(words, str(result.exception))


def test_double_precision_is_refused_where_the_runtime_has_none(command, tmp_path):
    torch.save(weights(), tmp_path / "own.pth")
    arguments = "import", "gz21", tmp_path / "own.pth", "--out", tmp_path, "--dtype", "f8", "--format"
    result = command(*arguments, "onnx")
    assert isinstance(result.exception, HaloclineError)
    assert "onnxruntime has no float64 Conv" in str(result.exception)
