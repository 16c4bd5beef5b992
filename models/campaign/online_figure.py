"""The figure of `halocline science online`: what each seed is worth in the run, and that its offline score does not tell it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coupler.report import STYLE
from models.campaign.table import WIND_WORDS
from models.evaluation.figures import BAND, COLOURS, TRUTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 110
LOST = 0.04  # height at which runs that blew up are marked, as a part of the axes
LOWEST = -1.5  # similarity below which a run is marked at the lower edge


def draw(document: Mapping[str, Any], path: Path) -> Path:
    """Similarity of every run by recipe, and against offline R2; a row of panels for each wind. Crosses: runs that blew up."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    designs = list(document["designs"])
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(designs)}
    offline = {one["training"]: one["offline_mean"] for one in document["trainings"]}
    winds = document["winds"]
    with plt.rc_context({**STYLE, "axes.facecolor": "white"}):
        figure, axes = plt.subplots(
            len(winds), 2, figsize=(9.6, 0.9 + 2.9 * len(winds)), layout="constrained", squeeze=False, sharey="row",
            gridspec_kw={"width_ratios": (1.2, 1)},
        )  # fmt: skip
        for (left, right), found in zip(axes, winds.values(), strict=True):
            for panel in (left, right):
                _lines(panel, found)
            for row in found["rows"]:
                number, colour = designs.index(row["design"]), colours[row["design"]]
                at = number + 0.12 * (row["seed"] - 2) + 0.04 * (row["start_state"] - 1)
                shape = "oD"[number // len(COLOURS) % 2]  # where colours begin again
                _dot(left, at, row, colour, shape)
                _dot(right, offline[row["training"]], row, colour, shape)
            left.set_xticks(
                range(len(designs)), [name.removeprefix("gyre_") for name in designs], rotation=25, ha="right"
            )
            for label, name in zip(left.get_xticklabels(), designs, strict=True):
                label.set_color(colours[name])
            left.set_ylabel("similarity in the run")
            left.set_ylim(*_limits(found))
            left.set_title(f"Under {WIND_WORDS[found['wind']]}")
            left.set_xlim(-0.5, len(designs) - 0.5)
            right.set_xlabel("offline R2 about zero, test part")
            right.xaxis.set_major_locator(MaxNLocator(5))
            for panel in (left, right):
                panel.grid(axis="y", color="0.92", linewidth=0.6)
                panel.set_axisbelow(True)
        figure.supxlabel(
            f"dots: seeds; crosses: blew up; triangles: below {LOWEST:g}; 1: the truth, grey: what sampling alone leaves; "
            "0: the best conventional closure",
            fontsize=8,
            color="0.35",
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        figure.savefig(part, dpi=DPI, format="png")
        plt.close(figure)
    return part.replace(path)


def _lines(panel: "Axes", found: Mapping[str, Any]) -> None:
    floor = found["similarity_floor"]["mean"]
    panel.axhspan(floor, 2 - floor, color=BAND, linewidth=0, zorder=0)
    panel.axhline(1.0, color=TRUTH, linewidth=1.2)
    panel.axhline(0.0, color=TRUTH, linewidth=0.8, linestyle="--")


def _limits(found: Mapping[str, Any]) -> tuple[float, float]:
    values = [row["similarity"]["mean"] for row in found["rows"] if row["scores"] is not None]
    low = max(LOWEST, min([0.0, *values]))
    return low - 0.15 * (1.1 - low), 1.1


def _dot(panel: "Axes", x: float, row: Mapping[str, Any], colour: str, shape: str) -> None:
    value = None if row["scores"] is None else row["similarity"]["mean"]
    if value is None or value < LOWEST:
        mark = "x" if value is None else "v"
        panel.plot(x, LOST, mark, color=colour, markersize=6, transform=panel.get_xaxis_transform(), clip_on=False)
    else:
        panel.plot(x, value, shape, color=colour, markersize=5, alpha=0.9)
