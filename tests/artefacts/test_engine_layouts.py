"""Fields by name to the graph's tensors and back, for every layout of the contract, with noise and scalars."""

import io

import numpy as np
import pytest
from engine_nets import graph, loaded, packed
from onnx import helper

from coupler.contract import Contract
from coupler.engines.base import load_engine
from coupler.engines.selftest import sample, self_test, with_stored
from coupler.engines.tensors import Tensors, stacked_shape
from coupler.errors import HaloclineError

LAYOUTS = ["named", "batch", "channel", "axis", "vector"]
SHAPES = {
    "batch": ["k", 2, "J", "I"], "channel": [1, 6, "J", "I"], "axis": [1, 2, "k", "J", "I"], "vector": ["n", 6],
}  # fmt: skip


def contract(layout, inputs=("a",), noise=("z",), **changes):
    """P = a kt and q = z kt: an input, a noise and a scalar, three levels."""
    axis = layout if layout in ("channel", "axis", "vector") else "batch"
    levels = {"levels": 3 if axis in ("channel", "vector") else "all"}
    common = {"units": "1", "point": "T"} | levels
    document = {
        "name": "times", "version": "1", "family": "t", "license": "MIT", "radius": 0, "dtype": "f4",
        "decomposition": "bitwise", "tensors": "named" if layout == "named" else "stacked",
        "inputs": [{"name": n, "level_axis": axis} | common for n in inputs],
        "noise": [{"name": n} | levels for n in noise], "scalars": ["kt"],
        "stochastic": {"kind": "flow"},
        "outputs": [{"name": n} | common for n in "pq"],
        "self_test": {"shape": [3, 4, 5], "tolerance": 1e-6,
                      "inputs": {"a": {"range": [0, 1]}, "z": {"range": [-1, 1]}, "kt": {"range": [2, 9]}}},
    }  # fmt: skip
    return Contract.from_dict(document | changes)


def model(layout):
    if layout == "named":
        nodes = [helper.make_node("Mul", [x, "kt"], [y]) for x, y in ("ap", "zq")]
        plane = ["k", "J", "I"]
        return graph(nodes, {"a": plane, "z": plane, "kt": [1]}, {"p": plane, "q": plane})
    shape = SHAPES[layout]
    return graph([helper.make_node("Mul", ["all", "kt"], ["out"])], {"all": shape, "kt": [1]}, {"out": shape})


