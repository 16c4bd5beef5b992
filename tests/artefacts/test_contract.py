"""The contract: a document that survives a round trip, and refuses what cannot run."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.agreement import check_against
from coupler.contract import Contract
from coupler.errors import HaloclineError
from coupler.units import normalise_units, unit_factor


def document(**changes):
    """A small valid contract as a dict."""
    base = {
        "name": "net", "version": "1", "family": "test", "license": "MIT", "radius": 2, "dtype": "f4",
        "decomposition": "bitwise",
        "inputs": [
            {"name": "u", "units": "m s-1", "point": "U", "vector_pair": "v"},
            {"name": "v", "units": "m s-1", "point": "V", "vector_pair": "u"},
            {"name": "tmask", "units": "1", "point": "T", "levels": 1, "static": True},
        ],
        "outputs": [{"name": "du", "units": "m s-2", "point": "U", "mask": "tmask"}],
    }  # fmt: skip
    return base | changes


UNITS = st.sampled_from(["m s-1", "m", "1", "degC", "K", "m2 s-2", "W m-2", "kg m-3"])
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
NUMBERS = st.floats(-1e9, 1e9)


@st.composite
def contracts(draw):
    """Any valid contract without a self-test."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    axis = draw(st.sampled_from(["batch", "channel"]))
    levels = st.integers(1, 75) if axis == "channel" else st.one_of(st.just("all"), st.integers(1, 75))
    point = st.sampled_from("TUVFW")
    return Contract.from_dict(
        document(
            name=draw(st.text(min_size=1, max_size=20)),
            radius=draw(st.integers(0, 40)),
            trained_on=draw(st.none() | st.dictionaries(NAMES, st.text(max_size=9), max_size=3)),
            inputs=[
                {
                    "name": n, "units": draw(UNITS), "point": draw(point), "levels": draw(levels), "level_axis": axis,
                    "fill": draw(NUMBERS), "valid_range": draw(st.none() | st.just((-1.5, 2.5))), "static": draw(st.booleans()),
                }
                for n in names
            ],
            outputs=[{"name": "out", "units": draw(UNITS), "point": draw(point), "levels": draw(levels)}],
        )
    )  # fmt: skip


@given(contracts())
def test_round_trip(contract):
    text = contract.to_json()
    assert Contract.from_json(text) == contract
    assert Contract.from_json(text).to_json() == text


def test_contract_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Contract.from_dict(document()).radius = 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"radius": -1}, "radius"),
        ({"dtype": "f2"}, "dtype.*f2"),
        ({"colour": "red"}, "colour"),
        ({"outputs": []}, "outputs"),
        ({"outputs": [{"name": "a", "units": "m/fortnight", "point": "U"}]}, "fortnight.*not understood"),
        ({"outputs": [{"name": "a", "units": "m", "point": "X"}]}, "point.*X"),
        ({"outputs": [{"name": "a", "units": "m", "point": "U", "mask": "u"}]}, "'u' is not a static input"),
        ({"inputs": [{"name": "u", "units": "m", "point": "U", "vector_pair": "v"}]}, "vector_pair 'v'"),
        ({"inputs": [{"name": "u", "units": "m", "point": "U", "level_axis": "channel"}]}, "needs a number of levels"),
        ({"inputs": [{"name": "u", "units": "m", "point": "U"}] * 2}, "listed twice"),
    ],
)
def test_bad_entries_are_named(changes, words):
    with pytest.raises(HaloclineError, match=f"(?s)my.onnx.*{words}"):
        Contract.from_dict(document(**changes), "my.onnx")


def test_not_json():
    with pytest.raises(HaloclineError, match="not a JSON document"):
        Contract.from_json("{")


@pytest.mark.parametrize(
    ("a", "b"),
    [("m s-1", "m/s"), ("m2 s-2", "m^2.s**-2"), ("W m-2", "kg s-3"), ("h", "hour"),
     (" m  s-1 ", "s-1 m"), ("m s-1", "metre second-1"), ("N/m2", "Pa"), ("degree_C", "degC")],
)  # fmt: skip
def test_equal_units(a, b):
    assert normalise_units(a) == normalise_units(b)


