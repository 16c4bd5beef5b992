"""The picture of a cycle in the space of observations."""

from pathlib import Path

import numpy as np

from coupler.report import STYLE
from models.assimilation.observations import UNITS
from models.assimilation.statistics import Statistics, binned, moments

DPI = 150
INNOVATION, RESIDUAL, EXPECTED = "#d1495b", "#28a197", "0.1"


def draw(statistics: Statistics, path: Path) -> Path:
    """For each type: innovation, residual and what the covariances expect, over windows; and the rank histogram."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = statistics.kinds()
    with plt.rc_context({**STYLE, "axes.facecolor": "white"}):
        figure, axes = plt.subplots(
            len(kinds), 2, figsize=(9.0, 2.2 * len(kinds)), squeeze=False, width_ratios=(2.2, 1), layout="constrained"
        )
        for kind, (left, right) in zip(kinds, axes, strict=True):
            windows = [window for window, of in statistics.windows if of == kind]
            rows = [moments(statistics.windows[window, kind]) for window in windows]
            for column, colour, label in (
                ("innovation_std", INNOVATION, "innovation"),
                ("residual_std", RESIDUAL, "residual"),
                ("expected", EXPECTED, "expected of the innovation"),
            ):
                left.plot(windows, [row[column] for row in rows], color=colour, lw=1.0, label=label)
            left.set_ylim(0.0, 1.2 * left.get_ylim()[1])  # room for the legend
            left.set_ylabel(f"{kind}, std [{UNITS[kind]}]")
            shown = binned(statistics.ranks[kind])
            right.bar(np.arange(len(shown)), shown, width=0.9, color="0.6")
            right.axhline(1.0, color=EXPECTED, lw=0.8)
            right.set_xticks([])
        axes[0, 0].legend(loc="upper right", ncols=3, frameon=False, fontsize="small")
        axes[0, 1].set_title("ranks of the observations", fontsize="small")
        axes[-1, 0].set_xlabel("window")
        aside = path.with_name(path.name + ".part")
        figure.savefig(aside, dpi=DPI, format="png")
        plt.close(figure)
    return aside.replace(path)
