"""A units error, an increment used as a tendency, is caught by the contract, and by the free run where the contract is bypassed.

The truth has a warmer southern restoring temperature than the model; the right correction adds a constant increment of temperature.
"""

import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign import bias_judge, matrix, rows, runs
from models.campaign.truth import Truth
from tests.campaign.bias_network import contract, write

TINY = matrix.Grid(24, 5400.0)  # 80 km
QUIET = Console(quiet=True)
COLD = {"namsbc.rn_tstar_s": "23."}  # 25 in the truth: the model is up to 2 degrees too cold
WARM = (0.0,) * 6 + (0.05,)  # degC in five days
SLOW = (-0.05, -0.05, -0.05, -0.05, 0.0, 0.0, 0.0)  # of the currents in five days


@pytest.fixture(scope="module")
def campaign(tmp_path_factory, repo):
    return runs.Campaign(tmp_path_factory.mktemp("bias"), repo / "build" / "single" / "gyre.exe")


@pytest.fixture(scope="module")
def truth(campaign):
    climates = []
    for start in (1, 2):
        row = matrix.Row(f"truth {start}", "truth", grid=TINY, start=start, years=1)
        runs.run(campaign, row, QUIET)
        climates.append(rows.climate(campaign, row, (24, 24)))
    return Truth("trained", climates)


@pytest.fixture(scope="module")
def free(campaign, truth):
    return rows.scored(campaign, matrix.Row("free", "free", grid=TINY, edits=COLD, years=1), truth, QUIET)


def corrected(campaign, truth, file):
    row = matrix.Row(file.stem, "network", grid=TINY, edits=COLD, bias=file, years=1)
    return rows.scored(campaign, row, truth, QUIET)


@pytest.mark.mpi
def test_an_increment_corrects_the_free_run(campaign, truth, free, tmp_path):
    """Divided by its window, once, it takes away most of the error of temperature, and the judge has nothing against it."""
    file = write(tmp_path / "right.onnx", contract("increment", "state"), offset=WARM)
    found = corrected(campaign, truth, file)
    assert found["scores"]["t_rmse"] < 0.6 * free["scores"]["t_rmse"]
    assert not [words for words in bias_judge.harmful(found, free["scores"], truth) if words.startswith("t_rmse")]


@pytest.mark.mpi
def test_the_contract_refuses_an_increment_as_a_tendency(campaign, truth, tmp_path):
    """Kind 'tendency' with the units of a state: refused before the first step. Kind 'increment' without a window: no contract."""
    with pytest.raises(HaloclineError, match="window"):
        replaced = contract("increment", "state").model_dump(exclude_none=True)
        replaced.pop("window")
        type(contract()).from_dict(replaced)
    with pytest.raises(HaloclineError, match="du_bias.*m s-1|m s-1.*du_bias"):
        corrected(campaign, truth, write(tmp_path / "units.onnx", contract("tendency", "state"), offset=WARM))


@pytest.mark.mpi
@pytest.mark.parametrize(("name", "gain", "offset"), [("warm", (0.0,) * 7, WARM), ("slow", SLOW, (0.0,) * 7)])
def test_the_free_run_shows_what_a_forged_contract_hides(campaign, truth, free, tmp_path, name, gain, offset):
    """The same numbers under forged units, per second: too large by 432000, the run is worse than free, or blows up."""
    file = write(tmp_path / f"forged_{name}.onnx", contract("tendency", "rate"), gain, offset)
    found = corrected(campaign, truth, file)
    assert bias_judge.harmful(found, free["scores"], truth)
    if found["scores"] is not None:
        assert found["scores"]["t_rmse"] > 10 * free["scores"]["t_rmse"]
    verdicts = bias_judge.required([found], free["scores"], None, truth)
    assert not all(verdict.holds for verdict in verdicts)


@pytest.mark.mpi
def test_bounds_stop_a_forged_increment(campaign, truth, tmp_path):
    """With the bounds of a tendency in the contract the guard stops the run on its first day."""
    agreed = contract("tendency", "rate")
    bounded = [out.model_copy(update={"bounds": (-1e-4, 1e-4)}) for out in agreed.outputs]
    file = write(tmp_path / "bounded.onnx", agreed.model_copy(update={"outputs": tuple(bounded)}), offset=WARM)
    found = corrected(campaign, truth, file)
    assert found["status"] == "blew up" and found["day"] == 0 and "guard" in found["message"]
