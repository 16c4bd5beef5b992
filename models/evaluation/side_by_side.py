"""The picture of the demo: the truth, the coarse ocean, and the coarse ocean with a trained network, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from coupler.report import LAND, STYLE
from models.evaluation.climate import Climate
from models.evaluation.scores import COLUMNS, KMAX, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

WIDTH, HEIGHT, DPI = 10.0, 8.9, 160
INK, GREY, BAND = "0.1", "0.45", "0.86"
COLOURS = (INK, "#e0662f", "#12436d")  # truth, coarse, with the network; distinct for every kind of colour vision
PANEL = ("eke1", "eke2", "sd_eta", "tail", "eta_rmse", "logspec")
WORDS = {
    "eke1": "EKE, layer 1\n[cm$^2$ s$^{-2}$]",
    "eke2": "EKE, layer 2\n[cm$^2$ s$^{-2}$]",
    "sd_eta": "sd of SSH\n[cm]",
    "tail": "energy k 9 to 16,\nover truth's [1]",
    "eta_rmse": "error of\nmean SSH [cm]",
    "logspec": "error of log$_{10}$\nspectrum [1]",
}


@dataclass(frozen=True)
class Shown:
    """One column: its name, how long it is, its climate, and of a run also the climate with the years that were dropped."""

    name: str
    length: str
    climate: Climate
    whole: Climate | None = None


def side_by_side(
    truth: Shown, runs: Sequence[Shown], floor: Mapping[str, float], out: Path, rival: Climate | None = None
) -> Path:
    """Draw maps, spectra, energy and scores of the truth and of two runs (without and with the network); returns `out`.

    floor: what sampling alone leaves between a run and the truth, by score (campaign.truth.Truth.expected); rival: the best that
    tuning without training gave, a mark among the scores. The file is written aside first. HaloclineError when the grids differ.
    """
    import matplotlib  # here, not above: a quarter of a second that no other command should pay

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    everyone = [truth, *runs]
    values = [scores(one.climate, truth.climate) for one in everyone]
    with plt.rc_context({**STYLE, "axes.facecolor": "white"}):
        figure = plt.figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
        top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=(2.25, 1))).flat
        _maps(top, everyone, values)
        panels = bottom.subplots(1, 3, width_ratios=(1, 1, 1))
        _spectra(panels[0], everyone)
        _energy(panels[1], truth, runs)
        _scores(
            panels[2], values, floor, runs[0].climate.years, None if rival is None else scores(rival, truth.climate)
        )
        out = Path(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.with_name(out.name + ".part")
        figure.savefig(aside, dpi=DPI, format="png")
        plt.close(figure)
    return aside.replace(out)


# --- maps ------------------------------------------------------------------------------------------------------------


def _maps(figure: "SubFigure", everyone: Sequence[Shown], values: Sequence[dict[str, float]]) -> None:
    """Eddy kinetic energy and mean SSH, one colour scale for each row: that of the truth."""
    import cmocean

    axes = figure.subplots(2, len(everyone), sharex=True, sharey=True)
    truth = everyone[0].climate
    wet = truth.mesh.tmask[0]
    level = float(np.median(truth.mean["eta"][wet]))
    rows = (
        ("Eddy kinetic energy, layer 1 [cm$^2$ s$^{-2}$]", [1e4 * one.climate.eke[0] for one in everyone], False),
        ("Mean sea surface height, anomaly [cm]", [100 * (one.climate.mean["eta"] - level) for one in everyone], True),
    )
    ny, nx = truth.grid
    extent = (0.0, 1e-3 * nx * truth.mesh.width, 0.0, 1e-3 * ny * float(truth.mesh.e2t.mean()))
    for row, (label, fields, symmetric) in zip(axes, rows, strict=True):
        limit = float(np.percentile(np.abs(fields[0][wet]), 99.5)) or 1.0
        for panel, field in zip(row, fields, strict=True):
            panel.set_facecolor(LAND)
            image = panel.imshow(
                np.where(wet, field, np.nan), origin="lower", extent=extent, interpolation="nearest",
                cmap=cmocean.cm.balance if symmetric else cmocean.cm.matter, vmin=-limit if symmetric else 0, vmax=limit,
            )  # fmt: skip
            panel.locator_params(nbins=4)
        bar = figure.colorbar(image, ax=row, extend="both" if symmetric else "max", aspect=22, pad=0.012)
        bar.set_label(label)
        bar.outline.set_linewidth(0.4)
        bar.ax.locator_params(nbins=6)
    for panel, one, colour in zip(axes[0], everyone, COLOURS, strict=True):
        panel.set_title(one.name, color=colour, fontweight="bold", pad=17)
        panel.text(0, 1.03, one.length, color=GREY, fontsize=8, transform=panel.transAxes, in_layout=False)
    for panel, own in zip(axes[0], values, strict=True):
        _note(panel, f"mean {own['eke1']:.0f}")
    for panel, own in zip(axes[1][1:], values[1:], strict=True):
        _note(panel, f"rms error {own['eta_rmse']:.1f} cm")
    for panel in axes[1]:
        panel.set_xlabel("x [km]")
    for panel in axes[:, 0]:
        panel.set_ylabel("y [km]")


def _note(panel: "Axes", text: str) -> None:
    style = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    panel.text(
        0.96, 0.95, text, fontsize=8, ha="right", va="top", bbox=style, transform=panel.transAxes, in_layout=False
    )


# --- lines -----------------------------------------------------------------------------------------------------------


def _spectra(panel: "Axes", everyone: Sequence[Shown]) -> None:
    """Kinetic energy of layer 1 by wavenumber, up to the largest that scores use."""
    last = min(KMAX, everyone[0].climate.spectra["ke"].shape[1] - 1)
    number = np.arange(1, last + 1)
    for one, colour in zip(everyone, COLOURS, strict=True):
        line = 1e4 * one.climate.spectra["ke"][0][1 : last + 1]
        panel.loglog(
            number, line, color=colour, linewidth=3.2 if one.whole is None else 1.5, label=one.name.partition(":")[0]
        )
    panel.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    panel.minorticks_off()
    panel.set(title="Kinetic energy by scale, layer 1", xlabel="Wavenumber [cycles per basin]")
    panel.set_ylabel("[cm$^2$ s$^{-2}$ per cycle]")
    panel.legend(frameon=False, fontsize=8, handlelength=1.4)
    _grid(panel, "both")


def _energy(panel: "Axes", truth: Shown, runs: Sequence[Shown]) -> None:
    """Kinetic energy of layer 1 over time, from the state that the runs share; the band holds 80 % of the truth's states."""
    energy = 1e4 * truth.climate.ke[:, 0]
    low, high = np.percentile(energy, (10, 90))
    panel.axhspan(low, high, color=BAND, linewidth=0)
    panel.axhline(energy.mean(), color=COLOURS[0], linewidth=1.4)
    largest = [high]
    for one, colour in zip(runs, COLOURS[1:], strict=True):
        if one.whole is None:
            continue
        years = (one.whole.time - one.whole.time[0]) / one.whole.year
        own = 1e4 * one.whole.ke[:, 0]
        panel.plot(years, own, color=colour, linewidth=1.4)
        largest.append(float(own.max()))
        dropped = one.whole.years - one.climate.years
    words = "grey: 80 % of the truth's states"
    panel.text(0.98, 0.55, words, color=GREY, fontsize=8, ha="right", va="center", transform=panel.transAxes)
    panel.axvline(dropped, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)))
    panel.text(dropped, 0.02, " averages begin", color=GREY, fontsize=8, transform=panel.get_xaxis_transform())
    panel.set_xlim(0, None)
    panel.set_ylim(0, 1.06 * max(largest))
    panel.set(title="Kinetic energy over time, layer 1", xlabel="Time since the common start [years]")
    panel.set_ylabel("[cm$^2$ s$^{-2}$]")
    _grid(panel, "y")


