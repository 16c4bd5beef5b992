"""`halocline truth`: the fine ocean, member by member and year by year, side by side, and coarsened while it runs."""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from coupler.errors import HaloclineError
from models import settings
from models.data import ocean, parts, store
from models.data.fine_run import SIGNATURE, Member
from models.data.plan import Plan

POLL = 0.1  # seconds between looks at the running oceans


def members(cfg: Path, out: Path) -> list[Member]:
    """The members of CFG, one per &namtruth. HaloclineError when there is none, or two have one name or one seed."""
    groups = settings.load(cfg, settings.NamTruth, single=False)
    switches = ocean.read_switches(cfg)
    if not groups:
        raise HaloclineError(f"no group &namtruth in {switches.path}: nothing to run. Add one for each member.")
    for key, what in (("cn_name", "name"), ("nn_seed", "noise")):
        for number, group in enumerate(groups):
            if getattr(group, key) in [getattr(other, key) for other in groups[:number]]:
                raise HaloclineError(
                    f"two members have one {what}: {key} = {getattr(group, key)!r}.\n  {group.where(key)}. Change one."
                )
    return [Member(out / group.cn_name, switches, group) for group in groups]


@dataclass
class Chain:
    """A member on its way: its running year, and how long the years took."""

    member: Member
    program: Path
    next_year: int
    began: float = 0.0
    process: "subprocess.Popen[bytes] | None" = None
    seconds: list[float] = field(default_factory=list)
    jobs: list[tuple[Path, "Future[None]"]] = field(default_factory=list)

    @property
    def left(self) -> bool:
        """Years are left to run."""
        return self.process is not None or self.next_year <= self.member.years

    def pace(self) -> str:
        """Seconds a year and time to go."""
        if not self.seconds:
            return ""
        mean = sum(self.seconds) / len(self.seconds)
        return f"{mean:.1f} s/year, {_clock(mean * (self.member.years - self.next_year + 1))} to go"


def run(cfg: Path, out: Path, jobs: int, plan: Plan | None, console: Console) -> list[Member]:
    """Bring every member of CFG to its last year in `out`, at most `jobs` at a time; what is there is not run again.

    plan: coarsen each year that is done, and remove its fine file unless ln_keep. Returns the members.
    HaloclineError for a folder made with other switches, a full disk, a failed ocean (with its words).
    """
    found = members(cfg, out)
    programs = {group: ocean.executable(group) for group in {member.group.cn_precision for member in found}}
    for member in found:
        if plan is not None:
            for remark in plan.check_fine(member.switches, member.group.rn_burst_d if member.group.ln_burst else None):
                console.print(f"{member.name}: {remark}", highlight=False, soft_wrap=True)
        member.check_folder()
    _check_disk(found, out, plan)
    with _locked([member.folder for member in found], console):
        chains = []
        for member in found:
            done = plan.done(member.name) if plan is not None else _never
            chain = Chain(member, programs[member.group.cn_precision], member.first_missing(done))
            if chain.left:
                _sign(chain)
            chains.append(chain)
        _advance(chains, jobs, plan, console)
    return found


def _sign(chain: Chain) -> None:
    """Leave in the folder what makes its runs, for the provenance of what is coarsened from them."""
    facts = store.provenance({"executable": chain.program}, precision=chain.member.group.cn_precision)
    (chain.member.folder / SIGNATURE).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _never(path: Path) -> bool:
    return False


def _advance(chains: Sequence[Chain], jobs: int, plan: Plan | None, console: Console) -> None:
    """Run all chains to their ends. On any error, and when interrupted, the running oceans are ended."""
    terminal = console.is_terminal
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} years"),
    )
    pool = parts.pool(1) if plan is not None else None
    try:
        with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console, disable=not terminal) as bar:
            tasks: dict[str, TaskID] = {}
            for chain in chains:
                name, years = chain.member.name, chain.member.years
                tasks[name] = bar.add_task(name, total=years, completed=chain.next_year - 1, pace="")
                if not terminal:
                    console.print(f"{name}: {chain.next_year - 1} of {years} years are there", highlight=False)
                if plan is not None and pool is not None:
                    for path in chain.member.outputs():
                        if path.exists():
                            chain.jobs.append(
                                (path, pool.submit(parts.make, path, plan.part(chain.member.name, path), plan.recipe))
                            )
            while any(chain.left for chain in chains):
                for chain in chains:
                    ended = _look(chain, sum(other.process is not None for other in chains) < jobs, plan, pool)
                    name, year, pace = chain.member.name, chain.next_year - 1, chain.pace()
                    if ended and not terminal:
                        console.print(f"{name}: year {year} of {chain.member.years}, {pace}", highlight=False)
                    bar.update(tasks[name], completed=year, pace=pace)
                time.sleep(POLL)
            for chain in chains:
                _collect(chain, wait=True)
    finally:
        for chain in chains:
            if chain.process is not None:
                chain.process.terminate()
                chain.process.wait()
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _look(chain: Chain, free: bool, plan: Plan | None, pool: ProcessPoolExecutor | None) -> bool:
    """Take over a year that has ended (then True), or start the next one when a core is free."""
    _collect(chain, wait=False)
    if chain.process is not None:
        if chain.process.poll() is None:
            return False
        process, chain.process = chain.process, None
        chain.member.finish(process, chain.next_year)
        chain.seconds.append(time.monotonic() - chain.began)
        path = chain.member.output(chain.next_year)
        chain.next_year += 1
        if path is not None and plan is not None and pool is not None:
            chain.jobs.append((path, pool.submit(parts.make, path, plan.part(chain.member.name, path), plan.recipe)))
        return True
    if free and chain.next_year <= chain.member.years:
        chain.began = time.monotonic()
        chain.process = chain.member.start(chain.program, chain.next_year)
    return False


def _collect(chain: Chain, wait: bool) -> None:
    """Remove the fine files that have been coarsened. An error of the coarsening is raised here."""
    left = []
    for path, job in chain.jobs:
        if not wait and not job.done():
            left.append((path, job))
            continue
        job.result()
        if not chain.member.group.ln_keep:
            path.unlink(missing_ok=True)
    chain.jobs[:] = left


def _check_disk(found: Sequence[Member], out: Path, plan: Plan | None) -> None:
    """HaloclineError when the output that is still to come does not fit."""
    needed = 0
    for member in found:
        missing = [path for path in member.outputs() if not path.exists()]
        if plan is not None:
            missing = [path for path in missing if not plan.done(member.name)(path)]
        kept = len(missing) if plan is None or member.group.ln_keep else min(len(missing), 3)
        needed += kept * member.bytes_of_year()
    place = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    there = shutil.disk_usage(place).free
    if needed > there:
        raise HaloclineError(
            f"the truth needs {needed / 1e9:.1f} GB on disk, {out} has {there / 1e9:.1f} GB left. Free some, give another folder "
            "with --out, or name with --coarsen the configuration that coarsens it while it runs."
        )


@contextmanager
def _locked(folders: Sequence[Path], console: Console) -> Iterator[None]:
    """Hold the members' folders; the oceans inherit the lock, so that one that outlived an earlier call is waited for."""
    held = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
            held.append(handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.print(f"{folder}: an earlier call or its ocean is still at work here; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            os.set_inheritable(handle, True)
        yield
    finally:
        for handle in held:
            os.close(handle)


def _clock(seconds: float) -> str:
    """1 h 20 min, 3 min, 40 s."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
