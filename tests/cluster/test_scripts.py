"""The job scripts of namelists/slurm: bash reads them, Slurm has their options, and the ranks that they start run to the end."""

import filecmp
import re
import subprocess

import pytest

from coupler.ending import read_end
from tests.cluster.slurm import SlurmError, job_options, multi_prog, parse_srun
from tests.conftest import REPO

SCRIPTS = sorted((REPO / "namelists/slurm").glob("*.sbatch"))
OCEAN = REPO / "build/double/gyre.exe"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_bash_and_slurm_read_a_script(script, tmp_path):
    """Its twins, with an open quote and with a misspelt option, are refused."""
    subprocess.run(["bash", "-n", script], check=True, timeout=20)
    assert all(part["nodes"] for part in job_options(script))
    broken = tmp_path / "broken.sbatch"
    broken.write_text(script.read_text() + "echo 'x\n")
    assert subprocess.run(["bash", "-n", broken], capture_output=True, timeout=20).returncode != 0
    broken.write_text(script.read_text().replace("#SBATCH --nodes", "#SBATCH --node", 1))
    with pytest.raises(SlurmError, match="unrecognized option '--node="):
        job_options(broken)


def test_every_script_is_in_the_docs():
    said = (REPO / "docs/pages/cluster.md").read_text(encoding="utf-8")
    assert not [path.name for path in SCRIPTS if path.name not in said]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0-1 a\n1-2 b\n", "task 1 is named twice"),
        ("0-1 a\n", "no program for task 2"),
        ("0-3 a\n", "beyond --ntasks=3"),
    ],
)
def test_a_multi_prog_file_names_every_rank_once(tmp_path, text, words):
    path = tmp_path / "conf"
    path.write_text("# ranks\n0 a %t\n1-2 b %o\n")
    assert multi_prog(path, 3) == [["a", "0"], ["b", "0"], ["b", "1"]]
    path.write_text(text)
    with pytest.raises(SlurmError, match=words):
        multi_prog(path, 3)


def test_options_that_srun_does_not_have_are_refused():
    assert parse_srun(["-n", "2", "--multi-prog", "conf"]) == ({"ntasks": "2", "multi-prog": ""}, ["conf"])
    with pytest.raises(SlurmError, match="--multiprog"):
        parse_srun(["--multiprog", "conf"])


def test_the_shipped_multi_prog_file_fits_its_script():
    (part,) = job_options(REPO / "namelists/slurm/multiprog.sbatch")
    programs = multi_prog(REPO / "namelists/slurm/multiprog.conf", int(part["nodes"]) * int(part["ntasks-per-node"]))
    assert programs[0] == ["./ocean.exe"] and programs[-1] == ["halocline", "couple", "."]


def ended(run, ocean, coupler, kt=20):
    """Both sides left their end markers at step kt, from the ranks that were asked for."""
    end = read_end(run)
    sizes = (len(end["ocean"]["total"]), len(end["coupler"]["total"]), end["coupler"]["kt"])
    assert sizes == (ocean, coupler, kt)


@pytest.mark.mpi
def test_one_partition(slurm, configuration, tmp_path):
    """`halocline run` inside a job: srun gets both programs, and the coupled run ends at its last step."""
    code, text = slurm(
        "mpi.sbatch", CFG=configuration(), COUPLER_RANKS=1, FAKE_SLURM_NTASKS=3, RUN=tmp_path / "run", OCEAN=OCEAN
    )
    assert code == 0, text
    ended(tmp_path / "run", 2, 1)
    assert "run ended well" in text and "no errors" in text
    assert "--multi-prog halocline.multiprog" in slurm.log.read_text()


@pytest.mark.mpi
def test_two_parts_of_a_heterogeneous_job(slurm, configuration, tmp_path):
    """Two srun components, one world: ocean ranks first, then the coupler's."""
    code, text = slurm(
        "gpu.sbatch", CFG=configuration(), OCEAN=OCEAN, OCEAN_RANKS=2, COUPLER_RANKS=1, RUN=tmp_path / "run"
    )
    assert code == 0, text
    ended(tmp_path / "run", 2, 1)
    typed, became = slurm.log.read_text().splitlines()
    assert "--het-group=0 --ntasks=2" in typed and "--het-group=1 --ntasks=1" in typed
    assert re.match(r"mpirun -np 2 \S*gyre.exe : -np 1 halocline couple .", became)


