"""Increments of concentrations that keep the bounds of a concentration exactly, in float32, whatever a network proposes.

The analysis lies on multiples of 2^-20 in [0, 1], made by rounding down. What follows needs float32 with rounding to nearest
and nothing else (u = 2^-24; K categories, K at most CATEGORIES):

1. Sum. Shares y_k = x_k / max(S, 1), x_k in [0, 1], S their float32 sum, add up to at most 1 + (K + 1) u in real numbers, so
   the sum of the integers floor(2^20 y_k) is at most floor(2^20 + (K + 1)/16) = 2^20. Multiples of 2^-20 up to 1 and all their
   partial sums are float32 numbers: the sum of an analysis is exact in any order, and not greater than 1.
2. Background + increment. For a background c in [0, 1] and an analysis a the increment d = fl(a - c) gives fl(c + d) = a. Where
   a <= c, a - c is a multiple of the spacing of float32 at c and not greater than c: exact. Where a > c, the error of d is at
   most half the spacing at a, so c + d rounds to a; at a tie a is the even neighbour, for its last bits are zero.
3. Elsewhere (a background below 0 or above 1) the sum is formed as the runtime does, and where it is not a, d = -c:
   background + increment is then 0, exactly. A background that is no number gives an increment that is none.
"""

import torch
from torch import Tensor

QUANTUM = 2.0**-20  # of a concentration: 1e-6, a thousandth of what counts as an increment
CATEGORIES = 14  # (K + 1)/16 < 1


def bounded_increment(background: Tensor, analysis: Tensor, keep: Tensor | None = None) -> Tensor:
    """Increments of K categories such that background + increment >= 0 and its sum over categories <= 1, both exactly.

    background, analysis: (n, K, J, I), float32, the analysis unbounded. keep: (n, 1, J, I), True where the increment is to be
    exactly zero; it is so where the background is in bounds (by QUANTUM, so that its sum is in any order), else the background is
    brought into them. An analysis that is not finite is returned as it is, for the guards to see.
    """
    wanted = analysis if keep is None else torch.where(keep, background, analysis)
    x = wanted.clamp(0.0, 1.0)
    share = x / total(x).clamp(min=1.0)
    goal = torch.floor(share * (1.0 / QUANTUM)) * QUANTUM
    increment = goal - background
    increment = torch.where(background + increment == goal, increment, -background)
    if keep is not None:
        increment = torch.where(keep & in_bounds(background), 0.0, increment)
    return torch.where(torch.isfinite(analysis), increment, analysis)


def in_bounds(background: Tensor) -> Tensor:
    """Where no category (n, K, J, I) is negative and their sum is at most 1 - QUANTUM, in any order: (n, 1, J, I)."""
    low = background[:, :1]
    for k in range(1, background.shape[1]):
        low = torch.minimum(low, background[:, k : k + 1])
    return (low >= 0) & (total(background) <= 1.0 - QUANTUM)


def total(x: Tensor) -> Tensor:
    """Sum over categories, one after the other (a reduction's order would depend on the size of the block): (n, 1, J, I)."""
    result = x[:, :1]
    for k in range(1, x.shape[1]):
        result = result + x[:, k : k + 1]
    return result
