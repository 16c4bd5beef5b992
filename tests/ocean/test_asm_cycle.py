"""Cycling: the ocean writes backgrounds and waits, a small Python loop plays the assimilation."""

import shutil
import threading
import time

import numpy as np
import pytest
import xarray as xr

from .conftest import same_bits
from .test_asm_inc import ALL, END, date_of, noise, write
from .test_namelist import message

WIN = 20
CYCLE = {"nam_asminc": ALL | {"ln_asmdin": True, "nn_asmwin": WIN, "rn_asmwait": 20.0}}
UPDATE = {"nam_asminc": CYCLE["nam_asminc"] | {"ln_asmdin": False, "ln_asmiau": True, "niaufn": 1}}
PAIRS = {"un": "bckinu", "vn": "bckinv", "e3t_n": "bckinthk", "tn": "bckint"}
WET = {"un": np.s_[..., 1:-1, 1:-2], "vn": np.s_[..., 1:-2, 1:-1], "e3t_n": np.s_[..., 1:-1, 1:-1]}
WET["tn"] = WET["e3t_n"]


def zeros() -> dict[str, np.ndarray]:
    return {key: 0 * values for key, values in noise().items()}


def known(kt: int) -> dict[str, np.ndarray]:
    """The increments of the tests: none after the first window, then something else each time."""
    return zeros() if kt == WIN else noise(kt)


@pytest.fixture
def cycled(ocean, tmp_path):
    """cycled(*changes, analyses, fields, name, ...): a run beside a thread that answers each of these backgrounds."""

    def run(*changes, analyses=(WIN, 2 * WIN), fields=known, name="run", **kwargs):
        folder, ended = tmp_path / name, threading.Event()
        folder.mkdir(exist_ok=True)

        def assimilate():
            for kt in analyses:
                while not (folder / f"assim_background_state_DI_{kt:08d}.nc").exists():
                    if ended.wait(0.005):
                        return
                write(folder, fields(kt), kt - WIN, kt, f"assim_background_increments_{kt:08d}.nc")

        beside = threading.Thread(target=assimilate)
        beside.start()
        try:
            return ocean(*changes, name=name, **kwargs)
        finally:
            ended.set()
            beside.join()

    return run


def background(run, kt: int) -> xr.Dataset:
    return run.open(f"assim_background_state_DI_{kt:08d}.nc", decode_times=False, mask_and_scale=False)


@pytest.mark.parametrize("how", [CYCLE, UPDATE], ids=["insert", "hat"])
def test_a_cycle_on_any_number_of_ranks(cycled, how):
    """Same bits on 1, 2 x 1, 1 x 3 and 2 x 2 ranks; backgrounds too. Increments of another analysis give others."""
    one = cycled(how, name="one")
    assert sorted(path.name for path in one.rundir.glob("assim_background_state_DI_*")) == [
        f"assim_background_state_DI_{kt:08d}.nc" for kt in (WIN, 2 * WIN, END)
    ]
    for ranks, jpni, jpnj in [(2, 2, 1), (3, 1, 3), (4, 2, 2)]:
        other = cycled(how, {"nammpp": {"jpni": jpni, "jpnj": jpnj}}, ranks=ranks, name=f"r{ranks}")
        same_bits(one.restart(END), other.restart(END))
        same_bits(background(one, END), background(other, END))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(one.restart(END), cycled(how, fields=noise, name="other").restart(END))


def test_a_cycle_is_a_chain_of_forward_starts(cycled, ocean):
    """Windows of the cycle are runs that start, forward, from the last state plus the increment: zero, then something."""
    run = cycled(CYCLE, {"namrun": {"nn_stock": WIN}})
    part = ocean({"namrun": {"nn_itend": WIN}}, name="part")
    for kt in (WIN, 2 * WIN):
        state = part.restart(kt)
        same_bits(run.restart(kt), state)
        held = background(run, kt)
        assert held["rdastp"] == date_of(kt) and held.attrs["kt"] == kt
        for name, wet in WET.items():
            assert np.array_equal(held[name].values[0][wet], state[name].values[wet])
            state[name].values[wet] += known(kt)[PAIRS[name]][wet]
        state.to_netcdf(part.rundir / "restart.nc")
        go_on = {"ln_rstart": True, "nn_it000": kt + 1, "nn_itend": kt + WIN}
        part = ocean({"namrun": go_on, "namdom": {"ln_1st_euler": True}}, name="part")
    same_bits(run.restart(END), part.restart(END))
    straight = ocean({}, name="straight").restart(END)  # without the forward steps
    with pytest.raises(AssertionError, match="differs"):
        same_bits(cycled(CYCLE, fields=lambda kt: zeros(), name="nothing").restart(END), straight)


