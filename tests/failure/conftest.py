"""Failures are tried on the example host, which starts fast, and on the reference ocean, which has restarts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import end_session
from tests.failure.case import write_case
from tests.failure.processes import processes_in
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


def write_host(cfg: Path, repo: Path) -> None:
    """The example host's configuration, with the time-outs of the case."""
    shutil.copytree(repo / "namelists/host", cfg)
    text = (cfg / "namelist_cfg").read_text()
    text = text.replace("&namcpl\n", "&namcpl\n   rn_timeout = 4.\n   rn_timeout_start = 40.\n", 1)
    (cfg / "namelist_cfg").write_text(text)


def wrapped(path: Path, transport: str, before: str) -> Path:
    """A program that is the ocean, after a line of the shell."""
    exe = executable("double").with_name("gyre.exe" if transport == "mpi" else "gyre_oasis.exe")
    path.write_text(f'#!/bin/sh\n{before}\nexec {exe} "$@"\n')
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


def listening() -> None:
    """Signals as a terminal leaves them: under nohup, and in the background of a shell, a child would ignore these two."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


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
def host_of(repo, tmp_path_factory):
    """host_of(transport, line) -> the example host, with that line before its cpl_snd."""

    def build(transport, line):
        folder = tmp_path_factory.mktemp("host")
        source = (repo / "coupler/fortran/example_host.f90").read_text()
        call = "      call cpl_snd(it, kt, t)\n"
        assert call in source
        alone = "   if (isize /= 3) stop 'example_host: start it on 3 ranks'\n"  # one rank describes the run for the namcouple
        assert alone in source
        (folder / "host.f90").write_text(source.replace(alone, "").replace(call, f"      {line}\n{call}"))
        flags = repo / "build/oasis/flags.mk"
        found = dict(line.split(":=") for line in flags.read_text().splitlines()) if transport == "oasis" else {}
        words = {name.strip(): value.split() for name, value in found.items()}
        command = [
            "mpif90", "-fdefault-real-8", *words.get("OASIS_INC", []), repo / f"coupler/fortran/cpl_halocline_{transport}.f90",
            "host.f90", "-o", "host.exe", *words.get("OASIS_LIBS", []),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return folder / "host.exe"

    return build


@pytest.fixture(scope="session")
def job(repo, tmp_path_factory, preload, host_of, request):
    """job(*changes, transport, after, link, fault, faults, ...) -> Ended: `halocline run` of the case, as a Row says.

    host: in place of the reference ocean the example host, with this line before its cpl_snd.
    """

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
        before="",
        disk="",
        host="",
        timeout=150.0,
    ):
        base = tmp_path_factory.mktemp("job")
        cfg, folder = base / "cfg", base / "run"
        if host:
            write_host(cfg, repo)
        else:
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
            "--ocean-ranks", 3 if host else 2, "--coupler-ranks", 2,
        ]  # fmt: skip
        if host:
            command += ["--ocean", host_of(transport, host)]
        if before:
            command += ["--ocean", wrapped(base / "ocean.sh", transport, before)]
        if disk:
            folder.mkdir()
            small_disk(folder, disk, request)
        environment = {**os.environ, **({"LD_PRELOAD": str(preload), "FAULT": fault} if fault else {})}
        start = time.monotonic()
        with open(base / "stdout", "w+") as out, open(base / "stderr", "w+") as err:
            process = subprocess.Popen(
                [str(word) for word in command], env=environment, stdout=out, stderr=err, start_new_session=True,
                preexec_fn=listening,
            )  # fmt: skip
            try:
                if meanwhile:
                    meanwhile(folder, process)
                process.wait(timeout)
                seconds = time.monotonic() - start
                while processes_in(folder) and time.monotonic() - start < seconds + 5:  # mpirun has been killed
                    time.sleep(0.1)
                left = list(processes_in(folder).values())
            except subprocess.TimeoutExpired:
                pytest.fail(f"still running after {timeout:g} s; run.log:\n{(folder / 'run.log').read_text()[-3000:]}")
            finally:
                end_session(process)
            out.seek(0), err.seek(0)
            return Ended(folder, process.returncode, out.read(), err.read(), seconds, left)

    return run
