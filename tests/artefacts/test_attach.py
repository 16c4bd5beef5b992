"""Attach: a user's network gets a contract that is measured, and keeps it; what disagrees is refused in words."""

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from my_nets import onnx_net, torch_net, write
from onnx import helper

from coupler.artefacts.attach import attach, has_contract, template
from coupler.artefacts.onnx_file import metadata, refuse_external_data, tensors, with_metadata
from coupler.artefacts.proof import prove
from coupler.artefacts.radius import engine_reach
from coupler.contract import KEY, SCHEMA
from coupler.engines.bare import bare_graph
from coupler.engines.base import load_engine, read_contract
from coupler.errors import HaloclineError

GRAPH = onnx_net()


@pytest.fixture(scope="session")
def nets():
    return {"onnx": GRAPH, "pt2": torch_net("pt2"), "pt": torch_net("pt")}


@pytest.mark.parametrize("kind", ["onnx", "pt2", "pt"])
def test_attach_inspect_load(nets, tmp_path, kind):
    """What was left out is measured; the file then loads, proves itself, and computes what it computed before."""
    net, about = write(tmp_path, nets[kind], name=f"net.{kind}")
    out = attach(net, about)
    assert out == tmp_path / f"net.halocline.{kind}"
    contract = read_contract(out)
    assert (contract.radius, contract.edges, contract.self_test.shape) == (2, "exact", (2, 5, 6))
    assert all(check.ok for check in prove(out)), list(prove(out))
    x = np.random.default_rng(1).normal(size=(2, 12, 13)).astype("f4")
    bare = bare_graph(nets[kind], net)([x])[0]
    assert np.allclose(load_engine(out, trust=True).run({"x": x})["y"], bare, atol=1e-6)
    assert net.read_bytes() == nets[kind]


def test_nothing_else_of_the_file_changes(nets, tmp_path):
    net, about = write(tmp_path, nets["onnx"])
    out = attach(net, about)
    assert with_metadata(out.read_bytes(), KEY, None) == nets["onnx"]
    onnx.checker.check_model(onnx.load(out))
    net, about = write(tmp_path, nets["pt2"], name="net.pt2")
    assert attach(net, about).read_bytes().startswith(nets["pt2"][:1000])


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_nothing_is_overwritten_unasked(nets, tmp_path, kind):
    net, about = write(tmp_path, nets[kind], name=f"net.{kind}")
    out = attach(net, about)
    first = out.read_bytes()
    with pytest.raises(HaloclineError, match=r"exists already.*--out.*--replace"):
        attach(net, about)
    with pytest.raises(HaloclineError, match=r"a contract is inside already.*--replace"):
        attach(out, about, tmp_path / f"second.{kind}")
    again = attach(out, about, tmp_path / f"second.{kind}", replace=True)
    assert read_contract(again) == read_contract(out)
    assert out.read_bytes() == first
    if kind == "pt2":
        with zipfile.ZipFile(again) as archive:
            assert sum(name.endswith(f"extra/{KEY}.json") for name in archive.namelist()) == 1


@pytest.mark.parametrize("radius", [1, 3])
def test_stated_radius_must_be_the_measured_one(nets, tmp_path, radius):
    net, about = write(tmp_path, nets["onnx"], {"radius": radius})
    with pytest.raises(HaloclineError, match=rf"radius is {radius}, but the graph of .* crops 2 .* Write 2"):
        attach(net, about)
    assert not (tmp_path / "net.halocline.onnx").exists()


def test_stored_outputs_must_be_the_network_s(nets, tmp_path):
    net, about = write(tmp_path, nets["onnx"])
    stored = read_contract(attach(net, about)).model_dump(mode="json")
    about.write_text(json.dumps(stored))
    attach(net, about, replace=True)
    other = onnx.load_from_string(nets["onnx"])
    for tensor in other.graph.initializer:
        if tensor.name == "w2":
            tensor.CopyFrom(onnx.numpy_helper.from_array(1.001 * onnx.numpy_helper.to_array(tensor), "w2"))
    net.write_bytes(other.SerializeToString())
    with pytest.raises(HaloclineError, match="differs from the stored self-test"):
        attach(net, about, replace=True)


