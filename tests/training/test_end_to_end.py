"""From a fine run to a network that makes the coarse Fortran ocean forecast better: every step as a user takes it, on tiny data."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from coupler import launch
from coupler.cli import app
from coupler.errors import HaloclineError
from coupler.io import read_output
from coupler.programs import REPOSITORY
from models.campaign import forecast
from models.cli import register
from models.data import store
from models.data.coarse import basin
from tests.data import tiny

pytestmark = [pytest.mark.mpi, pytest.mark.physics, pytest.mark.timeout(300)]

LEAD = 5  # days of a forecast, one interval of the truth's states
DATES = (207, 210)  # in the test part of the record
TRAIN = """
&namsplit rn_train = 0.8, rn_val = 0.1, rn_test = 0.1, rn_gap = 20. /
&namtrain
   cn_name = 'tiny', cn_data = '{data}', nn_width = 16, nn_kernels = 3, 3, 3, nn_epochs = 30, rn_lr = 4.e-3
   rn_noise = 0.1, rn_restore = 129600., nn_threads = 1, cn_formats = 'onnx'
/
"""
OCEAN: tiny.Groups = {
    "namrun": {"cn_exp": "F", "ln_rstart": True, "nn_rstctl": 0, "cn_ocerst_in": "start.nc", "nn_stat": 0},
    "namdia": {"ln_mean": False},
    "namusr_def": tiny.COARSE["namusr_def"],
    "namdyn_ldf": tiny.COARSE["namdyn_ldf"],
    "namsbc": tiny.COARSE["namsbc"],
}
COUPLING = """
&namcpl nn_wire = 32 /
&namexc cn_name = 'geometry', cn_dir = 'to_coupler', ln_static = .true., cn_fields = 'tmask', 'umask', 'vmask' /
&namexc cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', 'h' /
&namexc cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv' /
&namnet cn_name = 'net', cn_artefact = 'tiny.onnx', rn_scale = {scale}, cn_policy = 'clip', rn_clip = 1. /
"""


@dataclass(frozen=True)
class Made:
    """What the commands made: a data set and a network."""

    folder: Path
    data: Path
    network: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """halocline truth, coarsen, train."""
    place = tmp_path_factory.mktemp("end_to_end")
    truth = tiny.truth_cfg(place / "truth_cfg", {**tiny.TRAIN, "nn_years": 3, "rn_every": 432000.0})
    coarse = tiny.coarsen_cfg(place / "coarse_cfg")
    train = place / "train_cfg"
    train.mkdir()
    data = place / "coarse" / "train.zarr"
    (train / "namelist_cfg").write_text(TRAIN.format(data=data))
    _halocline("truth", truth, "--out", place / "truth", "--jobs", "1")
    _halocline("coarsen", coarse, "--truth", place / "truth", "--out", place / "coarse", "--jobs", "1")
    _halocline("train", train, "--rundir", place / "net")
    return Made(place, data, place / "net" / "tiny.onnx")


def _halocline(command: str, *words: object) -> None:
    if not any(known.name == command for known in app.registered_commands):
        register(app)
    result = CliRunner().invoke(app, [command, *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def _error(made: Made, record: int, scale: float | None, network: Path | None = None) -> float:
    """Rms error [m] of the thickness after LEAD days from a state of the truth; scale: of the network, None: without it."""
    name = f"{record}_{scale}_{network is not None}"
    cfg = made.folder / "forecasts" / name
    shutil.rmtree(cfg, ignore_errors=True)
    cfg.mkdir(parents=True)
    data = store.read(made.data)
    forecast.start_state(data, record, cfg / "start.nc")
    steps = LEAD * 27
    run = {"nn_it000": 1, "nn_itend": steps, "nn_write": steps, "ln_cpl": scale is not None}
    coupling = "" if scale is None else COUPLING.format(scale=scale)
    (cfg / "namelist_cfg").write_text(tiny.text(tiny.over(OCEAN, {"namrun": run})) + coupling)
    shutil.copy(network or made.network, cfg / "tiny.onnx")
    single = REPOSITORY / "build" / "single" / "gyre.exe"
    job = launch.prepare(cfg, 1, 0 if scale is None else 1, cfg / "run", single, [cfg / "start.nc"], overwrite=True)
    launch.run(job, Console(quiet=True))
    (output,) = (cfg / "run").glob("F_*_inst.nc")
    found = basin(read_output(output).thkcello.values[-1])
    return float(np.sqrt(np.mean((found - basin(data.h.values[record + 1])) ** 2)))


@pytest.fixture(scope="module")
def alone(made) -> list[float]:
    """Errors of the coarse ocean alone."""
    return [_error(made, record, None) for record in DATES]


def assert_better(made: Made, alone: list[float], scale: float) -> None:
    errors = [_error(made, record, scale) for record in DATES]
    assert max(np.divide(errors, alone)) < 0.9, f"{errors} m with the network, {alone} m without"


def test_the_network_makes_the_fortran_ocean_forecast_better(made, alone):
    assert_better(made, alone, 1.0)


@pytest.mark.parametrize("scale", [-1.0, 3200.0, 1 / 432000.0], ids=["wrong sign", "per step", "per window"])
def test_a_broken_tendency_is_caught(made, alone, scale):
    """A sign that is wrong, a tendency in m/s per step, one divided by the time between two states."""
    with pytest.raises((AssertionError, HaloclineError)):
        assert_better(made, alone, scale)


def test_a_halo_that_is_short_is_refused(made, tmp_path):
    """A contract that promises a smaller radius than the graph has never reaches the ocean."""
    import onnx

    from coupler.contract import KEY, Contract

    model = onnx.load(made.network)
    (entry,) = (entry for entry in model.metadata_props if entry.key == KEY)
    contract = Contract.from_json(entry.value)
    entry.value = contract.model_copy(update={"radius": contract.radius - 1}).to_json()
    onnx.save(model, tmp_path / "tiny.onnx")
    with pytest.raises(HaloclineError):
        _error(made, DATES[0], 1.0, tmp_path / "tiny.onnx")


def test_a_year_is_scored(made, tmp_path):
    """halocline evaluate on what the fine run left: the data set against itself has no error."""
    _halocline("evaluate", made.data, "--truth", made.data, "--out", tmp_path / "scores")
    assert (tmp_path / "scores" / "scores.json").is_file()
