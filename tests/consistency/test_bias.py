"""A bias correction on top of a closure: two networks, two periods, one coupler; increments that reach the ocean as tendencies."""

import netCDF4
import numpy as np
import pytest

from coupler.errors import HaloclineError
from coupler.transport.base import FALLBACK, OK
from tests.consistency import bias_nets as nets
from tests.consistency import networks
from tests.consistency.conftest import same_bits
from tests.consistency.networks import write

STEPS = 28
START = {"namrun": {"nn_it000": 1, "nn_itend": STEPS, "nn_rstctl": 0}}  # the experiment begins with the spun-up state


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("nets"), closure=nets.CLOSURE, bias=nets.bias(), mean=nets.MEAN)


@pytest.fixture(scope="module")
def whole(zb20_run, files):
    """Both networks on one rank each."""
    return zb20_run(nets.groups(), START, link=files)


def delivered(run, name="du_bias"):
    return run.diagnostics()[name].values


@pytest.mark.parametrize(("ocean", "coupler"), [(3, 2), (4, 1), pytest.param(2, 3, marks=pytest.mark.slow)])
def test_two_networks_have_the_same_bits_in_every_layout(zb20_run, files, whole, ocean, coupler):
    """du, dv every 3 steps and the bias every 12, from one state every 3 and one set of masks, maps and areas."""
    other = zb20_run(nets.groups(), START, link=files, ocean=ocean, coupler=coupler)
    same_bits(whole.restart(STEPS), other.restart(STEPS))
    assert "network 'closure'" in whole.text and "every 7200 s, edges" in whole.text
    assert "every 28800 s, edges" in whole.text
    assert "du_bias, dv_bias: increment of m s-1 per 5 days -> tendency in m s-2" in whole.text
    assert "dh_bias: increment of m per 5 days -> tendency in m s-1" in whole.text


def test_each_network_keeps_its_own_period(whole):
    """The bias changes at steps 1, 13 and 25 and is held between; the closure at every third, the steps of the file."""
    for name, period in [("du_bias", 12), ("dt_bias", 12), ("du", 3)]:
        values = delivered(whole, name)
        assert np.abs(values).max() > 0, name
        new = [1 + 3 * n for n in range(1, len(values)) if (values[n] != values[n - 1]).any()]
        assert new == list(range(1 + period, STEPS + 1, period)), name


def test_both_networks_act(zb20_run, files, whole):
    """Neither run without one of them has the bits of the run with both."""
    for names in [("bias",), ("closure", "mean")]:
        other = zb20_run(nets.groups(names), START, link=files)
        with pytest.raises(AssertionError, match="differs"):
            same_bits(whole.restart(STEPS), other.restart(STEPS))


def test_the_ocean_gets_the_increment_over_the_window(zb20_run, tmp_path):
    """The same numbers as a tendency of their own, divided inside the network: the run has the same bits but for one rounding.

    With a window of a power of two seconds the division is exact, and so are the bits.
    """
    window = 2.0**19
    extra = nets.SEASON.replace(str(nets.WINDOW), str(window))
    rates = nets.increments("tendency", ("m s-2", "m s-1", "degC s-1"))
    rates[2] = rates[2].replace("'kind'", "'conserve': 'mass', 'kind'")
    no_window = nets.SEASON.split('"window"')[0]
    inside = nets.bias(rates, no_window).replace(
        "    return made", f"    return {{n: x / {window} for n, x in made.items()}}"
    )
    runs = []
    for number, text in enumerate([nets.bias(extra=extra), inside, nets.bias(extra=nets.SEASON)]):
        link = write(tmp_path / str(number), bias=text, closure=nets.CLOSURE)
        runs.append(zb20_run(nets.groups(), START, link=link))
    same_bits(runs[0].restart(STEPS), runs[1].restart(STEPS))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(runs[0].restart(STEPS), runs[2].restart(STEPS))


def test_no_layer_gains_mass(whole, zb20_run, files, tmp_path):
    """The correction of thickness has no mean in either layer; the twin that does not conserve has one in both."""
    free = write(
        tmp_path / "free", bias=nets.bias().replace("'conserve': 'mass'", "'conserve': 'none'"), closure=nets.CLOSURE
    )
    other = zb20_run(nets.groups(bias={"cn_weights": []}), START, link=free)
    for k in range(2):
        means = [abs(run.diagnostics()["dh_bias"].values[0, k].mean()) for run in (whole, other)]
        assert means[0] < 1e-12 * np.abs(delivered(other, "dh_bias")).max() < 1e-3 * means[1]


