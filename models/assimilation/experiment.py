"""A twin experiment from its namelist to its data set and its tables."""

import json
from pathlib import Path

from rich.console import Console

from coupler import launch
from coupler import settings as coupling
from coupler.errors import HaloclineError
from coupler.programs import executable
from models.assimilation import cycle, twin
from models.assimilation.analysis import Insertion
from models.assimilation.enoi import Interpolation
from models.assimilation.ensemble import departures
from models.assimilation.figure import draw
from models.assimilation.job import OceanJob
from models.assimilation.observations import Network
from models.assimilation.statistics import Statistics
from models.campaign.runs import START
from models.data.store import check_place
from models.ended import ended_by_sigterm


def run(
    cfg: Path,
    rundir: Path,
    out: Path | None,
    ocean: Path | None,
    ocean_ranks: int,
    coupler_ranks: int | None,
    overwrite: bool,
    console: Console,
) -> Path:
    """Prepare, start and cycle the ocean of CFG in `rundir`; the data set's path. `out` goes before cn_out."""
    plan = twin.load(cfg)
    method = _method(plan)
    named = out or (Path(plan.group.cn_out) if plan.group.cn_out else None)
    if named is not None:
        check_place(named)
    job = twin.prepare(plan, ocean_ranks, coupler_ranks, rundir, ocean, overwrite)
    path = named.resolve() if named is not None else job.rundir / "increments.zarr"
    with ended_by_sigterm(), OceanJob(job, "experiment") as running:
        errors = cycle.run(plan, running, method, path, _files(cfg, job, ocean), console)
    console.print(errors.table(plan.group.cn_method != "insert"))
    if isinstance(method, Interpolation):
        _observed(method.statistics, job.rundir, console)
    _write(job.rundir / "increments.json", json.dumps(errors.numbers(), indent=1) + "\n")
    console.print(f"{errors.windows} windows of {plan.group.rn_window / 86400:g} days in {path}", highlight=False)
    return path


def _method(plan: twin.Twin) -> Insertion | Interpolation:
    group, masks = plan.group, plan.truth.masks()
    if group.cn_method != "cycle" and group.rn_gain != 1.0:
        raise HaloclineError(
            f"rn_gain = {group.rn_gain:g} is for cn_method = 'cycle', got '{group.cn_method}'.\n"
            f"  {group.where('rn_gain')}. Leave it out, or set cn_method = 'cycle'."
        )
    if group.cn_method != "enoi":
        return Insertion(group.cn_fields, masks, group.rn_gain if group.cn_method == "cycle" else 1.0)
    if not group.cn_ensemble:
        raise HaloclineError(
            f"cn_method = 'enoi' needs an ensemble.\n  {group.where('cn_method')}. Name a data set or run folder in cn_ensemble."
        )
    if not (group.nn_track or group.nn_sst or group.nn_profiles):
        raise HaloclineError(
            f"nothing is observed: nn_track, nn_sst and nn_profiles are 0.\n  {group.where('nn_track')}. Set one of them at least."
        )
    members = departures(
        Path(group.cn_ensemble), group.nn_ensemble, group.nn_apart, group.rn_inflate, masks, group.where("cn_ensemble")
    )
    data = plan.truth.data
    network = Network(masks["t"][0] > 0, data["gred"].values.astype(float), data["h_rest"].values.astype(float), group)
    width = float(data["e1t"].values[masks["t"][0] > 0].mean())
    return Interpolation(network, members, masks, width, group.rn_localise, Statistics(group.nn_drop + 1))


def _files(cfg: Path, job: launch.Job, ocean: Path | None) -> dict[str, Path]:
    """What the increments depend on: executable, namelist, start state, networks."""
    switches = coupling.load(job.rundir)
    over_oasis = job.coupled and switches.namcpl.cn_transport == "oasis"
    program = executable(ocean, switches.namcpl.cn_exe, coupling.config_file(cfg).parent, over_oasis)
    files = {"executable": program, "namelist": job.rundir / "namelist_cfg", "start": job.rundir / START}
    if not job.coupled:
        return files
    networks = {f"network {group.cn_name}": job.rundir / group.cn_artefact for group in switches.namnet}
    return files | {title: path for title, path in networks.items() if path.is_file()}


def _observed(statistics: Statistics, folder: Path, console: Console) -> None:
    """Table, files and picture of the statistics; windows that were dropped are in the files only."""
    console.print(statistics.table())
    _write(folder / "obs_statistics.csv", statistics.csv())
    _write(folder / "obs_statistics.json", json.dumps(statistics.numbers(), indent=1) + "\n")
    draw(statistics, folder / "obs_statistics.png")
    statistics.check_background()


def _write(path: Path, text: str) -> None:
    """Aside, then renamed."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
