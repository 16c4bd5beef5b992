"""Padded blocks: the halo of the whole grid, made by the coupler's index map, as one gather."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coupler.grid import Box, Grid
from coupler.halo import source_map


class Padding(torch.nn.Module):
    """Fields (n, c, ny, nx) to (n, c + m, ny + 2 halo, nx + 2 halo): what a network gets in a run, its fill under land included.

    The values are copies: the same bits as in the coupler, on every grid and edge.
    """

    def __init__(
        self, grid: Grid, halo: int, points: Sequence[str], wet: Tensor, fill: Sequence[float], static: Tensor,
        static_points: Sequence[str], static_fill: Sequence[float],
    ) -> None:  # fmt: skip
        """points, wet (c, ny, nx), fill: of each channel; static (m, ny, nx) is padded with its fill and appended."""
        super().__init__()
        self.shape = (grid.ny + 2 * halo, grid.nx + 2 * halo)
        cells, count = grid.ny * grid.nx, len(points)
        index, signs = [], []
        for channel, point in enumerate(points):
            source, sign = _source(grid, halo, point, wet[channel].numpy())
            index.append(np.where(source < 0, count * cells + channel, channel * cells + source))
            signs.append(np.where(point in "UV", sign, 1).astype(np.float32))
        planes = []
        for plane, point, value in zip(static.numpy(), static_points, static_fill, strict=True):
            source, _ = _source(grid, halo, point, np.ones_like(plane, bool))
            planes.append(np.where(source < 0, value, plane.ravel()[source]).astype(np.float32))
        folded = any((sign != 1).any() for sign in signs)
        self.index: Tensor
        self.fill: Tensor
        self.sign: Tensor | None
        self.static: Tensor
        self.register_buffer("index", torch.from_numpy(np.stack(index).ravel()), persistent=False)
        self.register_buffer("fill", torch.tensor(list(fill), dtype=torch.float32), persistent=False)
        self.register_buffer("sign", torch.from_numpy(np.stack(signs)) if folded else None, persistent=False)
        self.register_buffer("static", torch.from_numpy(np.stack(planes)), persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """See the class."""
        n = len(fields)
        table = torch.cat((fields.flatten(1), self.fill.expand(n, -1)), dim=1)
        padded = table.index_select(1, self.index).view(n, -1, *self.shape)
        if self.sign is not None:
            padded = padded * self.sign
        return torch.cat((padded, self.static.expand(n, -1, -1, -1)), dim=1)


def _source(grid: Grid, halo: int, point: str, wet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source cells of the padded grid, -1 where nothing or land lies, and signs; (J, I) each."""
    source, sign = source_map(grid, Box(0, 0, grid.nx, grid.ny), halo, point)
    return np.where((source >= 0) & wet.ravel()[source], source, -1), sign