@pytest.mark.parametrize(
    ("cut", "lag"), [(20, 1), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((12, 0), (12, 1), (20, 0)))]
)
def test_a_run_with_both_continues_bit_for_bit(zb20_run, files, cut, lag):
    """At a coupling step of both, and between those of both; on another layout."""
    stock = {"namrun": {**START["namrun"], "nn_stock": cut}}
    one = zb20_run(nets.groups(lag=lag), stock, link=files, ocean=2, coupler=2)
    restart, ours = (one.folder / f"{name}_{cut:08d}_restart.nc" for name in ("TEST", "halocline"))
    rest = {"namrun": {"nn_it000": cut + 1, "nn_itend": STEPS, "cn_ocerst_in": restart.name, "nn_rstctl": 2}}
    more = nets.groups(lag=lag, restart=ours.name, first="restart" if lag else "zero")
    second = zb20_run(more, rest, link=(*files, restart, ours), coupler=3)
    same_bits(one.restart(STEPS), second.restart(STEPS))


@pytest.fixture(scope="module")
def climatology(zb20_run, files):
    """The climatology alone, on one rank each."""
    return zb20_run(nets.groups(("mean",)), START, link=files)


def test_a_climatology_runs_each_period(zb20_run, files, climatology):
    """Its inputs are static; the day is not: a new answer every period, each the map times the cosine of that day."""
    values = climatology.diagnostics()["dt_bias"].values
    assert "every 28800 s, edges" in climatology.text
    days = np.array([1.0, 1.0 + 1 / 3, 1.0 + 2 / 3])
    wanted = np.cos(2 * np.pi * (days - 0.5) / 360)
    largest = np.unravel_index(np.abs(values[0]).argmax(), values[0].shape)
    found = np.array([value[largest] for value in values])
    np.testing.assert_allclose(found / found[0], wanted / wanted[0], rtol=1e-12)
    assert len(set(found)) == 3
    other = zb20_run(nets.groups(("mean",)), START, link=files, ocean=3, coupler=2)
    same_bits(climatology.restart(STEPS), other.restart(STEPS))


def test_a_climatology_needs_no_state(zb20_run, files, climatology):
    """The same bits without a single message from the ocean after the start; what is lost then is said."""
    groups = nets.groups(("mean",))
    groups["namexc"] = [group for group in groups["namexc"] if group["cn_name"] != "state"]
    run = zb20_run(groups, START, link=files, coupler=2)
    same_bits(run.restart(STEPS), climatology.restart(STEPS))
    assert "the coupler hears of no restart between (nn_stock)" in run.text


@pytest.mark.parametrize("variant", ["single", pytest.param("double", marks=pytest.mark.slow)])
def test_a_graph_with_maps_has_the_same_bits_in_every_layout(zb20_run, tmp_path, variant):
    """Constants of an ONNX graph in 32 bits, looked up by global column and row."""
    path = tmp_path / "maps.onnx"
    path.write_bytes(nets.graph_with_maps())
    groups = nets.groups(("mean",))
    groups["namnet"][0]["cn_artefact"] = path.name
    groups["namcpl"]["nn_wire"] = 32
    one, other = (
        zb20_run(groups, START, link=[path], ocean=a, coupler=b, variant=variant) for a, b in [(1, 1), (3, 4)]
    )
    same_bits(one.restart(STEPS), other.restart(STEPS))
    made = one.diagnostics()["dt_bias"].values[0]
    column, row = np.meshgrid(np.arange(nets.NX), np.arange(nets.NY))
    wanted = 0.1 * np.sin(1.0 + row * nets.NX + column) * np.cos(np.pi / 360) / nets.WINDOW
    wet = made != 0
    assert wet.sum() == 17 * 13
    np.testing.assert_allclose(made[wet], wanted[wet], rtol=1e-4, atol=1e-12)
    assert not np.allclose(made[wet], np.roll(wanted, 1, axis=1)[wet], rtol=1e-4, atol=1e-12)  # one column off


def test_a_fallback_of_one_network_is_not_told_of_the_other(zb20_run, tmp_path):
    """The closure leaves two cells to the ocean at step 4; the answer of the bias correction is whole."""
    failing = networks.failing(4, bounds=(-1.0, 1.0)).replace('"failing"', '"closure"')
    groups = nets.groups(record=True, seldom=3)
    groups["namnet"][0]["cn_policy"] = "fallback"
    run = zb20_run(groups, START, link=write(tmp_path, closure=failing, bias=nets.bias()))
    with netCDF4.Dataset(run.folder / "halocline_record.nc") as file:
        status = {name: file[name]["status"][:].tolist() for name in ("tendency", "bias")}
    assert status["tendency"] == [OK, FALLBACK, *[OK] * 8] and status["bias"] == [OK] * 10


