"""Maps of the mean bias before and after a correction: sea surface height, thickness, temperature."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coupler.report import LAND, STYLE
from models.evaluation.climate import Climate, must_fit
from models.evaluation.means import weighted_rms

DPI = 150
LARGEST = 99.5  # percentile of |bias| of the first run at which the colours end
WIDTH, HEIGHT = 2.2, 2.1  # of a map [inches]


def biases(run: Climate, truth: Climate) -> dict[str, np.ndarray]:
    """Run minus truth, (ny, nx), in the units of the maps, by label: SSH [cm], thickness of layer 1 [m], temperature [K].

    HaloclineError when the grids differ.
    """
    must_fit(run, truth)
    return {
        "mean SSH [cm]": 100 * (run.mean["eta"] - truth.mean["eta"]),
        "thickness, layer 1 [m]": run.mean["h"][0] - truth.mean["h"][0],
        "temperature [K]": run.mean["t"] - truth.mean["t"],
    }


def draw(runs: Sequence[Climate], truth: Climate, out: Path) -> Path:
    """Write the maps as PNG: a row for each field, a column for each run; the first is the model before. Returns `out`.

    One colour scale for each row, that of the first run; the rms over the basin stands in each map. HaloclineError as `biases`.
    """
    import cmocean
    import matplotlib  # here, not above: a quarter of a second that no other command should pay

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fields = [biases(run, truth) for run in runs]
    wet, area = truth.mesh.tmask[0], truth.mesh.area[0]
    ny, nx = truth.grid
    extent = (0.0, 1e-3 * nx * truth.mesh.width, 0.0, 1e-3 * ny * float(truth.mesh.e2t.mean()))
    with plt.rc_context({**STYLE, "axes.facecolor": "white"}):
        figure, axes = plt.subplots(
            len(fields[0]), len(runs), figsize=(1.2 + WIDTH * len(runs), HEIGHT * len(fields[0])), layout="constrained",
            sharex=True, sharey=True, squeeze=False, dpi=DPI,
        )  # fmt: skip
        for row, label in zip(axes, fields[0], strict=True):
            limit = float(np.percentile(np.abs(fields[0][label][wet]), LARGEST)) or 1.0
            for panel, field in zip(row, fields, strict=True):
                panel.set_facecolor(LAND)
                image = panel.imshow(
                    np.where(wet, field[label], np.nan), origin="lower", extent=extent, interpolation="nearest",
                    cmap=cmocean.cm.balance, vmin=-limit, vmax=limit,
                )  # fmt: skip
                units = label[label.index("[") + 1 : -1]
                panel.text(
                    0.96, 0.95, f"rms {float(weighted_rms(field[label], area)):.2f} {units}", fontsize=8, ha="right", va="top",
                    bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
                    transform=panel.transAxes,
                )  # fmt: skip
                panel.locator_params(nbins=4)
            bar = figure.colorbar(image, ax=row, extend="both", aspect=18, pad=0.012)
            bar.set_label(f"bias of {label}")
            bar.outline.set_linewidth(0.4)
        for panel, run in zip(axes[0], runs, strict=True):
            panel.set_title(run.name if run.stability.stable else f"{run.name} (unstable)")
        for panel in axes[-1]:
            panel.set_xlabel("x [km]")
        for panel in axes[:, 0]:
            panel.set_ylabel("y [km]")
        out = Path(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.with_name(out.name + ".part")
        figure.savefig(aside, dpi=DPI, format="png")
        plt.close(figure)
    return aside.replace(out)
