"""Pages of the documentation, and what some of them need: a spun-up ocean, the demo, the client's module."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.docs.blocks import Page, page_of

FOLDER = REPO / "docs" / "pages"
FILES = {
    "README.md": REPO / "README.md",
    **{str(path.relative_to(FOLDER)): path for path in sorted(FOLDER.rglob("*.md"))},
}
PAGES: dict[str, Page] = {name: page_of(path, name) for name, path in FILES.items()}


def made(command: list[str], folder: Path) -> None:
    """Run a command that makes something for a page; its output only where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


@pytest.fixture(scope="session")
def spinup(tmp_path_factory) -> Path:
    """The run folder that `make demo` leaves of ten years of spin-up."""
    folder = tmp_path_factory.mktemp("spinup")
    made(["halocline", "run", f"{REPO}/namelists/gyre_spinup", "--ocean-ranks", "2", "--coupler-ranks", "0"], folder)
    return folder / "runs" / "gyre_spinup"


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """What `make demo` leaves."""
    folder = tmp_path_factory.mktemp("demo")
    made(["halocline", "demo"], folder)
    return folder / "runs" / "demo"


@pytest.fixture(scope="session")
def client(tmp_path_factory) -> Path:
    """A folder with the module file of the Fortran client."""
    folder = tmp_path_factory.mktemp("client")
    source = REPO / "coupler" / "fortran" / "cpl_halocline_mpi.f90"
    made(["mpif90", "-fsyntax-only", "-J", str(folder), str(source)], folder)
    return folder
