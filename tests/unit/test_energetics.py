"""Energy and enstrophy input: formulas against plain sums, folds, and sums that no cut changes."""

import numpy as np
import pytest

from coupler import energetics
from coupler.grid import Box, Grid, decompose
from coupler.guards import exactsum

RHO0, NK = 1026.0, 2
BOUNDARIES = ["closed", "cyclic_ew", "cyclic_ns", "cyclic_both", "fold_T", "fold_F"]
POINTS = {"u": "U", "v": "V", "h": "T", "tmask": "T", "du": "U", "dv": "V"} | {
    f"e{n}{p}": p.upper() for n in "12" for p in "tuvf"
}


def padded(field, grid, box, point, vector):
    """A box with one cell around it, as an exchange fills it: 0 outside closed edges, signs across a fold."""
    j = np.arange(box.j0 - 1, box.j0 + box.nj + 1)[:, None]
    i = np.arange(box.i0 - 1, box.i0 + box.ni + 1)[None, :]
    source, sign = grid.source(j, i, point)
    values = np.where(source < 0, 0.0, field.reshape(field.shape[0], -1)[:, np.maximum(source, 0)])
    return values * sign if vector else values


def case(boundary, seed=1):
    """Random fields on a stretched grid with land, consistent on the rows of a fold as an ocean keeps them."""
    grid, rng = Grid(10, 7, boundary), np.random.default_rng(seed)
    fields = {name: rng.uniform(0.5, 2.0, (1, grid.ny, grid.nx)) for name in POINTS if name.startswith("e")}
    fields["tmask"] = (rng.random((1, grid.ny, grid.nx)) > 0.2).astype(float)
    fields |= {name: rng.normal(size=(NK, grid.ny, grid.nx)) for name in ("u", "v", "du", "dv")}
    fields["h"] = rng.uniform(10.0, 20.0, (NK, grid.ny, grid.nx))
    for name, point in POINTS.items() if boundary.startswith("fold") else ():
        copy_pairs(fields[name], grid, point, name in ("u", "v", "du", "dv"))
    whole = Box(0, 0, grid.nx, grid.ny)
    wet = padded(fields["tmask"], grid, whole, "T", False)[0]
    for name, mask in (("u", wet[1:-1, 1:-1] * wet[1:-1, 2:]), ("v", wet[1:-1, 1:-1] * wet[2:, 1:-1])):
        fields[name] = fields[name] * mask
        fields[f"d{name}"] = fields[f"d{name}"] * mask
    return grid, fields


def copy_pairs(field, grid, point, vector):
    """Make the last row of a folded grid what it is in an ocean: its second halves copies of its first."""
    top, pivot = grid.ny - 1, grid.boundary[-1]
    sign = -1.0 if vector else 1.0
    for i in range(grid.nx):
        column = {"TT": grid.nx - i, "TU": grid.nx - 1 - i, "FT": grid.nx - 1 - i, "FU": grid.nx - 2 - i}
        mirrored = column[pivot + ("U" if point in "UF" else "T")] % grid.nx
        if (pivot, point) in (("T", "V"), ("T", "F")):
            field[:, top, i] = sign * field[:, top - 1, mirrored]
        elif (pivot, point) in (("T", "T"), ("T", "U"), ("F", "V"), ("F", "F")) and mirrored <= i:
            field[:, top, i] = sign * field[:, top, mirrored] if mirrored < i else field[:, top, i] * (not vector)


def sums(grid, fields, boxes, twin=""):
    """Energy and enstrophy input from boxes; twin: what is broken."""
    limbs, area = np.zeros((2, exactsum.LIMBS), np.int64), np.zeros(exactsum.LIMBS, np.int64)
    for box in boxes:
        around = {n: padded(fields[n], grid, box, POINTS[n], n in ("u", "v") and twin != "sign") for n in fields}
        on = energetics.geometry({n: a for n, a in around.items() if n[0] in "et"}, grid, box)
        state = [around[n] for n in "uvh"]
        made = [around[n][:, 1:-1, 1:-1] for n in ("du", "dv")]
        if twin == "halo":  # the neighbours' cells are missing
            state = [np.pad(s[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1))) for s in state]
        work = energetics.energy(*state, *made, rho0=RHO0)
        weights = (np.ones_like(on.area_u), np.ones_like(on.area_v)) if twin == "area" else (on.area_u, on.area_v)
        limbs[0] += exactsum.partial(work["U"] * weights[0] + work["V"] * weights[1])
        limbs[1] += exactsum.partial(energetics.enstrophy(*state, *made, on=on))
        area += exactsum.partial(on.area_t)
    return [exactsum.total(row) / exactsum.total(area) for row in limbs]


