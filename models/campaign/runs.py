"""One row as a run folder: namelist, start state, execution, and how it ended (`row.json`)."""

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler import launch
from coupler.artefacts.page import contract_of
from coupler.ending import early, read_end
from coupler.errors import HaloclineError
from coupler.namelist import read_groups, with_value
from coupler.programs import REPOSITORY
from models.campaign.matrix import EVERY, WINDS, YEAR, Grid, Row

NAMELISTS = REPOSITORY / "namelists"
OCEAN = REPOSITORY / "build" / "single" / "gyre.exe"
SPINUP = 10  # years from rest
START = "start_restart.nc"  # name of the start state in every run folder

# How a run ends that the closure, not the machine, has ended.
BLEW_UP = re.compile(r"blew up|outcrops|guard '\w+'")
STEP = re.compile(r"\bkt = (\d+)|\bstep (\d+)")


@dataclass(frozen=True)
class Campaign:
    """Where the runs lie, and what they are run with. `ocean` is the executable, in single precision unless told."""

    folder: Path
    ocean: Path = OCEAN

    def path(self, row: Row) -> Path:
        """Folder of a row."""
        return self.folder / row.folder


def fortran(path: Path, edits: Mapping[str, str]) -> None:
    """Set switches in a namelist file, in place.

    edits: 'group.switch', or 'namexc:state.switch' for the group whose cn_name is 'state', and the value as Fortran text.
    HaloclineError for a group that the file does not hold.
    """
    for where, value in edits.items():
        place, switch = where.rsplit(".", 1)
        name, _, called = place.partition(":")
        found = [group for group in read_groups(path) if group.name == name]
        if called:
            found = [group for group in found if group.values().get("cn_name") == called]
        if not found:
            raise HaloclineError(f"{path} has no group &{place}, in which {switch} = {value} was to be set.")
        path.write_text(with_value(path.read_text(encoding="utf-8"), found[0], switch, value), encoding="utf-8")


def namelist(row: Row, path: Path) -> None:
    """Write the namelist of a row: its years and the one before that is dropped, 5-day states, from the spun-up state."""
    template = NAMELISTS / _template(row) / "namelist_cfg"
    path.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    edits = {
        **_grid(row.grid),
        **_length(row.grid, row.seconds),
        "namrun.ln_rstart": ".true." if row.start else ".false.",
        "namrun.cn_ocerst_in": f"'{START}'",
        "namsbc.rn_tauas": f"{WINDS.get(row.wind, 0.0):g}",
    }
    if row.networks:
        edits["namcpl.nn_member"] = str(row.member)
    if row.artefact is not None:
        period = f"{row.every * row.grid.rn_Dt:.1f}"
        edits |= {
            "namexc:state.rn_period": period,
            "namexc:tendency.rn_period": period,
            **_pinned("closure", row.artefact),
        }
    if row.bias is not None:
        edits |= _pinned("bias", row.bias)
    fortran(path, {**edits, **_fields(row), **row.edits})


def _template(row: Row) -> str:
    """The folder below namelists/ that couples as many networks."""
    if row.bias is not None:
        return "gyre_bias" if row.artefact is None else "gyre_bias_closure"
    return "gyre_coarse" if row.artefact is None else "gyre_closure"


def _pinned(name: str, file: Path) -> dict[str, str]:
    return {f"namnet:{name}.cn_artefact": f"'{file.name}'", f"namnet:{name}.cn_sha256": f"'{sha256(file)}'"}


def _fields(row: Row) -> dict[str, str]:
    """What travels: masks and whatever else the networks read once, their states, their tendencies."""
    if not row.networks:
        return {}
    contracts = [contract_of(file) for file in row.networks]
    static = ["tmask", "umask", "vmask", *(("e1t", "e2t") if row.bias is not None else ())]
    static += [field.name for contract in contracts for field in contract.inputs if field.static]
    fields = {"geometry": list(dict.fromkeys(static))}
    states = [[field.name for field in contract.inputs if not field.static] for contract in contracts]
    outputs = [[out.name for out in contract.outputs if out.name not in contract.partners] for contract in contracts]
    edits: dict[str, str] = {}
    if row.artefact is not None:
        fields |= {"state": states[0], "tendency": outputs[0]}
    if row.bias is not None:
        daily = [
            name for name in ("u", "v", "h", "t") if name not in fields.get("state", ())
        ]  # a climatology reads none
        fields |= {"tracer" if row.artefact is not None else "state": daily, "bias": outputs[-1]}
        kept = [out.name for out in contracts[-1].outputs if out.conserve != "none"]
        edits["namnet:bias.cn_weights"] = _texts([f"{name}=e1t*e2t" for name in kept] or [""])
    return edits | {f"namexc:{exchange}.cn_fields": _texts(names) for exchange, names in fields.items()}


