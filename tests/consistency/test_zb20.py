"""The bridge is right: the network on the other side returns what the same closure in Fortran computes, in every layout."""

from functools import cache

import numpy as np
import pytest

from tests.consistency.conftest import KAPPA, SPINUP, coupling, largest, nudged, same_bits

LAYOUTS = [(ocean, coupler) for ocean in (1, 2, 4) for coupler in (1, 2)]
EDGED = [(edges, *layout) for edges in ("cyclic_ew", "fold_T", "fold_F") for layout in ((1, 1), (4, 2))]

# The ocean computes the closure too and writes it; what the coupler returns is compared and not applied.
FORTRAN = {
    "namzb20": {"ln_zb20": True, "rn_zb_kappa": KAPPA},
    "namtrd": {"ln_trd": True, "nn_trd": 1, "ln_trd_r8": True},
}


def difference(run):
    """Largest |network - Fortran| over all steps and points, relative to the largest |tendency|."""
    diagnostics, trends = run.diagnostics(), run.open(f"TEST_{SPINUP + 1:08d}_{SPINUP + 6:08d}_trd.nc")
    ours = [diagnostics["du"].values, diagnostics["dv"].values]
    theirs = [trends["utrd_zb20"].values, trends["vtrd_zb20"].values]
    assert ours[0].shape == theirs[0].shape == (6, 2, ours[0].shape[2], ours[0].shape[3])
    assert largest(*theirs) > 1e-10
    return max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)) / largest(*theirs)


@pytest.fixture(scope="session")
def compared(zb20_run):
    """compared(boundary, ocean, coupler) -> that run, made once."""

    @cache
    def get(boundary, ocean, coupler):
        return zb20_run(FORTRAN, coupling(active=False), boundary=boundary, ocean=ocean, coupler=coupler)

    return get


@pytest.mark.parametrize("boundary,ocean,coupler", [("closed", *pair) for pair in LAYOUTS] + EDGED)
def test_network_and_fortran_agree_at_every_point(compared, boundary, ocean, coupler):
    assert difference(compared(boundary, ocean, coupler)) <= 1e-12


@pytest.mark.parametrize("boundary,ocean,coupler", [("closed", *pair) for pair in LAYOUTS[1:]] + EDGED[1::2])
def test_tendencies_have_the_same_bits_in_every_layout(compared, boundary, ocean, coupler):
    same_bits(compared(boundary, 1, 1).diagnostics(), compared(boundary, ocean, coupler).diagnostics())


def test_a_change_in_the_last_bit_is_caught(compared):
    run = compared("closed", 1, 1).diagnostics()
    with pytest.raises(AssertionError, match="du differs"):
        same_bits(run, nudged(run, "du"))


def test_single_precision_agrees_to_its_round_off(zb20_run):
    """An ocean in real32, 32 bits on the wire, the f4 artefact."""
    net = coupling("zb20_f4.onnx", wire=32, active=False)
    one, other = (zb20_run(FORTRAN, net, variant="single", ocean=a, coupler=b) for a, b in [(1, 1), (2, 2)])
    same_bits(one.diagnostics(), other.diagnostics())
    assert difference(one) <= 3e-5


def test_the_exported_program_agrees(zb20_run):
    run = zb20_run(FORTRAN, coupling("zb20_f8.pt2", active=False), {"namnet": {"ln_trust": True}}, ocean=2, coupler=1)
    assert difference(run) <= 1e-12


@pytest.mark.parametrize("boundary", ["closed", pytest.param("cyclic_ew", marks=pytest.mark.slow), "fold_T"])
def test_coupled_runs_have_the_same_bits_in_every_layout(zb20_run, boundary):
    """With the tendencies applied, forty steps on: the restart of the ocean itself."""
    last = SPINUP + 40
    runs = [zb20_run(steps=40, boundary=boundary, ocean=a, coupler=b) for a, b in [(1, 1), (4, 2), (2, 3)]]
    for run in runs[1:]:
        same_bits(runs[0].restart(last), run.restart(last))


