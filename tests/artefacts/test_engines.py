"""Engines: an artefact runs as its contract says, or not at all, and says why."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from zb20_fields import ocean

from coupler.agreement import check_against
from coupler.contract import Contract, OutputSpec
from coupler.engines.base import find_artefact, load_engine
from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import sample_inputs, self_test
from coupler.errors import HaloclineError

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"
SHIPPED = sorted(path.name for path in ZOO.glob("zb20_*.*"))


def with_contract(data: bytes, change) -> bytes:
    """The ONNX file with its contract changed by `change(dict)`."""
    import json

    model = onnx.load_from_string(data)
    document = json.loads(model.metadata_props[0].value)
    change(document)
    model.metadata_props[0].value = json.dumps(document)
    return model.SerializeToString()


def rewritten(tmp_path, change):
    path = tmp_path / "changed.onnx"
    path.write_bytes(with_contract((ZOO / "zb20_f8.onnx").read_bytes(), change))
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_artefact_passes_its_self_test(name):
    engine = load_engine(find_artefact(name), trust=True)
    assert self_test(engine) == engine.contract.decomposition == "bitwise"
    assert (engine.contract.radius, engine.contract.edges, engine.contract.time_level) == (2, "exact", "now")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_artefact_is_small_and_tells_nothing_of_the_machine(name):
    data = (ZOO / name).read_bytes()
    assert len(data) < 16_000
    if name.endswith(".pt2"):
        with zipfile.ZipFile(ZOO / name) as archive:
            data = b"".join(archive.read(member) for member in archive.namelist())
    for trace in (b"/work", b"/root", b"/home", b"site-packages", b'stack_trace": "File', b".py"):
        assert trace not in data


def test_there_are_four():
    assert len(SHIPPED) == 4


@pytest.mark.parametrize("block", [(1, 17), (13, 1), (1, 1), (4, 5), (13, 17)])
def test_cut_and_whole_have_the_same_bits(zb20, block):
    fields = ocean(2, 13, 17, seed=2)
    whole = zb20.run(fields)
    for j in range(0, 13, block[0]):
        for i in range(0, 17, block[1]):
            nj, ni = min(block[0], 13 - j), min(block[1], 17 - i)
            cut = zb20.run({n: np.ascontiguousarray(a[:, j : j + nj + 4, i : i + ni + 4]) for n, a in fields.items()})
            for name, part in cut.items():
                assert part.tobytes() == whole[name][:, j : j + nj, i : i + ni].tobytes()


def test_levels_do_not_see_each_other(zb20):
    fields = ocean(3, 6, 7)
    whole = zb20.run(fields)
    for k in range(3):
        one = zb20.run({n: a[k : k + 1] if a.shape[0] == 3 else a for n, a in fields.items()})
        assert all(np.array_equal(one[n][0], whole[n][k]) for n in whole)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_exported_agrees_with_onnx(dtype):
    fields = {n: a.astype(dtype) for n, a in ocean(2, 9, 11).items()}
    got, want = (load_engine(ZOO / f"zb20_{dtype}.{kind}", trust=True).run(fields) for kind in ("pt2", "onnx"))
    assert all(np.array_equal(got[n], want[n]) for n in want)


def test_radius_is_measured():
    from coupler.artefacts.radius import measure_radius

    engine = load_engine(ZOO / "zb20_f8.onnx")
    assert measure_radius(engine.run, lambda seed: ocean(1, 11, 12, seed)) == (2, 2)


def test_padding_inside_is_seen():
    """A network that pads itself crops less than it reaches."""
    from coupler.artefacts.radius import measure_radius

    def same(fields):
        x = np.pad(fields["x"], ((0, 0), (1, 1), (1, 1)))
        return {"y": x[:, 1:-1, 2:] - x[:, 1:-1, :-2]}

    assert measure_radius(same, lambda seed: {"x": np.random.default_rng(seed).normal(size=(1, 9, 9))}) == (0, 1)


def test_radius_one_is_refused(tmp_path):
    """The broken twin: the same graph with a contract that asks for too small a halo."""
    path = rewritten(tmp_path, lambda c: c.update(radius=1))
    with pytest.raises(HaloclineError, match=r"returned .* its contract says"):
        load_engine(path)


def test_altered_coefficient_is_caught(tmp_path):
    """The stored pair guards the graph: another kappa, the old contract."""
    model = onnx.load(ZOO / "zb20_f8.onnx")
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.size == 1 and value.dtype == np.float64 and value.item() == 3.2e8:
            tensor.CopyFrom(onnx.numpy_helper.from_array(value * (1 + 1e-9), tensor.name))
    with pytest.raises(HaloclineError, match="differs from the stored self-test"):
        self_test(OnnxEngine(model.SerializeToString(), tmp_path / "a.onnx"))


def test_halo_smaller_than_radius_is_a_problem(zb20):
    class Field:
        name, units, point, levels = "x", "1", "T", 1

    problems = check_against(zb20.contract, dict.fromkeys(sample_inputs(zb20.contract, (1, 1, 1)), Field()), 1)
    assert "needs a halo of 2 cells, the exchange provides 1" in problems[0]


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_truncated_file(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes((ZOO / f"zb20_f8.{suffix}").read_bytes()[:-500])
    with pytest.raises(HaloclineError, match=r"cut\.(onnx|pt2).*(damaged|contract)"):
        load_engine(path, trust=True)


def test_wrong_hash_and_missing_hash():
    path = ZOO / "zb20_f8.onnx"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_engine(path, sha256=right.upper()).notes == ()
    assert f"cn_sha256 = '{right}'" in load_engine(path).notes[0]
    with pytest.raises(HaloclineError, match=f"sha256 {right}, wanted 00ff"):
        load_engine(path, sha256="00ff")


def small_graph(dtype=TensorProto.FLOAT):
    """y = x, (1, 3, j, i) to (1, 3, j, i): two inputs of 2 and 1 levels as channels."""
    tensors = [helper.make_tensor_value_info(n, dtype, [1, 3, "j", "i"]) for n in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", tensors[:1], tensors[1:]), ir_version=10)
    model.opset_import[0].version = 17
    return model


def channel_contract(**changes):
    document = {
        "name": "ident", "version": "1", "family": "t", "license": "MIT", "radius": 0, "dtype": "f4",
        "decomposition": "bitwise",
        "inputs": [
            {"name": "a", "units": "1", "point": "T", "levels": 2, "level_axis": "channel"},
            {"name": "b", "units": "1", "point": "T", "levels": 1, "level_axis": "channel"},
        ],
        "outputs": [{"name": "p", "units": "1", "point": "T", "levels": 1}, {"name": "q", "units": "1", "point": "T", "levels": 2}],
    }  # fmt: skip
    return Contract.from_dict(document | changes)


def packed(model, contract):
    entry = model.metadata_props.add()
    entry.key, entry.value = "halocline", contract.to_json()
    return model.SerializeToString()


def test_missing_contract(tmp_path):
    path = tmp_path / "bare.onnx"
    path.write_bytes(small_graph().SerializeToString())
    with pytest.raises(HaloclineError, match="no contract inside"):
        load_engine(path)


def test_channels_are_inputs_then_levels():
    engine = OnnxEngine(packed(small_graph(), channel_contract()), Path("ident.onnx"))
    a, b = np.arange(24, dtype="f4").reshape(2, 3, 4), -np.ones((1, 3, 4), "f4")
    got = engine.run({"b": b, "a": a})
    assert np.array_equal(got["p"], a[:1])
    assert np.array_equal(got["q"], np.concatenate((a[1:], b)))


@pytest.mark.parametrize(
    ("model", "contract", "words"),
    [
        (small_graph(TensorProto.DOUBLE), channel_contract(), r"tensor\(double\), contract f4"),
        (small_graph(), channel_contract(inputs=channel_contract().model_dump()["inputs"][:1]), "3 level.*contract 2"),
        (
            small_graph(),
            channel_contract(inputs=[{"name": "a", "units": "1", "point": "T"}]),
            "names .*'x'.*contract.*'a'",
        ),
    ],
)
def test_graph_that_is_not_its_contract(model, contract, words):
    with pytest.raises(HaloclineError, match=words):
        OnnxEngine(packed(model, contract), Path("odd.onnx"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.pop("h"), "needs .*'h'"),
        (lambda f: f.update(x=f["h"]), "got inputs .*'x'"),
        (lambda f: f.update(h=f["h"].astype("f4")), "'h' is .* of float32.*Nothing is cast"),
        (lambda f: f.update(h=f["h"][:, :, ::-1]), "'h' .*not in C order"),
        (lambda f: f.update(h=f["h"][:1]), "'h' is .*2 levels"),
        (lambda f: f.update(tmask=np.repeat(f["tmask"], 2, 0)), "'tmask' is .*1 levels"),
        (lambda f: f.update(v=f["v"][:, :-1].copy()), r"'v' is \(2, 9, 12\)"),
        (lambda f: f.update({n: a[:, :4].copy() for n, a in f.items()}), "radius of 2.*over 4"),
        (lambda f: f.update(u=f["u"][0]), "'u' is"),
    ],
)
def test_arrays_are_checked_in_words(zb20, change, words):
    fields = ocean(2, 6, 8)
    change(fields)
    with pytest.raises(HaloclineError, match=words):
        zb20.run(fields)


CALLABLE = """
CONTRACT = {"name": "twice", "version": "1", "family": "t", "license": "MIT", "radius": 1, "dtype": "f8",
            "decomposition": "bitwise", "inputs": [{"name": "x", "units": "m", "point": "T"}],
            "outputs": [{"name": "y", "units": "m", "point": "T"}]}