@pytest.mark.mpi
@pytest.mark.slow
def test_by_hand(slurm, configuration, tmp_path):
    """multiprog.sbatch in a run folder of a model's own; without a coupler in the file it fails with words."""
    run = tmp_path / "mine"
    prepare = ["halocline", "run", configuration(), "--ocean", OCEAN, "--rundir", run, "--dry-run"]
    subprocess.run(prepare, check=True, timeout=60, capture_output=True)
    (run / "ocean.exe").symlink_to(OCEAN)
    conf = tmp_path / "conf"
    conf.write_text("0-1 ./ocean.exe\n2 halocline couple .\n")
    code, text = slurm("multiprog.sbatch", CONF=conf, RUN=run, FAKE_SLURM_NTASKS=3)
    assert code == 0, text
    ended(run, 2, 1)
    conf.write_text("0,3 ./ocean.exe\n1-2 halocline couple .\n")  # ranks may stand in any order
    code, text = slurm("multiprog.sbatch", CONF=conf, RUN=run, FAKE_SLURM_NTASKS=4)
    assert code == 0, text
    ended(run, 2, 2)
    conf.write_text("0-2 ./ocean.exe\n")
    code, text = slurm("multiprog.sbatch", CONF=conf, RUN=run, FAKE_SLURM_NTASKS=3, HALOCLINE_TIMEOUT_START=20)
    assert code != 0 and "no rank of the launch is a coupler" in text


@pytest.mark.mpi
@pytest.mark.slow
def test_over_oasis(slurm, configuration, tmp_path):
    code, text = slurm(
        "oasis.sbatch",
        CFG=configuration(),
        COUPLER_RANKS=1,
        FAKE_SLURM_NTASKS=3,
        RUN=tmp_path / "run",
        OCEAN=REPO / "build/double/gyre_oasis.exe",
    )
    assert code == 0, text
    ended(tmp_path / "run", 2, 1)


@pytest.mark.mpi
@pytest.mark.slow
def test_in_a_container(slurm, configuration, tmp_path):
    """The launch outside, the programs inside: the paths of the image come from INSIDE."""
    (tmp_path / "image.sif").touch()
    inside = tmp_path / "inside"
    (inside / ".venv").mkdir(parents=True)
    (inside / ".venv/bin").symlink_to(REPO / ".venv/bin")
    (inside / "build").symlink_to(REPO / "build")
    values = {"CFG": configuration(), "COUPLER_RANKS": 1, "FAKE_SLURM_NTASKS": 3, "RUN": tmp_path / "run"}
    code, text = slurm("apptainer.sbatch", IMAGE=tmp_path / "image.sif", INSIDE=inside, **values)
    assert code == 0, text
    ended(tmp_path / "run", 2, 1)
    assert slurm.log.read_text().count("apptainer exec --bind") == 2
    code, text = slurm("apptainer.sbatch", IMAGE=tmp_path / "none.sif", INSIDE=inside, **values)
    assert code != 0


@pytest.mark.mpi
@pytest.mark.slow
def test_a_run_in_parts_has_the_bits_of_a_whole_one(slurm, configuration, tmp_path):
    """The time limit comes in the middle: SIGTERM, restarts, the job is submitted again and goes on."""
    steps, parts = 3000, tmp_path / "parts"
    cfg = configuration(steps)
    values = {"CFG": cfg, "OCEAN": OCEAN, "COUPLER_RANKS": 1, "FAKE_SLURM_NTASKS": 2}
    code, text = slurm("timelimit.sbatch", RUNS=tmp_path / "whole", **values)
    assert code == 0, text
    code, text = slurm("timelimit.sbatch", RUNS=parts, FAKE_SLURM_SIGNAL=parts / "run_0/halocline.progress", **values)
    assert code == 0, text
    stopped = read_end(parts / "run_0")["coupler"]["stopped"]
    assert 0 < stopped < steps, text
    for name in (f"GYRE_{steps:08d}_restart.nc", f"halocline_{steps:08d}_restart.nc"):
        whole, last = tmp_path / "whole/run_0" / name, parts / f"run_{stopped}" / name
        assert filecmp.cmp(whole, last, shallow=False), name


def test_the_page_shows_the_shipped_multi_prog_file():
    """Line for line, comments apart."""
    page = (REPO / "docs/pages/cluster.md").read_text(encoding="utf-8")
    shipped = (REPO / "namelists/slurm/multiprog.conf").read_text()
    lines = [line for line in shipped.splitlines() if not line.startswith("#")]
    assert len(lines) == 2 and "\n".join(lines) in page