def test_a_recording_gives_the_same_answers(zb20_run, files, mpirun):
    """The replay converts as the run did: once."""
    run = zb20_run(nets.groups(record=True), START, link=files)
    done = mpirun(["halocline", "replay", "halocline_record.nc"], cwd=run.folder, np=1)
    assert done.rc == 0 and "every one has the recorded bits" in done.text, done.text


# --- What is refused -----------------------------------------------------------------------------------------------------


def refused(zb20_run, folder, text, **more):
    done = zb20_run(nets.groups(("bias",), bias=more), START, link=write(folder, bias=text), ok=False)
    assert "Traceback" not in done.text
    return " ".join(done.text.split())


def test_an_increment_that_calls_itself_a_tendency_is_refused(zb20_run, tmp_path):
    """A units error, caught the first time: by the contract, before the first exchange."""
    wrong = nets.increments("tendency", ("m s-1", "m", "degC"))
    text = refused(zb20_run, tmp_path / "a", nets.bias(wrong, nets.SEASON.split('"window"')[0]), cn_weights=[])
    for output, has, takes in [
        ("du_bias", "m s-1", "m s-2"),
        ("dh_bias", "m", "m s-1"),
        ("dt_bias", "degC", "degC s-1"),
    ]:
        assert f"output '{output}' of network 'bias' is of kind 'tendency' and in '{has}', the model's field" in text
        assert f"in '{takes}', which is that per second" in text


def test_an_increment_without_its_window_is_refused(zb20_run, tmp_path):
    text = refused(zb20_run, tmp_path / "a", nets.bias(extra=nets.SEASON.split('"window"')[0]))
    assert "is an increment, and no `window` says what time it is for" in text


def test_a_tendency_that_calls_itself_an_increment_is_refused(zb20_run, tmp_path):
    """It would be divided twice."""
    text = refused(zb20_run, tmp_path / "a", nets.bias(nets.increments(units=("m s-2", "m s-1", "degC s-1"))))
    assert "'m s-2' per 5 days" in text and "export it with kind 'tendency' and no window" in text


UNDIVIDED = """import sys
import coupler.stages
coupler.stages.rate_of = lambda spec, contract: None  # the contract is satisfied, nobody divides
from coupler.cli import main
sys.argv = ["halocline", "couple", "."]
main()
"""


def test_a_forgotten_division_ends_the_run(zb20_run, files, tmp_path):
    """The same error with the contract's check bypassed is caught the second time: by the ocean, or by bounds where there are."""
    script = tmp_path / "undivided.py"
    script.write_text(UNDIVIDED)
    done = zb20_run(nets.groups(), START, link=files, script=script, ok=False)
    assert "Traceback" not in done.text and ("thickness" in done.text or "max|u|" in done.text or "CFL" in done.text), (
        done.text
    )
    bounded = write(tmp_path / "b", bias=nets.bias(nets.increments(bounds=(-0.5, 0.5))), closure=nets.CLOSURE)
    done = zb20_run(nets.groups(), START, link=bounded, script=script, ok=False)
    assert "guard 'range'" in done.text and "allowed are -1.15741e-06 to 1.15741e-06" in done.text


def test_maps_of_another_grid_are_refused(zb20_run, tmp_path):
    other = [entry.replace("19.0", "50.0").replace("15.0", "50.0") for entry in nets.MAPS]
    text = refused(zb20_run, tmp_path / "a", nets.bias(maps=other))
    assert "'bias' was made for a grid of 50 x 50" in text and "The ocean's grid is 19 x 15" in text


def test_a_state_that_travels_twice_is_refused_with_the_way_out(zb20_run, files):
    groups = nets.groups()
    groups["namexc"].append(
        {"cn_name": "daily", "cn_dir": "to_coupler", "cn_fields": ["u"], "rn_period": 12 * nets.STEP}
    )
    with pytest.raises(HaloclineError, match=r"(?s)'u' travels to_coupler twice.*longer periods read it there"):
        zb20_run(groups, START, link=files, ok=False)
    slow = nets.groups(often=5)
    done = zb20_run(slow, START, link=files, ok=False)
    assert "must be a multiple of that of the inputs" in done.text
