"""The programs of a job: the ocean's executable, and what starts it."""

import os
import shutil
from pathlib import Path

from coupler.errors import HaloclineError

REPOSITORY = Path(__file__).resolve().parents[1]
# What MPI_Init of a process that no mpirun started leaves to its children; an mpirun that finds it ends at once, without a word.
SINGLETON = ("PMIX_", "OMPI_MCA_ess", "OMPI_MCA_orte_ess", "OMPI_MCA_orte_launch", "OMPI_MCA_pmix", "OMPI_APP_CTX")


def executable(ocean: Path | None, named: str, beside: Path, over_oasis: bool = False) -> Path:
    """The ocean: from the command line, from cn_exe (beside the namelist or a path), or the reference ocean."""
    if ocean is not None:
        candidates = [ocean]
    elif named:
        candidates = [beside / named, Path(named), REPOSITORY / "build" / "double" / named]
    else:
        candidates = [REPOSITORY / "build" / "double" / ("gyre_oasis.exe" if over_oasis else "gyre.exe")]
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            return path.resolve()
    places = ", ".join(str(path) for path in candidates)
    what = "make fortran TRANSPORT=oasis" if over_oasis else "make fortran"
    raise HaloclineError(f"no ocean executable at {places}. Build it ({what}), or name one with --ocean or cn_exe.")


def launcher() -> str:
    """Inside a Slurm job srun, else mpirun."""
    names = ("srun", "mpirun") if "SLURM_JOB_ID" in os.environ else ("mpirun",)
    for name in names:
        path = on_path(name)
        if path:
            return path
    raise HaloclineError(
        "no mpirun on PATH. Install Open MPI (docker/packages.txt lists the packages; `make setup` installs them)."
    )


def on_path(name: str) -> str | None:
    """The program's path, its folder without links: Open MPI takes /bin/mpirun to live in '/' and refuses. None: not there."""
    found = shutil.which(name)
    return found and str(Path(found).parent.resolve() / name)


def inherited() -> dict[str, str]:
    """This process's environment, in which mpirun can be started though the process or its parent has initialised MPI."""
    found = dict(os.environ)
    if found.get("OMPI_MCA_ess") != "singleton":
        return found
    return {name: value for name, value in found.items() if not name.startswith(SINGLETON)}
