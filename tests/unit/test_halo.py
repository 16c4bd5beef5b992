"""The index map against plain indexing: any grid, decomposition and halo, also wider than a subdomain or the grid."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupler.exchange import Exchange, copies, make_plan, message_length
from coupler.fields import Field
from coupler.grid import BOUNDARIES, Box, Grid, decompose, ownership
from coupler.halo import rectangles, runs_of
from tests.unit.test_fold import NEMO

FILL = -7.0
VECTORS = ("u", "v")


@st.composite
def layouts(draw):
    boundary = draw(st.sampled_from(BOUNDARIES))
    fold = boundary.startswith("fold")
    nx, ny = (
        (2 * draw(st.integers(1, 7)), draw(st.integers(2, 12)))
        if fold
        else (draw(st.integers(1, 14)), draw(st.integers(1, 12)))
    )
    grid = Grid(nx, ny, boundary)
    cells = grid.nx * grid.ny
    ranks = [n for n in range(1, 9) if any(n % j == 0 and j <= grid.ny and n // j <= grid.nx for j in range(1, n + 1))]
    ocean = decompose(grid, draw(st.sampled_from(ranks)))
    dropped = draw(st.sets(st.integers(0, len(ocean) - 1), max_size=len(ocean) - 1)) if cells > 4 else set()
    ocean = [box for number, box in enumerate(ocean) if number not in dropped]
    coupler = decompose(grid, draw(st.sampled_from(ranks)))
    return grid, ocean, coupler, draw(st.integers(0, 16))


def fields():
    return tuple(
        Field(id=n, name=name, units="1", point=point, levels=levels, direction="out")
        for n, (name, point, levels) in enumerate([("u", "U", 2), ("v", "V", 2), ("h", "T", 1)], start=1)
    )


def global_values(grid, exchange):
    size = exchange.levels * grid.ny * grid.nx
    return np.arange(1.0, size + 1).reshape(exchange.levels, grid.ny, grid.nx)


def source_cell(grid, j, i, point):
    """(row, column, sign) of the source of a cell, None outside; the fold as NEMO writes it, row by row."""
    sign = 1
    if grid.boundary.startswith("fold") and j >= grid.ny:
        column, row = NEMO[grid.boundary[-1], point]
        j, i, sign = grid.ny + row - 1 - (j - grid.ny), column(i + 1, grid.nx) - 1, -1
    if grid.boundary in ("cyclic_ns", "cyclic_both"):
        j %= grid.ny
    if grid.boundary not in ("closed", "cyclic_ns"):
        i %= grid.nx
    return (j, i, sign) if 0 <= j < grid.ny and 0 <= i < grid.nx else None


def expected(grid, ocean, box, halo, values):
    """What the padded block must hold, cell by cell, without any index map."""
    owned = np.zeros((grid.ny, grid.nx), bool)
    for part in ocean:
        owned[part.j0 : part.j0 + part.nj, part.i0 : part.i0 + part.ni] = True
    block = np.full((values.shape[0], box.nj + 2 * halo, box.ni + 2 * halo), FILL)
    level = 0
    for field in fields():
        levels = slice(level, level + field.levels)
        for row, column in np.ndindex(block.shape[1:]):
            found = source_cell(grid, box.j0 - halo + row, box.i0 - halo + column, field.point)
            if found and owned[found[:2]]:
                sign = found[2] if field.name in VECTORS else 1
                block[levels, row, column] = sign * values[levels, found[0], found[1]]
        level += field.levels
    return block


def travel(grid, ocean, box, halo, shift=0, swap=False):
    """Pack as the client does, unpack as the coupler does. shift: a rank's runs moved; swap: field order changed."""
    exchange = Exchange(1, "state", "to_coupler", fields(), halo=halo)
    values = global_values(grid, exchange)
    plan = make_plan(
        exchange,
        grid,
        ownership(grid, ocean),
        box,
        dtype=np.dtype("f8"),
        fill=dict.fromkeys("uvh", FILL),
        vectors=VECTORS,
    )
    for rank in plan.peers:
        part = ocean[rank]
        local = values[:, part.j0 : part.j0 + part.nj, part.i0 : part.i0 + part.ni].reshape(exchange.levels, -1)
        payload, level = [], 0
        for item, number in zip(exchange.fields, plan.set_of, strict=True):
            request = plan.sets[number].requests.get(rank)
            runs = request.runs if request else runs_of(np.array([], int))
            for k in range(level, level + item.levels):
                payload += [np.roll(local[k], shift)[s : s + n] for s, n in zip(runs.start, runs.length, strict=True)]
            level += item.levels
        if swap:
            payload.reverse()
        payload = np.concatenate(payload) if payload else np.empty(0)
        assert len(payload) == message_length(plan, rank)
        for copy in copies(plan, rank, payload):
            copy.block[...] = copy.message * copy.sign
    return plan.stack, expected(grid, ocean, box, halo, values)


