"""The two-second calibration: each network on the largest subdomain, the reference ocean for some steps."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupler.binding import Bound
from coupler.check_layout import block, cores
from coupler.check_ocean import Ocean
from coupler.engines.selftest import sample
from coupler.engines.tiled import HostPeak
from coupler.launch import ENVIRONMENT
from coupler.namelist import read_groups
from coupler.network import Network
from coupler.programs import inherited, on_path

REFERENCE = "gyre"  # what the reference ocean calls itself in the handshake
BUDGET = 1.0  # seconds for the networks, and again for the ocean
LONGEST = 15.0  # seconds that a run of the ocean may take: fewer steps are tried where cores are busy, then none
FEW = 5  # steps at least
CELL = 4e-8  # seconds per cell, layer and step of the reference ocean on one core (measured), to choose the number of steps
# What the reference ocean runs with to be timed: alone, from rest, writing nothing. Its speed does not depend on the state.
ALONE = {
    "namrun": "ln_cpl = .false.\n ln_rstart = .false.\n nn_it000 = 1\n nn_write = 0\n nn_stock = 0\n nn_stat = 0",
    "namdom": "ln_meshmask = .false.",
    "namzb20": "ln_zb20_fb = .false.",
}


@dataclass(frozen=True)
class Timing:
    """One network on the largest subdomain: seconds per call, growth of the peak of memory in it [bytes].

    shape: (k, nj, ni) of what a call returns; per_step: seconds per step of the ocean in the mean.
    """

    network: str
    shape: tuple[int, int, int]
    seconds: float
    peak: float
    per_step: float


def time_network(net: Network, bound: Bound, budget: float) -> Timing:
    """Call the engine on a block of the subdomain's size, filled by the formula of the self-test, for `budget` seconds.

    The median of the calls; two at least, the first of all is not counted.
    """
    shape = block(net, bound)
    case = sample(net.engine.contract, shape)
    peak = HostPeak()
    net.engine.run(*case)
    taken: list[float] = []
    while len(taken) < 2 or (sum(taken) < budget and len(taken) < 200):
        start = time.perf_counter()
        net.engine.run(*case)
        taken.append(time.perf_counter() - start)
    seconds = float(np.median(taken))
    return Timing(net.name, shape, seconds, peak.growth(), seconds / net.period)


def time_ocean(ocean: Ocean, folder: Path, ranks: int, budget: float = BUDGET) -> tuple[float, str]:
    """Seconds per step of the reference ocean on `ranks` ranks, and '' or, where it is not known, why.

    folder: a run folder, whose namelists are copied to a folder of its own inside.
    """
    if not ocean.described or ocean.program is None or ocean.shake.model != REFERENCE:
        return 0.0, f"'{ocean.shake.model}' is not the reference ocean"
    if ranks > cores():
        return 0.0, f"{ranks} ocean ranks are more than the {cores()} cores here"
    cells = sum(part.nx * part.ny for part in ocean.shake.grids)
    layers = max(field.levels for field in ocean.shake.fields)
    steps = int(np.clip(budget * ranks / (CELL * cells * layers), FEW, 5000))
    place = folder / "calibration"
    place.mkdir()
    if (folder / "namelist_ref").exists():
        shutil.copyfile(folder / "namelist_ref", place / "namelist_ref")
    command = [on_path("mpirun") or "mpirun", "-np", str(ranks), str(ocean.program)]
    for count in dict.fromkeys((steps, max(steps // 50, FEW))):
        (place / "namelist_cfg").write_text(_alone(folder / "namelist_cfg", count), encoding="utf-8")
        try:
            code = _ended(command, place)
            table = (place / "timing.output").read_text(encoding="utf-8").splitlines() if code == 0 else []
        except OSError as error:
            return 0.0, f"its short run alone gave no timing ({type(error).__name__})"
        if code is None:
            continue  # ranks share cores with other work: each message may wait for a time slice
        if code:
            return 0.0, f"its short run alone ended with exit code {code}"
        longest = {row[:27].strip(): float(row[27:].split()[2]) for row in table[2:]}
        return (longest["whole run"] - longest["restarts"]) / count, ""
    return 0.0, f"{count} steps alone took longer than {LONGEST:g} s; is this machine busy?"


def _ended(command: list[str], place: Path) -> int | None:
    """Exit code of a run; None where it took longer than LONGEST: mpirun is asked to end it, so that no rank runs on."""
    null = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=place, env={**inherited(), **ENVIRONMENT}, stdin=null, stdout=null, stderr=null
    ) as run:
        try:
            return run.wait(LONGEST)
        except subprocess.TimeoutExpired:
            run.terminate()
        try:
            run.wait(5.0)
        except subprocess.TimeoutExpired:
            run.kill()
    return None


def _alone(namelist: Path, steps: int) -> str:
    """The namelist with ALONE at the end of its groups, where it wins."""
    text = namelist.read_text(encoding="utf-8", errors="replace")
    wanted = {**ALONE, "namrun": f"{ALONE['namrun']}\n nn_itend = {steps}"}
    for group in read_groups(namelist):
        if group.name in wanted:
            text = text.replace(group.text, f"{group.text[:-1]}\n {wanted.pop(group.name)}\n/", 1)
    return text + "".join(f"\n&{name}\n {rows}\n/\n" for name, rows in wanted.items())
