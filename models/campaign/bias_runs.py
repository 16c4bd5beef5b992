"""All of a twin: spin-up, increments, trainings, runs, and the second round; in stages of what is independent."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign import bias_increments, bias_rows, bias_training, rows, runs, truth
from models.campaign.bias_rows import Correction, Twin
from models.campaign.matrix import Row
from models.campaign.schedule import side_by_side

QUIET = Console(quiet=True)
UNSEEN_WINDOWS = 144  # two years of unseen truth, from which the residual increments are judged


@dataclass
class Plan:
    """What is asked for: twins, methods, with and without the closure, seeds, years of each run, how many at once.

    recycle: methods whose networks get a second round. recipe: namelist of the trainings.
    """

    campaign: runs.Campaign
    twins: Sequence[Twin]
    methods: Sequence[str]
    closures: Sequence[bool]
    seeds: int
    years: int
    jobs: int
    recycle: Sequence[str]
    closure: Path = bias_rows.CLOSURE_FILE
    recipe: Path = bias_training.RECIPE
    threads: int = 1
    windows: int = 0  # of the increments; 0: all of the truth
    artefacts: dict[Correction, Path] = field(default_factory=dict)

    def corrections(self, twin: Twin, *kinds: str) -> list[Correction]:
        """Those of the kinds; a second round only for the methods that get one."""
        methods = self.recycle if kinds == ("recycled",) else self.methods
        closures = [False] if kinds == ("recycled",) else self.closures
        return list(bias_rows.corrections(twin, methods, closures, self.seeds, kinds))

    def restart(self, twin: Twin) -> Path:
        """The start state of every run of a twin."""
        row = bias_rows.spinup(twin)
        return self.campaign.path(row) / f"GYRE_{row.grid.steps(row.seconds):08d}_restart.nc"

    def made_of(self, twin: Twin) -> Path:
        """Folder of what a twin's runs are made of: increments and trainings."""
        return self.campaign.folder / twin.name / "made"


def scored(plan: Plan, truths: dict[str, truth.Truth], console: Console) -> list[dict[str, Any]]:
    """Everything that is not there yet is made and run; the rows with their scores, in the order of the table."""
    _stage(
        "spin-up",
        plan.twins,
        lambda twin, core: runs.run(plan.campaign, bias_rows.spinup(twin), QUIET, core),
        plan,
        console,
    )
    alone = [row for twin in plan.twins for row, facts in table_rows(plan, twin) if not facts]
    _stage("runs without correction", alone, lambda row, core: runs.run(plan.campaign, row, QUIET, core), plan, console)
    _first_round(plan, console)
    if plan.recycle:
        _second_round(plan, console)
    planned = [row for twin in plan.twins for row in table_rows(plan, twin)]

    found: dict[str, dict[str, Any]] = {}

    def ran(task: tuple[Row, dict[str, Any]], core: int | None) -> None:
        runs.run(plan.campaign, task[0], QUIET, core)

    def score(task: tuple[Row, dict[str, Any]]) -> None:
        row, facts = task
        found[row.folder] = {**rows.scored(plan.campaign, row, truths[row.wind], QUIET), **facts}

    side_by_side(planned, ran, plan.jobs, console, True, lambda task: f"{task[0].wind}: {task[0].name}", score)
    return [found[row.folder] for row, _ in planned]


def table_rows(plan: Plan, twin: Twin) -> list[tuple[Row, dict[str, Any]]]:
    """The runs of a twin and what each is: free, with the closure, corrected."""
    restart = plan.restart(twin)
    planned: list[tuple[Row, dict[str, Any]]] = [(bias_rows.free(twin, plan.years, restart), {})]
    if any(plan.closures) or "enoi" in plan.methods:
        planned.append((bias_rows.with_closure(twin, plan.years, restart, plan.closure), {}))
    for correction in plan.artefacts:
        if correction.twin == twin.name:
            row = bias_rows.corrected(twin, correction, plan.artefacts[correction], plan.years, restart, plan.closure)
            planned.append((row, {**vars(correction), "design": correction.design}))
    return planned


def _stage(
    title: str, tasks: Sequence[Any], work: Callable[[Any, int | None], Any], plan: Plan, console: Console
) -> list[Any]:
    console.print(f"{title}: {len(tasks)}", highlight=False)
    return side_by_side(tasks, work, plan.jobs, console, True)


def _model(plan: Plan, twin: Twin, closure: bool, bias: Path | None = None) -> Row:
    """The model of an assimilation."""
    beside = plan.closure if closure else None
    return Row(
        "assimilation",
        "assimilation",
        twin.name,
        edits=twin.model,
        artefact=beside,
        bias=bias,
        restart=plan.restart(twin),
    )


def _first_round(plan: Plan, console: Console) -> None:
    """Increments by every method, without and with the closure; climatologies and networks from them."""
    for twin in plan.twins:
        _must_be_there(twin.train)

    def increments(task: tuple[Twin, str, bool], core: int | None) -> Path:
        twin, method, closure = task
        folder = _folder(plan, twin, method, closure)
        return bias_increments.made(
            _model(plan, twin, closure), method, twin.train, plan.windows, _ensemble(plan, twin), folder,
            plan.campaign.ocean, core,
        )  # fmt: skip

    tasks = [(twin, method, closure) for twin in plan.twins for method in plan.methods for closure in plan.closures]
    _stage("increments", tasks, increments, plan, console)
    wanted = [(twin, one) for twin in plan.twins for one in plan.corrections(twin, "climatology", "network")]

    def trained(task: tuple[Twin, Correction], core: int | None) -> Path:
        twin, correction = task
        data = _folder(plan, twin, correction.method, correction.closure) / "increments.zarr"
        return bias_training.trained(
            twin, correction, data, plan.made_of(twin) / correction.label, plan.recipe, plan.threads
        )

    files = _stage("trainings", wanted, trained, plan, console)
    plan.artefacts |= {correction: file for (_, correction), file in zip(wanted, files, strict=True)}


