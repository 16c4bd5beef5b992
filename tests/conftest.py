"""What every test may use: the repository's path, and mpirun with a time limit that really ends it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

REPO = Path(__file__).resolve().parents[1]

# As in the Makefile, so that a bare `pytest` behaves the same.
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_pml": "ob1",  # shared memory; looking for networks first costs 0.2 s of each start
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Finished:
    """How a command ended. `text` is both streams, for messages whose stream does not matter."""

    args: list[str]
    rc: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


# The same examples every time, and no limit per example: the machine may be busy.
hypothesis_settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis_settings.load_profile("fixed")


def pytest_configure() -> None:
    for name, value in MPI_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # `halocline` and `python` of the interpreter that runs the tests, activated or not.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder of a test is its marker; whatever launches mpirun is marked mpi."""
    for item in items:
        for marker in {"mpi", "failure", "physics", "consistency"} & set(item.path.parts):
            item.add_marker(marker)
        if "mpirun" in getattr(item, "fixturenames", ()):
            item.add_marker("mpi")


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session", autouse=True)
def own_session_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Open MPI's files in a folder of this process: mpirun removes /tmp/ompi.* while another one is making its own there.

    What a killed job leaves is then removed with the folders of the tests.
    """
    os.environ["OMPI_MCA_orte_tmpdir_base"] = str(tmp_path_factory.mktemp("ompi"))


@pytest.fixture(scope="session")
def mpirun(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """mpirun(args, np=1, timeout=60, cwd=None, env=None) -> Finished; a time-out fails the test.

    With np=None the args carry -np themselves: mpirun(["-np", 2, exe, ":", "-np", 1, "halocline", "couple"], np=None).
    """
    streams = tmp_path_factory.mktemp("mpirun")

    def launch(
        args: Sequence[str | Path | int],
        np: int | None = 1,
        timeout: float = 60,
        cwd: Path | str | None = None,
        env: dict[str, str] | None = None,
    ) -> Finished:
        command = ["mpirun", *(["-np", str(np)] if np else []), *(str(arg) for arg in args)]
        start = time.monotonic()
        # Files, not pipes: a rank that outlives mpirun would hold a pipe open for ever.
        with open(streams / "stdout", "w+") as out, open(streams / "stderr", "w+") as err:
            process = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=out, stderr=err, start_new_session=True
            )
            try:
                rc = process.wait(timeout)
                ended = True
            except subprocess.TimeoutExpired:
                ended = False
            finally:
                end_session(process)
            out.seek(0), err.seek(0)
            finished = Finished(command, process.returncode, out.read(), err.read(), time.monotonic() - start)
        if not ended:
            pytest.fail(f"still running after {timeout} s: {' '.join(command)}\n{finished.text[-4000:]}")
        assert rc == finished.rc
        return finished

    return launch


def end_session(leader: subprocess.Popen[bytes]) -> None:
    """End every process of the session; not killpg, because mpirun gives each rank a process group of its own."""
    if leader.poll() is None:
        leader.send_signal(signal.SIGTERM)  # mpirun then ends its ranks itself
        try:
            leader.wait(5)
        except subprocess.TimeoutExpired:
            leader.kill()
            leader.wait()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid pgrp session ...; the name may hold blanks and brackets
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == leader.pid:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue  # it ended by itself
