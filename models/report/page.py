"""The page: what was read of a run, drawn, put into the template, and written as one HTML file that needs no other."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from coupler.errors import HaloclineError
from models.report import provenance, scores
from models.report import run as runs
from models.report.canvas import OTHER, RUN, drawing, units
from models.report.comparison import compare, figures_of
from models.report.networks import seconds
from models.report.run import Run
from models.report.sections import maps_section, series_section, spectra_section

HERE = Path(__file__).parent
FILE = "index.html"


def report(
    path: Path, against: Path | None = None, out: Path | None = None, truth: Sequence[Path] = (), skip: float = 0.0
) -> Path:
    """Write the report of a run folder into `out` (default: its folder report/); returns the page.

    against: a run to put beside it; truth: data sets of `halocline coarsen` or climates, to score both; skip: days that
    averages leave out. HaloclineError: no run in a folder, a truth that cannot be read, a place that cannot be written.
    """
    run = runs.read(path, skip)
    other = None if against is None else runs.read(against, skip)
    if other is not None and other.name == run.name:
        for one in (run, other):
            one.label = "/".join(one.folder.path.resolve().parts[-2:])
    best = scores.truths(truth) if truth else None
    out = Path(path) / "report" if out is None else Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for old in out.glob("*.png"):
            old.unlink()  # of an earlier report: what is absent now must not lie there
        with drawing():
            text = _page(run, other, best, skip, out)
        aside = out / f"{FILE}.part"
        aside.write_text(text, encoding="utf-8")
        return aside.replace(out / FILE)
    except OSError as error:
        raise HaloclineError(
            f"cannot write the report to {out}: {error.strerror or error}. Name another folder with --out."
        ) from error


def _page(run: Run, other: Run | None, best: scores.Truths | None, skip: float, out: Path) -> str:
    sections = [series_section(run, other, out), maps_section(run, other, out), spectra_section(run, other, best, out)]
    comparison = compare(run, other, best, skip, out)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"units": units, "seconds": seconds}
    return environment.get_template("page.html").render(
        run=run,
        other=other,
        figures=figures_of(run, other),
        sections=sections,
        comparison=comparison,
        provenance=provenance.provenance(run.folder),
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        palette={"run": RUN, "other": OTHER},
        skip=skip,
    )
