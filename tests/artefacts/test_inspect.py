"""Inspect: a page that runs nothing, and a proof that catches every contract that is not the network's."""

import sys
import zipfile
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from my_nets import document, onnx_net, torch_net, with_contract, write
from onnx import numpy_helper
from rich.console import Console

from coupler import settings
from coupler.artefacts.attach import attach
from coupler.artefacts.page import contract_of, inspect, namelist_example
from coupler.artefacts.proof import STANDARD_UNITS, check_units
from coupler.artefacts.radius import block_case, engine_reach, measure_radius, reach_by_input
from coupler.contract import Contract
from coupler.engines.base import load_engine, read_contract
from coupler.engines.gradient import gradient_reach
from coupler.engines.selftest import sample_inputs, with_stored
from coupler.errors import HaloclineError
from coupler.units import normalise_units

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"


def page(path, **options):
    """(exit code, text) of `halocline inspect`, as a pipe sees it."""
    text = StringIO()
    code = inspect(path, console=Console(file=text, width=100), **options)
    return code, text.getvalue()


def failed(path, **options):
    """The lines of the proof that failed; the exit code agrees with them."""
    code, text = page(path, verify=True, **options)
    lines = [line for line in text.splitlines() if line.startswith("  FAILED")]
    assert code == (1 if lines else 0), text
    assert not lines or f"{len(lines)} of the checks failed" in text
    return lines


@pytest.fixture
def mine(tmp_path):
    """A network of a user with its measured contract."""
    return attach(*write(tmp_path, onnx_net()))


@pytest.mark.parametrize("name", ["zb20_f8.onnx", "zb20_f4.pt2"])
def test_page_tells_what_the_contract_holds(name):
    _, text = page(ZOO / name)
    contract = read_contract(ZOO / name)
    for word in (
        contract.name, contract.license, contract.citation, "cn_sha256 = '", "kappa = ", "2 cells", "bitwise", "exact",
        contract.dtype, "tolerance", "sea_water_x_velocity", "pair v", "tendency", "-0.001 .. 0.001",
        *(spec.name for spec in (*contract.inputs, *contract.outputs)),
    ):  # fmt: skip
        assert word in text
    assert "\x1b" not in text
    assert not set("─│━┃") & set(text)
    assert max(map(len, text.splitlines())) <= 100


def test_page_of_a_terminal_has_colours():
    text = StringIO()
    inspect(ZOO / "zb20_f8.onnx", console=Console(file=text, width=100, force_terminal=True))
    assert "\x1b" in text.getvalue()


def test_page_runs_nothing(tmp_path, monkeypatch):
    """Not the graph, which is rubbish here; not torch, which is absent; not a Python file."""
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "rubbish.pt2"
    with zipfile.ZipFile(ZOO / "zb20_f8.pt2") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if name.endswith("halocline.json") else b"rubbish")
    assert "zb20" in page(path)[1]
    path = tmp_path / "net.py"
    path.write_text(f"CONTRACT = {document(radius=1, decomposition='bitwise')!r}\nraise SystemExit('it ran')\n")
    assert "mine" in page(path)[1]
    path.write_text("import os\nCONTRACT = dict(name=os.getcwd())\n")
    with pytest.raises(HaloclineError, match="without running the file"):
        contract_of(path)


def test_namelist_example_is_a_namelist(tmp_path):
    path = ZOO / "zb20_f8.onnx"
    (tmp_path / "namelist_cfg").write_text(namelist_example(read_contract(path), path, path.read_bytes()) + "\n")
    switches = settings.load(tmp_path)
    assert [exchange.cn_dir for exchange in switches.namexc] == ["to_coupler", "to_coupler", "to_ocean"]
    assert [exchange.cn_fields for exchange in switches.namexc[1:]] == [["u", "v", "h"], ["du", "dv"]]
    load_engine(path, sha256=switches.namnet[0].cn_sha256)


