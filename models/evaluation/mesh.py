"""The part of a grid that evaluation needs: wet points, areas, reduced gravities; what lies between its points."""

from dataclasses import dataclass

import numpy as np

GRAVITY = 9.81  # m s-2, of the ocean's sossheig


@dataclass(frozen=True)
class Mesh:
    """Masks (k, ny, nx) at T, U, V; metrics (ny, nx) [m]; reduced gravities (k,) of the interfaces below each layer [m s-2].

    U(j, i) is the east face of T(j, i), V(j, i) its north face. South of the first row is a wall; west of the first column is
    the last one, which in a closed basin is a wall too. A rim of land round the basin is left out.
    """

    tmask: np.ndarray
    umask: np.ndarray
    vmask: np.ndarray
    e1t: np.ndarray
    e2t: np.ndarray
    e1u: np.ndarray
    e2v: np.ndarray
    e1f: np.ndarray
    e2f: np.ndarray
    gred: np.ndarray

    @classmethod
    def closed(cls, ny: int, nx: int, dx: float, gred: tuple[float, ...] = (0.008, 0.008)) -> "Mesh":
        """A closed basin of ny x nx square cells of width dx [m]."""
        wet = np.ones((len(gred), ny, nx), bool)
        umask, vmask = wet.copy(), wet.copy()
        umask[:, :, -1] = False
        vmask[:, -1] = False
        width = np.full((ny, nx), float(dx))
        return cls(wet, umask, vmask, *(width,) * 6, gred=np.asarray(gred, float))

    def __post_init__(self) -> None:
        for name in ("tmask", "umask", "vmask"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)) > 0)
        for name in ("e1t", "e2t", "e1u", "e2v", "e1f", "e2f", "gred"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), float))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(k, ny, nx)."""
        return self.tmask.shape

    @property
    def area(self) -> np.ndarray:
        """Cell areas (k, ny, nx) [m2], zero on land: the weights of every mean at T points."""
        return self.e1t * self.e2t * self.tmask

    @property
    def width(self) -> float:
        """Mean cell width along i [m]."""
        return float(self.e1t[self.tmask[0]].mean())

    @property
    def inner(self) -> np.ndarray:
        """F points (k, ny, nx) between four wet faces, where vorticity is the flow's and not a wall's."""
        return self.umask & _north(self.umask) & self.vmask & np.roll(self.vmask, -1, axis=-1)

    def centred_square(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """u^2 + v^2 at T points, each the mean of the squares on both faces: (..., k, ny, nx), zero on land."""
        uu, vv = u * u, v * v
        return 0.5 * (uu + np.roll(uu, 1, axis=-1) + vv + _south(vv)) * self.tmask

    def centred(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both components at T points, each the mean of both faces: (..., k, ny, nx), zero on land."""
        return 0.5 * (u + np.roll(u, 1, axis=-1)) * self.tmask, 0.5 * (v + _south(v)) * self.tmask

    def vorticity(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(d(e2v v)/di - d(e1u u)/dj) / (e1f e2f) at F points [s-1]: (..., k, ny, nx), zero but at `inner` points."""
        u, v = u * self.e1u, v * self.e2v
        return (np.roll(v, -1, axis=-1) - v - _north(u) + u) / (self.e1f * self.e2f) * self.inner

    def height(self, h: np.ndarray) -> np.ndarray:
        """Sea surface height sum_k gred_k (h_1 + ... + h_k) / 9.81 [m] from thickness (..., k, ny, nx): (..., ny, nx)."""
        return np.einsum("k,...kji->...ji", self.gred, np.cumsum(h, axis=-3)) / GRAVITY * self.tmask[0]


def _south(values: np.ndarray) -> np.ndarray:
    """The values one row to the south; zero beyond the first row."""
    shifted = np.zeros_like(values)
    shifted[..., 1:, :] = values[..., :-1, :]
    return shifted


def _north(values: np.ndarray) -> np.ndarray:
    """The values one row to the north; zero beyond the last row."""
    shifted = np.zeros_like(values)
    shifted[..., :-1, :] = values[..., 1:, :]
    return shifted
