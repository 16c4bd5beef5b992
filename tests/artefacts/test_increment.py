"""Increments are per window, tendencies per second: the contract keeps them apart, and one place divides, once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_nets import Conv, complete, contract, write
from hypothesis import given
from hypothesis import strategies as st
from test_resident import couple

import coupler.outlet
import coupler.stages
from coupler.agreement import check_against
from coupler.contract import Contract
from coupler.engines.base import load_engine
from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.guards.guard import limits_of
from coupler.increments import as_tendency, delivered, rate_of
from coupler.settings import NamNet
from coupler.swap import check_swap
from coupler.units import normalise_units, per_second

WINDOW = 432000.0
BOUNDS = (-0.7, 0.7)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Guards write where they run."""
    monkeypatch.chdir(tmp_path)


def bias(kind="increment", **changes):
    """u, v to du, dv at T: what is missing per window, or the same numbers called a tendency."""
    units = {"increment": "m s-1", "tendency": "m s-2"}[kind]
    extra = {"window": WINDOW} if kind == "increment" else {}
    outputs = [{"name": f"d{n}", "units": units, "point": "T", "kind": kind, "bounds": BOUNDS} for n in "uv"]
    return contract(**(extra | {"outputs": outputs} | changes))


# --- Contract ------------------------------------------------------------------------------------------------------------


def test_increment_and_window_belong_together():
    assert bias().window == WINDOW
    for changes, words in [
        ({"window": None}, "'du' is an increment, and no `window`"),
        ({"window": 0.0}, "window: .*greater than 0"),
        ({"window": -WINDOW}, "window: .*greater than 0"),
        ({"outputs": bias("tendency").model_dump()["outputs"]}, "no output is of kind 'increment'.*'du' tendency"),
        ({"climatology": {"harmonics": 2, "year_days": 360}}, "scalars` lack 'day_of_year'"),
        ({"climatology": {"harmonics": -1, "year_days": 360}}, "harmonics"),
        ({"climatology": {"harmonics": 0, "year_days": 0}}, "year_days"),
        ({"explained": {"dw": {"state": 0.5}}}, "`explained` names 'dw'"),
        ({"explained": {"du": {"state": 1.5}}}, "explained.du.state"),
    ]:
        with pytest.raises(HaloclineError, match=words):
            bias(**changes)
    assert bias(climatology={"harmonics": 0, "year_days": 360}).climatology.harmonics == 0


def test_the_new_entries_survive():
    told = bias(
        scalars=["day_of_year"],
        self_test=None,
        climatology={"harmonics": 2, "year_days": 360},
        explained={"du": {"climatology": 0.05, "state": 0.41}},
    )
    assert Contract.from_json(told.to_json()) == told
    assert json.loads(told.to_json())["explained"]["du"] == {"climatology": 0.05, "state": 0.41}


# --- Units ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        ("m s-1", "m s-2"), ("m", "m s-1"), ("degC", "degC s-1"), ("1", "s-1"), ("m/s", "m s-2"), ("m s^-1", "m s-2"),
        ("kg m-2 s-1", "kg m-2 s-2"), ("s-1", "s-2"), ("W m-2", "kg s-4"),
    ],
)  # fmt: skip
def test_units_per_second(units, wanted):
    assert normalise_units(per_second(units)) == normalise_units(wanted)
    with pytest.raises(AssertionError):  # the twin that forgets the seconds
        assert normalise_units(units) == normalise_units(wanted)


def field(name, units):
    return Field(id=1, name=name, units=units, point="T", levels=2, direction="in")


def disagreements(told, units):
    offered = {n: field(n, "m s-1") for n in "uv"}
    return check_against(told, offered, 2, {n: field(f"{n}_bias", units) for n in ("du", "dv")})


def test_an_increment_fits_a_field_that_takes_its_tendency():
    assert disagreements(bias(), "m s-2") == []
    assert disagreements(bias("tendency"), "m s-2") == []


