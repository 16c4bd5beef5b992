"""`halocline twin` stands in for the ocean: the same files with the same names, variables, attributes, times and values."""

import dataclasses
import io
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import typer
from rich.console import Console
from torch._dynamo.utils import counters
from typer.testing import CliRunner

from coupler.errors import HaloclineError
from models.cli import register
from models.twin import output, program
from models.twin.run import Twin
from tests.ocean.conftest import ocean, write_namelist  # noqa: F401  a fixture

LIMIT = 1e-10
BASIN = {"nn_nx": 9, "nn_ny": 7}
ALL = {
    "namrun": {"nn_itend": 24, "nn_write": 6, "nn_stock": 10, "nn_stat": 7},
    "namusr_def": BASIN,
    "namdia": {"nn_burst": 10, "nn_burst_d": 2, "ln_dia_r8": True},
}
CASES = {
    "all": {},
    "cyclic": {
        "namusr_def": BASIN | {"cn_bnd": "cyclic_ew"},
        "namrun": ALL["namrun"] | {"nn_leapy": 1, "nn_date0": 20240228, "nn_stat": 0},
        "namdia": ALL["namdia"] | {"cn_mean": "thkcello sosstsst", "cn_inst": "ssrelvor vozocrtx"},
    },
    "one kind": {"namdia": {"ln_mean": False, "ln_dia_r8": True}, "namdom": {"ln_meshmask": False}},
    "one layer": {"namusr_def": BASIN | {"nn_layers": 1, "rn_h": 500.0, "rn_gred": 0.02}, "namtra": {"ln_tra": False}},
}


def twin(namelist: Path, folder: Path, **options) -> Path:
    """Run the twin of a namelist; what it says is not looked at."""
    return program.run(namelist, Console(file=io.StringIO()), folder, **options)


def names(folder: Path) -> set[str]:
    """The results in a folder."""
    return {path.name for path in folder.iterdir()} - {"namelist_cfg", "namelist_ref", "restart.nc"}


def described(file: netCDF4.Dataset) -> dict:
    """All that a file says besides its values."""
    return {
        "format": file.data_model,
        "attributes": {name: file.getncattr(name) for name in file.ncattrs()},
        "dimensions": {name: (len(axis), axis.isunlimited()) for name, axis in file.dimensions.items()},
        "variables": {
            name: (variable.dtype, variable.dimensions, {key: variable.getncattr(key) for key in variable.ncattrs()})
            for name, variable in file.variables.items()
        },
    }


def assert_same(ocean_folder: Path, twin_folder: Path, limit: float = LIMIT) -> None:
    """The same files; values within `limit` of the largest one, coordinates and times to the last bits."""
    assert names(ocean_folder) == names(twin_folder)
    for name in sorted(name for name in names(ocean_folder) if name.endswith(".nc")):
        with netCDF4.Dataset(ocean_folder / name) as one, netCDF4.Dataset(twin_folder / name) as two:
            assert described(one) == described(two), name
            for key in one.variables:
                a, b = one[key][:], two[key][:]
                assert (np.ma.getmaskarray(a) == np.ma.getmaskarray(b)).all(), f"land of {key} in {name}"
                exact = key.startswith(("nav", "time", "deptht")) or name == "mesh_mask.nc"
                size = abs(a).max() if a.count() else 0.0
                assert abs(a - b).max() <= (1e-15 if exact else limit) * size, f"{key} in {name}"
    if (ocean_folder / "run.stat").exists():
        heads, tables = zip(
            *(
                (path.read_text().splitlines()[0], np.loadtxt(path, ndmin=2))
                for path in stats(ocean_folder, twin_folder)
            ),
            strict=True,
        )
        assert heads[0] == heads[1]
        assert tables[0].shape == tables[1].shape
        assert (abs(tables[0] - tables[1]) <= limit * abs(tables[0]).max(axis=0)).all()


def stats(*folders: Path) -> list[Path]:
    return [folder / "run.stat" for folder in folders]


@pytest.mark.parametrize("name", CASES)
def test_the_twin_writes_the_oceans_files(ocean, tmp_path, name):  # noqa: F811
    done = ocean(ALL, CASES[name])
    assert_same(done.rundir, twin(done.rundir / "namelist_cfg", tmp_path / "twin"))
    assert "run ended well at kt = 24" in (tmp_path / "twin" / "ocean.output").read_text()


def test_output_in_single_precision_is_rounded_as_the_ocean_rounds(ocean, tmp_path):  # noqa: F811
    done = ocean(ALL, {"namdia": {"ln_dia_r8": False}})
    assert_same(done.rundir, twin(done.rundir / "namelist_cfg", tmp_path / "twin"), limit=2e-7)


