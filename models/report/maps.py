"""Maps: one field of one run in a file of its own, so that a page can put them beside each other at any width."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from coupler.report import LAND
from models.report.canvas import BEYOND, Picture, save, units

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

WIDTH = 3.7  # inches
Scale = Literal["symmetric", "from zero", "between"]


@dataclass(frozen=True)
class Field:
    """A map (ny, nx), NaN on land: what it shows, its units, its colours, and how its scale lies."""

    key: str
    title: str
    units: str
    values: np.ndarray
    colours: str  # of cmocean
    scale: Scale

    def minus(self, other: "Field") -> "Field":
        """The difference, about zero."""
        return Field(
            f"{self.key}_difference",
            "Difference",
            self.units,
            self.values - other.values,
            "balance",
            "symmetric",
        )


@dataclass(frozen=True)
class Frame:
    """Where a map lies: west, east, south, north, and the words of its axes."""

    extent: tuple[float, float, float, float]
    xlabel: str = "x [km]"
    ylabel: str = "y [km]"

    @classmethod
    def cells(cls, shape: tuple[int, ...]) -> "Frame":
        """Cells counted from 1."""
        return cls((0.5, shape[-1] + 0.5, 0.5, shape[-2] + 0.5), "i [cells]", "j [cells]")


def limits(fields: Sequence[Field]) -> tuple[float, float]:
    """One colour scale for all of them."""
    values = np.concatenate([field.values[np.isfinite(field.values)] for field in fields])
    if not values.size:
        return 0.0, 1.0
    if fields[0].scale == "between":
        low, high = np.percentile(values, [100 - BEYOND, BEYOND])
        return float(low), float(high) if high > low else float(low) + 1.0
    high = float(np.percentile(np.abs(values), BEYOND)) or float(np.abs(values).max()) or 1.0
    return (-high if fields[0].scale == "symmetric" else 0.0), high


def draw(
    field: Field, frame: Frame, ends: tuple[float, float], folder: Path, name: str = "", suffix: str = ""
) -> Picture:
    """One map with its colour bar; name: of the run, below the title. The file is map_KEY_SUFFIX.png."""
    import matplotlib.pyplot as plt

    west, east, south, north = frame.extent
    ratio = min(max((north - south) / (east - west), 0.45), 1.5)
    wide = WIDTH - 0.75
    high = wide * ratio
    height = high + 1.45
    figure = plt.figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.6 / WIDTH, 0.98 / height, wide / WIDTH, high / height))
    axes.set_facecolor(LAND)
    image = axes.imshow(
        field.values, origin="lower", extent=frame.extent, cmap=colours(field.colours), vmin=ends[0], vmax=ends[1],
        interpolation="nearest", aspect="auto",
    )  # fmt: skip
    axes.locator_params(nbins=5)
    axes.set_xlabel(frame.xlabel, labelpad=2)
    axes.set_ylabel(frame.ylabel, labelpad=3)
    figure.text(0.6 / WIDTH, 1 - 0.17 / height, field.title, fontsize=10, va="center")
    if name:
        figure.text(0.6 / WIDTH, 1 - 0.35 / height, name, fontsize=8, color="0.35", va="center")
    bar_axes = figure.add_axes((0.6 / WIDTH, 0.42 / height, wide / WIDTH, 0.1 / height))
    extend = "both" if field.scale != "from zero" else "max"
    bar = figure.colorbar(image, cax=bar_axes, orientation="horizontal", extend=extend, extendfrac=0.03)
    bar.outline.set_linewidth(0.4)
    bar.ax.locator_params(nbins=5)
    bar.ax.tick_params(labelsize=8, pad=2)
    bar.set_label(f"[{units(field.units)}]", fontsize=8, labelpad=1)
    of = f" of {name}" if name else ""
    low, middle, high_value = quantiles(field.values)
    what = field.title.lower() if field.title != "Difference" else field.key.replace("_", " ")
    alt = f"Map: {what}{of}; between {low:.3g} and {high_value:.3g} {field.units}, median {middle:.3g}."
    return save(figure, folder / f"map_{field.key}{suffix}.png", alt)


def quantiles(values: np.ndarray) -> tuple[float, float, float]:
    """Smallest, median, largest of what is not land; zeros where nothing is."""
    good = values[np.isfinite(values)]
    return (float(good.min()), float(np.median(good)), float(good.max())) if good.size else (0.0, 0.0, 0.0)


def colours(name: str) -> "Colormap":
    """A perceptual map of cmocean; land shows through."""
    import cmocean

    return getattr(cmocean.cm, name)
