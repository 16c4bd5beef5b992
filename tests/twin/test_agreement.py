"""The twin and the ocean agree to 1e-10 of the largest value after 100 steps, switch by switch."""

import dataclasses

import pytest
import torch

from models.data.ocean import read_switches
from models.data.ocean_restart import read_restart, write_restart
from models.twin.run import Twin
from models.twin.state import Level, Tendency
from tests.twin.conftest import STEPS, last

LIMIT = 1e-10
PLAIN = {"namzb20": {"ln_zb20": False}, "namdyn_ldf": {"rn_cl4": 0.0, "rn_ahm4": 0.0}, "namsbc": {"rn_season": 0.0}}

# One switch each, on top of the plain basin (closed, Smagorinsky, tracer with restoring, no slip).
SWITCHES = {
    "plain": {},
    "cyclic": {"namusr_def": {"cn_bnd": "cyclic_ew"}, "namsbc": {"cn_wind": "channel"}},
    "ln_cyclic": {"namusr_def": {"ln_cyclic": True}},
    "leith": {"namdyn_ldf": {"rn_cs4": 0.0, "rn_cl4": 0.002}},
    "constant": {"namdyn_ldf": {"rn_cs4": 0.0, "rn_ahm4": 2.0e10}},
    "sum": {"namdyn_ldf": {"rn_cs4": 0.02, "rn_cl4": 0.001, "rn_ahm4": 1.0e9}},
    "cap": {"namdyn_ldf": {"rn_cs4": 5.0, "rn_ahmcap": 0.01}},
    "inviscid": {"namdyn_ldf": {"ln_dynldf": False}},
    "zb20": {"namzb20": {"ln_zb20": True, "rn_zb_kappa": 2.0e8}},
    "zb20 cyclic": {"namzb20": {"ln_zb20": True, "rn_zb_kappa": 2.0e8}, "namusr_def": {"cn_bnd": "cyclic_ew"}},
    "no tracer": {"namtra": {"ln_tra": False}},
    "no restoring": {"namsbc": {"rn_trelax": 0.0}},
    "diffusion": {"namtra": {"rn_aht": 4000.0}},
    "free slip": {"namlbc": {"rn_shlat": 0.0}},
    "partial slip": {"namlbc": {"rn_shlat": 0.5}},
    "season": {"namsbc": {"rn_season": 0.5}, "namrun": {"nn_date0": 20315, "nn_leapy": 1}},
    "no wind": {"namsbc": {"cn_wind": "none"}},
    "tilted wind": {"namsbc": {"rn_tauas": 0.4}},
    "drag": {"namdrg": {"rn_drg": [1e-6, 3e-6]}},
    "one layer": {"namusr_def": {"nn_layers": 1, "rn_h": 500.0, "rn_gred": 0.02}},
    "three layers": {"namusr_def": {"nn_layers": 3, "rn_h": [300.0, 400.0, 500.0], "rn_gred": [0.01, 0.008, 0.006]}},
    "filter": {"namdom": {"rn_atfp": 0.02}},
}


def over(changes):
    """PLAIN with the changes laid over it."""
    return {name: PLAIN.get(name, {}) | changes.get(name, {}) for name in PLAIN.keys() | changes.keys()}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_agrees(both, name):
    found = both(over(SWITCHES[name]))
    assert found.twin.fields.keys() == found.ocean.fields.keys()
    assert found.error() < LIMIT
    assert found.twin.numbers == found.ocean.numbers


# What must not pass: the physics of the twin with one thing changed.
BROKEN = {
    "another drag law": lambda p: {"rn_drg": tuple(-x for x in p.rn_drg)},
    "no cap": lambda p: {"rn_ahmcap": 100.0},
    "another filter": lambda p: {"rn_atfp": p.rn_atfp * 1.01},
    "weaker friction": lambda p: {"rn_cs4": p.rn_cs4 * 0.999},
    "no restoring": lambda p: {"r1_trelax": 0.0},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_twin_with_other_physics_does_not_agree(both, name):
    def spoil(twin):
        twin.physics = dataclasses.replace(twin.physics, **BROKEN[name](twin.physics))

    assert both(over(SWITCHES["cap"] if name == "no cap" else {}), spoil=spoil).error() > 100 * LIMIT


def test_single_precision_agrees_as_far_as_its_numbers_reach(both):
    assert 1e-7 < both(over({}), dtype=torch.float32).error() < 1e-3


def test_the_ocean_goes_on_from_the_twins_restart_and_back(ocean, tmp_path):
    """60 steps in Fortran, 20 in torch, 20 in Fortran: as 100 in Fortran. The twin that begins forward again is not."""
    whole = ocean({"namrun": {"nn_itend": 100}}, over({}), name="whole")
    begun = ocean({"namrun": {"nn_itend": 60}}, over({}), name="begun")
    twin = Twin(read_switches(begun.rundir))
    start = twin.state(read_restart(begun.rundir / "TEST_00000060_restart.nc"))
    errors = []
    for forward in (False, True):
        with torch.no_grad():
            state = twin.after(start, 61, 20, forward=forward)
        folder = tmp_path / f"last{forward}"
        folder.mkdir()
        write_restart(folder / "restart.nc", twin.restart(state, 80))
        done = ocean({"namrun": {"nn_it000": 81, "nn_itend": 100, "ln_rstart": True}}, over({}), name=folder.name)
        one, two = (read_restart(run.rundir / "TEST_00000100_restart.nc").fields for run in (whole, done))
        errors.append(max(abs(one[name] - two[name]).max() / abs(one[name]).max() for name in one))
    assert errors[0] < LIMIT < errors[1] / 100


def test_members_are_runs_of_their_own(tmp_path):
    """A batch of two is two runs; members that differ do not mix."""
    from tests.twin.conftest import small

    twin = small(tmp_path)
    one = twin.rest()
    two = one._replace(now=one.now._replace(u=one.now.u + 0.01 * twin.basin.umask.at()))

    def run(state):
        with torch.no_grad():
            return twin.after(state, 1, 20, forward=True).now

    def stack(a: Level, b: Level) -> Level:
        return Level(*(torch.stack(pair) for pair in zip(a, b, strict=True)))

    together = run(type(one)(stack(one.before, two.before), stack(one.now, two.now)))
    for number, state in enumerate((one, two)):
        for found, alone in zip(together, run(state), strict=True):
            assert torch.allclose(found[number], alone, rtol=1e-12, atol=1e-14)
    assert (together.u[0] - together.u[1]).abs().max() > 1e-4


def test_a_closure_is_held_and_masked_as_the_coupler_does(tmp_path):
    """Called at steps 1, 4, 7; land faces stay at rest. The twin that is called at every step differs."""
    from tests.twin.conftest import small

    twin = small(tmp_path)
    seen = []

    def closure(now: Level) -> Tendency:
        seen.append(now)
        return Tendency(torch.full_like(now.u, 1e-7) * len(seen), torch.full_like(now.v, 1e-7))

    held = last(twin, 9, closure=closure, every=3)
    assert len(seen) == 3
    assert (held.fields["un"][:, twin.basin.umask.at().numpy() == 0] == 0).all()
    seen.clear()
    assert abs(last(twin, 9, closure=closure, every=1).fields["un"] - held.fields["un"]).max() > 1e-5


def test_steps_of_this_test_show_the_flow(both):
    """The comparison is no comparison of rest: after STEPS steps there is a flow of centimetres per second."""
    assert abs(both(over({}), steps=STEPS).ocean.fields["un"]).max() > 0.01