def test_a_graph_that_pads_is_refused_and_cropped(tmp_path):
    """Cut by its radius it is what the unpadded network is; cut by one cell less it is refused."""
    net, about = write(tmp_path, onnx_net(pads=1))
    with pytest.raises(HaloclineError, match=r"crops 0 cells .* acts over 2 .* pads inside.*--crop R"):
        attach(net, about)
    with pytest.raises(HaloclineError, match=r"crops 1 cells .* acts over 2 or more"):
        attach(net, about, crop=1)
    out = attach(net, about, crop=2)
    contract = read_contract(out)
    assert (contract.radius, contract.edges) == (2, "not exact")
    assert all(check.ok for check in prove(out)), list(prove(out))
    x = np.random.default_rng(1).normal(size=(2, 12, 13)).astype("f4")
    valid = bare_graph(onnx_net(), net)([x])[0]
    assert np.allclose(load_engine(out).run({"x": x})["y"], valid, atol=1e-6)


def test_a_folder_that_is_not_there(nets, tmp_path):
    """Said before the network is measured, nothing is written; with the folder it works."""
    net, about = write(tmp_path, nets["onnx"])
    out = tmp_path / "new" / "net.onnx"
    with pytest.raises(HaloclineError, match=r"no folder .*new for net\.onnx\. Make it"):
        attach(net, about, out)
    out.parent.mkdir()
    out.mkdir()
    with pytest.raises(HaloclineError, match=r"cannot write .*net\.onnx: Is a directory"):
        attach(net, about, out, replace=True)
    out.rmdir()
    assert attach(net, about, out) == out


def test_crop_is_for_onnx(nets, tmp_path):
    net, about = write(tmp_path, nets["pt"], name="net.pt")
    with pytest.raises(HaloclineError, match=r"--crop rewrites ONNX graphs only"):
        attach(net, about, crop=2)


def test_a_global_operation_is_refused(tmp_path):
    """Subtracting the mean of the block: no radius is finite."""
    mean = helper.make_node("ReduceMean", ["out"], ["m"], axes=[1, 2], keepdims=1)
    net, about = write(tmp_path, onnx_net(extra=(mean, helper.make_node("Sub", ["out", "m"], ["y"]))))
    with pytest.raises(
        HaloclineError, match=r"acts over the whole field.*global operation.*--crop does not help"
    ) as refused:
        attach(net, about)
    assert "pads" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": [{"name": "x", "units": "m", "point": "T"}]}, r"what values input 'x' \[m\] takes.*valid_range"),
        ({"inputs": [{"name": "x", "units": "metr", "point": "T"}]}, r"units 'metr' are not understood"),
        ({"dtype": "f8"}, r"fails on tensors .* of float64"),
        ({"outputs": []}, r"contract\.json.*outputs"),
        ({"schema_version": SCHEMA + 1}, rf"of schema {SCHEMA + 1}.*reads 1 to {SCHEMA}"),
        ({"colour": "red"}, r"colour"),
        ({"outputs": [{"name": "z", "units": "m", "point": "T"}]}, r"'z'"),
    ],
)
def test_documents_that_are_wrong(nets, tmp_path, changes, words):
    net, about = write(tmp_path, nets["onnx"], changes)
    with pytest.raises(HaloclineError, match=f"(?s){words}"):
        attach(net, about)


def test_files_that_are_wrong(nets, tmp_path):
    net, about = write(tmp_path, nets["onnx"])
    other = tmp_path / "net.py"
    other.touch()
    for arguments, words in (
        ((other, about), r"Python file states its own"),
        ((net, about, tmp_path / "out.pt2"), r"must stay '\.onnx'"),
        ((net, net), r"not a JSON document"),
        ((tmp_path / "none.onnx", about), r"cannot be read"),
    ):
        with pytest.raises(HaloclineError, match=words):
            attach(*arguments)
    net.write_bytes(nets["onnx"][:-40])
    with pytest.raises(HaloclineError, match="damaged"):
        attach(net, about)
    bad = tmp_path / "net.pt"
    bad.write_bytes(b"no archive")
    with pytest.raises(HaloclineError, match="damaged"):
        attach(bad, about)


@given(st.data())
def test_a_damaged_file_is_parsed_or_refused_in_words(data):
    """Any bytes: a cut, or a few of them changed."""
    raw = bytearray(GRAPH)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for read in (
        lambda: metadata(damaged, KEY),
        lambda: with_metadata(damaged, KEY, "{}"),
        lambda: refuse_external_data(damaged, Path("net.onnx")),
        lambda: tensors(damaged, Path("net.onnx")),
    ):
        try:
            read()
        except HaloclineError:
            pass


