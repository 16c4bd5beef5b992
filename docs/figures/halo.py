"""Draws docs/pages/halo.png from the index map itself: where the halo of one coupler rank comes from, fold and cyclic edge.

Run: python docs/figures/halo.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from coupler.grid import Grid, decompose, ownership
from coupler.halo import source_map

NX, NY, HALO = 16, 9, 3
OWNERS = ["#9ecae1", "#fdd0a2", "#a1d99b", "#dadaeb"]
grid = Grid(NX, NY, "fold_T")
ocean = decompose(grid, 4)
owner = ownership(grid, ocean)
box = decompose(grid, 2)[1]
source, sign = source_map(grid, box, HALO, "T")

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), dpi=110, layout="constrained")
for j, i in np.ndindex(NY, NX):
    left.add_patch(plt.Rectangle((i, j), 1, 1, facecolor=OWNERS[owner.rank[j, i]], edgecolor="white"))
left.add_patch(plt.Rectangle((box.i0, box.j0), box.ni, box.nj, fill=False, edgecolor="black", linewidth=2.5))
left.plot([0, NX], [NY - 0.5, NY - 0.5], color="crimson", linestyle="--", linewidth=1.5)
left.plot([0.5, NX / 2 + 0.5], [NY - 0.5] * 2, "o", color="crimson", markersize=7)
left.set_title(
    "The ocean: 4 ranks (colours); dashed: the fold, dots: its pivots (T)\nblack: the subdomain of one coupler rank",
    loc="left",
)
left.set(xlim=(-0.2, NX + 0.2), ylim=(-0.2, NY + 0.2))

for j, i in np.ndindex(source.shape):
    index = source[j, i]
    place = (box.i0 - HALO + i, box.j0 - HALO + j)
    colour = "0.85" if index < 0 else OWNERS[owner.rank.ravel()[index]]
    hatch = "////" if sign[j, i] < 0 else None
    right.add_patch(plt.Rectangle(place, 1, 1, facecolor=colour, edgecolor="white", hatch=hatch))
    if index >= 0:
        right.text(
            place[0] + 0.5,
            place[1] + 0.5,
            f"{index % NX + 1},{index // NX + 1}",
            ha="center",
            va="center",
            fontsize=5.6,
        )
right.add_patch(plt.Rectangle((box.i0, box.j0), box.ni, box.nj, fill=False, edgecolor="black", linewidth=2.5))
right.set_title(
    "What it sees with a halo of 3: i,j of each source\nhatched: beyond the fold (vectors change sign)\ngrey: closed edge (fill)",
    loc="left",
)
right.set(
    xlim=(box.i0 - HALO - 0.2, box.i0 + box.ni + HALO + 0.2), ylim=(box.j0 - HALO - 0.2, box.j0 + box.nj + HALO + 0.2)
)
for axes in (left, right):
    axes.set_aspect("equal")
    axes.axis("off")
figure.savefig(Path(__file__).resolve().parents[1] / "pages" / "halo.png")
