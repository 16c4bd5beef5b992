"""What a training beside the ocean says: a line of JSON for each window, version and start, and a picture of them."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from coupler.errors import HaloclineError
from models.training.history import Scalars, logarithmic, replace

LOG, PICTURE = "rollout.jsonl", "rollout.png"


class RolloutLog:
    """rollout.jsonl of a training's folder.

    Every line has `time`, `event`, `window`, `kt` (the ocean's step) and `version`. Events: 'start' (the ocean begins with this
    version), 'window' (error at its end, persistence = 1; loss; 'rollout_nograd': rms of the correction), 'version' (sha256; loss
    and error: means over the windows since the version before; along trajectories: norm of the gradient, error of the answers; the
    ocean takes it at the first exchange after kt) and 'emulator' (its scores).
    """

    def __init__(self, folder: Path, window: int, board: bool = False) -> None:
        """Go on after `window`: later lines belong to windows that are run again, and are dropped.

        board: the numbers of windows and versions go to TensorBoard, too.
        """
        self.path = folder / LOG
        lines = [line for line in read(folder) if line["window"] <= window] if window else []
        replace(self.path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        self.lines = lines
        self.board = Scalars(folder, window + 1) if board else None

    def __call__(self, event: str, **values: Any) -> None:
        """One more line. HaloclineError when the disk refuses."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values}
        self.lines.append(line)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise HaloclineError(f"cannot write {self.path}: {error.strerror}. Make room, then run again.") from None
        if self.board is not None:
            numbers = {f"{event}/{key}": value for key, value in values.items() if isinstance(value, float)}
            self.board(values["window"], **numbers)

    def close(self) -> None:
        """Nothing more comes."""
        if self.board is not None:
            self.board.close()

    def since_version(self, key: str) -> float:
        """Mean of a number over the windows since the last version."""
        values = []
        for line in reversed(self.lines):
            if line["event"] == "version":
                break
            if line["event"] == "window":
                values.append(line[key])
        return float(np.mean(values)) if values else float("nan")


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a training's folder; a half line at the end, of a kill, is left out."""
    try:
        text = (folder / LOG).read_text(encoding="utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def draw(folder: Path, count: int) -> None:
    """Error and loss over windows, with a running mean; count: windows of a pass over the truth."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines = [line for line in read(folder) if line["event"] == "window"]
    if not lines:
        return
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    number = np.array([line["window"] for line in lines])
    curves = (("loss", "0.5", ":", "loss"), ("error", "C0", "-", "error at the window's end (persistence: 1)"))
    for key, color, style, label in curves:
        values = np.array([line[key] for line in lines])
        axes.plot(number, values, color=color, alpha=0.3, linewidth=0.7)
        length = max(1, min(len(values) // 10, 72))
        mean = np.convolve(values, np.ones(length) / length, "valid")
        axes.plot(number[length - 1 :], mean, color=color, linestyle=style, label=label)
    turns = range(count, int(number[-1]), count)
    for turn in turns:
        axes.axvline(turn + 0.5, color="0.8", linewidth=0.7)
    axes.axhline(1.0, color="0.4", linewidth=0.6, linestyle="--")
    axes.set(xlabel="window (grey upright line: the truth begins again)" if turns else "window")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    logarithmic(axes)
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    replace(folder / PICTURE, picture.getvalue())
