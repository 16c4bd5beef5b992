"""The example host: a Fortran program compiled with the client alone, and a run folder made from namelists/host."""

import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fcheck=all", "-ffpe-trap=invalid,zero,overflow"]


@pytest.fixture(scope="session")
def compile_host(repo, tmp_path_factory):
    """compile_host(source text or None, flags) -> executable, linked with the client and nothing else."""

    def build(source=None, flags=("-fdefault-real-8",)):
        folder = tmp_path_factory.mktemp("host")
        text = source or (repo / "coupler/fortran/example_host.f90").read_text()
        (folder / "host.f90").write_text(text)
        client = repo / "coupler/fortran/cpl_halocline_mpi.f90"
        for command in (
            ["mpif90", "-std=f2008", *FLAGS, *flags, "-c", str(client)],
            ["mpif90", *FLAGS, *flags, "host.f90", "cpl_halocline_mpi.o", "-o", "example_host.exe"],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
        return folder / "example_host.exe"

    return build


@pytest.fixture(scope="session")
def host(compile_host):
    return compile_host()


@pytest.fixture
def host_run(repo, tmp_path, mpirun):
    """host_run(exe, edits, ocean=3, coupler=2) -> Finished; edits are (file, old, new), the folder is `.folder`."""

    def launch(exe, edits=(), ocean=3, coupler=2, timeout=60):
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(repo / "namelists/host", folder)
        for name, old, new in edits:
            text = (folder / name).read_text()
            assert old in text, f"{old!r} is not in {name}"
            (folder / name).write_text(text.replace(old, new))
        args = ["-np", ocean, exe]
        if coupler:
            args += [":", "-np", coupler, "halocline", "couple", "."]
        return mpirun(args, np=None, cwd=folder, timeout=timeout)

    launch.folder = Path(tmp_path / "run")
    return launch
