"""Draws docs/pages/step.png: a coupling period with lag 0 and lag 1, to scale, with times of benchmarks/coupled.py.

Row "11 458 weights, 96 x 96 x 2" of benchmarks/README.md [ms]: ocean 8.37 alone, inference 3.68, unpacking and packing 0.06.
Run: python docs/figures/step.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OCEAN, NETWORK, COPY = 8.37, 3.68, 0.35  # COPY: drawn wider than 0.06, to be seen
COLOURS = {"ocean": "#9ecae1", "network": "#fdae6b", "copy": "#636363", "wait": "white"}
PERIODS = 3


def lane(axes, y, start, width, kind, words=""):
    """A piece of work of one side."""
    hatch = "///" if kind == "wait" else None
    axes.add_patch(
        plt.Rectangle((start, y), width, 0.8, facecolor=COLOURS[kind], edgecolor="0.4", linewidth=0.6, hatch=hatch)
    )
    axes.text(start + width / 2, y + 0.4, words, ha="center", va="center", fontsize=8)


def arrow(axes, start, end, words=""):
    """A message."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "crimson", "linewidth": 1.3})
    axes.text(start[0] + 0.15, 1.45, words, fontsize=7.5, color="crimson")


figure, (top, bottom) = plt.subplots(2, 1, figsize=(11, 4.6), dpi=110, layout="constrained", sharex=True)
at = 0.0
for n in range(PERIODS):
    lane(top, 2, at, COPY, "copy")
    arrow(top, (at + COPY, 2), (at + 2 * COPY, 0.8), f"state {n + 1}")
    lane(top, 0, at + 2 * COPY, NETWORK, "network", "network")
    answered = at + 2 * COPY + NETWORK
    lane(top, 2, at + COPY, answered + COPY - at - COPY, "wait", "waits")
    arrow(top, (answered, 0.8), (answered + COPY, 2), f"answer {n + 1}")
    lane(top, 2, answered + COPY, OCEAN, "ocean", "steps on with it")
    at = answered + COPY + OCEAN
top.set_title("nn_lag = 0: the answer is used within the step; the ocean waits for it", loc="left", fontsize=10)

at = 0.0
for n in range(PERIODS + 1):
    lane(bottom, 2, at, COPY, "copy")
    arrow(bottom, (at + COPY, 2), (at + 2 * COPY, 0.8), f"state {n + 1}")
    lane(bottom, 0, at + 2 * COPY, NETWORK, "network", "network")
    lane(bottom, 2, at + COPY, OCEAN, "ocean", f"uses answer {n}" if n else "uses cn_first")
    answered = at + 2 * COPY + NETWORK
    arrow(bottom, (answered, 0.8), (at + COPY + OCEAN, 2), "")
    at += COPY + OCEAN
bottom.set_title(
    "nn_lag = 1: the answer to one coupling step is used at the next; both sides work", loc="left", fontsize=10
)
for axes in (top, bottom):
    axes.set(xlim=(0, 38), ylim=(-0.2, 3), yticks=[0.4, 2.4], yticklabels=["coupler", "ocean"])
    axes.tick_params(left=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
bottom.set_xlabel("time [ms]")
figure.savefig(Path(__file__).resolve().parents[1] / "pages" / "step.png")
