"""`halocline evaluate`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from coupler.errors import HaloclineError
from models.console import console as open_console
from models.settings import NamEval, load

if TYPE_CHECKING:
    from models.evaluation.climate import Climate
    from models.evaluation.report import Report


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="run folders, data sets (.zarr) or saved climates (.npz)")],
    truth: Annotated[list[Path], typer.Option(help="coarsened truth; a second, independent one gives the noise floor")],
    baseline: Annotated[
        Path | None, typer.Option(help="run without closure: a row of its own, and similarity scores")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for scores.json, scores.csv, figures, climates")] = None,
    cfg: Annotated[Path | None, typer.Option(help="folder or file with &nameval; default: its defaults")] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON in place of the tables")] = False,
) -> None:
    """Score runs against coarsened truth: energy, spectra, sea surface height, errors of the mean, the noise floor."""
    from models.evaluation.climate import climate_of
    from models.evaluation.report import Report

    groups = load(cfg, NamEval) if cfg is not None else []
    switches = groups[0] if groups else NamEval()
    if switches.nn_ktail > switches.nn_kmax:
        raise HaloclineError(
            f"nn_ktail = {switches.nn_ktail} is above nn_kmax = {switches.nn_kmax}: the tail would be empty.\n"
            f"  {switches.where('nn_ktail')}. Lower it."
        )
    quiet = Console(stderr=True)

    def climate(path: Path, name: str, shape: tuple[int, int] | None, skip: float) -> "Climate":
        with quiet.status(f"reading {path}"):
            return climate_of(path, shape, skip, switches.rn_sigma, name)

    truths = [climate(path, name, None, 0.0) for path, name in zip(truth, names(truth), strict=True)]
    for path, one in zip(truth, truths, strict=True):
        if not one.states:
            raise HaloclineError(f"the truth {path} has no good state in it.")
    grid = truths[0].grid

    def skip(path: Path) -> float:
        return switches.rn_skip if path.is_dir() and path.suffix != ".zarr" else 0.0

    known = [path.resolve() for path in runs]
    alone = [baseline] if baseline is not None and baseline.resolve() not in known else []
    paths = [*runs, *alone]
    read = [climate(path, name, grid, skip(path)) for path, name in zip(paths, names(paths), strict=True)]
    climates = read[: len(runs)]
    base = None if baseline is None else read[-1] if alone else climates[known.index(baseline.resolve())]
    report = Report(climates, truths, base, switches.nn_kmax, switches.nn_ktail)
    if json:
        print(report.json_text(), end="")
    else:
        report.show(open_console())
    if out is not None:
        from models.evaluation import bias_maps
        from models.evaluation.figures import MOST, draw_all

        _write(out, report)
        for run in read:
            run.save(out / "climates" / f"{run.name.replace('/', '_')}.npz")
        draw_all(climates, truths, out, switches.nn_kmax, switches.nn_ktail)
        figures = "maps.png, spectra.png, scores.png"
        after = [run for run in climates if run.states and run is not base]
        if base is not None and base.states and after:
            bias_maps.draw([base, *after[: MOST - 1]], report.truth, out / "bias.png")
            figures += ", bias.png"
        quiet.print(f"{out}: scores.json, scores.csv, {figures}, climates/", highlight=False)


def names(paths: Sequence[Path]) -> list[str]:
    """What the runs are called: the last part of each path, the last two where those are the same."""
    last = [path.stem if path.suffix in (".npz", ".zarr") else path.absolute().name for path in paths]
    count = Counter(last)
    return [
        name if count[name] == 1 else f"{path.absolute().parent.name}/{name}"
        for name, path in zip(last, paths, strict=True)
    ]


def _write(out: Path, report: "Report") -> None:
    """The scores as files, aside first. HaloclineError when the place cannot be written."""
    for name, text in (("scores.json", report.json_text()), ("scores.csv", report.as_csv())):
        aside = out / f"{name}.part"
        try:
            out.mkdir(parents=True, exist_ok=True)
            aside.write_text(text, encoding="utf-8")
            aside.replace(out / name)
        except OSError as error:
            raise HaloclineError(f"cannot write {aside}: {error.strerror}.") from error
