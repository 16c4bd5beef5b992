"""Draws docs/pages/runs.png from the index map: what one ocean rank sends to one coupler rank, as runs, message and copies.

Run: python docs/figures/runs.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from coupler.grid import Grid, decompose, ownership
from coupler.halo import requests

NX, NY, HALO = 16, 10, 2
OWNERS = ["#9ecae1", "#fdd0a2", "#a1d99b", "#dadaeb"]
ACCENT = "#1f4e79"
grid = Grid(NX, NY, "cyclic_ew")
ocean = decompose(grid, 4)
owner = ownership(grid, ocean)
box = decompose(grid, 6)[0]
SENDER = 1
sent = next(one for one in requests(grid, owner, box, HALO, "T", vector=False) if one.ocean_rank == SENDER)
home = ocean[SENDER]
places = np.concatenate([np.arange(s, s + n) for s, n in zip(sent.runs.start, sent.runs.length, strict=True)])

figure, panels = plt.subplot_mosaic(
    [["grid", "block"], ["message", "message"]],
    figsize=(11, 6.2),
    dpi=110,
    layout="constrained",
    height_ratios=[5, 1.3],
)


def cell(axes, i, j, colour, words="", hatch=None):
    """One cell of a grid with its number in the message."""
    axes.add_patch(plt.Rectangle((i, j), 1, 1, facecolor=colour, edgecolor="white", hatch=hatch))
    axes.text(i + 0.5, j + 0.5, words, ha="center", va="center", fontsize=7, color="white" if words else "black")


left = panels["grid"]
for j, i in np.ndindex(NY, NX):
    cell(left, i, j, OWNERS[owner.rank[j, i]])
for number, place in enumerate(places):
    cell(left, home.i0 + place % home.ni, home.j0 + place // home.ni, ACCENT, str(number + 1))
left.add_patch(plt.Rectangle((box.i0, box.j0), box.ni, box.nj, fill=False, edgecolor="black", linewidth=2.5))
left.set_title(
    f"The ocean: 4 ranks (colours), cyclic along i\nblack frame: the subdomain of coupler rank 0\n"
    f"dark: what ocean rank {SENDER} sends it, {len(sent.runs.start)} runs of its cells, numbered",
    loc="left",
    fontsize=10,
)
left.set(xlim=(-0.3, NX + 0.3), ylim=(-0.3, NY + 0.3))

right = panels["block"]
for j, i in np.ndindex(box.nj + 2 * HALO, box.ni + 2 * HALO):
    inside = 0 <= j - HALO + box.j0 < NY
    rank = owner.rank[j - HALO + box.j0, (i - HALO + box.i0) % NX] if inside else None
    cell(right, i, j, OWNERS[rank] if inside else "0.85")
for rect in sent.rects:
    for b, a in np.ndindex(rect.height, rect.width):
        cell(right, rect.i + a, rect.j + b, ACCENT, str(rect.position + b * rect.row + a * rect.step + 1))
    right.add_patch(
        plt.Rectangle((rect.i, rect.j), rect.width, rect.height, fill=False, edgecolor="crimson", linewidth=2)
    )
right.add_patch(plt.Rectangle((HALO, HALO), box.ni, box.nj, fill=False, edgecolor="black", linewidth=2.5))
right.set_title(
    f"The padded block of coupler rank 0, halo {HALO}\n"
    f"red: {len(sent.rects)} strided copies out of that message\ngrey: beyond a closed edge (fill)",
    loc="left",
    fontsize=10,
)
right.set(xlim=(-0.3, box.ni + 2 * HALO + 0.3), ylim=(-0.3, box.nj + 2 * HALO + 0.3))

bar = panels["message"]
parts = [("header\n64 bytes", 0.12, "0.75"), ("u, k = 1", 0.22, ACCENT), ("u, k = 2", 0.22, ACCENT)]
parts += [("v, k = 1", 0.22, ACCENT), ("v, k = 2", 0.22, ACCENT)]
at = 0.0
for words, width, colour in parts:
    bar.add_patch(plt.Rectangle((at, 0), width, 1, facecolor=colour, edgecolor="white", linewidth=2))
    values = "" if words.startswith("header") else f"\n{len(places)} values"
    bar.text(
        at + width / 2, 0.5, words + values, ha="center", va="center", color="black" if not values else "white", size=9
    )
    at += width
bar.set_title("One message per pair of ranks and exchange: every field and level in it", loc="left", fontsize=10)
bar.set(xlim=(-0.005, at + 0.005), ylim=(-0.1, 1.1))
for name, axes in panels.items():
    axes.axis("off")
    if name != "message":
        axes.set_aspect("equal")
figure.savefig(Path(__file__).resolve().parents[1] / "pages" / "runs.png")
