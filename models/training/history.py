"""The learning curve: one row per epoch, as CSV, as a picture, and as a line on what is no terminal."""

import csv
import io
import math
import os
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from coupler.errors import HaloclineError

COLUMNS = ("epoch", "loss", "val_loss", "val_r2", "rate", "seconds")


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
                f"{values['val_loss']:.4g}  R2 about zero {values['val_r2']:.3f}  {self.rows[-1]['seconds']:.1f} s",
                highlight=False,
            )

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Draw the curve."""
        if trainer.is_global_zero and self.rows:
            draw(self.rows, self.folder / "learning.png")

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


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Loss of both parts (logarithmic) and R2 about zero of the validation part over epochs; R2 below -1 on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    marker = "." if len(rows) < 4 else ""
    left.plot(epochs, [row["loss"] for row in rows], color="0.5", label="training (with noise)", marker=marker)
    left.plot(epochs, [row["val_loss"] for row in rows], color="C0", label="validation", marker=marker)
    if min(row[key] for row in rows for key in ("loss", "val_loss")) > 0:
        left.set_yscale("log")
    left.set(xlabel="epoch", ylabel="loss")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right = left.twinx()
    skill = [row["val_r2"] for row in rows]
    low = min(0.0, 1.1 * min((value for value in skill if math.isfinite(value)), default=0.0))
    right.plot(epochs, skill, color="C3", label="R2 about zero, validation", marker=marker)
    if low < 0:
        right.axhline(0.0, color="C3", linewidth=0.5, linestyle="--")
    if low < -1:
        right.set_yscale("symlog", linthresh=1.0)
        right.yaxis.set_major_formatter("{x:g}")
    right.set(ylim=(low, 1), ylabel="R2 about zero")
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    replace(path, picture.getvalue())