@settings(max_examples=150, deadline=None)
@given(layouts())
def test_the_padded_block_is_the_global_field(layout):
    grid, ocean, coupler, halo = layout
    for box in coupler:
        got, want = travel(grid, ocean, box, halo)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("broken", [{"shift": 1}, {"swap": True}])
def test_shifted_runs_and_swapped_fields_are_caught(broken):
    grid = Grid(14, 12, "cyclic_ew")
    got, want = travel(grid, decompose(grid, 4), decompose(grid, 2)[1], 2, **broken)
    assert not np.array_equal(got, want)


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_the_way_back_fills_every_interior(layout):
    grid, ocean, coupler, _ = layout
    exchange = Exchange(1, "tendency", "to_ocean", fields()[:1])
    values = global_values(grid, exchange)
    received = [np.full((2, box.nj * box.ni), np.nan) for box in ocean]
    for box in coupler:
        plan = make_plan(exchange, grid, ownership(grid, ocean), box, dtype=np.dtype("f8"))
        plan.stack[...] = values[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni]
        for rank in plan.peers:
            payload = np.empty(message_length(plan, rank))
            for copy in copies(plan, rank, payload):
                copy.message[...] = copy.block
            runs = plan.sets[0].requests[rank].runs
            position = 0
            for k in range(2):
                for start, length in zip(runs.start, runs.length, strict=True):
                    received[rank][k, start : start + length] = payload[position : position + length]
                    position += length
    for box, got in zip(ocean, received, strict=True):
        want = values[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni].reshape(2, -1)
        np.testing.assert_array_equal(got, want)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_runs_hold_the_indices_in_order(indices):
    runs = runs_of(np.array(sorted(indices)))
    again = [start + n for start, length in zip(runs.start, runs.length, strict=True) for n in range(length)]
    assert again == sorted(indices)
    assert all(runs.start[1:] > runs.start[:-1] + runs.length[:-1])


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7), st.data())
def test_rectangles_cover_any_map_once(rows, columns, data):
    """Reversed rows and signs, as a fold makes them, and arbitrary maps too."""
    cell = st.integers(-1, 20)
    position = np.array([[data.draw(cell) for _ in range(columns)] for _ in range(rows)])
    sign = np.array([[data.draw(st.sampled_from([1, -1])) for _ in range(columns)] for _ in range(rows)], np.int8)
    message = np.arange(100.0, 121.0)
    got = np.full(position.shape, FILL)
    for rect in rectangles(position, sign):
        for b in range(rect.height):
            for a in range(rect.width):
                assert got[rect.j + b, rect.i + a] == FILL
                got[rect.j + b, rect.i + a] = rect.sign * message[rect.position + b * rect.row + a * rect.step]
    np.testing.assert_array_equal(got, np.where(position < 0, FILL, sign * message[position]))


def test_few_copies_for_a_plain_block():
    """A block inside one ocean subdomain is one strided copy, however many rows and levels."""
    grid = Grid(182, 149)
    exchange = Exchange(1, "state", "to_coupler", fields(), halo=4)
    plan = make_plan(exchange, grid, ownership(grid, decompose(grid, 1)), decompose(grid, 1)[0], dtype=np.dtype("f8"))
    assert len(copies(plan, 0, np.zeros(message_length(plan, 0)))) == 1


def test_overlapping_and_leaving_boxes_are_refused():
    grid = Grid(10, 10)
    for boxes, words in [([Box(0, 0, 6, 10), Box(5, 0, 5, 10)], "both own"), ([Box(0, 0, 11, 10)], "outside the grid")]:
        with pytest.raises(Exception, match=words):
            ownership(grid, boxes)


def test_more_ranks_than_fit_are_refused():
    with pytest.raises(Exception, match="53 coupler ranks do not fit the grid of 50 x 50"):
        decompose(Grid(50, 50), 53)


def test_the_halo_of_an_exchange_can_not_be_changed_in_place():
    exchange = Exchange(1, "state", "to_coupler", fields(), halo=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        exchange.halo = 1