def test_the_closure_matters(zb20_run):
    """Forty steps with it and without it differ: the comparison above compares something."""
    last = SPINUP + 40
    with pytest.raises(AssertionError):
        same_bits(zb20_run(steps=40).restart(last), zb20_run(steps=40, coupler=0).restart(last))


def test_inactive_coupling_gives_the_bits_of_the_uncoupled_run(zb20_run):
    last = SPINUP + 40
    alone = zb20_run(steps=40, coupler=0)
    same_bits(alone.restart(last), zb20_run(coupling(active=False), steps=40, ocean=2, coupler=1).restart(last))


# --- Broken variants -------------------------------------------------------------------------------------------------

SHORT_HALO = '''
"""Zanna-Bolton 2020 that sees one cell less than its radius: the outer ring of its inputs is replaced by the next one."""
from coupler.engines.base import find_artefact, load_engine

net = load_engine(find_artefact("zb20_f8.onnx"))
CONTRACT = {**net.contract.model_dump(exclude_none=True), "self_test": None}


def run(inputs):
    short = {name: field.copy() for name, field in inputs.items()}
    for field in short.values():
        field[:, 0], field[:, -1] = field[:, 1], field[:, -2]
        field[:, :, 0], field[:, :, -1] = field[:, :, 1], field[:, :, -2]
    return net.run(short)
'''

BROKEN_PLAN = '''
"""The coupler with one rank's run list shifted, or with two fields of an exchange in the wrong order."""
import dataclasses, sys
import coupler.transport.mpi as mpi
from coupler import cli

words = mpi._words


def shifted(plans, rank):
    if rank != 0:
        return words(plans, rank)
    moved = []
    for plan in plans:
        sets = [dataclasses.replace(s, requests={{r: dataclasses.replace(q, runs=dataclasses.replace(
            q.runs, start=(q.runs.start - 1).clip(0))) for r, q in s.requests.items()}}) for s in plan.sets]
        moved.append(dataclasses.replace(plan, sets=tuple(sets)))
    return words(moved, rank)


def swapped(plans, rank):
    for plan in plans:
        fields = list(plan.exchange.fields)
        if plan.exchange.name == "state":
            fields[0], fields[1] = fields[1], fields[0]
        plan.exchange.__dict__["fields"] = tuple(fields)
    found = words(plans, rank)
    for plan in plans:
        fields = list(plan.exchange.fields)
        if plan.exchange.name == "state":
            fields[0], fields[1] = fields[1], fields[0]
        plan.exchange.__dict__["fields"] = tuple(fields)
    return found


mpi._words = {variant}
sys.argv = ["halocline", "couple", "."]
cli.main()
'''


def test_a_halo_one_cell_short_is_caught(zb20_run, compared, tmp_path):
    (tmp_path / "broken.py").write_text(SHORT_HALO)
    net = coupling("broken.py", active=False)
    whole, cut = (zb20_run(FORTRAN, net, link=(tmp_path / "broken.py",), ocean=2, coupler=n) for n in (1, 2))
    same_bits(compared("closed", 1, 1).diagnostics(), whole.diagnostics())  # beyond the walls nothing is read
    assert difference(cut) > 1e-3
    with pytest.raises(AssertionError, match="differs"):
        same_bits(whole.diagnostics(), cut.diagnostics())


@pytest.mark.parametrize("variant", ["shifted", "swapped"])
def test_a_wrong_plan_is_caught(zb20_run, compared, tmp_path, variant):
    script = tmp_path / "broken_couple.py"
    script.write_text(BROKEN_PLAN.format(variant=variant))
    run = zb20_run(FORTRAN, coupling(active=False), ocean=2, coupler=2, script=script)
    assert difference(run) > 1e-3
    with pytest.raises(AssertionError, match="differs"):
        same_bits(compared("closed", 1, 1).diagnostics(), run.diagnostics())


def test_the_units_of_kappa(zb20_run):
    """Twice the coefficient in Fortran is a difference of one half: the agreement above is not that of two zeros."""
    twice = {**FORTRAN, "namzb20": {"ln_zb20": True, "rn_zb_kappa": 2 * KAPPA}}
    assert difference(zb20_run(twice, coupling(active=False))) == pytest.approx(0.5, rel=1e-9)
