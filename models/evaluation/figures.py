"""Pictures of runs beside truth: maps, spectra, scores against the noise floor."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coupler.report import STYLE
from models.evaluation.climate import Climate
from models.evaluation.scores import COLUMNS, KMAX, KTAIL, floor, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
TRUTH, BAND = "0.1", "0.85"
COLOURS = ("#d1495b", "#12436d", "#28a197", "#f0a202", "#801650", "#7a7d80", "#5f9ed1", "#a26b2a")
MOST = 6  # maps beside each other
PANELS = (
    "eke1",
    "eke2",
    "sd_eta",
    "ke1",
    "eta_rmse",
    "h1_rmse",
    "u1_rmse",
    "t_rmse",
    "sd_rmse",
    "r_eke",
    "logspec",
    "tail",
)


def draw_all(
    runs: Sequence[Climate], truths: Sequence[Climate], out: Path, kmax: int = KMAX, ktail: int = KTAIL
) -> list[Path]:
    """Write maps.png, spectra.png and scores.png into the folder `out`; runs without a single state are left out."""
    runs = [run for run in runs if run.states]
    truth = Climate.joint(truths)
    drawings: dict[str, Callable[[], Figure]] = {
        "maps": lambda: maps(runs[:MOST], truth, truths),
        "spectra": lambda: spectra(runs, truth, truths, kmax, ktail),
        "scores": lambda: dots(runs, truth, truths, kmax, ktail),
    }
    import matplotlib  # here, not above: a quarter of a second that no other command should pay

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    written = []
    with plt.rc_context({**STYLE, "axes.facecolor": "white"}):
        for name, drawing in drawings.items():
            figure = drawing()
            aside = out / f"{name}.png.part"
            figure.savefig(aside, dpi=DPI, format="png")
            plt.close(figure)
            written.append(aside.replace(out / f"{name}.png"))
    return written


# --- maps ------------------------------------------------------------------------------------------------------------


def maps(runs: Sequence[Climate], truth: Climate, truths: Sequence[Climate]) -> "Figure":
    """Mean SSH, its error, its standard deviation, and eddy kinetic energy: truth and runs beside each other.

    In the row of errors, the place of the truth holds the difference of two truths, where there are two.
    """
    import cmocean
    import matplotlib.pyplot as plt

    everyone = [truth, *runs]
    errors = [100 * (run.mean["eta"] - truth.mean["eta"]) for run in everyone]
    if len(truths) > 1:
        errors[0] = 100 * (truths[0].mean["eta"] - truths[1].mean["eta"])
    height = float(np.median(truth.mean["eta"][truth.mesh.tmask[0]]))
    rows: list[tuple[str, list[np.ndarray], Any, bool]] = [
        ("mean SSH, anomaly [cm]", [100 * (one.mean["eta"] - height) for one in everyone], cmocean.cm.delta, True),
        ("error of mean SSH [cm]", errors, cmocean.cm.balance, True),
        ("sd of SSH [cm]", [100 * one.sd_eta for one in everyone], cmocean.cm.amp, False),
        ("EKE layer 1 [cm$^2$ s$^{-2}$]", [1e4 * one.eke[0] for one in everyone], cmocean.cm.matter, False),
    ]
    count = len(everyone)
    figure, axes = plt.subplots(
        len(rows), count, figsize=(1.1 + 2.15 * count, 2.25 * len(rows)), layout="constrained", squeeze=False,
        sharex=True, sharey=True,
    )  # fmt: skip
    ny, nx = truth.grid
    extent = (0, 1e-3 * nx * truth.mesh.width, 0, 1e-3 * ny * float(truth.mesh.e2t.mean()))
    for row, (label, fields, colours, symmetric) in zip(axes, rows, strict=True):
        wet = truth.mesh.tmask[0]
        shown = fields[1:] if symmetric and label.startswith("error") and count > 1 else fields[:1]
        limit = max(float(np.percentile(np.abs(field[wet]), 99.5)) for field in shown) or 1.0
        for panel, field in zip(row, fields, strict=True):
            image = panel.imshow(
                np.where(wet, field, np.nan), origin="lower", extent=extent, cmap=colours,
                vmin=-limit if symmetric else 0, vmax=limit, interpolation="nearest",
            )  # fmt: skip
            panel.set_xticks(*_ticks(extent[1]))
            panel.set_yticks(*_ticks(extent[3]))
            panel.tick_params(length=2)
        bar = figure.colorbar(image, ax=row, extend="both" if symmetric else "max", aspect=18, pad=0.012)
        bar.set_label(label)
        bar.outline.set_linewidth(0.4)
        bar.ax.locator_params(nbins=5)
    for panel, one in zip(axes[0], everyone, strict=True):
        panel.set_title(_label(one))
    words = "one truth − the other" if len(truths) > 1 else "no second truth"
    axes[1, 0].text(0.96, 0.95, words, color="0.35", fontsize=8, ha="right", va="top", transform=axes[1, 0].transAxes)
    for panel in axes[-1]:
        panel.set_xlabel("x [km]")
    for panel in axes[:, 0]:
        panel.set_ylabel("y [km]")
    return figure


def _ticks(length: float) -> tuple[list[float], list[str]]:
    last = length // 1000 * 1000 or length
    return [0, last], ["0", f"{last:.0f}"]


# --- spectra ---------------------------------------------------------------------------------------------------------


def spectra(runs: Sequence[Climate], truth: Climate, truths: Sequence[Climate], kmax: int, ktail: int) -> "Figure":
    """Kinetic energy by wavenumber, each layer, and its ratio to the truth; the band is what two truths differ by."""
    import matplotlib.pyplot as plt

    layers = len(truth.mesh.tmask)
    figure, axes = plt.subplots(
        2, layers, figsize=(1.2 + 3.9 * layers, 5.6), layout="constrained", squeeze=False, sharex=True, sharey="row",
        height_ratios=(1.5, 1),
    )  # fmt: skip
    number = np.arange(truth.spectra["ke"].shape[1])
    inside = slice(1, None)
    for k in range(layers):
        top, bottom = axes[:, k]
        true = truth.spectra["ke"][k]
        for place, (run, colour) in enumerate(zip(runs, _colours(len(runs)), strict=True)):
            dashes = ("-", "--", ":")[place // len(COLOURS) % 3]
            line = run.spectra["ke"][k]
            top.loglog(number[inside], line[inside], dashes, color=colour, linewidth=1.5, label=_label(run, 30))
            bottom.loglog(number[inside], (line / true)[inside], dashes, color=colour, linewidth=1.5)
        top.loglog(number[inside], true[inside], color=TRUTH, linewidth=2.2, zorder=1, label=_label(truth, 30))
        bottom.axhline(1, color=TRUTH, linewidth=2.2, zorder=1)
        if len(truths) > 1:
            each = np.array([one.spectra["ke"][k] for one in truths])
            for panel, factor in ((top, 1.0), (bottom, true)):
                low, high = each.min(0) / factor, each.max(0) / factor
                panel.fill_between(number[inside], low[inside], high[inside], color="0.7", linewidth=0, zorder=0.5)
        bottom.axvspan(ktail, kmax, color=BAND, alpha=0.5, linewidth=0, zorder=0)
        top.axvspan(ktail, kmax, color=BAND, alpha=0.5, linewidth=0, zorder=0)
        top.set_title(f"Layer {k + 1}")
        bottom.set_xlabel("wavenumber [cycles per basin]")
        ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64) if tick < len(number)]
        bottom.set_xticks(ticks, [str(tick) for tick in ticks])
        bottom.minorticks_off()
        for panel in (top, bottom):
            panel.grid(color="0.92", linewidth=0.6)
            panel.set_axisbelow(True)
    lowest = min(
        [1.0, *(float(np.nanmin(run.spectra["ke"][:, 1:kmax] / truth.spectra["ke"][:, 1:kmax])) for run in runs)]
    )
    axes[1, 0].set_ylim(max(0.01, 0.7 * lowest), None)
    decades = [0.01, 0.03, 0.1, 0.3, 1, 3, 10]
    axes[1, 0].set_yticks(decades, [f"{value:g}" for value in decades])
    axes[1, 0].set_ylim(max(0.01, 0.7 * lowest), min(10.0, axes[1, 0].get_ylim()[1]))
    axes[0, 0].set_ylabel("kinetic energy [m$^2$ s$^{-2}$ per cycle]")
    axes[1, 0].set_ylabel("ratio to the truth [1]")
    axes[0, 0].text(1.03 * ktail, 0.97, "tail", color="0.4", va="top", transform=axes[0, 0].get_xaxis_transform())
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        frameon=False,
        fontsize=8,
        loc="outside lower center",
        ncols=min(3 if max(map(len, labels)) > 22 else 5, len(labels)),
    )
    return figure


# --- scores ----------------------------------------------------------------------------------------------------------


def dots(runs: Sequence[Climate], truth: Climate, truths: Sequence[Climate], kmax: int, ktail: int) -> "Figure":
    """Each score of each run, in its units; the line is the truth's value or the best, the band what two truths differ by."""
    import matplotlib.pyplot as plt

    columns = {column.key: column for column in COLUMNS}
    reference = scores(truth, truth, None, kmax, ktail)
    halves = floor(truths, kmax, ktail)
    values = [scores(run, truth, None, kmax, ktail) for run in runs]
    figure, axes = plt.subplots(
        3, 4, figsize=(10.4, 3 * (0.85 + 0.24 * max(len(runs), 2))), layout="constrained", sharey=True
    )
    for panel, key in zip(axes.flat, PANELS, strict=True):
        column = columns[key]
        best = reference[key] if column.best == "truth" else float(column.best)
        if halves:
            ends = [best, *(half[key] for half in halves)]
            panel.axvspan(min(ends), max(ends), color=BAND, linewidth=0)
        panel.axvline(best, color=TRUTH, linewidth=1.4)
        for row, (run, own, colour) in enumerate(zip(runs, values, _colours(len(runs)), strict=True)):
            panel.plot([best, own[key]], [row, row], color=colour, linewidth=0.9, alpha=0.6)
            face = colour if run.stability.stable else "white"
            panel.plot(own[key], row, "o", color=colour, markerfacecolor=face, markersize=6, clip_on=False)
        _limits(panel, best, [own[key] for own in values])
        units = column.units.replace("cm2 s-2", "cm$^2$ s$^{-2}$").replace("s-1", "s$^{-1}$")
        panel.set_title(f"{column.header} [{units}]", fontsize=9)
        panel.set_yticks(range(len(runs)), [f"{_label(run, 28)}, {run.years:.0f} years" for run in runs])
        panel.set_ylim(len(runs) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.locator_params(axis="x", nbins=5)
        panel.grid(axis="x", color="0.92", linewidth=0.6)
        panel.set_axisbelow(True)
    words = "line: the truth, or no error"
    figure.supxlabel(
        f"{words}; grey: by how much two truths differ (noise floor)" if halves else words, fontsize=8, color="0.35"
    )
    return figure


def _limits(panel: "Axes", best: float, values: list[float]) -> None:
    """From zero, but for correlations, which end at one; room for the outermost dot."""
    finite = [best, *(value for value in values if np.isfinite(value))]
    top = 1.06 * max(finite) or 1.0
    panel.set_xlim(0, top)


# --- all -------------------------------------------------------------------------------------------------------------


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _label(climate: Climate, length: int = 24) -> str:
    """The name, shortened in the middle, and a mark where the run was not stable."""
    name = (
        climate.name
        if len(climate.name) <= length
        else f"{climate.name[: length // 2]}…{climate.name[1 - length // 2 :]}"
    )
    return name if climate.stability.stable else f"{name} (unstable)"
