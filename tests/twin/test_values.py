"""The twin reads the values of a namelist as the ocean does, and refuses those that the ocean refuses."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.data.ocean import read_switches
from models.data.ocean_restart import read_restart
from models.twin.run import Twin
from tests.conftest import REPO
from tests.ocean.conftest import ocean  # noqa: F401  a fixture
from tests.twin.conftest import last
from tests.twin.test_files import ALL, twin, write_namelist

BASIN = "&namrun cn_exp = 'TEST', nn_itend = 20 /\n&namusr_def nn_nx = 9, nn_ny = 7, rn_pert = 5. {} /\n{}\n"

# (in &namusr_def, other groups), and what is said.
NONSENSE = {
    "too small": (", nn_nx = 1", "", "nn_nx = 1: the basin must be at least 2 cells wide"),
    "text": (", nn_nx = 'x'", "", "nn_nx = x: the switch is one integer"),
    "real": (", nn_ny = 7.5", "", "nn_ny = 7.5: the switch is one integer"),
    "list": (", rn_dx = 1.e4, 2.e4", "", "rn_dx = 10000.0, 20000.0: the switch is one real"),
    "logical": ("", "&namtra ln_tra = 1 /", "ln_tra = 1: the switch is one logical"),
    "no layers": (", nn_layers = 0", "", "nn_layers = 0"),
    "many layers": (", nn_layers = 11", "", "10 layers at most"),
    "third layer": (", nn_layers = 3", "", "rn_h = 0.0: each layer needs a positive thickness"),
    "thin": (", rn_h(2) = 0.", "", "rn_h = 0.0"),
    "gravity": (", rn_gred = 0.01, -0.01", "", "rn_gred = -0.01"),
    "width": (", rn_dx = 0.", "", "rn_dx = 0.0: the cell width must be positive"),
    "step": ("", "&namdom rn_dt = 0. /", "rn_dt = 0.0: the time step must be positive"),
    "filter": ("", "&namdom rn_atfp = 0.5 /", r"rn_atfp = 0.5: .*\[0, 0.5\)"),
    "slip": ("", "&namlbc rn_shlat = 2.5 /", "rn_shlat = 2.5"),
    "friction": ("", "&namdyn_ldf rn_cs4 = -0.02 /", "rn_cs4 = -0.02: friction"),
    "cap": ("", "&namdyn_ldf rn_ahmcap = 0. /", "rn_ahmcap = 0.0"),
    "kappa": ("", "&namzb20 rn_zb_kappa = -1. /", "rn_zb_kappa = -1.0"),
    "density": ("", "&namsbc rn_rho0 = 0. /", "rn_rho0 = 0.0: the density must be positive"),
    "drag": ("", "&namdrg rn_drg(2) = -1.e-7 /", "rn_drg = -1e-07: the drag must not be negative"),
    "diffusion": ("", "&namtra rn_aht = -1. /", "rn_aht = -1.0"),
    "wind": ("", "&namsbc cn_wind = 'hurricane' /", "allowed: gyre, channel, none"),
    "twice": ("", "&namusr_def rn_pert = 1. /", "group &namusr_def stands twice"),
}
DATES = {
    "calendar": ("nn_leapy = 7", "nn_leapy = 7: allowed: 0"),
    "no date": ("nn_date0 = 99", "nn_date0 = 99: no date of the calendar 360_day"),
    "no such day": ("nn_leapy = 0, nn_date0 = 10229", "nn_date0 = 10229: no date of the calendar noleap"),
}
NONSENSE |= {name: ("", "", told) for name, (_, told) in DATES.items()}


def written(folder, name):
    """The namelist of a case; its text."""
    basin, groups, _ = NONSENSE[name]
    text = BASIN.format(basin, groups)
    if name in DATES:
        text = text.replace("nn_itend = 20", f"nn_itend = 20, {DATES[name][0]}")
    (folder / "namelist_cfg").write_text(text)
    return text


@pytest.mark.parametrize("name", NONSENSE)
def test_a_value_that_the_ocean_refuses_is_refused(tmp_path, name):
    """With its line, before a folder is made; the same namelist without the value is read."""
    written(tmp_path, name)
    with pytest.raises(HaloclineError, match=NONSENSE[name][2]) as error:
        twin(tmp_path / "namelist_cfg", tmp_path / "run")
    assert "namelist_cfg line" in str(error.value)
    assert not (tmp_path / "run").exists()
    (tmp_path / "namelist_cfg").write_text(BASIN.format("", ""))
    Twin(read_switches(tmp_path))


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("name", NONSENSE)
def test_the_ocean_refuses_it_too(ocean, tmp_path, name):  # noqa: F811
    (tmp_path / "run").mkdir()
    ocean(text=written(tmp_path / "run", name), ok=False)


def test_a_number_that_is_none_is_refused(tmp_path):
    """The ocean takes such an amplitude for none; a finite one is read."""
    (tmp_path / "namelist_cfg").write_text(BASIN.format(", rn_dx = inf", ""))
    with pytest.raises(HaloclineError, match="rn_dx = inf: it must be a finite number"):
        Twin(read_switches(tmp_path))


ARRAYS = {
    "first": (", rn_h = 300.", (300.0, 750.0), (2e-8, 2e-7)),
    "index": (", rn_h(2) = 600.", (500.0, 600.0), (2e-8, 2e-7)),
    "empty place": (", rn_h = , 600.", (500.0, 600.0), (2e-8, 2e-7)),
    "repeated": (", rn_h = 2*400.", (400.0, 400.0), (2e-8, 2e-7)),
    "too many": (", rn_h = 500., 600., 700.", (500.0, 600.0), (2e-8, 2e-7)),
    "drag": (" /\n&namdrg rn_drg(2) = 1.e-5", (500.0, 750.0), (2e-8, 1e-5)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_as_fortran_reads_them(tmp_path, name):
    """What is given is laid over the defaults, from its index on."""
    (tmp_path / "namelist_cfg").write_text(BASIN.format(ARRAYS[name][0], ""))
    made = Twin(read_switches(tmp_path))
    assert (made.basin.depth, made.physics.rn_drg) == ARRAYS[name][1:]


@pytest.mark.mpi
def test_an_array_that_is_given_in_part_agrees_with_the_ocean(ocean):  # noqa: F811
    """20 steps to 1e-10 with a lower layer and a drag of its own; the twin with those of the defaults is far off."""
    groups = "&namdrg rn_drg(2) = 1.e-5 /"
    done = ocean(text=BASIN.format(", rn_h(2) = 600.", groups))
    end = read_restart(done.rundir / "TEST_00000020_restart.nc").fields["un"]

    def error(folder, text):
        folder.mkdir()
        (folder / "namelist_cfg").write_text(text)
        found = last(Twin(read_switches(folder)), 20).fields["un"]
        return np.abs(found - end).max() / np.abs(end).max()

    assert error(done.rundir / "same", BASIN.format(", rn_h(2) = 600.", groups)) < 1e-10
    assert error(done.rundir / "depth", BASIN.format("", groups)) > 1e-4
    assert error(done.rundir / "drag", BASIN.format(", rn_h(2) = 600.", "")) > 1e-4


def test_a_disk_that_takes_no_more_ends_in_words(tmp_path):
    """Files of at most 60 kB: mesh_mask.nc does not fit. With room the same command ends well."""
    write_namelist(tmp_path / "namelist_cfg", ALL)

    def told(most):
        command = [
            sys.executable,
            "-m",
            "coupler.cli",
            "twin",
            tmp_path,
            "--rundir",
            tmp_path / f"run{most}",
            "--steps",
            "6",
        ]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True, text=True, timeout=200,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, words = told(60_000)
    assert code == 1 and "cannot write in" in words and "Is the disk full" in words and "Traceback" not in words
    assert told(50_000_000)[0] == 0