@pytest.mark.parametrize(
    ("told", "units", "words"),
    [
        (bias(), "m s-1", ["an increment, 'm s-1' per 5 days", "a tendency in 'm s-2'", "'du_bias' is in 'm s-1'"]),
        (bias(), "cm s-1", ["as the increment itself", "export it with kind 'tendency' and no window"]),
        (bias(), "degC s-1", ["an increment of 'm s-1' per window, is in 'm s-2'", "measure different things"]),
        (bias(), "cm s-2", ["an increment of 'm s-1' per window, is in 'm s-2'", "by 100 inside the network"]),
    ],
)
def test_units_that_do_not_fit_are_refused_in_words(told, units, words):
    first = disagreements(told, units)[0]
    assert all(word in first for word in words), first


def test_an_increment_that_calls_itself_a_tendency_is_refused():
    """The units error that must be caught: numbers per window on their way into a field per second."""
    wrong = [{"name": f"d{n}", "units": "m s-1", "point": "T", "kind": "tendency"} for n in "uv"]
    first = disagreements(bias("tendency", outputs=wrong), "m s-2")[0]
    assert "of kind 'tendency' and in 'm s-1'" in first and "kind 'increment' and its window" in first
    double = [{"name": f"d{n}", "units": "m s-2", "point": "T", "kind": "increment"} for n in "uv"]
    first = disagreements(bias(outputs=double), "m s-2")[0]  # divided twice
    assert "'m s-2' per 5 days" in first and "'m s-3'" in first


# --- Limits --------------------------------------------------------------------------------------------------------------


def test_what_the_ocean_sees_is_a_tendency():
    told = bias(outputs=[{**spec, "max_rate": 0.1} for spec in bias().model_dump()["outputs"]])
    seen = delivered(told)[0]
    assert (seen.kind, seen.units) == ("tendency", "m s-2")
    assert seen.bounds == pytest.approx((BOUNDS[0] / WINDOW, BOUNDS[1] / WINDOW), rel=1e-6)
    assert seen.max_rate == pytest.approx(0.1 / WINDOW, rel=1e-6)
    assert as_tendency(seen, told) == seen, "a second call changes nothing"
    assert delivered(bias("tendency")) == bias("tendency").outputs


@given(st.floats(1.0, 1e8, width=32), st.floats(2.0**-20, 1e4, width=32), st.sampled_from(["f4", "f8"]), st.booleans())
def test_a_value_at_its_bound_passes(window, bound, dtype, low):
    """The bound is rounded as the value is; bounds divided in 64 bits would refuse some of those in 32."""
    kind = np.dtype(dtype).type
    told = bias(dtype=dtype, window=window)
    spec = told.outputs[0].model_copy(update={"bounds": (-bound, bound)})
    limits = limits_of(as_tendency(spec, told), NamNet(cn_name="net"), 1.0)
    value = kind(-bound if low else bound) * kind(rate_of(spec, told))
    assert limits.low <= value <= limits.high


def test_bounds_divided_in_another_type_are_caught():
    windows, bounds = np.meshgrid(np.linspace(1e5, 1e6, 50), np.linspace(0.1, 9.0, 50))
    values = bounds.astype("f4") * (1 / windows).astype("f4")
    assert (values > (bounds / windows).astype("f4")).mean() > 0.05


# --- Conversion ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """kind -> an engine of the same weights, as torch.export."""
    folder = tmp_path_factory.mktemp("nets")
    made = {}
    for kind in ("increment", "tendency"):
        path = write("pt2", folder / f"{kind}.pt2", Conv(), complete(Conv().eval(), bias(kind)))
        made[kind] = load_engine(path, trust=True)
    return made


def answers(engine, layout=(1, 1), on_device=False, **more):
    return couple(engine, layout=layout, on_device=on_device, outputs={"du": "T", "dv": "T"}, **more)[0]


@pytest.mark.parametrize("layout", [(1, 1), (6, 1), (1, 4), (6, 4)])
@pytest.mark.parametrize("on_device", [False, True])
def test_the_ocean_gets_the_increment_over_the_window(engines, layout, on_device):
    """One product in the network's type, on either path, for any cut: the bits of the raw output times 1/window."""
    raw = answers(engines["tendency"])
    got = answers(engines["increment"], layout, on_device)
    rate = np.float32(1.0 / WINDOW)
    for name, value in got.items():
        assert np.abs(value).max() > 0
        assert value.tobytes() == (raw[name] * rate).tobytes()
        for wrong in (raw[name], raw[name] * rate * rate):  # forgotten, twice
            assert not np.array_equal(value, wrong)