def test_weights_in_another_file_are_refused(tmp_path):
    """A hash of the graph would not guard them."""
    net, about = write(tmp_path, b"")
    onnx.save(onnx.load_from_string(onnx_net()), net, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(HaloclineError, match=r"weights .* lie in another file.*onnx\.save"):
        attach(net, about)


def test_template_is_a_contract_but_for_the_question_marks(nets, tmp_path):
    net, about = write(tmp_path, nets["onnx"])
    about.write_text(template(net))
    with pytest.raises(HaloclineError, match=r"units '\?' are not understood"):
        attach(net, about)
    about.write_text(template(net).replace('"units": "?"', '"units": "m s-2"'))
    assert read_contract(attach(net, about)).radius == 2


def test_masks_and_percentiles_make_the_self_test(tmp_path):
    """Percentiles come before the valid range, and a mask is made of zeros and ones."""
    nodes = [helper.make_node("Mul", ["x", "m"], ["y"])]
    tensors = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["k", "J", "I"]) for n in "xmy"]
    model = helper.make_model(
        helper.make_graph(nodes, "net", tensors[:2], tensors[2:]),
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    field = {"name": "x", "units": "m s-2", "point": "T", "valid_range": [-9, 9], "percentiles": [-1, 1]}
    changes = {
        "inputs": [field, {"name": "m", "units": "1", "point": "T", "static": True}],
        "outputs": [{"name": "y", "units": "m s-2", "point": "T", "mask": "m"}],
    }
    contract = read_contract(attach(*write(tmp_path, model.SerializeToString(), changes)))
    assert contract.radius == 0
    assert contract.decomposition == "bitwise"
    assert contract.self_test.inputs == {"x": {"range": [-1.0, 1.0]}, "m": {"values": [0.0, 1.0, 1.0]}}


def test_stacked_levels_noise_and_scalars(tmp_path):
    """One tensor (1, 2 levels + 1 noise, J, I) and a number: all of them are measured and tested."""
    kernel = np.random.default_rng(2).normal(size=(2, 3, 5, 5)).astype("f4") / 9
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "day_of_year"], ["y"])]
    shapes = {"x": [1, 3, "J", "I"], "day_of_year": [1], "y": [1, 2, "nj", "ni"]}
    x, day, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n, shape in shapes.items())
    graph = helper.make_graph(nodes, "net", [x, day], [y], [onnx.numpy_helper.from_array(kernel, "w")])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    field = {"name": "t", "units": "K", "point": "T", "levels": 2, "level_axis": "channel", "valid_range": [271, 310]}
    changes = {
        "inputs": [field],
        "noise": [{"name": "z", "levels": 1}],
        "scalars": ["day_of_year"],
        "stochastic": {"kind": "ensemble"},
        "outputs": [{"name": "dt", "units": "K s-1", "point": "T", "levels": 2}],
    }
    net, about = write(tmp_path, model.SerializeToString(), changes)
    out = attach(net, about)
    engine = load_engine(out)
    assert engine_reach(engine) == (2, {"t": 2, "z": 2})
    assert all(check.ok for check in prove(out)), list(prove(out))
    assert set(engine.contract.self_test.inputs) == {"t", "z", "day_of_year"}
    changes["noise"], changes["stochastic"] = [], None
    with pytest.raises(HaloclineError, match="fails on tensors"):
        attach(*write(tmp_path, model.SerializeToString(), changes), replace=True)


@pytest.mark.slow
def test_aotinductor_package(tmp_path):
    """A compiled package takes a contract as another member of its archive."""
    import torch
    import torch.fx.experimental._config as tracing
    from torch.export import Dim

    class Twice(torch.nn.Module):
        def forward(self, x):
            return 2 * x[:, 1:-1, 1:-1]

    sizes = {0: Dim("k", min=1), 1: Dim("J", min=3), 2: Dim("I", min=3)}
    with tracing.patch(backed_size_oblivious=True):
        program = torch.export.export(Twice(), (torch.zeros(2, 9, 11),), dynamic_shapes=(sizes,))
    net, about = write(tmp_path, b"", name="net.pt2")
    any_size = {"aot_inductor.check_lowerbound": False}  # the compiler asks for one cell more than the graph needs
    torch._inductor.aoti_compile_and_package(program, package_path=str(net), inductor_configs=any_size)
    assert not has_contract(net.read_bytes(), net)
    out = attach(net, about)
    assert (read_contract(out).radius, read_contract(out).decomposition) == (1, "bitwise")
    assert all(check.ok for check in prove(out)), list(prove(out))
