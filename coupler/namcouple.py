"""The namcouple of a run over OASIS: written from the namelists, or merged into one that is there."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from coupler.errors import HaloclineError
from coupler.exchange import Exchange
from coupler.handshake import Handshake, parse
from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.namcouple import Entry, compose, merge
from coupler.programs import inherited, on_path
from coupler.settings import Settings
from coupler.wiring import wire

# mpirun's own words on a rank that aborts; they come between those of the ocean.
ABORT = re.compile(r"-+$|MPI_ABORT was|with errorcode|NOTE: invoking|You may or may not|exactly when Open MPI")


def describe(executable: Path, folder: Path, environment: Mapping[str, str]) -> Handshake:
    """What the ocean says of itself in `folder`, alone on one rank.

    Raises HaloclineError when it does not.
    """
    return ask(executable, folder, environment, 1)[0]


def ask(executable: Path, folder: Path, environment: Mapping[str, str], ranks: int) -> tuple[Handshake, list[str]]:
    """What the ocean says of itself in `folder`, alone on `ranks` ranks, and its remarks: lines that begin with 'note: '.

    The reference ocean is asked by `--describe`; a model that ignores it by HALOCLINE_DESCRIBE, which its client obeys: it
    prints the handshake in cpl_define and ends. Raises HaloclineError when nothing is printed.
    """
    mpirun = on_path("mpirun")
    command = [mpirun or "mpirun", "-np", str(ranks), str(executable), "--describe"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**inherited(), **environment, "HALOCLINE_DESCRIBE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HaloclineError(
            f"{executable} --describe did not answer: {error}. Its answer is needed before the run."
        ) from None
    rows = done.stdout.splitlines()
    lines = [line for line in rows if line.startswith("{")]
    if done.returncode or not lines:
        last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip() and not ABORT.match(line)]
        raise HaloclineError(
            f"{executable.name} --describe printed no description of the ocean (exit code {done.returncode})"
            + "".join(f"\n  {line}" for line in last[:6])
        )
    return parse(lines[-1]), [line.removeprefix("note: ") for line in rows if line.startswith("note: ")]


def needed(
    settings: Settings, shake: Handshake, exchanges: Sequence[Exchange] | None = None
) -> tuple[list[str], int, list[Entry]]:
    """Components, run length in OASIS time, and entries that the namelists ask for; exchanges: where they are known.

    Raises HaloclineError for a run that OASIS cannot count.
    """
    from coupler.transport.oasis import COUPLER, LONGEST, entries, time_unit

    runtime = (shake.time.nn_itend - shake.time.nn_it000 + 1) * time_unit(shake)
    if runtime > LONGEST:
        raise HaloclineError(
            f"OASIS counts eight digits, the run has {runtime} steps. Run it in parts, or use cn_transport = 'mpi'."
        )
    exchanges = wire(settings, shake).exchanges if exchanges is None else exchanges
    name = settings.namcpl.cn_model or shake.model[:6]
    return [name, COUPLER], runtime, entries(exchanges, shake)


def write(settings: Settings, shake: Handshake, path: Path, exchanges: Sequence[Exchange] | None = None) -> str:
    """Write the namcouple at `path`, into a file of others where one is; returns what was done, a sentence."""
    models, runtime, fields = needed(settings, shake, exchanges)
    try:
        if path.exists():
            text, done = merge(path.read_text(encoding="utf-8"), models, runtime, fields, path.name), "merged into"
        else:
            text, done = compose(models, runtime, fields), "written to"
    except PyOasisException as error:
        raise HaloclineError(str(error)) from None
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
    return f"{len(fields)} fields {done} {path}"
