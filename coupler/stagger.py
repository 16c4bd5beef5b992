"""Between the points of the C-grid: means of the two or four nearest values, with or without a mask.

U(i, j) is the east face of T(i, j), V(i, j) its north face, F(i, j) its north-east corner. Along each axis a point is whole
(T) or half a cell further (U along i, V along j, F along both). Going from half to whole takes the mean of the values at
n - 1 and n, from whole to half that at n and n + 1; four values where both axes change.

`mean` is the plain mean, for components of vectors: a land face carries a true zero. `masked` is the mean of the wet values
alone, zero where there is none, for scalars.
"""

import numpy as np

HALF = {"T": (0, 0), "U": (0, 1), "V": (1, 0), "F": (1, 1)}  # half a cell north, half a cell east


def shifts(source: str, target: str) -> list[tuple[int, int]]:
    """Offsets (j, i) of the values that make up one value at `target`."""
    along = []
    for from_half, to_half in zip(HALF[source], HALF[target], strict=True):
        along.append([0] if from_half == to_half else [-1, 0] if from_half else [0, 1])
    return [(j, i) for j in along[0] for i in along[1]]


def to_point(
    field: np.ndarray, source: str, target: str, mask: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Values at `target` from values at `source`, one cell narrower on every side.

    field: (k, J, I) at `source`; mask: (1 or k, J, I), zero on land, for the masked mean. Returns (k, J - 2, I - 2) in the
    type of the field, in `out` where it is given. Sums run in a fixed order, so that the bits do not depend on where the block
    was cut. They are made in `out`, without temporaries, where it has the type of the field and there is no mask.
    """
    nj, ni = field.shape[1:]
    parts = [(slice(None), slice(1 + j, nj - 1 + j), slice(1 + i, ni - 1 + i)) for j, i in shifts(source, target)]
    if mask is None:
        fits = out is not None and out.dtype == field.dtype
        total = np.empty((field.shape[0], nj - 2, ni - 2), field.dtype) if out is None or not fits else out
        if len(parts) == 1:
            total[...] = field[parts[0]]
        else:
            np.add(field[parts[0]], field[parts[1]], out=total)
            for part in parts[2:]:
                total += field[part]
            total *= field.dtype.type(1.0 / len(parts))
        return total if fits else _into(out, total)
    wet = (mask != 0).astype(field.dtype)
    weight = np.zeros((wet.shape[0], nj - 2, ni - 2), field.dtype)
    total = np.zeros((field.shape[0], nj - 2, ni - 2), field.dtype)
    for part in parts:
        weight += wet[part]
        total += np.where(wet[part] != 0, field[part], field.dtype.type(0))
    return _into(out, total / np.maximum(weight, field.dtype.type(1)))


def _into(out: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """The values, copied to `out` where it is given."""
    if out is None:
        return values
    out[...] = values
    return out