def test_a_wider_field_gets_the_same_numbers(engines):
    """A network in 32 bits divides in 32 bits, also where the ocean's field has 64."""
    raw, got = (answers(engines[kind], stack="f8") for kind in ("tendency", "increment"))
    for name, value in got.items():
        assert value.dtype == np.float64
        assert (value == raw[name].astype("f4") * np.float32(1.0 / WINDOW)).all()
        assert (value != raw[name] * (1.0 / WINDOW)).any()


@pytest.mark.parametrize("on_device", [False, True])
def test_a_conversion_that_is_forgotten_is_caught(engines, monkeypatch, on_device):
    want = answers(engines["increment"])
    monkeypatch.setattr(coupler.stages, "rate_of", lambda spec, told: None)
    with pytest.raises((AssertionError, HaloclineError)):  # beyond the bounds, which are per second
        got = answers(engines["increment"], on_device=on_device)
        assert all(got[name].tobytes() == want[name].tobytes() for name in want)


def beyond(engine):
    """The engine with bounds that its outputs exceed, as increments and per second."""
    worst = max(np.abs(value).max() for value in answers(engine).values()) * WINDOW
    outputs = tuple(s.model_copy(update={"bounds": (-0.5 * worst, 0.5 * worst)}) for s in engine.contract.outputs)
    other = type(engine).__new__(type(engine))
    other.__dict__.update(engine.__dict__)
    other.contract = engine.contract.model_copy(update={"outputs": outputs})
    return other


def test_guards_judge_the_tendency(engines, monkeypatch):
    """Bounds of an increment, divided by the window; the twin that leaves them as they are lets everything pass."""
    wide = beyond(engines["increment"])
    with pytest.raises(HaloclineError, match=r"guard 'range': allowed are -\S+e-0[0-9] to \S+e-0[0-9]"):
        answers(wide)
    monkeypatch.setattr(coupler.stages, "delivered", lambda told: told.outputs)
    answers(wide)


def test_noise_is_drawn_before_the_division(monkeypatch):
    """mean + noise / inv_std is an increment; what comes out is all of it over the window."""
    mean, inv, drawn = (np.full((1, 2, 2), x, "f4") for x in (0.3, 4.0, 1.5))

    class Still:
        time = "white"

        def at(self, call):
            return drawn.astype("f8")

    target = np.zeros((1, 2, 2), "f4")
    outlet = coupler.outlet.Outlet("du", target, None, "T", "T", 0, Still(), "p", 1.0, 1.0 / WINDOW)
    outlet.put({"du": mean, "p": inv}, 0)
    assert target.tobytes() == ((np.float32(1.5) / np.float32(4.0) + mean) * np.float32(1.0 / WINDOW)).tobytes()
    assert (mean == np.float32(0.3)).all(), "the engine's own array is left alone"
    late = replace(outlet, target=np.zeros_like(target), rate=None)
    late.put({"du": mean * np.float32(1.0 / WINDOW), "p": inv}, 0)
    assert not np.array_equal(late.target, target)


# --- Others --------------------------------------------------------------------------------------------------------------


def test_another_window_does_not_fit_in_the_place_of_the_running_one():
    check_swap("bias", bias(), bias(version="2", explained={"du": {"state": 0.1}}))
    with pytest.raises(HaloclineError, match="window differ"):
        check_swap("bias", bias(), bias(window=2 * WINDOW))


def test_torch_multiplies_as_numpy_does():
    """Float32 times a number of Python: both round the number first."""
    values = np.random.default_rng(1).normal(size=4096).astype("f4")
    rate = float(np.float32(1.0 / WINDOW))
    assert (torch.from_numpy(values) * rate).numpy().tobytes() == (values * np.float32(rate)).tobytes()