def _second_round(plan: Plan, console: Console) -> None:
    """Increments of the model with each network; a second network from these and what the first has added."""
    wanted = [(twin, one) for twin in plan.twins for one in plan.corrections(twin, "recycled")]

    def increments(task: tuple[Twin, Correction], core: int | None) -> None:
        twin, correction = task
        first = plan.artefacts[replace(correction, kind="network")]
        model = _model(plan, twin, correction.closure, first)
        bias_increments.made(
            model, correction.method, twin.train, plan.windows, _ensemble(plan, twin), _residual(plan, twin, correction),
            plan.campaign.ocean, core,
        )  # fmt: skip

    def total(task: tuple[Twin, Correction]) -> None:
        folder = _residual(plan, *task)
        data, both = folder / "increments.zarr", folder / "together" / "increments.zarr"
        if not both.is_dir() or bias_increments.origin(both) != bias_increments.origin(data):
            bias_increments.total(data, folder / "run" / bias_increments.DIAGNOSED, both)
            bias_increments.mark_as(both.parent / "made.json", bias_increments.origin(data))

    def unseen(task: tuple[Twin, Correction | None, str], core: int | None) -> None:
        twin, correction, method = task
        first = None if correction is None else plan.artefacts[replace(correction, kind="network")]
        folder = _unseen(plan, twin, method, correction)
        bias_increments.made(
            _model(plan, twin, False, first), method, twin.again, plan.windows or UNSEEN_WINDOWS,
            _ensemble(plan, twin), folder, plan.campaign.ocean, core,
        )  # fmt: skip

    _stage("increments of the corrected model", wanted, increments, plan, console)
    for task in wanted:
        total(task)
    judged: list[tuple[Twin, Correction | None, str]] = [
        *((twin, None, method) for twin in plan.twins for method in plan.recycle),
        *((twin, one, one.method) for twin, one in wanted),
    ]
    _stage("increments from unseen truth", judged, unseen, plan, console)

    def trained(task: tuple[Twin, Correction], core: int | None) -> Path:
        twin, correction = task
        data = _residual(plan, twin, correction) / "together" / "increments.zarr"
        return bias_training.trained(
            twin, correction, data, plan.made_of(twin) / correction.label, plan.recipe, plan.threads
        )

    files = _stage("second trainings", wanted, trained, plan, console)
    plan.artefacts |= {correction: file for (_, correction), file in zip(wanted, files, strict=True)}


def residuals(plan: Plan, twin: Twin) -> dict[str, dict[str, Any]]:
    """Rms of the increments without and with each network, by its name: from the truth it was trained on, and from unseen truth."""
    found = {}
    for correction in plan.corrections(twin, "recycled") if plan.recycle else []:
        first = _folder(plan, twin, correction.method, correction.closure) / "increments.zarr"
        pairs = {
            "trained": (first, _residual(plan, twin, correction) / "increments.zarr"),
            "unseen": (
                _unseen(plan, twin, correction.method, None) / "increments.zarr",
                _unseen(plan, twin, correction.method, correction) / "increments.zarr",
            ),
        }
        found[replace(correction, kind="network").name] = {
            name: bias_increments.compared(*(bias_increments.rms(path) for path in pair))
            for name, pair in pairs.items()
        }
    return found


def origins(plan: Plan, twin: Twin) -> dict[str, Any]:
    """What the networks of a twin were made from: hashes of artefacts, records of increments and trainings."""
    found: dict[str, Any] = {}
    for correction, artefact in plan.artefacts.items():
        if correction.twin == twin.name:
            mark = artefact.parent / "made.json"
            made = json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else {}
            found[correction.name] = {"file": artefact.name, "sha256": runs.sha256(artefact), **made}
    return found


def _ensemble(plan: Plan, twin: Twin) -> bias_increments.Ensemble:
    return bias_increments.Ensemble(plan.campaign.folder / twin.name / bias_rows.CLOSURE, twin.inflate)


def _folder(plan: Plan, twin: Twin, method: str, closure: bool) -> Path:
    return plan.made_of(twin) / (f"increments_{method}" + ("_closure" if closure else ""))


def _residual(plan: Plan, twin: Twin, correction: Correction) -> Path:
    return plan.made_of(twin) / f"residual_{replace(correction, kind='network').label}"


def _unseen(plan: Plan, twin: Twin, method: str, correction: Correction | None) -> Path:
    name = method if correction is None else replace(correction, kind="network").label
    return plan.made_of(twin) / f"unseen_{name}"


def _must_be_there(data: Path) -> None:
    if not data.is_dir():
        raise HaloclineError(
            f"there is no coarsened truth {data}. Make it: halocline truth and halocline coarsen, as `make science-bias` does."
        )
