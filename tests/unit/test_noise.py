"""Noise of stochastic closures: known answers, the same bits for any cut, restart and machine, and its statistics."""

import hashlib
import math
import os
import subprocess
import sys
from statistics import NormalDist
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupler import noise
from coupler.errors import HaloclineError
from coupler.grid import BOUNDARIES, Box, Grid, decompose
from coupler.halo import source_map
from coupler.noise import Noise, normal, philox, uniform

SEED, MEMBER = 20240229, 3
ONES = 2**32 - 1


def plain(shape=(20, 31), levels=1, name="net.output", **change):
    """Noise on a block of a closed grid of that shape, without halo."""
    options = {"seed": SEED, "member": MEMBER, "time": "white", "memory": 0.0, "shared": False} | change
    return Noise(name, np.arange(math.prod(shape)).reshape(shape), None, levels, **options)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, answer):
    """kat_vectors of Random123 1.14."""
    words = philox(np.array([counter, counter], np.uint64).T.copy(), key)
    assert [" ".join(f"{word:08x}" for word in column) for column in words.T] == [answer, answer]


def test_uniform_reaches_neither_end_and_is_symmetric():
    ends = uniform(np.array([[0x80000000, 0x7FFFFFFF, 0, ONES], [0, ONES, 0, ONES]] * 2, np.uint64))
    np.testing.assert_array_equal(ends[0], [-0.5 + 2**-54, 0.5 - 2**-54, 2**-54, -(2**-54)])
    np.testing.assert_array_equal(ends[0], ends[1])


def test_normal_is_the_quantile_function():
    tiny = 2.0 ** -np.arange(2, 54)
    q = np.concatenate((np.linspace(-0.4999, 0.4999, 20001), 0.5 - tiny, tiny, [0.425, 0.0, 0.5 - 2**-54]))
    # inv_cdf takes the probability itself, which is exact on the lower side only
    want = np.array([-NormalDist().inv_cdf(0.5 - abs(value)) for value in q]) * np.sign(q)
    np.testing.assert_allclose(normal(q)[np.abs(q) > 1e-3], want[np.abs(q) > 1e-3], rtol=2e-15)
    np.testing.assert_array_equal(normal(-q), -normal(q))
    assert normal(np.array([0.5 - 2**-54]))[0] == pytest.approx(8.2924, abs=1e-4)
    centre = tiny[tiny < 1e-6]
    np.testing.assert_allclose(normal(centre), centre * math.sqrt(2 * math.pi), rtol=1e-12)


# --- the same bits on any machine ------------------------------------------------------------------------------------

FINGERPRINT = "2b90ef2eeadc5fc764c61fc0e6b92b770638e6b322105a5ad23875fa47b45d56"


def fingerprint():
    return hashlib.sha256(plain((200, 301), levels=2, time="ar1", memory=7.3).at(5).astype("<f8").tobytes()).hexdigest()


def test_bits_are_those_of_other_machines():
    assert fingerprint() == FINGERPRINT


def test_bits_do_not_depend_on_simd_instructions(repo):
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    code = "from tests.unit.test_noise import fingerprint; print(fingerprint())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repo,
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == FINGERPRINT, done.stderr


def test_another_logarithm_is_caught(monkeypatch):
    monkeypatch.setattr(noise, "_log", np.log)
    assert fingerprint() != FINGERPRINT


# --- any cut of the grid ---------------------------------------------------------------------------------------------