@pytest.mark.parametrize("name", ["zb20_f8.onnx", pytest.param("zb20_f4.pt2", marks=pytest.mark.slow)])
def test_shipped_artefacts_are_proven(name):
    assert failed(ZOO / name) == []


@pytest.mark.parametrize("radius", [1, 3])
def test_wrong_radius_is_caught(tmp_path, radius):
    path = with_contract(ZOO / "zb20_f8.onnx", lambda c: c.update(radius=radius), tmp_path / "a.onnx")
    assert "radius" in " ".join(failed(path))


def test_altered_weights_are_caught(mine, tmp_path):
    model = onnx.load(mine)
    for tensor in model.graph.initializer:
        if tensor.name == "w1":
            tensor.CopyFrom(numpy_helper.from_array(1.001 * numpy_helper.to_array(tensor), "w1"))
    onnx.save(model, mine)
    lines = failed(mine)
    assert len(lines) == 1
    assert "self-test" in lines[0]
    assert "differs from the stored self-test" in lines[0]


def test_padding_inside_is_caught(mine, tmp_path):
    """The contract of the unpadded network in a padded one, and one that admits to no radius at all."""
    padded = onnx.load_from_string(onnx_net(pads=1))
    padded.metadata_props.extend(onnx.load(mine).metadata_props)
    path = tmp_path / "padded.onnx"
    onnx.save(padded, path)
    assert "pads inside" in failed(path)[0]
    path = with_contract(path, lambda c: c.update(radius=0), path)
    lines = failed(path)
    assert "an input acts 2 by perturbation, allowed 0; farthest: x. The graph pads inside" in lines[0]
    assert "self-test" in lines[1]


def test_bounds_and_values_are_checked(mine, tmp_path):
    tight = with_contract(mine, lambda c: c["outputs"][0].update(bounds=[-1e-6, 1e-6]), tmp_path / "tight.onnx")
    assert "allowed -1e-06 .. 1e-06" in failed(tight)[0]


def test_missing_self_test_is_a_failure(mine, tmp_path):
    path = with_contract(mine, lambda c: c.pop("self_test"), tmp_path / "none.onnx")
    assert all("self_test" in line or "none is stored" in line for line in failed(path))
    assert len(failed(path)) == 2


def test_misspelt_units_are_caught(mine, tmp_path):
    path = with_contract(mine, lambda c: c["inputs"][0].update(units="m sec-1x"), tmp_path / "units.onnx")
    with pytest.raises(HaloclineError, match=r"input 'x': units 'm sec-1x' are not understood"):
        page(path)


def units(**changes):
    """Failed checks of units for a document with a vector, a mask and an output, each entry changed by name."""
    fields = {
        "u": {"name": "u", "standard_name": "sea_water_x_velocity", "units": "m s-1", "point": "U", "vector_pair": "v"},
        "v": {"name": "v", "units": "m s-1", "point": "V", "vector_pair": "u"},
        "mask": {"name": "mask", "units": "1", "point": "T", "static": True},
    }
    out = {"name": "du", "units": "m s-2", "point": "U", "mask": "mask"} | changes.pop("du", {})
    inputs = [field | changes.get(name, {}) for name, field in fields.items()]
    window = {"window": 432000.0} if out.get("kind") == "increment" else {}
    contract = Contract.from_dict(document(radius=0, decomposition="bitwise", inputs=inputs, outputs=[out], **window))
    return [check.found for check in check_units(contract) if not check.ok]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"u": {"units": "m"}, "v": {"units": "m"}}, "'sea_water_x_velocity' is measured in 'm s-1'"),
        ({"u": {"units": "K", "standard_name": "cell_thickness"}, "v": {"units": "K"}}, "measured in 'm'"),
        ({"u": {"units": "cm s-1"}}, "same units"),
        ({"mask": {"units": "m"}}, "A mask has units '1'"),
        ({"du": {"units": "m s-1", "kind": "tendency"}}, None),
        ({"du": {"units": "m"}}, "without s-1"),
        ({"du": {"units": "m", "kind": "increment"}}, None),
        ({"u": {"units": "cm s-1"}, "v": {"units": "cm s-1"}}, None),
        ({}, None),
    ],
)
def test_units_of_another_dimension_are_caught(changes, words):
    """Factors are the coupler's business (nothing is converted, but it may be connected); dimensions are not."""
    found = units(**changes)
    assert (words in found[0]) if words else not found, found