@pytest.mark.parametrize(
    ("a", "b", "factor"),
    [("cm s-1", "m s-1", 0.01), ("m day-1", "m s-1", 1 / 86400), ("km", "m", 1000.0), ("mm/day", "m/s", 1e-3 / 86400),
     ("K", "degC", None), ("m", "s", None), ("h", "day", 1 / 24)],
)  # fmt: skip
def test_unit_factor(a, b, factor):
    assert unit_factor(a, b) == (None if factor is None else pytest.approx(factor, rel=1e-15))


@pytest.mark.parametrize("text", ["", "m/", "/s", "m//s", "m s -1", "furlong", "m s-", "m^x", "1e3 m"])
def test_nonsense_units(text):
    with pytest.raises(HaloclineError, match="not understood"):
        normalise_units(text)


@given(st.lists(st.tuples(st.sampled_from(["m", "km", "s", "day", "kg", "K", "degC"]), st.integers(-4, 4)), min_size=1))
def test_units_do_not_depend_on_order(factors):
    text = [f"{name}{power}" for name, power in factors]
    value, powers = normalise_units(" ".join(text))
    assert powers == normalise_units(".".join(reversed(text)))[1]
    assert unit_factor(" ".join(text), ".".join(reversed(text))) == 1.0
    assert value > 0


@given(st.text(max_size=12))
def test_any_text_is_parsed_or_refused(text):
    try:
        normalise_units(text)
    except HaloclineError:
        pass


def offered(**changes):
    """Fields of a model that fit `document()`."""
    fields = {
        "u": SimpleNamespace(name="un", units="m/s", point="U", levels=2),
        "v": SimpleNamespace(name="vn", units="m/s", point="V", levels=2),
        "tmask": SimpleNamespace(name="tmask", units="1", point="T", levels=1),
    }
    return {name: field for name, field in (fields | changes).items() if field}


def test_matching_fields_have_no_problems():
    assert check_against(Contract.from_dict(document()), offered(), 2) == []


@pytest.mark.parametrize(
    ("changes", "radius", "words"),
    [
        ({}, 1, "halo of 2 cells, the exchange provides 1"),
        ({"u": None}, 2, "input 'u'.*not connected"),
        ({"u": SimpleNamespace(name="un", units="cm s-1", point="U", levels=2)}, 2, "by 0.01"),
        ({"u": SimpleNamespace(name="un", units="K", point="U", levels=2)}, 2, "different things"),
        ({"u": SimpleNamespace(name="un", units="m/s", point="T", levels=2)}, 2, "on the U point.*T point"),
        ({"tmask": SimpleNamespace(name="tmask", units="1", point="T", levels=2)}, 2, r"1 level\(s\).*2"),
        ({"u": SimpleNamespace(name="un", units="m/s", point="U", levels=3)}, 2, r"\[2, 3\]"),
    ],
)
def test_each_mismatch_is_one_sentence(changes, radius, words):
    problems = check_against(Contract.from_dict(document()), offered(**changes), radius)
    assert len(problems) == 1
    assert re.search(words, problems[0])


def test_other_units_are_mended_where_the_number_is_made():
    """An input by the ocean before it sends, an output inside the network; the factor takes the one to the other."""
    told = Contract.from_dict(document())
    sent = SimpleNamespace(name="un", units="cm s-1", point="U", levels=2)
    (first,) = check_against(told, offered(u=sent), 2)
    assert "Multiply the model's field by 0.01 before sending it" in first
    (second,) = check_against(
        told, offered(), 2, {"du": SimpleNamespace(name="dun", units="cm s-2", point="U", levels=2)}
    )
    assert "Multiply by 100 inside the network; or let the model accept 'm s-2'" in second and "sending" not in second


def test_all_mismatches_are_reported_at_once():
    wrong = SimpleNamespace(name="un", units="cm s-1", point="T", levels=2)
    assert len(check_against(Contract.from_dict(document()), offered(u=wrong, v=None), 0)) == 4