def plain(grid, f):
    """The sums of the definitions, point by point through the index map; a pair on a fold has two halves."""

    def at(name, j, i, vector=False):
        source, sign = grid.source(np.array(j), np.array(i), POINTS[name])
        if source < 0:
            return np.zeros(f[name].shape[0])
        return f[name].reshape(f[name].shape[0], -1)[:, int(source)] * (float(sign) if vector else 1.0)

    def weight(point, j, i):
        """Of a cell of the last row; the T cell at a pivot has no second half, and is one cell."""
        if j < grid.ny - 1 or not grid.boundary.startswith("fold"):
            return 1.0
        if grid.boundary == "fold_T":
            pole = point == "T" and i % (grid.nx // 2) == 0
            return 1.0 if pole else {"T": 0.5, "U": 0.5}.get(point, 0.0)
        return {"V": 0.5, "F": 0.5}.get(point, 1.0)

    def circulation(a, b, j, i):
        along = at("e2v", j, i + 1) * at(b, j, i + 1, True) - at("e2v", j, i) * at(b, j, i, True)
        return along - at("e1u", j + 1, i) * at(a, j + 1, i, True) + at("e1u", j, i) * at(a, j, i, True)

    energy = enstrophy = area = 0.0
    for j in range(grid.ny):
        for i in range(grid.nx):
            wet = at("tmask", j, i)[0]
            area += weight("T", j, i) * wet * float((at("e1t", j, i) * at("e2t", j, i))[0])
            for n, (b, a), point in (("u", (j, i + 1), "U"), ("v", (j + 1, i), "V")):
                face = at(f"e1{n}", j, i) * at(f"e2{n}", j, i) * wet * at("tmask", b, a)[0] * weight(point, j, i)
                h = 0.5 * (at("h", j, i) + at("h", b, a))
                energy += RHO0 * float((h * at(n, j, i) * at(f"d{n}", j, i) * face).sum())
            corner = wet * at("tmask", j + 1, i)[0] * at("tmask", j, i + 1)[0] * at("tmask", j + 1, i + 1)[0]
            if corner:
                h = 0.25 * (at("h", j, i) + at("h", j + 1, i) + at("h", j, i + 1) + at("h", j + 1, i + 1))
                both = circulation("u", "v", j, i) * circulation("du", "dv", j, i) / (at("e1f", j, i) * at("e2f", j, i))
                enstrophy += weight("F", j, i) * float((h * both).sum())
    return [energy / area, enstrophy / area]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_sums_are_those_of_the_definitions(boundary):
    """Also the enstrophy input, which is summed by parts; also where a fold holds cells twice."""
    grid, fields = case(boundary)
    whole = [Box(0, 0, grid.nx, grid.ny)]
    np.testing.assert_allclose(sums(grid, fields, whole), plain(grid, fields), rtol=1e-11)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_no_cut_changes_a_bit(boundary):
    grid, fields = case(boundary, 2)
    whole = sums(grid, fields, [Box(0, 0, grid.nx, grid.ny)])
    for ranks in (2, 3, 5, 6):
        assert sums(grid, fields, decompose(grid, ranks)) == whole


def test_broken_twins_are_caught():
    """Areas forgotten, cells of neighbours missing, no sign across the fold."""
    grid, fields = case("fold_F", 3)
    right = sums(grid, fields, [Box(0, 0, grid.nx, grid.ny)])
    assert sums(grid, fields, decompose(grid, 1), "area")[0] != pytest.approx(right[0], rel=1e-3)
    assert sums(grid, fields, decompose(grid, 4), "halo")[0] != pytest.approx(right[0], rel=1e-3)
    assert sums(grid, fields, decompose(grid, 1), "sign")[1] != pytest.approx(right[1], rel=1e-3)


def test_friction_takes_and_its_opposite_gives():
    """A tendency along the velocity puts in, one against it takes out as much; a gradient does nothing to vorticity."""
    grid, fields = case("cyclic_both", 4)
    fields["tmask"][...] = 1.0
    box = [Box(0, 0, grid.nx, grid.ny)]
    along = sums(grid, fields | {"du": fields["u"], "dv": fields["v"]}, box)
    against = sums(grid, fields | {"du": -fields["u"], "dv": -fields["v"]}, box)
    assert along[0] > 0 and along[1] > 0 and against == [-along[0], -along[1]]
    p = fields["h"]
    slope = {"du": (np.roll(p, -1, -1) - p) / fields["e1u"], "dv": (np.roll(p, -1, -2) - p) / fields["e2v"]}
    assert abs(sums(grid, fields | slope, box)[1]) < 1e-10 * along[1]