def test_standard_names_have_units_that_we_know():
    for name, known in STANDARD_UNITS.items():
        assert name == name.lower().replace(" ", "_")
        assert all(normalise_units(entry) for entry in known)


def test_python_file_is_run_only_if_allowed(tmp_path):
    about = Contract.from_dict(
        document(
            radius=1, dtype="f8", decomposition="bitwise",
            self_test={"shape": [2, 3, 4], "tolerance": 1e-12, "inputs": {"x": {"range": [-1, 1]}}},
        )
    )  # fmt: skip
    about = with_stored(about, {"y": sample_inputs(about, (2, 3, 4))["x"][:, 1:-1, 2:]})
    path = tmp_path / "net.py"
    lines = f"CONTRACT = {about.model_dump(mode='json')!r}\ndef run(inputs):\n    return {{'y': inputs['x'][:, 1:-1, 2:].copy()}}\n"
    path.write_text(lines)
    assert "not allowed" in failed(path)[0]
    assert failed(path, python_allow=["net.py"]) == []
    for old, new, words in (
        ("2:]", ":-2]", "differs from the stored self-test"),
        ("2:]", "2:] * float('nan')", "24 values of 'y' are not"),
        ("2:]", "2:] * (1 + 1e-15 * inputs['x'].shape[1])", "agree: round-off; the contract promises bitwise"),
    ):
        path.write_text(lines.replace(old, new).replace(".copy()", ""))
        assert words in failed(path, python_allow=["net.py"])[0]


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_gradient_and_perturbation_find_the_same_radius(tmp_path, kind):
    path = attach(*write(tmp_path, torch_net(kind), name=f"net.{kind}"))
    engine = load_engine(path, trust=True)
    assert engine_reach(engine) == (2, {"x": 2})
    assert gradient_reach(path.read_bytes(), engine.contract, lambda seed: block_case(engine.contract, seed)) == 2
    assert "2 by perturbation, 2 by gradient" in page(path, verify=True)[1]


def test_a_mask_has_no_gradient():
    """What a comparison reads over 3 cells, a gradient alone would put at 1; a perturbation sees it."""

    def net(fields):
        wet = fields["m"][:, 3:-3, 6:] > 0.5
        return {"y": np.where(wet, fields["x"][:, 3:-3, 2:-4], 0)}

    def sample(seed):
        draw = np.random.default_rng(seed)
        return {"x": draw.normal(size=(1, 17, 17)), "m": (draw.random((1, 17, 17)) > 0.5).astype(float)}

    assert reach_by_input(net, sample) == (3, {"x": 1, "m": 3})
    assert measure_radius(net, sample) == (3, 3)


def test_a_row_is_seen_where_a_cell_is_lost_in_rounding():
    """The broken twin: one corner cell of weight 1e-9 changes no bit in float32, the whole row at that distance does."""
    weight = np.float32(4e-9)

    def net(fields):
        x = fields["x"]
        far = sum((weight * x[:, :-4, n : n + 13] for n in range(5)), np.float32(0))
        return {"y": x[:, 2:-2, 2:-2] + far * np.float32(4)}

    def sample(seed):
        return {"x": np.random.default_rng(seed).uniform(1, 2, (1, 17, 17)).astype("f4")}

    x = sample(0)["x"]
    nudged = x.copy()
    nudged[0, 6, 6] *= 1.3
    assert (net({"x": nudged})["y"][0, 6:] == net({"x": x})["y"][0, 6:]).all()
    assert measure_radius(net, sample) == (2, 2)
