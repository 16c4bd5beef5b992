"""The north fold: what the coupler builds round a subdomain is what lbc_lnk of the ocean builds there, bit for bit."""

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from coupler.grid import Box, Grid, ownership
from coupler.halo import requests
from tests.consistency.conftest import BOUNDARIES

STEP = 40  # the state is in motion by then, the tracer too
LAYOUTS = [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2), (3, 2), (2, 3)]  # ranks along i and j
FIELDS = {"u": ("U", True), "v": ("V", True), "h": ("T", False), "t": ("T", False), "vor": ("F", False)}
FIELDS |= {f"scalar_{point.lower()}": (point, False) for point in "TUVF"}
FIELDS |= {f"vector_{point.lower()}": (point, True) for point in "TUVF"}


@dataclass
class Halos:
    """halo_<rank>.nc of all ranks of a run: fields (k, j, i) with the ocean's own halo, and where they lie."""

    parts: list[xr.Dataset]

    @property
    def grid(self) -> Grid:
        nx, ny = self.parts[0].attrs["global"]
        return Grid(int(nx), int(ny), self.parts[0].attrs["boundary"])

    @property
    def boxes(self) -> list[Box]:
        return [Box(*(int(n) - 1 for n in p.attrs["first"]), *(int(n) for n in p.attrs["size"])) for p in self.parts]

    def padded(self, rank: int, name: str) -> np.ndarray:
        values = self.parts[rank][name].values
        return values.reshape(-1, *values.shape[-2:])

    def interior(self, rank: int, name: str) -> np.ndarray:
        halo = int(self.parts[rank].attrs["halo"])
        return self.padded(rank, name)[:, halo:-halo, halo:-halo]

    def whole(self, name: str) -> np.ndarray:
        result = np.full((self.padded(0, name).shape[0], self.grid.ny, self.grid.nx), np.nan)
        for rank, box in enumerate(self.boxes):
            result[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = self.interior(rank, name)
        return result


def coupler_block(halos: Halos, grid: Grid, rank: int, name: str) -> np.ndarray:
    """Subdomain and halo as a coupler rank with the same box fills them from the interiors of all ocean ranks; 0 outside."""
    point, vector = FIELDS[name]
    block = np.zeros_like(halos.padded(rank, name))
    halo = int(halos.parts[rank].attrs["halo"])
    for request in requests(grid, ownership(grid, halos.boxes), halos.boxes[rank], halo, point, vector):
        local = halos.interior(request.ocean_rank, name).reshape(block.shape[0], -1)
        runs = zip(request.runs.start, request.runs.length, strict=True)
        message = np.concatenate([local[:, start : start + length] for start, length in runs], axis=1)
        for r in request.rects:
            b, a = np.arange(r.height)[:, None], np.arange(r.width)[None, :]
            block[:, r.j : r.j + r.height, r.i : r.i + r.width] = (
                r.sign * message[:, r.position + b * r.row + a * r.step]
            )
    return block


def compare(halos: Halos, grid: Grid, name: str) -> None:
    """Every cell of every rank's padded field, except beyond the southern wall, where the state's halos hold anything."""
    for rank, box in enumerate(halos.boxes):
        south = max(0, int(halos.parts[rank].attrs["halo"]) - box.j0)
        ours, oceans = coupler_block(halos, grid, rank, name)[:, south:], halos.padded(rank, name)[:, south:]
        assert ours.tobytes() == oceans.tobytes(), f"{name} of rank {rank}: {np.sum(ours != oceans)} cells differ"
        if name.startswith(("scalar", "vector")):
            assert np.all(halos.padded(rank, name)[:, :south] == 0.0)  # lbc_lnk's own fill beyond a closed edge


@pytest.fixture(scope="module")
def ocean_halos(coupled_run):
    known = {}

    def get(boundary, ni, nj):
        if (boundary, ni, nj) not in known:
            change = {
                "namusr_def": {"nn_nx": 18},
                "namrun": {"nn_itend": STEP},
                "namdia": {"nn_dia_halo": STEP},
                "nammpp": {"jpni": ni, "jpnj": nj},
            }
            run = coupled_run(BOUNDARIES[boundary], change, ocean=ni * nj, coupler=0)
            halos = Halos([run.open(f"halo_{rank:04d}.nc") for rank in range(ni * nj)])
            assert halos.grid.boundary == boundary
            known[boundary, ni, nj] = halos
        return known[boundary, ni, nj]

    return get


@pytest.mark.parametrize("ni,nj", LAYOUTS)
@pytest.mark.parametrize("boundary", ["fold_T", "fold_F"])
def test_halos_of_the_ocean_are_those_of_the_coupler(ocean_halos, boundary, ni, nj):
    """Four points, scalars and vectors, 1 to 6 ranks: labels that tell each cell's source, and the state of a run."""
    halos = ocean_halos(boundary, ni, nj)
    assert len(halos.parts) == ni * nj and np.abs(halos.whole("u")).max() > 1e-3
    for name in FIELDS:
        compare(halos, halos.grid, name)


@pytest.mark.parametrize("boundary", ["fold_T", "fold_F"])
def test_interior_is_the_same_in_every_layout(ocean_halos, boundary):
    one = ocean_halos(boundary, 1, 1)
    for ni, nj in LAYOUTS[1:]:
        other = ocean_halos(boundary, ni, nj)
        for name in FIELDS:
            assert one.whole(name).tobytes() == other.whole(name).tobytes(), (name, ni, nj)


def pairs(boundary: str, point: str, nx: int, ny: int):
    """Pairs of interior points that are one: (row, columns) kept, (row, columns) repeated; zero-based, written out."""
    half, last = nx // 2, ny - 1
    if boundary == "fold_T":
        if point == "T":
            return (last, np.arange(1, half)), (last, np.arange(nx - 1, half, -1))
        if point == "U":
            return (last, np.arange(half)), (last, np.arange(nx - 1, half - 1, -1))
        columns = np.arange(nx)
        return (last - 1, columns), (last, (nx - columns) % nx if point == "V" else nx - 1 - columns)
    if point == "V":
        return (last, np.arange(half)), (last, np.arange(nx - 1, half - 1, -1))
    if point == "F":
        return (last, np.arange(half - 1)), (last, np.arange(nx - 2, half - 1, -1))
    return (last, np.arange(0)), (last, np.arange(0))


@pytest.mark.parametrize("boundary", ["fold_T", "fold_F"])
def test_pairs_on_the_fold_are_one_point(ocean_halos, boundary):
    """Inside the grid the western (or southern) point of a pair keeps its value, the other repeats it; nothing else is touched."""
    halos = ocean_halos(boundary, 3, 2)
    nx, ny = halos.grid.nx, halos.grid.ny
    for name, (point, vector) in FIELDS.items():
        whole = halos.whole(name)
        (row, columns), (other, repeated) = pairs(boundary, point, nx, ny)
        assert np.array_equal(whole[:, other, repeated], (-1 if vector else 1) * whole[:, row, columns]), name
        if name.startswith(("scalar", "vector")):
            label = np.arange(1.0, whole.size + 1).reshape(whole.shape)
            kept = np.ones((ny, nx), bool)
            kept[other, repeated] = False
            assert np.array_equal(whole[:, kept], label[:, kept]) and not np.any(whole[:, ~kept] == label[:, ~kept])


# --- Broken variants -------------------------------------------------------------------------------------------------


class NoSign(Grid):
    def source(self, j, i, point):
        index, sign = super().source(j, i, point)
        return index, np.ones_like(sign)


class SouthFold(Grid):
    def source(self, j, i, point):
        index, sign = super().source(self.ny - 1 - j, i, point)
        mirrored = (self.ny - 1 - index // self.nx) * self.nx + index % self.nx
        return np.where(index >= 0, mirrored, -1), sign


class OffByOne(Grid):
    def source(self, j, i, point):
        index, sign = super().source(j, i, point)
        moved = super().source(j, i + 1, point)[0]
        return np.where(np.broadcast_to(j, index.shape) >= self.ny, moved, index), sign


def swapped(nx, ny, boundary):
    return Grid(nx, ny, "fold_F" if boundary == "fold_T" else "fold_T")


VECTORS = [name for name, (_, vector) in FIELDS.items() if vector]


@pytest.mark.parametrize("ni,nj", [(1, 1), (3, 2)])
@pytest.mark.parametrize("boundary", ["fold_T", "fold_F"])
@pytest.mark.parametrize(
    "broken,names", [(NoSign, VECTORS), (swapped, FIELDS), (SouthFold, FIELDS), (OffByOne, FIELDS)]
)
def test_a_wrong_fold_is_caught(ocean_halos, boundary, ni, nj, broken, names):
    """No sign, the other pivot, a fold at the south, a column off: seen in every field it concerns."""
    halos = ocean_halos(boundary, ni, nj)
    grid = broken(halos.grid.nx, halos.grid.ny, boundary)
    for name in names:
        with pytest.raises(AssertionError, match="differ"):
            compare(halos, grid, name)


def test_one_layout_is_not_another(ocean_halos):
    """A cyclic channel has no fold: the map of the fold does not fit its halos."""
    halos = ocean_halos("cyclic_ew", 2, 1)
    for name in FIELDS:
        if not name.startswith(("scalar", "vector")):
            continue
        compare(halos, halos.grid, name)
        with pytest.raises(AssertionError, match="differ"):
            compare(halos, Grid(halos.grid.nx, halos.grid.ny, "fold_T"), name)