@st.composite
def layouts(draw):
    boundary = draw(st.sampled_from(BOUNDARIES))
    nx, ny = 2 * draw(st.integers(1, 8)), draw(st.integers(2, 12))
    if not boundary.startswith("fold"):
        nx -= draw(st.integers(0, 1))
    grid = Grid(nx, ny, boundary)
    ranks = [n for n in range(1, 9) if any(n % j == 0 and j <= ny and n // j <= nx for j in range(1, n + 1))]
    cuts = [decompose(grid, draw(st.sampled_from(ranks))) for _ in range(2)]
    return grid, *cuts, draw(st.integers(0, 6)), draw(st.sampled_from("TUVFW"))


kinds = st.sampled_from([("white", 0.0), ("hold", 3.0), ("ar1", 2.5)])


def block(grid, box, halo, point, vector, kind=("white", 0.0), levels=2, **change):
    source, sign = source_map(grid, box, halo, point)
    options = {"seed": SEED, "member": MEMBER, "shared": False} | change
    time, memory = kind
    return Noise("net.output", source, sign if vector else None, levels, time=time, memory=memory, **options)


def local_block(grid, box, halo, point, vector, kind=("white", 0.0)):
    """Broken: keyed on the cell of the block."""
    shape = (box.nj + 2 * halo, box.ni + 2 * halo)
    local = np.arange(math.prod(shape)).reshape(shape)
    return Noise("net.output", local, None, 2, seed=SEED, member=MEMBER, time=kind[0], memory=kind[1], shared=False)


def assert_noise_of_the_source(grid, boxes, halo, point, vector, kind=("white", 0.0), build=block, calls=4):
    """Every cell of every padded block carries the noise of the cell it comes from, with its sign; 0 outside."""
    whole = block(grid, Box(0, 0, grid.nx, grid.ny), 0, point, vector, kind)
    blocks = [build(grid, box, halo, point, vector, kind) for box in boxes]
    for call in range(calls):
        flat = whole.at(call).reshape(2, -1)
        for box, part in zip(boxes, blocks, strict=True):
            source, sign = source_map(grid, box, halo, point)
            want = np.where(source >= 0, flat[:, source] * (sign if vector else 1), 0.0)
            assert part.at(call).tobytes() == want.tobytes()


@settings(max_examples=60)
@given(layouts(), st.booleans(), kinds)
def test_a_cell_has_the_noise_of_its_source(layout, vector, kind):
    grid, boxes, _, halo, point = layout
    assert_noise_of_the_source(grid, boxes, halo, point, vector, kind)


def test_noise_keyed_on_the_local_cell_is_caught():
    grid = Grid(14, 9, "cyclic_ew")
    with pytest.raises(AssertionError):
        assert_noise_of_the_source(grid, decompose(grid, 2), 0, "T", False, build=local_block)


def test_a_fold_without_sign_is_caught():
    def unsigned(grid, box, halo, point, vector, kind):
        return block(grid, box, halo, point, False, kind)

    grid = Grid(14, 9, "fold_F")
    assert_noise_of_the_source(grid, decompose(grid, 4), 2, "U", True)
    with pytest.raises(AssertionError):
        assert_noise_of_the_source(grid, decompose(grid, 4), 2, "U", True, build=unsigned)


# --- restart ---------------------------------------------------------------------------------------------------------


def gathered(grid, boxes, blocks, halo):
    """The global field that a restart holds."""
    field = np.full((len(blocks[0].interior(halo)), grid.ny, grid.nx), np.nan)
    for box, part in zip(boxes, blocks, strict=True):
        field[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = part.interior(halo)
    return field


def assert_continues(layout, vector, shared, restart=True):
    """Calls 0 ... 5 in one run equal 0 ... 2 and, cut differently, 3 ... 5 after a restart."""
    grid, before, after, halo, point = layout

    def build(boxes):
        return [block(grid, box, halo, point, vector, ("ar1", 2.5), shared=shared) for box in boxes]

    straight, first, second = build(after), build(before), build(after)
    want = [[part.at(call).tobytes() for part in straight] for call in range(6)][3:]
    for part in first:
        for call in range(3):
            part.at(call)
        assert part.state[1] == 2
    if restart:
        field = gathered(grid, before, first, halo)
        for part in second:
            part.restore(field.astype(">f8"), 2)  # as a file may give it
    assert [[part.at(call).tobytes() for part in second] for call in range(3, 6)] == want


@settings(max_examples=40)
@given(layouts(), st.booleans(), st.booleans())
def test_a_restart_continues_bit_for_bit(layout, vector, shared):
    assert_continues(layout, vector, shared)


def test_a_run_without_the_restart_is_caught():
    grid = Grid(14, 9, "fold_T")
    layout = grid, decompose(grid, 4), decompose(grid, 3), 2, "U"
    assert_continues(layout, True, False)
    with pytest.raises(AssertionError):
        assert_continues(layout, True, False, restart=False)


# --- what a number depends on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [0, 7, 2**32 - 1, 2**32 + 7, 2**48 - 1])
def test_a_value_follows_from_its_counter(call):
    got = plain((6, 7), levels=3).at(call)
    for k, cell in ((0, 0), (1, 17), (2, 41)):
        counter = [[cell // 2], [k + (call >> 32) * 2**16], [call % 2**32], [crc32(b"net.output")]]
        want = normal(uniform(philox(np.array(counter, np.uint64), (SEED, MEMBER))))[cell % 2, 0]
        assert got[k].flat[cell] == want


def test_many_levels_are_drawn_as_few():
    got = plain((160, 170), levels=5).at(3)  # more than one batch
    np.testing.assert_array_equal(got[:2], plain((160, 170), levels=2).at(3))


def test_held_noise_changes_every_memory_calls():
    held, white = plain(time="hold", memory=3), plain()
    for call in range(7):
        np.testing.assert_array_equal(held.at(call), white.at(call // 3))
    assert held.state is None and held.interior(0) is None


def test_shared_noise_is_the_same_at_all_levels():
    got = plain(levels=4, shared=True).at(2)
    assert got.shape == (4, 20, 31) and not got.flags.writeable
    for level in got:
        np.testing.assert_array_equal(level, plain().at(2)[0])


def test_ar1_follows_its_formula():
    red, white = plain(levels=2, time="ar1", memory=4.0), plain(levels=2)
    a = math.exp(-1 / 4.0)
    want = white.at(0)
    assert red.state is None
    for call in range(5):
        want = a * want + math.sqrt(1 - a * a) * white.at(call) if call else want
        np.testing.assert_allclose(red.at(call), want, rtol=1e-13, atol=1e-13)
        assert red.at(call).tobytes() == red.at(call).tobytes()
    values, call = red.state
    assert call == 4 and values.shape == (2, 20, 31)
    np.testing.assert_array_equal(red.interior(2), values[:, 2:-2, 2:-2])


# --- statistics ------------------------------------------------------------------------------------------------------


def assert_standard_normal(z):
    """Four moments within five standard deviations, and the Kolmogorov-Smirnov distance below its 0.1 % point."""
    n = z.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * math.sqrt(variance / n), f"moment {power}"
    below = np.array([0.5 * math.erfc(-value) for value in (np.sort(z) / math.sqrt(2)).tolist()])
    assert np.abs(below - (np.arange(n) + 0.5) / n).max() < 1.95 / math.sqrt(n)


def assert_independent(x, y):
    assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 5 / math.sqrt(x.size)


def test_a_million_draws_are_standard_normal():
    assert_standard_normal(plain((1000, 1000)).at(0).ravel())


def test_ar1_stays_standard_normal():
    red = plain((300, 300), time="ar1", memory=5.0)
    draws = [red.at(call) for call in range(9)]
    assert_standard_normal(draws[8].ravel())
    for lag in (1, 4, 8):
        correlation = np.corrcoef(draws[8 - lag].ravel(), draws[8].ravel())[0, 1]
        assert correlation == pytest.approx(math.exp(-lag / 5.0), abs=5 / 300)


def test_noise_of_the_wrong_shape_is_caught():
    with pytest.raises(AssertionError):
        assert_standard_normal(math.sqrt(12) * np.random.default_rng(0).uniform(-0.5, 0.5, 10**5))
    with pytest.raises(AssertionError):
        assert_standard_normal(1.02 * plain((300, 400)).at(0).ravel())


def test_levels_steps_members_seeds_streams_and_neighbours_are_independent():
    shape = (400, 501)
    base = plain(shape, levels=2).at(4)
    for other in (
        base[1],
        plain(shape).at(5)[0],
        plain(shape).at(4 + 2**32)[0],
        plain(shape, member=MEMBER + 1).at(4)[0],
        plain(shape, seed=SEED + 1).at(4)[0],
        plain(shape, seed=MEMBER, member=SEED).at(4)[0],
        plain(shape, name="net.other").at(4)[0],
    ):
        assert_independent(base[0], other)
        assert_independent(base[0] ** 2, other**2)
    for left, right in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]), (np.s_[:, 2:], np.s_[:, :-2])):
        assert_independent(base[0][left], base[0][right])


def test_one_noise_for_two_levels_is_caught():
    shared = plain(levels=2, shared=True).at(0)
    with pytest.raises(AssertionError):
        assert_independent(shared[0], shared[1])


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "the seed is -1. Allowed: 0 to 4294967295"),
        ({"member": 2**32}, "the member is 4294967296. Allowed: 0 to 4294967295"),
        ({"time": "pink"}, "the kind in time is pink. Allowed: white, ar1, hold"),
        ({"time": "hold", "memory": 2.5}, "the memory is 2.5. Allowed: a whole number of calls, 1 or more"),
        ({"time": "hold", "memory": 0}, "the memory is 0. Allowed: a whole number of calls, 1 or more"),
        ({"time": "ar1", "memory": 0.0}, "the memory is 0.0. Allowed: a finite number of calls above 0"),
        ({"time": "ar1", "memory": math.nan}, "the memory is nan"),
        ({"levels": 0}, "the number of levels is 0. Allowed: 1 to 65536"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(HaloclineError, match="noise 'net.output': " + message):
        plain(**change)


def test_ar1_goes_on_by_one_call():
    red = plain(time="ar1", memory=2.0)
    red.at(0)
    red.at(1)
    for call in (0, 3):
        with pytest.raises(HaloclineError, match=f"the call is {call}. Allowed: 2, the next"):
            red.at(call)


@pytest.mark.parametrize("call", [-1, 2**48])
def test_a_call_beyond_the_counter_is_refused(call):
    with pytest.raises(HaloclineError, match=f"the call is {call}"):
        plain().at(call)


@pytest.mark.parametrize(
    ("time", "values", "message"),
    [
        ("white", np.zeros((1, 20, 31)), "state to restore of kind is white. Allowed: ar1"),
        ("ar1", np.zeros((1, 20, 31), np.float32), "type of the state is float32"),
        ("ar1", np.zeros((2, 20, 31)), "shape of the state is (2, 20, 31). Allowed: (1, NY, NX) with 620 cells"),
        ("ar1", np.zeros((1, 20, 30)), "shape of the state is (1, 20, 30)"),
        ("ar1", np.full((1, 20, 31), np.nan), "state is NaN or infinity"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(time, values, message):
    with pytest.raises(HaloclineError) as caught:
        plain(time=time, memory=2.0).restore(values, 4)
    assert message in str(caught.value)
