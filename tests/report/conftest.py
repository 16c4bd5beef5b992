"""Reports that several tests look at."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from models.evaluation.climate import climate_of
from models.report.page import report
from tests.data.nemo_run import Run as Nemo
from tests.report.small import coupled, ocean


@dataclass(frozen=True)
class Written:
    """A page with the folder of its run."""

    run: Path
    page: Path

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def full(tmp_path_factory) -> Written:
    """A coupled run beside the ocean alone and two truths."""
    folder = tmp_path_factory.mktemp("report")
    run, other = coupled(folder / "closure"), ocean(folder / "alone")
    truths = [climate_of(ocean(folder / f"t{seed}", 30, seed)).save(folder / f"truth_{seed}.npz") for seed in (2, 3)]
    return Written(run, report(run, other, folder / "out", truths, 10.0))


@pytest.fixture(scope="session")
def nemo(tmp_path_factory) -> Written:
    """A run of NEMO, and nothing of ours."""
    folder = tmp_path_factory.mktemp("nemo")
    Nemo().write(folder)
    (folder / "namelist_cfg").write_text("&namrun nn_it000 = 1, nn_itend = 240 /\n&namdom rn_Dt = 5400. /\n")
    (folder / "time.step").write_text(" 240\n")
    return Written(folder, report(folder))


@pytest.fixture(scope="session")
def failed(tmp_path_factory) -> Written:
    """A coupled run that an error stopped before it wrote anything but its log and its energy."""
    folder = tmp_path_factory.mktemp("failed")
    run = coupled(folder / "run", states=2)
    for path in (*run.glob("*.nc"), *run.glob("halocline.*.json"), run / "halocline_energy.csv", run / "timing.output"):
        path.unlink()
    (run / "halocline.abort").write_text("network 'gz' returned nan in <du> & more at (i,j,k) = (3,5,1)\n")
    return Written(run, report(run))
