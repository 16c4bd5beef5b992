"""Periods, held tendencies and restarts of coupled runs."""

import netCDF4
import pytest

from tests.consistency.conftest import SPINUP, coupling, same_bits

THREE = 3 * 2400.0


def part(first, last, restart):
    return {"namrun": {"nn_it000": first, "nn_itend": last, "cn_ocerst_in": restart}}


def test_a_period_of_three_steps_holds_the_tendency(zb20_run):
    """Step 1 of the experiment is an exchange: steps 403, 406, ... are, and the restart at 400 is off them by two."""
    refused = zb20_run(coupling(period=THREE), steps=6, ok=False)
    assert "happens every 3 steps counted from step 1" in refused.text
    assert f"start at step {SPINUP + 3}" in refused.text and "cn_rst_in" in refused.text


def test_held_tendencies_have_the_same_bits_in_every_layout(zb20_run, coupled_run, spun_up):
    alone = coupled_run(
        {"namrun": {"nn_itend": SPINUP + 2, "nn_it000": SPINUP + 1, "ln_rstart": True, "cn_ocerst_in": spun_up().name}},
        coupler=0,
        link=(spun_up(),),
    )
    restart = alone.folder / f"TEST_{SPINUP + 2:08d}_restart.nc"
    change = part(SPINUP + 3, SPINUP + 14, restart.name)
    one, other = (
        zb20_run(coupling(period=THREE), change, link=(restart,), ocean=a, coupler=b) for a, b in [(1, 1), (4, 2)]
    )
    same_bits(one.restart(SPINUP + 14), other.restart(SPINUP + 14))
    every = zb20_run(coupling(), change, link=(restart,))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(one.restart(SPINUP + 14), every.restart(SPINUP + 14))


def test_a_coupled_run_continues_from_its_restart(zb20_run):
    """N steps = N/2, restart, N/2, on another layout, bit for bit."""
    last, half = SPINUP + 12, SPINUP + 6
    whole = zb20_run(steps=12)
    first = zb20_run(steps=6, ocean=2)
    restart = first.folder / f"TEST_{half:08d}_restart.nc"
    second = zb20_run(part(half + 1, last, restart.name), link=(restart,), ocean=1, coupler=2)
    same_bits(whole.restart(last), second.restart(last))


def test_describe_prints_the_handshake(coupled_run, mpirun):
    """--describe is the document that the coupler reads."""
    from coupler.handshake import parse
    from tests.ocean.conftest import executable

    folder = coupled_run({}, coupler=0).folder
    done = mpirun([executable("double"), "--describe"], np=2, cwd=folder)
    shake = parse(done.stdout.strip().splitlines()[-1])
    assert (shake.grid.nx, shake.grid.ny, shake.grid.boundary, shake.ranks) == (19, 15, "closed", 2)
    taken = [field.name for field in shake.fields if field.direction == "in"]
    assert taken == ["du", "dv", "dt", "du_bias", "dv_bias", "dh_bias", "dt_bias"]
    assert str(shake.date(1)) == "0001-01-01 00:00:00"


# --- Lag -------------------------------------------------------------------------------------------------------------


def lagged(transport="mpi", first="zero", restart="", period=0.0):
    groups = coupling(period=period)
    groups["namexc"][2] |= {"nn_lag": 1, "cn_first": first}
    return {**groups, "namcpl": {**groups["namcpl"], "cn_transport": transport, "cn_rst_in": restart}}


TRENDS = {"namtrd": {"ln_trd": True, "nn_trd": 1, "ln_trd_r8": True}}


def used_and_made(run, steps=6):
    """What the ocean added at each step, and what the network made of the state of each step."""
    used = run.open(f"TEST_{SPINUP + 1:08d}_{SPINUP + steps:08d}_trd.nc")["utrd_cpl"].values
    return used, run.diagnostics()["du"].values


@pytest.mark.parametrize("transport", ["mpi", "oasis"])
def test_a_lagged_answer_is_that_of_the_step_before(zb20_run, transport):
    """The ocean adds at step kt what the network made of the state of kt - 1, and nothing at the first step."""
    used, made = used_and_made(zb20_run(lagged(transport), TRENDS, ocean=2, coupler=2))
    assert (used[0] == 0).all() and abs(made).max() > 0
    assert (used[1:] == made[:-1]).all()


@pytest.mark.parametrize("transport", ["mpi", "oasis"])
def test_the_first_lagged_answer_may_be_waited_for(zb20_run, transport):
    """cn_first = 'wait': the first state's answer is used at the first step, and once more at the second."""
    used, made = used_and_made(zb20_run(lagged(transport, "wait"), TRENDS, ocean=2))
    assert (used[0] == made[0]).all() and abs(made).max() > 0
    assert (used[1:] == made[:-1]).all()


