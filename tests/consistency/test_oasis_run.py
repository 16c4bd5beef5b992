"""Coupled runs over OASIS: the same bits as over MPI, the namcouple written and checked, the wrong client recognised."""

import pytest

from coupler.oasis.namcouple import read
from tests.consistency.conftest import SPINUP, coupling, merged, same_bits


def over_oasis(**changes):
    return merged(coupling(**changes), {"namcpl": {"cn_transport": "oasis"}})


@pytest.mark.parametrize(("artefact", "wire"), [("zb20_f8.onnx", 64), ("zb20_f8.onnx", 32), ("zb20_f4.onnx", 32)])
def test_both_transports_give_the_same_bits(zb20_run, artefact, wire):
    """Also when the wire rounds to 32 bits: OASIS carries 64, the rounding is done on both sides of it."""
    last = SPINUP + 20
    mpi = zb20_run(coupling(artefact, wire=wire), steps=20, ocean=2, coupler=1)
    oasis = zb20_run(over_oasis(artefact=artefact, wire=wire), steps=20, ocean=3, coupler=2)
    same_bits(mpi.restart(last), oasis.restart(last))
    same_bits(mpi.diagnostics(), oasis.diagnostics())


def test_a_large_grid_travels_level_by_level(coupled_run):
    """From 5000 points on a coupled field per level, named in the namcouple."""
    change = {"namusr_def": {"nn_nx": 72, "nn_ny": 70}, "namrun": {"nn_itend": 4, "ln_cpl": True}}
    mpi = coupled_run(change, coupling())
    oasis = coupled_run(change, over_oasis(), ocean=3, coupler=2)
    same_bits(mpi.restart(4), oasis.restart(4))
    names = {entry.source for entry in read(oasis.folder / "namcouple").entries}
    assert {"hal_o_u_001", "hal_o_u_002", "hal_o_e1t", "hal_c_du_002"} <= names and "hal_o_u" not in names


def test_inactive_coupling_changes_nothing(zb20_run):
    last = SPINUP + 10
    alone = zb20_run(steps=10, coupler=0)
    same_bits(alone.restart(last), zb20_run(over_oasis(active=False), steps=10, ocean=2, coupler=2).restart(last))


def test_a_time_step_of_fractions_counts_in_steps(zb20_run):
    """OASIS counts whole numbers: with a step of 2400.5 s its time is the step."""
    change = {"namdom": {"rn_dt": 2400.5}, "namdiag": {"rn_diag": 2400.5}, "namrun": {"nn_rstctl": 0}}
    mpi = zb20_run(change, steps=6)
    oasis = zb20_run(over_oasis(), change, steps=6, ocean=2)
    same_bits(mpi.diagnostics(), oasis.diagnostics())
    assert read(oasis.folder / "namcouple").runtime == 6


def test_a_model_linked_with_the_mpi_client_is_recognised(zb20_run):
    first = zb20_run(over_oasis(), steps=2)
    done = zb20_run(over_oasis(), steps=2, linked="gyre.exe", link=[first.folder / "namcouple"], ok=False)
    assert "linked with the MPI client" in done.text


def test_a_model_linked_with_the_oasis_client_is_recognised(zb20_run, tmp_path):
    first = zb20_run(over_oasis(), steps=2)
    done = zb20_run(coupling(), linked="gyre_oasis.exe", link=[first.folder / "namcouple"], ok=False)
    assert "linked with the OASIS client" in done.text


def test_without_a_namcouple_the_message_says_how_to_write_one(zb20_run):
    done = zb20_run(over_oasis(), linked="gyre_oasis.exe", ok=False)
    assert "needs a file 'namcouple'" in done.text or "halocline namcouple" in done.text


def test_a_namcouple_of_another_run_is_refused(zb20_run):
    """Seven steps in the namcouple, six in the namelist."""
    seven = zb20_run(over_oasis(), steps=7)
    done = zb20_run(over_oasis(), steps=6, linked="gyre_oasis.exe", link=[seven.folder / "namcouple"], ok=False)
    assert "$RUNTIME" in done.text and "halocline namcouple" in done.text
