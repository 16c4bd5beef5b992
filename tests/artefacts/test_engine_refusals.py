"""Bad files and bad luck: one clear message each, and nothing unsafe is run."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from engine_nets import Conv, complete, contract, conv_onnx, fields, graph, loaded, packed, traced, with_member, write
from onnx import helper

from coupler.contract import SCHEMA, Contract
from coupler.engines.base import contract_in_zip, load_engine, read_contract
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError

torch = pytest.importorskip("torch")
ZB20 = Path(__file__).resolve().parents[2] / "models" / "zoo" / "zb20_f8.onnx"


@pytest.fixture
def files(tmp_path):
    return {kind: write(kind, tmp_path / f"net.{kind}") for kind in ("onnx", "pt2", "pt")}


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_torch_files_are_pinned_or_trusted(files, kind):
    path = files[kind]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(HaloclineError, match=f"cn_sha256 = '{digest}', or set ln_trust"):
        load_engine(path)
    assert load_engine(path, sha256=digest).sha256 == digest
    assert digest in load_engine(path, trust=True).notes[0]
    with pytest.raises(HaloclineError, match="another file than the namelist names"):
        load_engine(path, sha256=digest[::-1], trust=True)


@pytest.mark.parametrize("kind", ["onnx", "pt2", "pt"])
def test_truncated_files(files, kind):
    path = files[kind]
    path.write_bytes(path.read_bytes()[:-400])
    for read in (read_contract, lambda p: load_engine(p, trust=True)):
        with pytest.raises(HaloclineError, match=rf"net\.{kind}.*damaged"):
            read(path)


@pytest.mark.parametrize("kind", ["onnx", "pt2", "pt"])
def test_files_without_a_contract_or_with_a_newer_one(tmp_path, kind):
    bare, newer = tmp_path / f"bare.{kind}", tmp_path / f"newer.{kind}"
    raw = io.BytesIO()
    if kind == "onnx":
        raw.write(conv_onnx(Conv()).SerializeToString())
    elif kind == "pt2":
        torch.export.save(traced(Conv()), raw)
    else:
        torch.jit.save(torch.jit.trace(Conv(), torch.zeros(1, 2, 9, 9)), raw)
    bare.write_bytes(raw.getvalue())

    class Newer:
        def to_json(self):
            return json.dumps(json.loads(contract().to_json()) | {"schema_version": SCHEMA + 1})

    data = packed(conv_onnx(Conv()), Newer()) if kind == "onnx" else with_member(raw.getvalue(), Newer())
    newer.write_bytes(data)
    for read in (read_contract, lambda p: load_engine(p, trust=True)):
        with pytest.raises(HaloclineError, match="no contract inside.*halocline attach"):
            read(bare)
        with pytest.raises(HaloclineError, match=f"schema {SCHEMA + 1}, this version of Halocline reads 1 to {SCHEMA}"):
            read(newer)


def test_contracts_are_read_without_running(files, tmp_path):
    """The same contract from every kind; a Python file has to be run, and is not."""
    assert len({read_contract(path).to_json() for path in files.values()}) == 1
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit\n")
    with pytest.raises(HaloclineError, match="cannot be read without running"):
        read_contract(trap)
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(HaloclineError, match="a bare pickle is never loaded"):
        read_contract(tmp_path / "pickle.pt")


class Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("allowed", [False, True])
def test_pickles_are_never_loaded(files, tmp_path, allowed):
    """torch.export.load falls back to unpickling its sample inputs; the broken twin shows that it does."""
    mark, raw = tmp_path / "mark", io.BytesIO()
    torch.save({"trap": Trap(mark)}, raw)
    packed_again = io.BytesIO()
    with zipfile.ZipFile(files["pt2"]) as old, zipfile.ZipFile(packed_again, "w") as new:
        for name in old.namelist():
            new.writestr(name, raw.getvalue() if name.endswith("sample_inputs/model.pt") else old.read(name))
    files["pt2"].write_bytes(packed_again.getvalue())
    if allowed:
        try:
            torch.export.load(io.BytesIO(packed_again.getvalue()))
        except Exception:
            pass
    else:
        with pytest.raises(HaloclineError, match="cannot load this file"):
            load_engine(files["pt2"], trust=True)
    assert mark.exists() == allowed


def test_no_float64_convolution_in_onnxruntime():
    document = contract("f8", self_test=None)
    with pytest.raises(HaloclineError, match=r"no Conv for f8 on cpu\. Export the network as float32"):
        loaded(packed(conv_onnx(Conv(), dtype=np.float64), document))


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_graph_that_pads_inside(tmp_path, kind):
    """Found at load on a small block; the broken twin of every network above."""
    path, document = tmp_path / f"pads.{kind}", contract(self_test=None)
    if kind == "onnx":
        path.write_bytes(packed(conv_onnx(Conv(), pads=1), document))
    else:
        write("pt2", path, Conv(padding=1), document)
    with pytest.raises(HaloclineError, match="pads inside.*halocline attach --crop"):
        load_engine(path, trust=True)
    assert load_engine(path, trust=True, verify=False).contract == document


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"x": ["k", 2, 64, 64]}, r"fixed sizes \[64, 64\] along j or i"),
        ({"x": ["k", 3, "J", "I"]}, r"3 level\(s\) or channel\(s\), contract 2"),
        ({"x": ["k", "J", "I"]}, "rank 3, needed 4"),
        ({"x": ["k", 2, "J", "I"], "z": ["k", 2, "J", "I"]}, "one tensor of all channels needed"),
    ],
)
def test_a_graph_that_disputes_its_contract(shape, words):
    model = graph([helper.make_node("Neg", ["x"], ["y"])], shape, {"y": shape["x"]})
    with pytest.raises(HaloclineError, match=words):
        loaded(packed(model, contract(radius=0)))


def test_a_torch_graph_of_another_dtype(tmp_path):
    path, document = tmp_path / "double.pt2", contract(self_test=None)
    raw = io.BytesIO()
    torch.export.save(traced(Conv().double(), torch.float64), raw, extra_files={"halocline.json": document.to_json()})
    path.write_bytes(raw.getvalue())
    with pytest.raises(HaloclineError, match="graph is not what its contract says.*float64.*contract f4"):
        load_engine(path, trust=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_what_to_do(files, error):
    engine = load_engine(files["pt2"], trust=True)

    def module(*tensors):
        raise error

    engine._module = module
    with pytest.raises(HaloclineError, match=r"out of memory on cpu for a block of \(2, 8, 11\).*Set rn_maxmem"):
        engine.run(fields())


def test_onnxruntime_out_of_memory():
    engine = loaded(packed(conv_onnx(Conv()), complete(Conv(), contract())))

    class Session:
        def run(self, names, feeds):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 68719476736")

    engine._session = Session()
    with pytest.raises(HaloclineError, match="onnxruntime .*out of memory.*rn_maxmem"):
        engine.run(fields())


def test_reduced_precision_is_measured_and_does_not_pass_a_tight_self_test(files):
    engine = load_engine(files["pt2"], trust=True, precision="bf16")
    note = next(note for note in engine.notes if note.startswith("bf16"))
    assert 1e-4 < float(note.split("self-test ")[1].split(" ")[0]) < 5e-2
    assert "bf16" in engine.description
    with pytest.raises(HaloclineError, match="With cn_precision = 'bf16' the contract's tolerance must allow for it"):
        self_test(engine)
    assert engine.run(fields())["du"].dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "precision", "words"),
    [
        ("onnx", "bf16", "nothing that onnxruntime on cpu can do.*none"),
        ("pt2", "tf32", "nothing that torch.export on cpu can do.*bf16"),
        ("pt", "bf16", "nothing that TorchScript on cpu can do"),
        ("pt2", "fp8", "'fp8' is not known"),
    ],
)
def test_precision_that_cannot_be(files, kind, precision, words):
    with pytest.raises(HaloclineError, match=words):
        load_engine(files[kind], trust=True, precision=precision)


def test_precision_is_for_float32():
    with pytest.raises(HaloclineError, match="is for float32 networks; 'zb20' is float64"):
        load_engine(ZB20, precision="tf32")


def test_blocks_on_both_sides_of_torchs_threshold_have_the_same_bits(files):
    """torch takes another convolution for one sample of up to 20480 numbers; an exported program does not."""
    engine = load_engine(files["pt2"], trust=True)
    assert self_test(engine) == "bitwise"


def test_torchs_own_choice_of_kernel_is_round_off(files):
    """The broken twin: TorchScript chooses by size, and the self-test says so."""
    assert self_test(load_engine(files["pt"], trust=True)) == "round-off"


def test_archives_are_read_from_bytes(files):
    assert isinstance(contract_in_zip(files["pt"].read_bytes(), files["pt"]), Contract)
