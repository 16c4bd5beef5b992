"""Coupled runs of small Python scripts (and one Fortran program) over the real OASIS3-MCT."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

PRELUDE = """\
import sys, time, warnings
import numpy as np
import coupler.oasis as pyoasis
from coupler.oasis import OASIS, Var
def say(*words):  # in one piece: mpirun mixes the ranks' pieces
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()
"""


def entry(
    source: str, target: str, period: int = 10, line2: str = "10 20 10 20 tor tor LAG=0", restart="rst.nc"
) -> str:
    """A field as a script for OASIS3-MCT 4 and later writes it."""
    return f"{source} {target} 1 {period} 0 {restart} EXPORTED\n{line2}\nR 0 R 0\n"


def namcouple(*entries: str, runtime: int = 40, fields: int | None = None) -> str:
    """A namcouple without $NBMODEL."""
    count = len(entries) if fields is None else fields
    return f"$NFIELDS\n{count}\n$END\n$RUNTIME\n{runtime}\n$END\n$STRINGS\n{''.join(entries)}$END\n"


def native(*entries: str, runtime: int = 40, models: str = "2 left right") -> str:
    """A namcouple in the dialect of Debian's library, as a Fortran component needs it."""
    from coupler.oasis.namcouple import compose, parse

    parsed = parse(namcouple(*entries, runtime=runtime))
    from coupler.oasis.dialect import translate

    return (
        translate(parsed, models.split()[1:])[0]
        if runtime < 10**8
        else compose(models.split()[1:], runtime, parsed.entries)
    )


@pytest.fixture(scope="session")
def oasis_library() -> Path:
    """The binding, built; skipped where OASIS3-MCT is not installed."""
    made = subprocess.run(["make", "-s", "-C", REPO / "coupler" / "oasis"], capture_output=True, text=True, timeout=300)
    if made.returncode:
        reason = made.stderr.strip().splitlines() or ["make failed"]
        if "no OASIS3-MCT" in made.stderr:
            pytest.skip(f"liboasis3-dev is absent: {reason[0]}")
        pytest.fail(made.stderr)
    return REPO / "build" / "oasis" / "liboasis_halocline.so"


@pytest.fixture
def job(oasis_library, mpirun, tmp_path) -> Callable:
    """job(namcouple, (ranks, script), (ranks, script), ...) -> Finished: one launch in a folder of its own."""

    def run(text: str, *programs: tuple[int, str | list], timeout: float = 30, env: dict | None = None):
        (tmp_path / "namcouple").write_text(text)
        args: list = []
        for number, (ranks, script) in enumerate(programs):
            if isinstance(script, str):
                path = tmp_path / f"program{number}.py"
                path.write_text(PRELUDE + script)
                script = [sys.executable, path]
            args += [":"] * bool(args) + ["-np", ranks, *script]
        patient = {"HALOCLINE_OASIS_PATIENCE": "1", "HALOCLINE_OASIS_START": "2"}
        return mpirun(args, np=None, timeout=timeout, cwd=tmp_path, env={**patient, **(env or {})})

    return run