def test_an_update_with_nothing_is_the_run_without(cycled, ocean):
    """Incremental update by zero needs no forward step: the bits of the ocean alone."""
    plain = ocean({}, name="plain").restart(END)
    same_bits(plain, cycled(UPDATE, fields=lambda kt: zeros()).restart(END))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(plain, cycled(UPDATE, name="known").restart(END))


@pytest.mark.parametrize(
    ("how", "cut"),
    [
        pytest.param(CYCLE, WIN, id="insert-20"),
        pytest.param(UPDATE, WIN + 7, id="hat-27"),
        pytest.param(CYCLE, WIN + 7, id="insert-27", marks=pytest.mark.slow),
        pytest.param(UPDATE, WIN, id="hat-20", marks=pytest.mark.slow),
        pytest.param(CYCLE, 2 * WIN, id="insert-40", marks=pytest.mark.slow),
        pytest.param(UPDATE, 2 * WIN, id="hat-40", marks=pytest.mark.slow),
    ],
)
def test_a_cycle_goes_on_after_a_restart(cycled, how, cut):
    """Cut at the end of a window, or within one: the second run, on other ranks, has the bits of the whole one."""
    whole = cycled(how, name="whole")
    part = cycled(how, {"namrun": {"nn_itend": cut}}, name="part")
    shutil.copy(part.rundir / f"TEST_{cut:08d}_restart.nc", part.rundir / "restart.nc")
    go_on = {"namrun": {"ln_rstart": True, "nn_it000": cut + 1}}
    rest = cycled(how, go_on, name="part", ranks=4)
    same_bits(whole.restart(END), rest.restart(END))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(whole.restart(END), cycled(how, go_on, name="part", fields=lambda kt: noise(7)).restart(END))


def test_backgrounds_alone_change_nothing_and_wait_for_nothing(ocean):
    """ln_bkgwri with a window writes them all; the run has the bits of the run without."""
    run = ocean({"nam_asminc": {"ln_bkgwri": True, "nn_asmwin": WIN}}, ranks=2, name="written")
    same_bits(run.restart(END), ocean({}, name="plain").restart(END))
    assert len(list(run.rundir.glob("assim_background_state_DI_*.nc"))) == 3


def test_increments_that_do_not_come_end_the_run(cycled):
    """After rn_asmwait, on any number of ranks, with one message; increments that come in time do not."""
    begun = time.monotonic()
    run = cycled(CYCLE, {"nam_asminc": {"rn_asmwait": 1.0}}, analyses=(WIN,), ranks=3, ok=False, timeout=20)
    assert 1.0 < time.monotonic() - begun < 10.0
    got = message(run)
    for word in ("assim_background_increments_00000040.nc", "rn_asmwait = 1.0 s", "namelist_cfg line", "renames"):
        assert word in got, got
    cycled(CYCLE, {"nam_asminc": {"rn_asmwait": 1.0}}, name="intime", ranks=3)


def test_an_abort_ends_the_wait(cycled, tmp_path):
    """halocline.abort, written by the other program, ends the run at once and is repeated."""

    def broken(kt):
        (tmp_path / "run" / "halocline.abort").write_text("the ensemble is empty\n")
        time.sleep(3.0)
        return known(kt)

    begun = time.monotonic()
    run = cycled(CYCLE, fields=broken, ranks=2, ok=False, timeout=20)
    assert time.monotonic() - begun < 8.0
    assert "the ensemble is empty" in run.stderr and "assim_background_increments_00000020.nc" in run.stderr
    assert "the ensemble is empty" in run.log


def test_a_file_of_the_window_before_is_refused(cycled, ocean, tmp_path):
    (tmp_path / "run").mkdir()
    write(tmp_path / "run", known(WIN), 0, WIN, "assim_background_increments_00000040.nc")
    got = message(cycled(CYCLE, analyses=(WIN,), ok=False, ranks=2, timeout=20))
    assert "another window" in got and "10101.132000" in got and "10102.024000" in got