def run(inputs):
    return {"y": 2 * inputs["x"][:, 1:-1, 1:-1]}
"""


def test_python_callable_runs_only_if_allowed(tmp_path):
    path = tmp_path / "models.py"  # run directories often hold a file of this name
    path.write_text(CALLABLE)
    with pytest.raises(HaloclineError, match=r"not allowed.*list 'models\.py'"):
        load_engine(path)
    x = np.ones((1, 4, 5))
    for allow in ("models.py", str(path)):
        assert (load_engine(path, python_allow=[allow]).run({"x": x})["y"] == 2 * x[:, 1:-1, 1:-1]).all()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[:, 1:-1, 1:-1]", "", "a network must not pad"),
        ("2 *", "1 // 0 *", r"ZeroDivisionError.*line 6"),
        ("CONTRACT", "NOTHING", "needs a dict CONTRACT"),
        ("def run", "def run(", "does not load: SyntaxError"),
    ],
)
def test_python_callable_that_is_wrong(tmp_path, old, new, words):
    path = tmp_path / "net.py"
    path.write_text(CALLABLE.replace(old, new))
    with pytest.raises(HaloclineError, match=words):
        load_engine(path, python_allow=["net.py"]).run({"x": np.ones((1, 4, 5))})


def test_null_returns_zeros():
    engine = load_engine(None, "null", outputs=[OutputSpec(name="du", units="m s-2", point="U")])
    got = engine.run({"u": np.ones((3, 4, 5)), "tmask": np.ones((1, 4, 5))})["du"]
    assert got.shape == (3, 4, 5)
    assert not got.any()
    with pytest.raises(HaloclineError, match="no outputs"):
        load_engine(None, "null")


def test_find_artefact(tmp_path):
    mine = tmp_path / "zb20_f8.onnx"
    assert find_artefact("zb20_f8.onnx", [tmp_path]) == ZOO / "zb20_f8.onnx"
    mine.touch()
    assert find_artefact("zb20_f8.onnx", [tmp_path]) == mine
    assert find_artefact(mine) == mine
    with pytest.raises(HaloclineError, match=r"Did you mean 'zb20_f8\.onnx'"):
        find_artefact("zb20_f8.onx", [tmp_path])
    with pytest.raises(HaloclineError, match="goes beside the namelist.*--link FILE") as told:
        find_artefact("nothing.onnx", [tmp_path, tmp_path])
    assert str(told.value).count(f"{tmp_path},") == 1


@pytest.mark.parametrize(
    ("path", "engine", "words"), [("a.txt", "auto", "suffix"), ("a", "tensor", "not known"), (None, "onnx", "file")]
)
def test_load_engine_says_what_is_allowed(path, engine, words):
    with pytest.raises(HaloclineError, match=words):
        load_engine(path, engine)


def test_neither_torch_nor_mpi_is_imported():
    """contract, base and onnx are light: a coupler rank without torch must run."""
    code = (
        "import sys; from coupler.engines.base import load_engine, find_artefact;"
        "load_engine(find_artefact('zb20_f8.onnx'));"
        "print([m for m in ('torch', 'mpi4py', 'onnx', 'models') if m in sys.modules])"
    )
    root = str(ZOO.parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=os.environ)
    assert done.stdout.strip() == "[]", done.stderr


def test_pt2_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(HaloclineError, match=r"pip install halocline\[train\]"):
        load_engine(ZOO / "zb20_f8.pt2", trust=True)
