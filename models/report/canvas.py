"""What every figure of a report shares: style, colours, and the way to its PNG file and into the page."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from coupler.report import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
BEYOND = 99.5  # percentile of the values at which colours end; the pointed end of the bar says so
INK, GREY, FAINT = "0.1", "0.4", "0.9"
OTHER, RUN = COLOURS[:2]  # as in the picture of the demo: orange without, blue with
TRUTH = INK
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LAYERS = ("-", (0, (3.5, 1.6)), (0, (1.2, 1.4)))  # lines of layer 1, 2, 3


@dataclass(frozen=True)
class Picture:
    """A figure in a report: the file that it lies in, and what it shows for those who do not see it."""

    path: Path
    alt: str

    @property
    def source(self) -> str:
        """The image itself as a URL, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [pixels], from the head of the PNG file."""
        head = self.path.read_bytes()[16:24]
        return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")


@contextmanager
def drawing() -> Iterator[None]:
    """The style within which figures are made."""
    import matplotlib  # here, not above: a quarter of a second that no other command should pay

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({**STYLE, "axes.facecolor": "white", "text.color": INK, "axes.labelcolor": INK}):
        yield


def save(figure: "Figure", path: Path, alt: str) -> Picture:
    """Write a figure, aside first, and close it."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    figure.savefig(aside, dpi=DPI, format="png")
    plt.close(figure)
    return Picture(aside.replace(path), alt)


def grid(axes: "Axes", axis: Literal["both", "x", "y"] = "y") -> None:
    """Thin lines behind the data."""
    axes.grid(axis=axis, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def units(text: str) -> str:
    """Units as a reader expects them: 'm s-2' with raised exponents, in letters that need no mathematics to be set."""
    words = [
        re.sub(r"(?<=[A-Za-z])-?\d+$", lambda power: power[0].translate(RAISED), word)
        for word in re.split(r"[ /]", text)
    ]
    return ("/" if "/" in text else " ").join(words).replace("degC", "°C")


def scaled(values: np.ndarray) -> tuple[float, str]:
    """The power of ten that brings small and large numbers to readable ones: (factor, '10⁻⁷ ' or '')."""
    good = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(good, BEYOND)) if good.size else 0.0
    if not top or 1e-3 <= top < 1e5:
        return 1.0, ""
    power = int(np.floor(np.log10(top)))
    return 10.0**-power, f"10{str(power).translate(RAISED)} "