@pytest.mark.parametrize("transport", ["mpi", "oasis"])
def test_a_lagged_run_continues_from_both_restarts(zb20_run, transport):
    """N = N/2 + restart + N/2 bit for bit, on another layout; from zero instead of the coupler's restart it is not."""
    last, half = SPINUP + 12, SPINUP + 6
    whole = zb20_run(lagged(transport), steps=12)
    first = zb20_run(lagged(transport), steps=6, ocean=2, coupler=2)
    restart, ours = (first.folder / f"{name}_{half:08d}_restart.nc" for name in ("TEST", "halocline"))
    rest = part(half + 1, last, restart.name)
    second = zb20_run(lagged(transport, "restart", ours.name), rest, link=(restart, ours), coupler=2)
    same_bits(whole.restart(last), second.restart(last))
    forgetful = zb20_run(lagged(transport), rest, link=(restart,))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(whole.restart(last), forgetful.restart(last))


@pytest.mark.parametrize(
    ("lag", "cut"),
    [
        (0, SPINUP + 7),
        (1, SPINUP + 6),
        (1, SPINUP + 7),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(0, SPINUP + 6), (0, SPINUP + 8), (1, SPINUP + 8)]),
    ],
)
def test_a_restart_may_lie_between_two_coupling_steps(zb20_run, coupled_run, spun_up, lag, cut):
    """With a period of three steps the held tendency is part of the coupler's restart, which nn_stock asks for."""
    start = (
        coupled_run(
            {
                "namrun": {
                    "nn_itend": SPINUP + 2,
                    "nn_it000": SPINUP + 1,
                    "ln_rstart": True,
                    "cn_ocerst_in": spun_up().name,
                }
            },
            coupler=0,
            link=(spun_up(),),
        ).folder
        / f"TEST_{SPINUP + 2:08d}_restart.nc"
    )

    def groups(first, restart=""):
        made = lagged(first=first, restart=restart, period=THREE)
        made["namexc"][2]["nn_lag"] = lag
        return made

    last = SPINUP + 14
    stock = {"namrun": {**part(SPINUP + 3, last, start.name)["namrun"], "nn_stock": cut}}
    whole = zb20_run(groups("zero"), stock, link=(start,), ocean=2, coupler=2)
    restart, ours = (whole.folder / f"{name}_{cut:08d}_restart.nc" for name in ("TEST", "halocline"))
    assert restart.exists() and ours.exists(), sorted(whole.folder.iterdir())
    rest = part(cut + 1, last, restart.name)
    second = zb20_run(groups("restart" if lag else "zero", ours.name), rest, link=(restart, ours), coupler=3)
    same_bits(whole.restart(last), second.restart(last))


def test_a_restart_that_does_not_match_is_refused(zb20_run):
    """Another step, another artefact, another seed, no file: in words, before the first exchange."""
    first = zb20_run(lagged(), steps=6)
    ours = first.folder / f"halocline_{SPINUP + 6:08d}_restart.nc"
    done = zb20_run(lagged(first="restart", restart=ours.name), link=(ours,), ok=False)
    assert f"holds the state after step {SPINUP + 6}, the run begins at step {SPINUP + 1}" in done.text
    missing = zb20_run(lagged(first="restart"), ok=False)
    assert "cn_rst_in names none" in missing.text
    restart = first.folder / f"TEST_{SPINUP + 6:08d}_restart.nc"
    rest = part(SPINUP + 7, SPINUP + 12, restart.name)
    links = {"link": (restart, ours), "ok": False}
    other = lagged(first="restart", restart=ours.name)
    other["namnet"]["cn_artefact"] = "zb20_f4.onnx"
    assert "the artefacts (sha256)" in zb20_run(other, rest, **links).text
    seeded = lagged(first="restart", restart=ours.name)
    seeded["namcpl"]["nn_seed"] = 5
    assert "nn_seed 0, now 5" in zb20_run(seeded, rest, **links).text
    undecided = lagged(restart=ours.name)
    assert "cn_first = 'zero', and cn_rst_in names" in zb20_run(undecided, rest, **links).text
    with netCDF4.Dataset(ours, "a") as file:
        file.grids = '[[99, 15, "closed"]]'
    assert (
        'the grid [[99, 15, "closed"]], now [[19, 15, "closed"]]'
        in zb20_run(lagged(first="restart", restart=ours.name), rest, **links).text
    )
