"""What an inversion says: a row for each member, a line for each iteration, a picture of both; numbers for TensorBoard."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from coupler.errors import HaloclineError
from models.eki.files import replace
from models.eki.observed import Observation
from models.eki.parameters import Parameter, values
from models.settings import NamTrain

if TYPE_CHECKING:
    from models.training.history import Scalars

HISTORY, PICTURE = "history.csv", "eki.png"
WHOLE = 1.0 - 1e-9  # sum of steps at which the posterior is reached


@dataclass(frozen=True)
class Iteration:
    """An ensemble that has run: x (members, p), results of its members, how far each is from the truth (nan: it failed).

    misfit: |y - g|^2 / d in units of the error, 1 for a perfect model. step: the update's length, 0 after the last one; done: sum
    of the steps before.
    """

    number: int
    x: np.ndarray
    results: Sequence[dict[str, Any]]
    misfit: np.ndarray
    step: float
    done: float

    @property
    def alive(self) -> np.ndarray:
        """Members that came through."""
        return np.isfinite(self.misfit)

    @property
    def failed(self) -> list[int]:
        """Numbers of the others."""
        return [int(n) for n in np.flatnonzero(~self.alive)]

    def parts(self, observation: Observation) -> dict[str, float]:
        """Rms difference of each statistic over the members that came through, in standard deviations of its error."""
        each = [observation.parts(np.array(one["statistics"])) for one in self.results if one["statistics"] is not None]
        return {name: float(np.sqrt(np.mean([one[name] ** 2 for one in each]))) for name in observation.names}


def say(iteration: Iteration, parameters: Sequence[Parameter], last: int, console: Console) -> None:
    """The misfit and the mean values of an iteration, and each member that failed by its number, values and day."""
    middle = values(parameters, iteration.x.mean(0))
    named = "  ".join(f"{one.switch} {value:.4g}" for one, value in zip(parameters, middle, strict=True))
    good = iteration.misfit[iteration.alive]
    console.print(
        f"iteration {iteration.number}/{last}  misfit {np.mean(good):.4g} (least {good.min():.4g})  {named}  "
        f"{len(good)} of {len(iteration.misfit)} came through  "
        f"step {iteration.step:.3g}, sum {iteration.done + iteration.step:.3g}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for number in iteration.failed:
        one = iteration.results[number]
        day = "" if one["day"] is None else f" on day {one['day']}"
        what = "  ".join(f"{key} {value:.4g}" for key, value in one["values"].items())
        console.print(
            f"  member {number} {one['status']}{day} ({what}): "
            f"{one['message'].strip().rstrip('.')}. {'It is drawn anew from the others.' if iteration.step else ''}".rstrip(),
            highlight=False,
            markup=False,  # a message may hold units, [m]
            soft_wrap=True,
        )


def write(folder: Path, iterations: Sequence[Iteration], observation: Observation) -> None:
    """history.csv: a row for each member of each iteration."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    switches = list(iterations[0].results[0]["values"])
    out.writerow(
        ["iteration", "member", *switches, "misfit", *observation.names, "status", "day", "seconds", "start", "step"]
    )
    for one in iterations:
        for number, (result, misfit) in enumerate(zip(one.results, one.misfit, strict=True)):
            found = result["statistics"]
            parts = observation.parts(np.array(found)) if found is not None else dict.fromkeys(observation.names, "")
            out.writerow(
                [
                    one.number, number, *(repr(value) for value in result["values"].values()),
                    f"{misfit:.6g}" if np.isfinite(misfit) else "",
                    *(f"{value:.6g}" if value != "" else "" for value in parts.values()),
                    result["status"], "" if result["day"] is None else result["day"], result["seconds"], result["start"],
                    f"{one.step:.6g}",
                ]
            )  # fmt: skip
    replace(folder / HISTORY, text.getvalue().encode())


@contextmanager
def board(folder: Path, train: NamTrain) -> "Iterator[Scalars | None]":
    """TensorBoard of the run folder with cn_log = 'tensorboard', else None.

    It begins with iteration 0: a call that goes on shows again what an earlier one has shown, which is hidden. HaloclineError
    where torch or tensorboard are not installed.
    """
    if train.cn_log != "tensorboard":
        yield None
        return
    try:
        from models.training.history import Scalars  # torch, seconds to import: only where it is asked for

        scalars = Scalars(folder, 0)
    except ImportError as error:
        raise HaloclineError(
            f"cn_log = 'tensorboard' needs {error.name or error}, which is not installed.\n  {train.where('cn_log')}. `pip install "
            f"halocline[train]`, or set it to 'csv': {HISTORY} and {PICTURE} are written in any case."
        ) from None
    try:
        yield scalars
    finally:
        scalars.close()


def summary(iteration: Iteration, parameters: Sequence[Parameter], observation: Observation) -> dict[str, float]:
    """What TensorBoard shows of an iteration in which a member came through: means over members, see `Iteration`."""
    good = iteration.misfit[iteration.alive]
    middle = values(parameters, iteration.x.mean(0))
    return {
        "misfit/mean": float(good.mean()),
        "misfit/least": float(good.min()),
        "members/came_through": float(len(good)),
        "step/length": iteration.step,
        "step/sum": iteration.done + iteration.step,
        **{f"switch/{one.switch}": value for one, value in zip(parameters, middle, strict=True)},
        **{f"distance/{name}": value for name, value in iteration.parts(observation).items()},
    }


def draw(folder: Path, iterations: Sequence[Iteration], parameters: Sequence[Parameter]) -> None:
    """Each switch and the misfit over iterations: members as dots, failed ones as crosses, the mean as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    count = len(parameters) + 1
    figure = Figure(figsize=(3.2 * count, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, squeeze=False)[0]
    numbers = np.array([one.number for one in iterations])
    for n, (panel, parameter) in enumerate(zip(panels[:-1], parameters, strict=True)):
        for one in iterations:
            tried = np.array([parameter.value(x) for x in one.x[:, n]])
            panel.plot(np.full(one.alive.sum(), one.number), tried[one.alive], ".", color="0.6")
            panel.plot(np.full((~one.alive).sum(), one.number), tried[~one.alive], "x", color="C3")
        panel.plot(numbers, [parameter.value(one.x[:, n].mean()) for one in iterations], color="C0")
        panel.set(title=parameter.switch, yscale="log" if parameter.transform == "log" else "linear")
    for one in iterations:
        panels[-1].plot(np.full(one.alive.sum(), one.number), one.misfit[one.alive], ".", color="0.6")
    panels[-1].plot(numbers, [np.nanmean(one.misfit) for one in iterations], color="C0")
    panels[-1].axhline(1.0, color="0.5", linewidth=0.7, linestyle="--")
    panels[-1].set(title="misfit (a perfect model: 1)", yscale="log")
    for panel in panels:
        panel.set_xlabel("iteration")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    replace(folder / PICTURE, picture.getvalue())
