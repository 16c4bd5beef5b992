"""`halocline check`: a configuration proven without running it, by the code that a real start goes through."""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coupler import settings as switches
from coupler.answers import Answers
from coupler.binding import Bound, bind, proofs
from coupler.check_layout import Traffic, cores, field_bytes, largest, traffic
from coupler.check_ocean import Ocean, meet
from coupler.check_switches import Value, of_coupler, of_ocean, without_effect
from coupler.check_time import BUDGET, Timing, time_network, time_ocean
from coupler.diagnostics import Diagnostics
from coupler.errors import HaloclineError
from coupler.fields import by_name
from coupler.grid import decompose
from coupler.guards.comparison import comparisons
from coupler.launch import fill
from coupler.namcouple import write
from coupler.record import Recorder
from coupler.restart import Memory
from coupler.settings import Settings
from coupler.steps import check_first
from coupler.timers import Timers
from coupler.transport.absent import AbsentTransport


@dataclass
class Findings:
    """What a check found; what stands below an error may be missing.

    errors and remarks are sentences as a start would print them; rank is the coupler rank with the most cells, whose memory [bytes]
    and times are given; step is the ocean's own time per step [s], or unknown says why there is none.
    """

    cfg: Path
    ranks: tuple[int, int]
    errors: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    settings: Settings | None = None
    coupler: list[Value] = field(default_factory=list)
    foreign: list[Value] = field(default_factory=list)
    ocean: Ocean | None = None
    bound: Bound | None = None
    rank: int = 0
    proofs: list[str] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)
    process: float = 0.0
    arrays: float = 0.0
    timings: list[Timing] = field(default_factory=list)
    step: float = 0.0
    unknown: str = "not measured"
    namcouple: str = ""


def check(
    cfg: Path,
    ocean_ranks: int = 1,
    coupler_ranks: int = 1,
    ocean: Path | None = None,
    link: Sequence[Path] = (),
    transport: str | None = None,
    calibrate: bool = True,
) -> Findings:
    """Everything that can be known about CFG before it runs. The arguments are those of a run; CFG is left as it is."""
    found = Findings(cfg, (ocean_ranks, coupler_ranks))
    with tempfile.TemporaryDirectory(prefix="halocline_check_") as scratch:
        folder = Path(scratch).resolve() / "run"
        try:
            _prove(found, folder, ocean, link, transport, calibrate)
        except HaloclineError as error:
            found.errors.append(str(error))
        real = str(switches.config_file(cfg).resolve().parent)
        found.errors = [one.replace(str(folder), real) for text in found.errors for one in sentences(text)]
        found.remarks = [text.replace(str(folder), real) for text in found.remarks]
    return found


def sentences(text: str) -> list[str]:
    """The problems in a message, which are joined by line breaks; their further lines are indented."""
    return re.split(r"\n(?! )", text)


def _prove(
    found: Findings, folder: Path, ocean: Path | None, link: Sequence[Path], transport: str | None, calibrate: bool
) -> None:
    """Fill the findings, in a run folder as `halocline run` makes it. HaloclineError where nothing more can be known."""
    settings = switches.load(found.cfg)
    absent = [path for path in link if not path.exists()]
    if absent:
        raise HaloclineError(f"no file {absent[0]} to link into the run folder (--link).")
    fill(folder, found.cfg, link, transport)
    settings = found.settings = switches.load(folder)
    found.coupler = of_coupler(settings)
    found.foreign = of_ocean(folder / "namelist_cfg", folder / "namelist_ref")
    found.remarks += without_effect(folder / "namelist_ref")
    over_oasis = settings.namcpl.cn_transport == "oasis"
    found.ocean = meet(settings, folder, ocean, over_oasis, found.ranks[0])
    found.remarks += found.ocean.notes
    if not settings.namexc:
        raise HaloclineError(
            f"{settings.path.name} holds no exchange (&namexc): nothing would travel.\n  Add &namexc and &namnet, or run the ocean "
            "alone: halocline run CFG --coupler-ranks 0."
        )
    with contextlib.chdir(folder):
        bound = _bind(found, settings)
        found.traffic = traffic(settings, bound.shake, bound)
        if found.errors:
            return
        if calibrate:
            _calibrate(found, bound, folder)
        if over_oasis:  # last: OASIS brings MPI into this process, and mpirun must not be started from it
            found.namcouple = _namcouple(settings, bound, folder)


