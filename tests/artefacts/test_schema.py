"""The schema of the contract: a file that follows the classes, and documents that survive and are upgraded."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coupler
from coupler.artefacts.schema import contract_schema, schema_text
from coupler.contract import SCHEMA, UPGRADES, Contract, upgraded
from coupler.errors import HaloclineError

FILE = Path(coupler.__file__).parent / "artefacts" / "contract.schema.json"

# As the first version of Halocline wrote it; no later version may fail to read it.
SCHEMA_1 = """{"schema_version": 1, "name": "zb20", "version": "1", "family": "zb20", "license": "MIT",
 "citation": "Zanna and Bolton (2020)", "coefficients": {"kappa": 160000000.0}, "time_level": "now",
 "inputs": [{"name": "u", "standard_name": "sea_water_x_velocity", "units": "m s-1", "point": "U", "levels": "all",
   "level_axis": "batch", "vector_pair": "v", "fill": 0.0, "interpolate": "none", "static": false},
  {"name": "v", "standard_name": "sea_water_y_velocity", "units": "m s-1", "point": "V", "levels": "all",
   "level_axis": "batch", "vector_pair": "u", "fill": 0.0, "interpolate": "none", "static": false},
  {"name": "tmask", "standard_name": "sea_binary_mask", "units": "1", "point": "T", "levels": 1, "level_axis": "batch",
   "fill": 0.0, "interpolate": "none", "valid_range": [0.0, 1.0], "static": true}],
 "outputs": [{"name": "du", "units": "m s-2", "point": "U", "kind": "tendency", "levels": "all", "interpolate": "none",
   "bounds": [-0.001, 0.001]}],
 "radius": 2, "dtype": "f8", "edges": "exact", "decomposition": "bitwise",
 "self_test": {"shape": [2, 5, 6], "inputs": {"u": {"range": [-0.5, 0.5]}, "v": {"range": [-0.5, 0.5]},
   "tmask": {"values": [1.0, 1.0, 0.0]}}, "outputs": {"du": "AAAA"}, "tolerance": 1e-12}}"""


def test_schema_file_follows_the_classes():
    assert FILE.read_text(encoding="utf-8") == schema_text(), (
        "the classes have changed: halocline inspect --schema > coupler/artefacts/contract.schema.json"
    )


def test_drift_is_caught(monkeypatch):
    """The broken twin: an entry that the file does not know."""
    from pydantic import create_model

    import coupler.artefacts.schema

    monkeypatch.setattr(
        coupler.artefacts.schema, "Contract", create_model("Contract", __base__=Contract, colour=(str, "red"))
    )
    assert FILE.read_text(encoding="utf-8") != schema_text()


def test_every_entry_says_what_it_means():
    schema = contract_schema()
    assert schema["$id"].endswith(str(SCHEMA))
    for name, definition in {"Contract": schema, **schema["$defs"]}.items():
        assert definition["description"], name
        for key, entry in definition["properties"].items():
            assert entry.get("description"), f"{name}.{key}"


def test_schema_knows_every_entry_of_a_document():
    schema = contract_schema()
    stored = json.loads(Contract.from_json(SCHEMA_1).to_json())
    assert set(stored) <= set(schema["properties"])
    assert set(stored["inputs"][0]) <= set(schema["$defs"]["InputSpec"]["properties"])
    assert set(schema["required"]) <= set(stored)
    assert schema["additionalProperties"] is False


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=6, max_size=9, unique=True)
POINTS = st.sampled_from("TUVFW")
UNITS = st.sampled_from(["m s-1", "m", "1", "degC", "K", "m2 s-2", "W m-2", "kg m-3"])
NUMBERS = st.floats(-1e9, 1e9)
PAIRS = st.none() | st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[0] != pair[1]).map(sorted)


@st.composite
def contracts(draw):
    """Any valid contract: all level axes and tensors, noise of every kind, scalars, a self-test."""
    names = draw(NAMES)
    axis = draw(st.sampled_from(["batch", "channel", "vector", "axis"]))
    stacked = draw(st.booleans()) if axis == "batch" else True
    one = draw(st.integers(1, 75))
    if axis in ("channel", "vector"):
        levels = st.integers(1, 75)
    else:
        levels = st.just("all" if draw(st.booleans()) else one) if stacked else st.just("all") | st.integers(1, 75)
    kind = draw(st.sampled_from([None, "gaussian", "ensemble", "flow"]))
    inputs = [
        {
            "name": n, "units": draw(UNITS), "point": draw(POINTS), "levels": draw(levels), "level_axis": axis,
            "fill": draw(NUMBERS | st.just("replicate")), "valid_range": draw(PAIRS), "percentiles": draw(PAIRS),
            "static": draw(st.booleans()), "interpolate": draw(st.sampled_from(["none", "mean", "masked"])),
            "standard_name": draw(st.text(max_size=9)),
        }
        for n in names[3:]
    ]  # fmt: skip
    out = {
        "name": names[0], "units": draw(UNITS), "point": draw(POINTS), "levels": draw(levels), "bounds": draw(PAIRS),
        "max_rate": draw(st.none() | st.floats(1e-9, 1e9)), "conserve": draw(st.sampled_from(["none", "mass", "heat"])),
        "mask": next((spec["name"] for spec in inputs if spec["static"]), None),
    }  # fmt: skip
    outputs = [out | ({"inv_std": names[1]} if kind == "gaussian" else {})]
    if kind == "gaussian":
        outputs.append({key: out[key] for key in ("units", "point", "levels")} | {"name": names[1]})
    noise = [{"name": names[2], "levels": draw(levels)}] if kind in ("ensemble", "flow") else []
    time = draw(st.sampled_from(["white", "ar1", "hold"]))
    memory = 0.0 if time == "white" else draw(st.floats(1, 1e7))
    scalars = draw(st.lists(st.sampled_from(["kt", "seconds_of_day", "day_of_year"]), unique=True))
    given_names = {*(spec["name"] for spec in inputs), *(spec["name"] for spec in noise), *scalars}
    test = {
        "shape": draw(st.tuples(*[st.integers(1, 9)] * 3)), "tolerance": draw(st.floats(1e-15, 1)),
        "inputs": {n: draw(st.sampled_from([{"range": [-1.0, 2.5]}, {"values": [0.0, 1.0]}])) for n in given_names},
    }  # fmt: skip
    return Contract.from_dict(
        {
            "schema_version": SCHEMA, "name": draw(st.text(min_size=1, max_size=20)), "version": draw(st.text(max_size=5)),
            "family": "f", "license": "MIT", "dtype": draw(st.sampled_from(["f4", "f8"])),
            "radius": 0 if axis == "vector" else draw(st.integers(0, 40)), "decomposition": "round-off",
            "edges": draw(st.sampled_from(["exact", "not exact"])), "inputs": inputs, "outputs": outputs, "noise": noise,
            "scalars": scalars, "tensors": "stacked" if stacked else draw(st.sampled_from([None, "named"])),
            "trained_on": draw(st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3)),
            "coefficients": draw(st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3)),
            "stochastic": {"kind": kind, "time": time, "memory": memory} if kind else None,
            "self_test": draw(st.none() | st.just(test)),
        }
    )  # fmt: skip


@given(contracts())
def test_round_trip(contract):
    """Nothing is lost, and equal contracts are equal bytes."""
    text = contract.to_json()
    assert Contract.from_json(text) == contract
    assert Contract.from_json(text).to_json() == text


@given(contracts())
def test_a_document_holds_what_the_schema_knows(contract):
    stored, schema = json.loads(contract.to_json()), contract_schema()
    assert set(schema["required"]) <= set(stored) <= set(schema["properties"])


def test_schema_1_is_upgraded():
    contract = Contract.from_json(SCHEMA_1)
    assert (contract.schema_version, contract.radius, contract.level_axis, contract.stacked) == (
        SCHEMA,
        2,
        "batch",
        False,
    )
    assert contract.stochastic is None
    assert contract.self_test.outputs == {"du": "AAAA"}
    assert Contract.from_json(contract.to_json()) == contract
    assert set(UPGRADES) == set(range(1, SCHEMA))


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_document_means_what_it_meant(version):
    """Only the number changes: a tendency stays one, without a window."""
    stored = json.loads(SCHEMA_1) | {"schema_version": version}
    contract = Contract.from_dict(stored)
    assert (contract.window, contract.climatology, contract.explained) == (None, None, None)
    assert upgraded(stored) == stored | {"schema_version": SCHEMA}


def test_a_document_has_the_oldest_number_that_holds_it():
    """An export that needs nothing new keeps its bytes, and older versions read it; one with a window does not pretend."""
    plain = Contract.from_json(SCHEMA_1)
    assert json.loads(plain.to_json())["schema_version"] == 2
    for entry in ({"explained": {"du": {"state": 0.5}}}, {"climatology": {"harmonics": 0, "year_days": 360.0}}):
        new = Contract.from_dict(json.loads(SCHEMA_1) | entry)
        assert json.loads(new.to_json())["schema_version"] == 3
        assert Contract.from_json(new.to_json()) == new


def test_a_document_without_a_number_is_of_schema_1():
    stored = json.loads(SCHEMA_1)
    del stored["schema_version"]
    assert Contract.from_dict(stored) == Contract.from_json(SCHEMA_1)


@pytest.mark.parametrize("version", [SCHEMA + 1, 0, "2", None, True])
def test_another_schema_is_refused_in_words(version):
    stored = json.loads(SCHEMA_1) | {"schema_version": version}
    with pytest.raises(HaloclineError, match=rf"net\.onnx: .*schema {version!r}.*reads 1 to {SCHEMA}\. Install"):
        Contract.from_dict(stored, "net.onnx")
