"""What `halocline science online` leaves: table with provenance, figure, cards, and on demand a frozen copy and its page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.campaign import (
    matrix,
    online_card,
    online_figure,
    online_judge,
    online_plan,
    online_table,
    rows,
    runs,
    truth,
)
from models.campaign.matrix import Row
from models.campaign.online_plan import Plan, Training
from models.campaign.online_training import trained
from models.campaign.schedule import side_by_side
from models.data.store import provenance
from models.evaluation.climate import Climate

QUIET = Console(quiet=True)
TITLE = "Closures trained in several ways, in the Fortran ocean"
KEPT = REPOSITORY / "models" / "zoo" / "online"
PAGE = REPOSITORY / "docs" / "pages" / "online_science.md"
BEGIN, END = "<!-- written by halocline science online: begin -->", "<!-- written by halocline science online: end -->"
FAILED = "training failed"  # an outcome that the table tells, not a hole in it
LARGEST = 300_000  # bytes of the figure: it is kept in the repository


def make(
    plan: Plan, absent: Mapping[str, str], statistics: Path, conventional: Mapping[str, Any], name: str, command: str,
    train: bool, whole: bool, console: Console,
) -> dict[str, Any]:  # fmt: skip
    """Train and run what is missing, score it, write table, figure and cards; the document of the table.

    absent: recipes that are not there, and why; statistics: folder of those of the truth; conventional: the frozen scan; whole:
    a network that is missing is an error before the first run, unless its training has failed, which the table tells.
    """
    truths = {wind: truth.load(wind, statistics) for wind in matrix.WINDS}
    failed = trained(plan, console) if train else {}
    everyone = [training for design in plan.designs for training in plan.of(design)]
    missing = dict(absent) | {one.label: failed.get(one.label, one.missing) for one in everyone if one.missing}
    for label, why in missing.items():
        console.print(f"missing: {label}: {why}", highlight=False, soft_wrap=True)
    if whole and (holes := _holes(missing)):
        raise HaloclineError(f"{len(holes)} trainings are missing: {', '.join(holes)}. Nothing was run.")
    there = [training for training in everyone if not training.missing]
    if not there:
        raise HaloclineError(
            f"there is no trained network of these recipes in {plan.trainings}. Train them: the same command without --no-train."
        )
    found = _scored(plan, there, truths, statistics, conventional, console)
    document = _document(plan, there, missing, found, truths, statistics, conventional, command)
    online_judge.complete(document)
    folder = plan.campaign.folder
    online_table.write(folder, name, document, TITLE)
    online_figure.draw(document, folder / f"{name}.png")
    for training in there:
        online_card.write(document, training.label, training.folder, truths)
    for table in document["winds"].values():
        console.print(online_table.short(table))
    console.print(
        f"tables: {folder / name}.md, .json, .csv; figure: {name}.png; cards: README.md of each training",
        highlight=False,
    )
    return document


def _scored(
    plan: Plan,
    there: Sequence[Training],
    truths: Mapping[str, truth.Truth],
    statistics: Path,
    conventional: Mapping[str, Any],
    console: Console,
) -> dict[str, list[dict[str, Any]]]:
    """By wind, all runs with scores and similarities; what is there is not run again."""
    planned = [
        (under, {**facts, "training": training.label})
        for training in there
        for row, facts in plan.rows(training)
        for under in matrix.under(list(matrix.WINDS), [row])
    ]
    for row in {(row.wind, row.start): row for row, _ in planned}.values():
        runs.start(plan.campaign, row, QUIET)
    best = {wind: Climate.load(statistics / f"climate_{wind}_best.npz") for wind in matrix.WINDS}
    found: dict[str, dict[str, Any]] = {}

    def score(task: tuple[Row, dict[str, Any]]) -> None:
        row, facts = task
        one = truths[row.wind]
        record = {**rows.scored(plan.campaign, row, one, QUIET), **facts}
        record.pop("command", None)  # of this machine
        if record["scores"] is not None:
            reduced = rows.climate(plan.campaign, row, one.joint.grid)
            record["similarity"] = online_judge.similarity(record["scores"], _best(conventional, row.wind), one)
            record["distributions"] = online_judge.distributions(reduced, one.joint, best[row.wind])
        found[row.folder] = record

    side_by_side(
        planned,
        lambda task, core: runs.run(plan.campaign, task[0], QUIET, core),
        plan.jobs,
        console,
        True,
        lambda task: f"{task[0].wind}: {task[0].name}",
        score,
    )
    return {wind: [found[row.folder] for row, _ in planned if row.wind == wind] for wind in matrix.WINDS}


def _best(conventional: Mapping[str, Any], wind: str) -> Mapping[str, float]:
    """Scores of the best conventional closure overall."""
    scan = conventional["winds"][wind]
    return next(row["scores"] for row in scan["rows"] if row["row"] == scan["best"]["overall"])


def _finer(conventional: Mapping[str, Any], one: truth.Truth, statistics: Path) -> dict[str, Any] | None:
    """The 20 km model: its scores and similarities."""
    row = next(
        (row for row in conventional["winds"][one.wind]["rows"] if row["family"] == "20 km" and row["scores"]), None
    )
    path = statistics / f"climate_{one.wind}_20_km.npz"
    if row is None or not path.is_file():
        return None
    best = Climate.load(statistics / f"climate_{one.wind}_best.npz")
    return {
        "row": row["row"],
        "scores": row["scores"],
        "similarity": online_judge.similarity(row["scores"], _best(conventional, one.wind), one),
        "distributions": online_judge.distributions(Climate.load(path), one.joint, best),
    }


def _document(
    plan: Plan,
    there: Sequence[Training],
    missing: Mapping[str, str],
    found: Mapping[str, list[dict[str, Any]]],
    truths: Mapping[str, truth.Truth],
    statistics: Path,
    conventional: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    labels = {training.label: training for training in there}
    described = [online_plan.described(training, labels) for training in there]
    files = {"executable": plan.campaign.ocean, "namelist": runs.NAMELISTS / "gyre_closure" / "namelist_cfg"}
    files |= {"conventional": statistics / "conventional.json"}
    files |= {f"recipe {design.name}": _namelist(design.cfg) for design in plan.designs}
    asked = {"seeds": plan.seeds, "years": plan.years, "starts": plan.starts, "every": plan.every}
    return {
        "command": command,
        "provenance": provenance(files),
        "rule": online_judge.RULE,
        "asked": asked,
        "missing": dict(missing),
        "designs": {
            design.name: {"mode": design.mode, "words": design.words}
            for design in plan.designs
            if any(one["design"] == design.name for one in described)
        },
        "trainings": described,
        "winds": {
            wind: online_table.wind_of(
                one,
                found[wind],
                described,
                conventional["winds"][wind],
                plan.years,
                _finer(conventional, one, statistics),
            )
            for wind, one in truths.items()
        },
    }


def _namelist(cfg: Path) -> Path:
    return cfg / "namelist_cfg" if cfg.is_dir() else cfg


def _holes(missing: Mapping[str, str]) -> list[str]:
    """What is missing for another reason than a training that failed."""
    return [name for name, why in missing.items() if not why.startswith(FAILED)]


def freeze(document: Mapping[str, Any], folder: Path, name: str, keep: Path, page: Path) -> None:
    """Copy table and figure into `keep`, and show them in `page`, between its markers.

    HaloclineError for a table that is not whole, a figure that is too large, a page without markers.
    """
    if holes := _holes(document["missing"]):
        raise HaloclineError(f"the table is not whole, it is not frozen: missing are {', '.join(holes)}.")
    picture = (folder / f"{name}.png").read_bytes()
    if len(picture) > LARGEST:
        raise HaloclineError(
            f"{folder / name}.png has {len(picture)} bytes; at most {LARGEST} are kept in the repository."
        )
    text = shown(page.read_text(encoding="utf-8"), online_table.markdown(document), page, f"{page.stem}.png")
    online_table.write(keep, name, document, TITLE)
    for target, content in (
        (keep / f"{name}.png", picture),
        (page.with_suffix(".png"), picture),
        (page, text.encode()),
    ):
        part = target.with_name(f"{target.name}.part")
        part.write_bytes(content)
        part.replace(target)


def shown(text: str, table: str, page: Path, picture: str) -> str:
    """The text of a page with the table and its picture between the markers. HaloclineError where these are not there once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise HaloclineError(
            f"{page} has no place for the table: the lines\n  {BEGIN}\n  {END}\n  are needed, once each."
        )
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    words = "Similarity in the run of every seed, by recipe and against its offline score"
    return f"{head}{BEGIN}\n\n![{words}]({picture})\n\n{table.strip()}\n\n{tail}"
