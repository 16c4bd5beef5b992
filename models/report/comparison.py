"""A run beside another one, and beside the truth."""

from dataclasses import dataclass, replace
from pathlib import Path

from models.evaluation.climate import Climate
from models.evaluation.scores import KEYS
from models.evaluation.side_by_side import Shown, side_by_side
from models.report import head, namelists, scores
from models.report.canvas import Picture
from models.report.run import Run
from models.report.sections import Row, Section


@dataclass(frozen=True)
class Comparison:
    """The other run and the truth, as text: scores, differences of the configuration, and a picture."""

    other: str
    truth: str
    rows: list[scores.Score]
    rows_title: str
    differences: list[namelists.Difference]
    lonely: list[tuple[str, list[str]]]  # run, groups that the other does not have
    numbers: list[tuple[head.Figure, head.Figure]]
    section: Section


def figures_of(run: Run, other: Run | None = None) -> list[head.Figure]:
    """The five numbers at the top of the page."""
    theirs = None if other is None else other.energy
    return head.figures(run.span, run.clock, run.energy, theirs, run.guards, run.coupled, run.folder.progress)


def compare(run: Run, other: Run | None, best: scores.Truths | None, skip: float, out: Path) -> Comparison | None:
    """What a reader wants of two runs; None where there is neither another run nor a truth."""
    if other is None and best is None:
        return None
    section = Section("comparison", "Comparison")
    rows: list[scores.Score] = []
    title = ""
    mine, theirs = run.output, None if other is None else other.output
    if mine is None:
        section.reason = "This run has no states of the reference ocean: there is nothing to score."
    elif best is not None:
        title = f"Scores against the truth, {best.joint.years:.0f} years"
        with run.absence.of("Scores against the truth"):
            own = scores.fitted(mine, run.folder.path, best.joint, skip)
            beside = (
                None if theirs is None or other is None else scores.fitted(theirs, other.folder.path, best.joint, skip)
            )
            rows = scores.table(own, beside, best)
            if beside is not None and other is not None:
                section.rows = _beside(
                    run, other, replace(own, name=run.name), replace(beside, name=other.name), best, out
                )
    elif theirs is not None and other is not None:
        title = "Values of both runs, and by how much their means differ"
        with run.absence.of("Differences of both runs"):
            rows = scores.differences(mine.climate, theirs.climate)
    else:
        section.reason = (
            "The other run has no states of the reference ocean: only its series and its configuration are compared."
        )
    changed = [] if other is None else namelists.differences(run.tables, other.tables)
    lonely = [] if other is None else _lonely(run, other)
    numbers = [] if other is None else list(zip(figures_of(run), figures_of(other), strict=True))
    truth = "" if best is None else best.joint.name
    return Comparison("" if other is None else other.name, truth, rows, title, changed, lonely, numbers, section)


def _lonely(run: Run, other: Run) -> list[tuple[str, list[str]]]:
    """Groups that only one of two runs has."""
    found = []
    for one, beside in ((run, other), (other, run)):
        theirs = {table.heading for table in beside.tables}
        groups = [table.heading for table in one.tables if table.heading not in theirs]
        if groups:
            found.append((one.name, groups))
    return found


def _beside(run: Run, other: Run, mine: Climate, theirs: Climate, best: scores.Truths, out: Path) -> list[Row]:
    """The picture of the demo and the similarities."""
    rows = []
    shows = "eddy kinetic energy, mean sea surface height, spectra, energy, scores"
    words = f"Truth, {other.name} and {run.name} beside each other: {shows}."
    with run.absence.of("Picture beside the truth"):
        floor = best.floors(mine.years) or dict.fromkeys(KEYS, 0.0)
        whole = [replace(one, name=name) for one, name in ((theirs, other.name), (mine, run.name))]
        shown = [Shown(one.name, f"{one.years:.1f} years", one, one) for one in whole]
        first = Shown("Truth", f"{best.joint.years:.0f} years", best.joint)
        rows.append(
            Row(
                [Picture(side_by_side(first, shown, floor, out / "beside_truth.png"), words)],
                "Beside the truth",
                wide=True,
            )
        )
    with run.absence.of("Similarities"):
        values = scores.similar(mine, theirs, best)
        rows.append(
            Row([scores.draw_similar(values, run.name, other.name, out / "similarity.png")], "Similarity to the truth")
        )
    return rows