def arrays():
    rng = np.random.default_rng(3)
    return [rng.normal(size=(3, 4, 5)).astype("f4") for _ in "az"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_brings_each_field_to_its_place(layout):
    engine = loaded(packed(model(layout), contract(layout)))
    a, z = arrays()
    got = engine.run({"a": a}, {"z": z}, {"kt": 3.0})
    assert np.array_equal(got["p"], 3 * a)
    assert np.array_equal(got["q"], 3 * z)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_swapped_channels_are_seen(layout):
    """The broken twin: the same graph under a contract whose outputs are in the other order."""
    other = contract(layout, outputs=list(reversed(contract(layout).model_dump()["outputs"])))
    a, z = arrays()
    assert np.array_equal(loaded(packed(model(layout), other)).run({"a": a}, {"z": z}, {"kt": 3.0})["p"], 3 * z)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_self_test_has_noise_scalars_and_cuts(layout):
    document = contract(layout)
    inputs, noise, scalars = sample(document)
    assert scalars == {"kt": 2.0}
    stored = with_stored(document, {"p": 2 * inputs["a"], "q": 2 * noise["z"]})
    assert self_test(loaded(packed(model(layout), stored))) == "bitwise"
    wrong = with_stored(document, {"p": 2 * inputs["a"], "q": 3 * noise["z"]})
    with pytest.raises(HaloclineError, match="'q' differs from the stored self-test"):
        self_test(loaded(packed(model(layout), wrong)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_torch_has_the_same_layouts(layout, kind, tmp_path):
    torch = pytest.importorskip("torch")

    class Named(torch.nn.Module):
        def forward(self, a, z, kt):
            return a * kt, z * kt

    class Stacked(torch.nn.Module):
        def forward(self, x, kt):
            return x * kt

    document, module = contract(layout), Named() if layout == "named" else Stacked()
    tensors = [torch.from_numpy(np.array(t)) for t in Tensors(document).pack(*sample(document))]
    raw, extra = io.BytesIO(), {"halocline.json": document.to_json()}
    if kind == "pt2":
        torch.export.save(torch.export.export(module, tuple(tensors)), raw, extra_files=extra)
    else:
        torch.jit.save(torch.jit.trace(module, tensors), raw, _extra_files=extra)
    path = tmp_path / f"times.{kind}"
    path.write_bytes(raw.getvalue())
    a, z = arrays()
    got = load_engine(path, trust=True).run({"a": a}, {"z": z}, {"kt": 3.0})
    assert np.array_equal(got["p"], 3 * a)
    assert np.array_equal(got["q"], 3 * z)


def test_order_of_arguments_is_compared_where_the_names_are_the_contracts(tmp_path):
    torch = pytest.importorskip("torch")

    class Swapped(torch.nn.Module):
        def forward(self, z, a, kt):
            return a * kt, z * kt

    raw, ones = io.BytesIO(), torch.ones(3, 4, 5)
    module = torch.jit.trace(Swapped(), (ones, ones, torch.ones(1)))
    torch.jit.save(module, raw, _extra_files={"halocline.json": contract("named").to_json()})
    (tmp_path / "swapped.pt").write_bytes(raw.getvalue())
    with pytest.raises(HaloclineError, match=r"takes \['z', 'a', 'kt'\], contract \['a', 'z', 'kt'\]"):
        load_engine(tmp_path / "swapped.pt", trust=True)


def test_python_gets_noise_and_scalars(tmp_path):
    path = tmp_path / "times.py"
    document = contract("named").model_dump(mode="json", exclude_none=True)
    code = "def run(inputs, noise, scalars):\n    return {'p': inputs['a'] * F, 'q': noise['z'] * F}\n"
    path.write_text(f"CONTRACT = {document!r}\n" + code.replace("F", "int(scalars['kt'])"))
    a, z = arrays()
    got = load_engine(path, python_allow=["times.py"]).run({"a": a}, {"z": z}, {"kt": 3.0})
    assert np.array_equal(got["q"], 3 * z)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_buffers_are_kept_per_shape(layout):
    """No allocation per call; a second shape has a buffer of its own."""
    document = contract(layout)
    tensors, (a, z) = Tensors(document), arrays()
    first, second = (tensors.pack({"a": a}, {"z": z}, {"kt": 1.0})[0] for _ in range(2))
    assert first is second
    assert first.shape == stacked_shape(document, (*document.inputs, *document.noise), (3, 4, 5))
    row = [np.ascontiguousarray(f[:, :2]) for f in (a, z)]
    assert tensors.pack({"a": row[0]}, {"z": row[1]}, {"kt": 1.0})[0] is not first


def test_channels_last_is_only_another_order_in_memory():
    document = contract("batch")
    a, z = arrays()
    plain, last = (
        Tensors(document, channels_last=way).pack({"a": a}, {"z": z}, {"kt": 1.0})[0] for way in (False, True)
    )
    assert np.array_equal(plain, last)
    assert plain.strides != last.strides
    assert last.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("noise", "scalars", "words"),
    [
        (None, {"kt": 1.0}, r"got noise \[\], needs \['z'\]"),
        ("z", {}, r"got scalars \[\], needs \['kt'\]"),
        ("z", {"kt": 1.0, "day_of_year": 2.0}, "got scalars .*'day_of_year'"),
        ("y", {"kt": 1.0}, r"got noise \['y'\]"),
        ("z64", {"kt": 1.0}, "'z' is .*float64.*Nothing is cast"),
    ],
)
def test_noise_and_scalars_are_checked_in_words(noise, scalars, words):
    engine = loaded(packed(model("batch"), contract("batch")))
    a, z = arrays()
    given = {"z": z.astype("f8")} if noise == "z64" else {noise: z} if noise else None
    with pytest.raises(HaloclineError, match=words):
        engine.run({"a": a}, given, scalars)


def test_a_scalar_that_the_graph_lacks():
    plane = ["k", "J", "I"]
    bare = graph([helper.make_node("Mul", ["a", "z"], ["p"]), helper.make_node("Neg", ["z"], ["q"])],
                 {"a": plane, "z": plane}, {"p": plane, "q": plane})  # fmt: skip
    with pytest.raises(HaloclineError, match=r"contract has the scalar\(s\) \['kt'\]"):
        loaded(packed(bare, contract("named")))