def _grid(panel: "Axes", axis: Literal["both", "y"]) -> None:
    panel.grid(axis=axis, color="0.92", linewidth=0.6)
    panel.set_axisbelow(True)


# --- scores ----------------------------------------------------------------------------------------------------------


def _scores(
    panel: "Axes",
    values: Sequence[dict[str, float]],
    floor: Mapping[str, float],
    years: float,
    rival: dict[str, float] | None,
) -> None:
    """Each score on a line of its own, from zero; a stroke for the truth or for no error, a band for what sampling leaves."""
    columns = {column.key: column for column in COLUMNS}
    for row, key in enumerate(PANEL):
        best = values[0][key]
        low, high = band(key, best, floor[key])
        scale = 1.12 * max(best, high, *(own[key] for own in [*values[1:], *([rival] if rival else [])]))
        digits = columns[key].digits
        panel.plot([0, 1], [row, row], color="0.88", linewidth=0.7, zorder=0)
        panel.fill_between([low / scale, high / scale], row - 0.2, row + 0.2, color="0.8", linewidth=0, zorder=1)
        panel.plot([best / scale] * 2, [row - 0.27, row + 0.27], color=COLOURS[0], linewidth=1.8, zorder=2)
        panel.text(1.03, row, f"{best:.{digits}f}", color=COLOURS[0], fontsize=8, va="center")
        if rival:
            panel.plot(rival[key] / scale, row, "D", color=GREY, markerfacecolor="white", markersize=5, zorder=2.5)
        near = abs(values[1][key] - values[2][key]) < 0.16 * scale
        left_first = values[1][key] < values[2][key]
        for own, colour, first in zip(values[1:], COLOURS[1:], (left_first, not left_first), strict=True):
            place = own[key] / scale
            panel.plot(place, row, "o", color=colour, markersize=6.5, zorder=3, clip_on=False)
            side = ("right" if first else "left") if near else "center"
            panel.text(place, row - 0.24, f"{own[key]:.{digits}f}", color=colour, fontsize=8, ha=side, va="bottom")
    panel.set_yticks(range(len(PANEL)), [WORDS[key] for key in PANEL], fontsize=8)
    panel.set_ylim(len(PANEL) - 0.6, -0.75)
    panel.set_xlim(0, 1)
    panel.set_xticks([])
    panel.tick_params(axis="y", length=0)
    panel.spines[:].set_visible(False)
    panel.text(1.03, -0.62, "truth", color=COLOURS[0], fontsize=8, fontweight="bold", va="center")
    panel.set_title("Scores, each from zero")
    words = f"stroke: truth, or no error; grey: noise of {years:.0f} years"
    if rival:
        words += f"\ndiamond: best conventional closure, {rival['years']:.0f} years"
    panel.set_xlabel(words, color=GREY, fontsize=8)


def band(key: str, best: float, spread: float) -> tuple[float, float]:
    """The values that sampling alone may give: relative for the truth's own value, a factor for the tail, from zero for errors."""
    column = next(column for column in COLUMNS if column.key == key)
    if key == "tail":
        return best * np.exp(-spread), best * np.exp(spread)
    if column.best == "truth":
        return best * (1 - spread), best * (1 + spread)
    return best, best + spread
