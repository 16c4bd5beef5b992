"""Periods, held tendencies and restarts of coupled runs."""

import pytest

from tests.consistency.conftest import SPINUP, coupling, same_bits

THREE = 3 * 2400.0


def part(first, last, restart):
    return {"namrun": {"nn_it000": first, "nn_itend": last, "cn_ocerst_in": restart}}


def test_a_period_of_three_steps_holds_the_tendency(zb20_run):
    """Step 1 of the experiment is an exchange: steps 403, 406, ... are, and the restart at 400 is off them by two."""
    refused = zb20_run(coupling(period=THREE), steps=6, ok=False)
    assert "happens every 3 steps counted from step 1" in refused.text
    assert f"Start at step {SPINUP + 3}" in refused.text


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
    assert (shake.grid.nx, shake.grid.ny, shake.grid.boundary, len(shake.domains)) == (19, 15, "closed", 2)
    assert [field.name for field in shake.fields if field.direction == "in"] == ["du", "dv", "dt"]
    assert str(shake.date(1)) == "0001-01-01 00:00:00"