def _texts(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _grid(grid: Grid) -> dict[str, str]:
    return {
        "namusr_def.nn_nx": str(grid.cells),
        "namusr_def.nn_ny": str(grid.cells),
        "namusr_def.rn_dx": f"{grid.dx:.6f}",
        "namdom.rn_Dt": f"{grid.rn_Dt:.1f}",
    }


def _length(grid: Grid, seconds: float) -> dict[str, str]:
    return {
        "namrun.nn_itend": str(grid.steps(seconds)),
        "namrun.nn_write": str(grid.steps(EVERY)),
        "namrun.nn_stat": str(grid.steps(86400.0)),
    }


def start(campaign: Campaign, row: Row, console: Console) -> Path:
    """The restart after ten years from rest on the row's grid, under its wind, with cs4 = 0.02; made once."""
    grid = row.grid
    folder = campaign.folder / row.wind / f"spinup_{grid.cells}_{row.start}"
    steps = grid.steps(SPINUP * YEAR)
    restart = folder / f"GYRE_{steps:08d}_restart.nc"
    if not restart.exists():
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "namelist_cfg"
            path.write_text((NAMELISTS / "gyre_coarse" / "namelist_cfg").read_text(encoding="utf-8"), encoding="utf-8")
            edits = {
                **_grid(grid),
                **_length(grid, SPINUP * YEAR),
                "namrun.nn_write": "0",
                "namusr_def.nn_seed": str(row.start),
                "namsbc.rn_tauas": f"{WINDS[row.wind]:g}",
            }
            fortran(path, edits)
            job = launch.prepare(path, 1, 0, folder, campaign.ocean, overwrite=True)
        launch.run(job, console)
    return restart


def prepared(campaign: Campaign, row: Row, console: Console, folder: Path | None = None) -> launch.Job:
    """The run folder of a row, filled, and its command: one ocean rank, and one coupler rank where a network runs."""
    target = folder or campaign.path(row)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "namelist_cfg"
        namelist(row, path)
        links = row.networks
        if row.start:
            restart = Path(scratch) / START
            restart.symlink_to((row.restart or start(campaign, row, console)).resolve())
            links.append(restart)
        return launch.prepare(path, 1, 1 if row.networks else 0, target, campaign.ocean, links, overwrite=True)


def bound(job: launch.Job, core: int) -> launch.Job:
    """The job with all its processes on one core, where they yield to each other while they wait.

    HaloclineError where there is no `taskset`.
    """
    if shutil.which("taskset") is None:
        raise HaloclineError(
            "no `taskset` on PATH, which binds a run to one core. Install util-linux, or use --two-cores."
        )
    return replace(job, command=["taskset", "-c", str(core), *job.command])


def run(campaign: Campaign, row: Row, console: Console, core: int | None = None) -> dict[str, Any]:
    """Run a row unless it has been, with the same namelist and the same start; the record of how it ended.

    core: bind a run with a network to this core; None: ocean and coupler each have one of their own.
    The record (row.json): status 'finished' or 'blew up', the day and the message of a run that blew up, wall-clock seconds,
    command, and hashes of executable, namelist, start state and network. HaloclineError for other failures (no executable, no
    MPI, no disk left).
    """
    earlier = record(campaign, row)
    if earlier is not None and earlier["namelist"]["sha256"] == _namelist_hash(row):
        return earlier
    job = prepared(campaign, row, console)
    if core is not None and row.networks:
        job = bound(job, core)
    began = time.perf_counter()
    ended: dict[str, Any] = {"status": "finished"}
    try:
        launch.run(job, console)
        if row.networks and (said := early(read_end(job.rundir))):
            raise HaloclineError(f"the run '{row.name}' in {job.rundir} is not whole, begin it again: {said[0]}")
    except HaloclineError as error:
        if not BLEW_UP.search(str(error)):
            raise
        ended = {"status": "blew up", "day": _day(row, job.rundir, str(error)), "message": _first(str(error))}
    result = {
        "row": row.name,
        "family": row.family,
        "wind": row.wind,
        "grid": row.grid.name,
        "years": row.years,
        **ended,
        "wall_s": round(time.perf_counter() - began, 2),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance(campaign, row, job),
    }
    scratch_record = job.rundir / "row.json.tmp"
    scratch_record.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    scratch_record.rename(job.rundir / "row.json")
    return result


def provenance(campaign: Campaign, row: Row, job: launch.Job) -> dict[str, Any]:
    """Command and hashes of a run; paths are names only, so that they hold elsewhere."""
    command = [part.replace(f"{REPOSITORY}/", "") for part in job.command]
    text: dict[str, Any] = {
        "command": " ".join(command),
        "executable": {"file": campaign.ocean.name, "sha256": sha256(campaign.ocean)},
        "namelist": {"sha256": sha256(job.rundir / "namelist_cfg")},
    }
    if row.start:
        text["start"] = {"sha256": sha256(job.rundir / START)}
    if row.artefact is not None:
        text["artefact"] = {"file": row.artefact.name, "sha256": sha256(row.artefact)}
    if row.bias is not None:
        text["bias"] = {"file": row.bias.name, "sha256": sha256(row.bias)}
    return text


def record(campaign: Campaign, row: Row) -> dict[str, Any] | None:
    """The record of an earlier run, None where none has ended."""
    try:
        return json.loads((campaign.path(row) / "row.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _namelist_hash(row: Row) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "namelist_cfg"
        namelist(row, path)
        return sha256(path)


def _first(message: str) -> str:
    """The lines of an ocean's message without its prefix and advice."""
    return " ".join(line.removeprefix("gyre: error:").strip() for line in message.splitlines()[:2])


def _day(row: Row, rundir: Path, message: str) -> int:
    """The day on which a run blew up: of the step in its message, or else of the last line of run.stat."""
    found = STEP.search(message)
    if found:
        step = int(found.group(1) or found.group(2))
    else:
        step = int((rundir / "run.stat").read_text(encoding="utf-8").splitlines()[-1].split()[0])
    return int(step * row.grid.rn_Dt // 86400)
