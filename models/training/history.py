"""The learning curve: one row per epoch, as CSV, as a picture, and as a line on what is no terminal; numbers for TensorBoard."""

import csv
import io
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from coupler.errors import HaloclineError
from coupler.report import STYLE
from models.training.windows import length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("epoch", "loss", "val_loss", "val_r2", "rate", "seconds")
TRAINING, VALIDATION, SKILL = "0.55", "#12436d", "#d1495b"


@dataclass(frozen=True)
class Words:
    """What the numbers of a training are; grows: the epochs, from 1, that begin with a longer window."""

    training: str = "training"
    validation: str = "validation"
    skill: str = "R2 about zero"
    about: str = ""
    grows: tuple[int, ...] = ()


def words(module: lightning.LightningModule, epochs: int) -> Words:
    """Of a fit to single states, or (`online`) of one along trajectories."""
    train, online = module.switches, getattr(module, "online", None)
    noise = online.rn_start_noise if online else train.rn_noise or train.rn_amplify
    first = "training (with noise)" if noise else "training"
    second = "validation (averaged weights)" if train.rn_ema else "validation"
    if online is None:
        return Words(first, second)
    lengths = [length(online, module.span, epoch) for epoch in range(epochs)]
    grows = tuple(epoch + 1 for epoch in range(1, epochs) if lengths[epoch] > lengths[epoch - 1])
    return Words(first, second, "R2 against no change", ", of the state at a window's end", grows)


class History(Callback):
    """Keeps the rows in the checkpoint, so that a training that goes on has one curve without holes."""

    def __init__(self, folder: Path, console: Console, plain: bool) -> None:
        """plain: print a line per epoch."""
        self.folder, self.console, self.plain = folder, console, plain
        self.rows: list[dict[str, float]] = []
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Add a row; `seconds` is the time of this epoch, validation included."""
        values = {key: float(trainer.callback_metrics[key]) for key in ("loss", "val_loss", "val_r2")}
        optimizer = trainer.optimizers[0]
        row = {"epoch": trainer.current_epoch + 1, **values, "rate": optimizer.param_groups[0]["lr"]}
        self.rows.append({**row, "seconds": round(time.perf_counter() - self._start, 3)})
        if not trainer.is_global_zero:
            return
        self._write()
        if self.plain:
            self.console.print(
                f"epoch {row['epoch']:.0f}/{trainer.max_epochs}  loss {values['loss']:.4g}  validation "
                f"{values['val_loss']:.4g}  {words(module, 1).skill} {values['val_r2']:.3f}  {self.rows[-1]['seconds']:.1f} s",
                highlight=False,
            )

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Draw the curve."""
        if trainer.is_global_zero and self.rows:
            draw(self.rows, self.folder / "learning.png", words(module, len(self.rows)))

    def state_dict(self) -> dict[str, Any]:
        """Rows as plain values."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The rows so far."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        replace(self.folder / "history.csv", text.getvalue().encode())


def replace(path: Path, content: bytes) -> None:
    """Write aside, then rename; HaloclineError when the disk refuses."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise HaloclineError(f"cannot write {path}: {error.strerror}. Make room, then run again: it goes on.") from None


def draw(rows: Sequence[dict[str, float]], path: Path, said: Words = Words()) -> None:
    """Loss of both parts (logarithmic), below it R2 of the validation part over epochs, logarithmic below -1."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator

    with mpl.rc_context({**STYLE, "axes.facecolor": "white"}):
        figure = Figure(figsize=(6, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        loss, skill = figure.subplots(2, sharex=True, height_ratios=(1.5, 1))
        epochs = [row["epoch"] for row in rows]
        marker = "o" if len(rows) < 13 else ""
        edges = [0, *(epoch - 1 for epoch in said.grows), len(rows)]
        for first, last in pairwise(edges):  # a loss of longer windows is another one
            part = [row["loss"] for row in rows[first:last]]
            label = said.training if not first else None
            loss.plot(epochs[first:last], part, color=TRAINING, label=label, marker=marker, markersize=4)
        values = [row["val_loss"] for row in rows]
        loss.plot(epochs, values, color=VALIDATION, label=said.validation, marker=marker, markersize=4)
        if min(row[key] for row in rows for key in ("loss", "val_loss")) > 0:
            logarithmic(loss)
        loss.set_ylabel("loss")
        figure.legend(loc="outside upper right", ncols=2)
        values = [row["val_r2"] for row in rows]
        low = min(0.0, 1.1 * min((value for value in values if math.isfinite(value)), default=0.0))
        skill.plot(epochs, values, color=SKILL, marker=marker, markersize=4)
        if low < 0:
            skill.axhline(0.0, color="0.4", linewidth=0.6, linestyle="--")
        if low < -1:
            skill.set_yscale("symlog", linthresh=1.0)
            skill.yaxis.set_major_locator(SymmetricalLogLocator(base=10.0, linthresh=1.0, subs=(1.0, 2.0, 5.0)))
            skill.yaxis.set_major_formatter("{x:g}")
        skill.set(ylim=(low, 1), xlabel="epoch", ylabel="R2")
        skill.set_title(f"validation, {said.skill}{said.about}", loc="left", fontsize="medium")
        skill.xaxis.set_major_locator(MaxNLocator(integer=True))
        for panel in (loss, skill):
            panel.grid(color="0.9", linewidth=0.6)
            for epoch in said.grows:
                panel.axvline(epoch - 0.5, color="0.4", linewidth=0.6, linestyle=":")
        for epoch in said.grows[:1]:
            loss.annotate(
                " longer windows",
                (epoch - 0.5, 0.03),
                xycoords=("data", "axes fraction"),
                color="0.4",
                fontsize="small",
            )
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=150)
    replace(path, picture.getvalue())


def logarithmic(axes: "Axes") -> None:
    """A logarithmic y axis whose numbers are written out: 0.2, not 2 x 10^-1."""
    from matplotlib.ticker import LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = axes.get_ylim()
    if high / low < 100:
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_minor_formatter("{x:g}")


class Scalars:
    """Numbers of a training without epochs for TensorBoard, in FOLDER/tensorboard.

    first: the step that comes next: later ones, of a training that was killed, are hidden.
    """

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._file = SummaryWriter(folder / "tensorboard", purge_step=first)

    def __call__(self, step: int, **values: float) -> None:
        """One number of each name."""
        for name, value in values.items():
            self._file.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
