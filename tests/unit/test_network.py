"""Land, levels and staggering around a network: the same bits however the grid is cut, and nothing comes from under land."""

import numpy as np
import pytest

from coupler.contract import Contract
from coupler.exchange import Exchange, make_plan
from coupler.fields import Field
from coupler.grid import Box, Grid, decompose, ownership
from coupler.land import REACH, land_fills, nearest_wet
from coupler.links import Link
from coupler.network import Network
from coupler.settings import NamNet
from coupler.site import Site
from coupler.stagger import to_point
from coupler.timers import Timers

NX, NY, NZ = 14, 11, 3
RADIUS = 2


class Smoother:
    """du, dv, dt at T from u, v, t at T: a weighted mean of the (2 radius + 1) square, in a fixed order."""

    name, threads, notes, description = "python", 1, (), "smoother"

    def __init__(self, fill=0.0, levels="all"):
        common = {"point": "T", "units": "1", "levels": levels}
        self.contract = Contract.from_dict(
            {
                "name": "smoother", "version": "1", "family": "test", "license": "MIT", "radius": RADIUS, "dtype": "f8",
                "decomposition": "bitwise",
                "inputs": [
                    {"name": "u", "vector_pair": "v", "interpolate": "mean", **common},
                    {"name": "v", "vector_pair": "u", "interpolate": "mean", **common},
                    {"name": "t", "fill": fill, **common},
                    {"name": "s", "interpolate": "masked", **common},
                ],
                "outputs": [{"name": f"d{n}", "interpolate": "mean", **common} for n in "uvt"],
            }
        )  # fmt: skip

    def run(self, inputs, noise=None, scalars=None):
        def smooth(f):
            nj, ni = f.shape[1] - 2 * RADIUS, f.shape[2] - 2 * RADIUS
            total = np.zeros((f.shape[0], nj, ni))
            for j in range(2 * RADIUS + 1):
                for i in range(2 * RADIUS + 1):
                    total += (1.0 + 3 * j + i) * f[:, j : j + nj, i : i + ni]
            return total

        return {"du": smooth(inputs["u"]) + smooth(inputs["s"]), "dv": smooth(inputs["v"]), "dt": smooth(inputs["t"])}


def fields():
    rows = [("u", "U", NZ), ("v", "V", NZ), ("t", "T", NZ), ("s", "F", NZ)]
    masks = [(f"{p.lower()}mask", p, 1) for p in "TUVF"]
    return [
        tuple(Field(id=1, name=n, units="1", point=p, levels=k, direction=d) for n, p, k in group)
        for group, d in [(rows, "out"), (masks, "out"), ([("du", "U", NZ), ("dv", "V", NZ), ("dt", "T", NZ)], "in")]
    ]


def ocean(land=None):
    """Global fields (k, ny, nx) by name; `land` overwrites what lies under land."""
    rng = np.random.default_rng(5)
    dry = np.zeros((NY, NX), bool)
    dry[3:6, 4:7] = dry[0] = dry[8, 0] = True
    values = {name: rng.normal(size=(NZ, NY, NX)) for name in "uvts"}
    for point in "tuvf":
        values[f"{point}mask"] = (~dry)[None].astype(float)
    if land is not None:
        for name in "uvts":
            values[name][:, dry] = land
    return values