def _bind(found: Findings, settings: Settings) -> Bound:
    """Connect the largest rank, then everything else that a start looks at before its first message."""
    assert found.ocean is not None
    shake, ranks = found.ocean.shake, found.ranks[1]
    found.rank = largest({number: decompose(part.grid, ranks) for number, part in enumerate(shake.grids)})
    transport = AbsentTransport(shake, found.rank, ranks)
    bound = found.bound = bind(settings, transport)
    found.process = resident()
    found.arrays = field_bytes(settings, bound)
    found.remarks += bound.wiring.notes
    if bound.uncovered:
        found.remarks.append(f"{bound.uncovered} cells of the grid belong to no ocean rank; they get the fill value")
    quiet = replace(settings, namcpl=settings.namcpl.model_copy(update={"ln_record": False}))
    plans, networks = bound.plans, bound.wiring.networks
    recorder = Recorder(quiet, shake, plans, transport, bound.boxes, Timers())
    received = {
        name: plan
        for plan in (*plans, *bound.chains.values())
        for name in plan.views
        if plan.exchange.direction == "to_coupler"
    }

    def memory() -> None:
        answers = [
            Answers(plan, transport, True, "zero", shake.time.nn_itend, recorder)
            for plan in plans
            if plan.exchange.direction == "to_ocean"
        ]
        Memory(settings, shake, answers, networks, bound.boxes).read(Path(settings.namcpl.cn_rst_in), transport.rank)

    steps: list[Callable[[], object]] = [
        lambda: found.proofs.extend(proofs(bound.wiring)),
        lambda: found.remarks.extend(Diagnostics(settings, shake, plans, transport, bound.boxes, networks).notes),
        lambda: comparisons(
            networks, received, transport, {n: f.units for n, f in by_name(shake.fields, "in").items()}
        ),
        lambda: check_first(settings),
    ]
    for step in [*steps, *([memory] if settings.namcpl.cn_rst_in else [])]:
        try:
            step()
        except HaloclineError as error:
            found.errors.append(str(error))
    asked = found.ranks[0] + ranks * settings.namcpl.nn_threads
    if asked > cores():
        found.remarks.append(
            f"{found.ranks[0]} ocean ranks and {ranks} coupler ranks x {settings.namcpl.nn_threads} threads share {cores()} cores "
            "here: they will slow each other down"
        )
    return bound


def _calibrate(found: Findings, bound: Bound, folder: Path) -> None:
    """Two seconds of networks and ocean."""
    assert found.ocean is not None
    timed = [net for net in bound.wiring.networks if net.engine.name != "null"]
    try:
        found.timings = [time_network(net, bound, BUDGET / len(timed)) for net in timed]
    except HaloclineError as error:
        found.errors.append(str(error))
        return
    found.step, found.unknown = time_ocean(found.ocean, folder, found.ranks[0])


def _namcouple(settings: Settings, bound: Bound, folder: Path) -> str:
    """The text of the namcouple that a run would write, merged into that of CFG where there is one."""
    path = folder / "namcouple"
    if path.is_symlink():  # the user's own stays as it is
        text = path.read_text(encoding="utf-8")
        path.unlink()
        path.write_text(text, encoding="utf-8")
    write(settings, bound.shake, path, bound.wiring.exchanges)
    return path.read_text(encoding="utf-8")


def resident() -> float:
    """Resident memory of this process [bytes]: the interpreter, its libraries, and the networks' weights."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return float(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
