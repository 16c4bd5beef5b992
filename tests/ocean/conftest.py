"""Runs of the reference ocean for the tests: a small basin, a dictionary of switches on top, real mpirun, a time-out."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import f90nml
import numpy as np
import pytest
import xarray as xr

ROOT = Path(__file__).resolve().parents[2]
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMP_NUM_THREADS": "1",
}

# A basin that shows everything in few steps: odd sizes, strong wind, closures on, noise.
SMALL = {
    "namrun": {"cn_exp": "TEST", "nn_itend": 60, "nn_stat": 10},
    "namusr_def": {"nn_nx": 17, "nn_ny": 13, "rn_dx": 40000.0, "rn_pert": 5.0},
    "namdom": {"rn_dt": 2400.0},
    "namsbc": {"rn_tau0": 0.3, "rn_season": 0.2},
    "namzb20": {"ln_zb20": True, "rn_zb_kappa": 2.0e8},
    "namdyn_ldf": {"rn_cs4": 0.02, "rn_cl4": 0.001, "rn_ahm4": 1.0e9},
}


@dataclass
class Run:
    """What a run left behind."""

    rundir: Path
    code: int
    stderr: str

    @property
    def log(self) -> str:
        return (self.rundir / "ocean.output").read_text()

    @property
    def stat(self) -> np.ndarray:
        """run.stat as an array, one row per line: it, date, second, max|u|, KE per layer, KE, min h."""
        return np.loadtxt(self.rundir / "run.stat", ndmin=2)

    def restart(self, kt: int) -> xr.Dataset:
        return self.open(f"TEST_{kt:08d}_restart.nc")

    def open(self, name: str, **kwargs) -> xr.Dataset:
        with xr.open_dataset(self.rundir / name, **kwargs) as ds:
            return ds.load()


def executable(variant: str) -> Path:
    """build/<variant>/gyre.exe; the tests build nothing."""
    exe = ROOT / "build" / variant / "gyre.exe"
    if not exe.exists():
        pytest.fail(f"{exe.relative_to(ROOT)} is missing: run make fortran")
    return exe


def write_namelist(path: Path, *changes: dict) -> None:
    """Write SMALL with the changes laid over it, group by group."""
    groups = {name: dict(group) for name, group in SMALL.items()}
    for change in changes:
        for name, group in change.items():
            groups[name] = groups.get(name, {}) | group
    f90nml.Namelist(groups).write(path, force=True)


@pytest.fixture
def ocean(tmp_path):
    """A function that runs the ocean and returns a Run; it fails unless the run ended as `ok` says."""

    def run(*changes, ranks=1, variant="double", name="run", text=None, ok=True, timeout=60) -> Run:
        rundir = tmp_path / name
        rundir.mkdir(exist_ok=True)
        if text is not None:
            (rundir / "namelist_cfg").write_text(text)
        elif changes:
            write_namelist(rundir / "namelist_cfg", *changes)
        command = ["mpirun", "-np", str(ranks), str(executable(variant))]
        done = subprocess.run(
            command, cwd=rundir, env=os.environ | MPI, capture_output=True, text=True, timeout=timeout, check=False
        )
        result = Run(rundir, done.returncode, done.stderr)
        if ok:
            assert done.returncode == 0, done.stderr
            assert result.log.splitlines()[-1].startswith(" gyre: run ended well")
        else:
            assert done.returncode != 0
        return result

    return run


def same_bits(one: xr.Dataset, two: xr.Dataset) -> None:
    """Every variable of two files has the same bits."""
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        a, b = one[name].values, two[name].values
        assert a.shape == b.shape and a.tobytes() == b.tobytes(), f"{name} differs in {np.sum(a != b)} values"


def nudged(ds: xr.Dataset, name: str) -> xr.Dataset:
    """The same, the wet values of one variable moved by one unit in the last place: what same_bits must catch."""
    ds = ds.copy(deep=True)
    values = ds[name].values
    values[:] = np.where(values != 0.0, np.nextafter(values, np.inf), values)
    return ds