def run_cut(boundary, boxes, engine, values, levels=None):
    """The outputs on the whole grid, from one network per box."""
    grid = Grid(NX, NY, boundary)
    owner = ownership(grid, [Box(0, 0, NX, NY)])
    state, masks, into = fields()
    links = {name: Link(name, levels) for name in "uvts"}
    result = {field.name: np.zeros((NZ, NY, NX)) for field in into}
    for box in boxes:
        net = Network(NamNet(cn_name="smoother"), engine, links, {f"d{n}": Link(f"d{n}", levels) for n in "uvt"})
        known = {field.name: field for field in into}
        halo = max(
            net.halo(spec, next(f for f in state if f.name == spec.name), known) for spec in engine.contract.inputs
        )
        plans = [
            make_plan(Exchange(1, "state", "to_coupler", state, halo=halo), grid, owner, box, dtype=np.dtype("f8"),
                      fill=dict.fromkeys("uvts", 0.0), vectors=("u", "v")),
            make_plan(Exchange(2, "masks", "to_coupler", masks, static=True, halo=halo), grid, owner, box, dtype=np.dtype("f8")),
            make_plan(Exchange(3, "tendency", "to_ocean", into), grid, owner, box, dtype=np.dtype("f8")),
        ]  # fmt: skip
        received = {field.name: plan for plan in plans[:2] for field in plan.exchange.fields}
        for name, plan in received.items():
            point = next(f.point for f in plan.exchange.fields if f.name == name)
            j, i = (
                np.arange(box.j0 - halo, box.j0 + box.nj + halo)[:, None],
                np.arange(box.i0 - halo, box.i0 + box.ni + halo),
            )
            index, sign = grid.source(j, i, point)
            flat = values[name].reshape(values[name].shape[0], -1)
            plan.views[name][...] = np.where(index < 0, 0.0, flat[:, index] * (sign if name in "uv" else 1))
        site = Site(box, grid, 0, lambda values: values, 3600.0, lambda kt: None)
        net.bind(received, {field.name: plans[2] for field in into}, site)
        net.take_static()
        for fill in land_fills(
            plans[0], received, dict.fromkeys("uvs", 0.0) | ({} if engine.contract.inputs[2].fill else {"t": 0.0})
        ):
            fill.apply()
        net.run(1, Timers())
        for field in into:
            result[field.name][:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = plans[2].views[field.name]
    return result


CUTS = [1, 2, 3, 4, 7, NX * NY]


@pytest.mark.parametrize("fill", [0.0, "replicate"])
@pytest.mark.parametrize("boundary", ["closed", "cyclic_ew", "cyclic_ns", "cyclic_both", "fold_T", "fold_F"])
def test_every_cut_gives_the_same_bits(boundary, fill):
    grid = Grid(NX, NY, boundary)
    whole = run_cut(boundary, decompose(grid, 1), Smoother(fill), ocean())
    for ranks in CUTS[1:]:
        cut = run_cut(boundary, decompose(grid, ranks), Smoother(fill), ocean())
        for name, value in whole.items():
            assert value.tobytes() == cut[name].tobytes(), (name, ranks)
    assert all(np.abs(value).max() > 0 for value in whole.values())


@pytest.mark.parametrize("fill", [0.0, "replicate"])
def test_values_under_land_change_nothing(fill):
    grid = Grid(NX, NY, "fold_T")
    one, other = (run_cut("fold_T", decompose(grid, 2), Smoother(fill), ocean(land)) for land in (0.0, 1e20))
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), name


def test_what_replicates_is_not_what_fills_with_zero():
    grid = Grid(NX, NY, "closed")
    zero, near = (run_cut("closed", decompose(grid, 1), Smoother(fill), ocean()) for fill in (0.0, "replicate"))
    assert not np.array_equal(zero["dt"], near["dt"]) and np.array_equal(zero["du"], near["du"])


def test_a_range_of_levels_touches_no_other():
    grid = Grid(NX, NY, "closed")
    all_levels = run_cut("closed", decompose(grid, 1), Smoother(), ocean())
    lower = run_cut("closed", decompose(grid, 2), Smoother(levels=2), ocean(), levels=(2, 3))
    for name, value in lower.items():
        assert (value[0] == 0).all() and value[1:].tobytes() == all_levels[name][1:].tobytes()


@pytest.mark.parametrize("source", "TUVF")
@pytest.mark.parametrize("target", "TUVF")
def test_linear_fields_move_exactly(source, target):
    """The mean of neighbours is exact for a linear field: positions of the points are right, and only then."""
    half = {"T": (0.0, 0.0), "U": (0.0, 0.5), "V": (0.5, 0.0), "F": (0.5, 0.5)}
    j, i = np.mgrid[:7, :9].astype(float)

    def at(point):
        return (2 * (j + half[point][0]) + 8 * (i + half[point][1]))[None]

    np.testing.assert_array_equal(to_point(at(source), source, target), at(target)[:, 1:-1, 1:-1])
    if source != target:
        wrong = at(source)[:, 1:-1, 1:-1]
        assert not np.array_equal(wrong, at(target)[:, 1:-1, 1:-1])


def test_masked_means_ignore_land():
    field, mask = np.full((1, 5, 5), 3.0), np.ones((1, 5, 5))
    field[0, 2, 2], mask[0, 2, 2] = 1e20, 0.0
    np.testing.assert_array_equal(to_point(field, "F", "T", mask), np.full((1, 3, 3), 3.0))
    assert (to_point(field, "F", "T", np.zeros_like(mask)) == 0).all()


def test_the_nearest_wet_cell_is_near_and_wet():
    mask = np.zeros((2 * REACH + 5, 2 * REACH + 6))
    mask[REACH + 1, REACH + 2] = 1.0
    index = nearest_wet(mask)
    j, i = np.mgrid[REACH : REACH + 5, REACH : REACH + 6]
    near = (j - REACH - 1) ** 2 + (i - REACH - 2) ** 2 <= REACH**2
    assert (index[near] == (REACH + 1) * mask.shape[1] + REACH + 2).all() and (index[~near] == -1).all()
