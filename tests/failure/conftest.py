"""Failures are tried on the example host, which starts fast, and on the reference ocean, which has restarts."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import end_session
from tests.failure.case import write_case
from tests.mpi.conftest import compile_host, host, host_run
from tests.ocean.conftest import executable

__all__ = ["compile_host", "host", "host_run"]


@dataclass(frozen=True)
class Ended:
    """How `halocline run` ended. `left` lists processes of the job that outlived it."""

    folder: Path
    rc: int
    stdout: str
    stderr: str
    seconds: float
    left: list[str]

    @property
    def text(self) -> str:
        log = self.folder / "run.log"
        return self.stdout + self.stderr + (log.read_text(errors="replace") if log.exists() else "")


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes whose working folder is `folder`."""
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if cwd.resolve() == folder.resolve():
                found.append((cwd.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended by itself
    return found


def sleeper(path: Path, transport: str, seconds: int) -> Path:
    """A program that is the ocean, with one rank that starts later."""
    exe = executable("double").with_name("gyre.exe" if transport == "mpi" else "gyre_oasis.exe")
    path.write_text(f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && sleep {seconds}\nexec {exe} "$@"\n')
    path.chmod(0o755)
    return path


def small_disk(folder: Path, size: str, request: pytest.FixtureRequest) -> None:
    """Mount a file system of that size; skip where that is not allowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", folder], check=False, timeout=20))


@pytest.fixture(scope="session")
def preload(repo, tmp_path_factory):
    """The library that raises a signal inside a call."""
    library = tmp_path_factory.mktemp("fault") / "fault.so"
    done = subprocess.run(
        [
            "mpif90",
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Werror",
            "-Wl,--no-as-needed",
            repo / "tests/failure/fault.c",
            "-o",
            library,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture(scope="session")
def job(tmp_path_factory, preload, request):
    """job(*changes, transport, after, link, fault, faults, ...) -> Ended: `halocline run` of the case, as a Row says."""

    def run(
        *changes,
        transport="mpi",
        after=0,
        link=(),
        fault="",
        faults="",
        prepare=None,
        meanwhile=None,
        wrap=(),
        late=0,
        disk="",
        timeout=150.0,
    ):
        base = tmp_path_factory.mktemp("job")
        cfg, folder = base / "cfg", base / "run"
        cfg.mkdir()
        write_case(cfg, *changes, after=after)
        for path in link:
            shutil.copy(path, cfg / path.name)
        if faults:
            (cfg / "faults.py").write_text(faults)
        if prepare:
            prepare(cfg)
        command = [
            *wrap, sys.executable, "-m", "coupler.cli", "run", cfg, "--rundir", folder, "--transport", transport,
            "--ocean-ranks", 2, "--coupler-ranks", 2,
        ]  # fmt: skip
        if late:
            command += ["--ocean", sleeper(base / "late.sh", transport, late)]
        if disk:
            folder.mkdir()
            small_disk(folder, disk, request)
        environment = {**os.environ, **({"LD_PRELOAD": str(preload), "FAULT": fault} if fault else {})}
        start = time.monotonic()
        with open(base / "stdout", "w+") as out, open(base / "stderr", "w+") as err:
            process = subprocess.Popen(
                [str(word) for word in command], env=environment, stdout=out, stderr=err, start_new_session=True
            )
            try:
                if meanwhile:
                    meanwhile(folder, process)
                process.wait(timeout)
                seconds = time.monotonic() - start
                left = processes_in(folder)
            except subprocess.TimeoutExpired:
                pytest.fail(f"still running after {timeout:g} s; run.log:\n{(folder / 'run.log').read_text()[-3000:]}")
            finally:
                end_session(process)
            out.seek(0), err.seek(0)
            return Ended(folder, process.returncode, out.read(), err.read(), seconds, left)

    return run