def test_the_twin_in_single_precision_writes_the_files_of_the_single_ocean(ocean, tmp_path):  # noqa: F811
    done = ocean(ALL, variant="single")
    assert_same(done.rundir, twin(done.rundir / "namelist_cfg", tmp_path / "twin", dtype="single"), limit=1e-3)


BROKEN = {
    "another drag law": lambda p: {"rn_drg": tuple(-x for x in p.rn_drg)},
    "another filter": lambda p: {"rn_atfp": 1.01 * p.rn_atfp},
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_of_a_twin_with_other_physics_are_not_the_oceans(ocean, tmp_path, monkeypatch, name):  # noqa: F811
    done = ocean(ALL)
    made = Twin.__init__

    def spoilt(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self.physics = dataclasses.replace(self.physics, **BROKEN[name](self.physics))

    monkeypatch.setattr(Twin, "__init__", spoilt)
    with pytest.raises(AssertionError):
        assert_same(done.rundir, twin(done.rundir / "namelist_cfg", tmp_path / "twin"))


@pytest.mark.parametrize("change", [{"units": "cm s-1"}, {"point": "T"}, {"long_name": "velocity"}])
def test_a_file_that_says_something_else_is_caught(ocean, tmp_path, monkeypatch, change):  # noqa: F811
    done = ocean(ALL)
    monkeypatch.setattr(output, "FIELDS", (dataclasses.replace(output.FIELDS[0], **change), *output.FIELDS[1:]))
    with pytest.raises(AssertionError):
        assert_same(done.rundir, twin(done.rundir / "namelist_cfg", tmp_path / "twin"))


def test_a_mean_at_another_time_is_caught(ocean, tmp_path, monkeypatch):  # noqa: F811
    done = ocean(ALL)
    monkeypatch.setattr(output.Output, "_seconds", lambda self, kt: (kt - 1) * self.twin.physics.rn_dt)
    with pytest.raises(AssertionError):
        assert_same(done.rundir, twin(done.rundir / "namelist_cfg", tmp_path / "twin"))


HALF = {"namrun": ALL["namrun"] | {"nn_itend": 12, "nn_stat": 12}}
REST = {"namrun": HALF["namrun"] | {"nn_it000": 13, "nn_itend": 24, "ln_rstart": True}}


def begun(folder: Path, restart: Path, *changes) -> Path:
    """A configuration that goes on from a restart."""
    folder.mkdir()
    write_namelist(folder / "namelist_cfg", ALL, REST, *changes)
    shutil.copyfile(restart, folder / "restart.nc")
    return folder


def test_the_twin_goes_on_from_the_oceans_restart(ocean, tmp_path):  # noqa: F811
    """All files of steps 13 to 24 are those of the ocean; with a forward first step they are not."""
    half = ocean(ALL, HALF, name="half")
    restart = half.rundir / "TEST_00000012_restart.nc"
    rest = begun(tmp_path / "rest", restart)
    ocean(name="rest")
    shutil.copytree(rest, tmp_path / "cfg")
    for path in (tmp_path / "cfg").iterdir():
        if path.name not in ("namelist_cfg", "restart.nc"):
            path.unlink()
    assert_same(rest, twin(tmp_path / "cfg", tmp_path / "twin"))
    forward = twin(begun(tmp_path / "forward", restart, {"namdom": {"ln_1st_euler": True}}), tmp_path / "other")
    with pytest.raises(AssertionError):
        assert_same(rest, forward)


def test_the_ocean_goes_on_from_the_twins_restart(ocean, tmp_path):  # noqa: F811
    """12 steps in torch, 12 in Fortran end as 24 in Fortran."""
    whole = ocean(ALL, name="whole")
    write_namelist(tmp_path / "namelist_cfg", ALL, HALF)
    half = twin(tmp_path / "namelist_cfg", tmp_path / "half")
    rest = begun(tmp_path / "rest", half / "TEST_00000012_restart.nc")
    done = ocean(name="rest")
    assert "forward first step: F" in done.log
    one, two = (whole.restart(24), done.restart(24))
    for name in one.data_vars:
        assert float(abs(one[name] - two[name]).max()) <= LIMIT * float(abs(one[name]).max())
    assert rest == done.rundir


def test_an_outcropping_layer_ends_both_at_the_same_cell(ocean, tmp_path):  # noqa: F811
    """The same field, cell, step and date; a twin that allows thinner layers runs on."""
    change = {"namdom": {"rn_hmin": 498.0}}
    done = ocean(ALL, change, ok=False)
    first = (done.rundir / "halocline.abort").read_text().splitlines()[0].removeprefix("gyre: error: ")
    with pytest.raises(HaloclineError) as error:
        twin(done.rundir / "namelist_cfg", tmp_path / "twin")
    assert str(error.value).splitlines()[0] == first
    assert first in (tmp_path / "twin" / "halocline.abort").read_text()
    write_namelist(tmp_path / "namelist_cfg", ALL)
    twin(tmp_path / "namelist_cfg", tmp_path / "thinner", steps=3)


REFUSED = {
    "coupled": ({"namrun": {"ln_cpl": True}}, "runs the ocean alone"),
    "first step": ({"namrun": {"nn_it000": 5}}, "begins with step 1, not 5"),
    "last step": ({"namrun": {"nn_it000": 5, "nn_itend": 4, "ln_rstart": True}}, "nn_itend = 4 is less"),
    "no restart": ({"namrun": {"nn_it000": 5, "ln_rstart": True}}, "does not exist"),
    "no such field": ({"namrun": {"nn_write": 2}, "namdia": {"cn_inst": "salinity"}}, "no output field 'salinity'"),
    "no file's name": ({"namrun": {"cn_exp": "a/b", "nn_write": 2}}, "cannot write in"),
    "bursts": ({"namdia": {"nn_burst": 4, "nn_burst_d": 2}}, "bursts overlap"),
    "a lacking term": ({"namtrd": {"ln_trd": True}}, "does not have ln_trd"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_twin_cannot_run_is_refused(tmp_path, name):
    changes, words = REFUSED[name]
    write_namelist(tmp_path / "namelist_cfg", changes)
    with pytest.raises(HaloclineError, match=words) as error:
        twin(tmp_path / "namelist_cfg", tmp_path / "run")
    assert "namelist_cfg line" in str(error.value) or "cn_exp" in str(error.value)


RESTARTS = {
    "step": (
        {"namrun": {"nn_it000": 9, "nn_itend": 9, "ln_rstart": True}},
        "written after step 3, the run begins with step 9",
    ),
    "time step": (
        {"namrun": {"nn_it000": 4, "ln_rstart": True}, "namdom": {"rn_dt": 1200.0}},
        "has a time step of 2400 s",
    ),
    "date": (
        {"namrun": {"nn_it000": 4, "ln_rstart": True, "nn_date0": 20101}},
        "is of the day 10101, .* this is 20101",
    ),
    "grid": ({"namrun": {"nn_it000": 4, "ln_rstart": True}, "namusr_def": {"nn_nx": 9}}, "has the shape"),
}


@pytest.mark.parametrize("name", RESTARTS)
def test_a_restart_that_does_not_fit_is_refused(tmp_path, name):
    """And with nn_rstctl = 0 its state is taken, of whatever step."""
    changes, words = RESTARTS[name]
    write_namelist(tmp_path / "namelist_cfg", {"namusr_def": {"nn_nx": 8}})
    first = twin(tmp_path / "namelist_cfg", tmp_path / "first", steps=3)
    link = [tmp_path / "restart.nc"]
    shutil.copyfile(first / "TEST_00000003_restart.nc", link[0])
    basin = {"namusr_def": {"nn_nx": 8} | changes.get("namusr_def", {})}
    write_namelist(tmp_path / "namelist_cfg", changes, basin)
    with pytest.raises(HaloclineError, match=words):
        twin(tmp_path / "namelist_cfg", tmp_path / "run", link=link)
    if name != "grid":
        write_namelist(tmp_path / "namelist_cfg", changes, basin, {"namrun": changes["namrun"] | {"nn_rstctl": 0}})
        twin(tmp_path / "namelist_cfg", tmp_path / "run", link=link, steps=1, overwrite=True)


@pytest.mark.slow
def test_a_compiled_run_writes_the_same_files(tmp_path):
    """From one graph: what is built before the first step serves all steps."""
    write_namelist(tmp_path / "namelist_cfg", ALL)
    eager = twin(tmp_path / "namelist_cfg", tmp_path / "eager")
    counters.clear()
    assert_same(eager, twin(tmp_path / "namelist_cfg", tmp_path / "fast", compiled=True))
    assert counters["stats"]["unique_graphs"] == 1


def test_the_command(tmp_path):
    """--steps ends the run early, a full folder is not overwritten unless it is told so."""
    app = typer.Typer()
    register(app)
    write_namelist(tmp_path / "namelist_cfg")
    command = ["twin", str(tmp_path / "namelist_cfg"), "--steps", "4", "--rundir", str(tmp_path / "run")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "4 steps in" in done.output
    assert (tmp_path / "run" / "TEST_00000004_restart.nc").exists()
    assert isinstance(CliRunner().invoke(app, command).exception, HaloclineError)
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    assert isinstance(CliRunner().invoke(app, [*command, "--overwrite", "--dtype", "half"]).exception, HaloclineError)
