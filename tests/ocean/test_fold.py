"""The tripolar basin: same bits for any number of ranks, pairs of cells that are one point, nothing lost at the fold."""

import shutil

import numpy as np
import pytest

from .conftest import ROOT, nudged, same_bits
from .test_namelist import message

END = 60
LAYOUTS = [(2, 0, 0), (2, 2, 1), (2, 1, 2), (3, 3, 1), (3, 1, 3), (4, 2, 2), (4, 4, 1), (6, 3, 2), (6, 2, 3)]
both = pytest.mark.parametrize("pivot", ["T", "F"])


def fold(pivot):
    return {"namusr_def": {"cn_bnd": f"fold_{pivot}", "nn_nx": 22}, "namsbc": {"cn_wind": "channel"}}


def opposite(pivot, point, values):
    """Row J of a field (..., j, i) and what stands at the same place seen from the other side of the fold, without sign."""
    columns = np.arange(values.shape[-1])
    turned = {"T": -columns, "U": -1 - columns, "V": -columns, "F": -1 - columns}  # pivot T; pivot F one column less
    row = {"T": {"T": -1, "U": -1, "V": -2, "F": -2}, "F": {"V": -1, "F": -1}}[pivot][point]
    return values[..., -1, :], values[..., row, (turned[point] - (pivot == "F")) % len(columns)]


@both
def test_any_number_of_ranks(ocean, pivot):
    """Restart and run.stat of 1 to 6 ranks, cut in both directions, are the same bits."""
    one = ocean(fold(pivot), name="one")
    assert np.abs(one.restart(END)["vn"].values[:, -3:]).max() > 1e-3  # the flow has reached the fold
    for ranks, jpni, jpnj in LAYOUTS:
        other = ocean(fold(pivot), {"nammpp": {"jpni": jpni, "jpnj": jpnj}}, ranks=ranks, name=f"r{ranks}{jpni}{jpnj}")
        same_bits(one.restart(END), other.restart(END))
        assert (one.rundir / "run.stat").read_bytes() == (other.rundir / "run.stat").read_bytes()
    with pytest.raises(AssertionError):
        same_bits(one.restart(END), nudged(other.restart(END), "vb"))


def test_the_pivot_matters(ocean):
    with pytest.raises(AssertionError):
        same_bits(ocean(fold("T"), name="t").restart(END), ocean(fold("F"), name="f").restart(END))


@both
def test_restart_continues(ocean, pivot):
    """60 steps are 25 steps and 35 more, the second part on other ranks."""
    whole = ocean(fold(pivot), name="whole")
    part = ocean(fold(pivot), {"namrun": {"nn_itend": 25}}, name="part", ranks=4)
    shutil.copy(part.rundir / "TEST_00000025_restart.nc", part.rundir / "restart.nc")
    go_on = {"namrun": {"ln_rstart": True, "nn_it000": 26, "cn_ocerst_in": "restart.nc"}}
    rest = ocean(fold(pivot), go_on, name="part", ranks=3)
    same_bits(whole.restart(END), rest.restart(END))
    assert np.array_equal(whole.stat[whole.stat[:, 0] > 25], rest.stat)


@both
def test_checked_build_gives_the_same_bits(ocean, pivot):
    fast = ocean(fold(pivot), name="fast")
    same_bits(fast.restart(END), ocean(fold(pivot), variant="check", ranks=6, name="checked").restart(END))


@both
def test_pairs_are_one_point(ocean, pivot):
    """500 steps: bounded, and on the fold h and T equal, u and v opposite, bit for bit, in both time levels."""
    run = ocean(fold(pivot), {"namrun": {"nn_itend": 500}}, ranks=4)
    assert run.stat[:, 3].max() < 1.0 and run.stat[:, -1].min() > 400.0
    end, mesh = run.restart(500), run.open("mesh_mask.nc")
    if pivot == "T":
        signs = {"un": ("U", -1), "ub": ("U", -1), "vn": ("V", -1), "vb": ("V", -1)}
        signs |= {"e3t_n": ("T", 1), "e3t_b": ("T", 1), "tn": ("T", 1), "tb": ("T", 1)}
        mesh_points = "tuvf"
    else:
        signs, mesh_points = {"vn": ("V", -1), "vb": ("V", -1)}, "vf"
    for name, (point, sign) in signs.items():
        here, there = opposite(pivot, point, end[name].values)
        assert np.array_equal(here, sign * there) and np.abs(here).max() > 0, name
        if sign < 0:
            assert not np.array_equal(here, there)
    for point in mesh_points:
        for name in [f"{point}mask", f"gphi{point}", f"glam{point}", f"e1{point}", f"e2{point}"]:
            assert np.array_equal(*opposite(pivot, point.upper(), mesh[name].values)), name
    assert np.array_equal(*opposite(pivot, "F", mesh["ff_f"].values))
    tmask = mesh["tmask"].values[0]
    assert tmask[0].sum() == 0 and tmask[-1].sum() == 22 - (6 if pivot == "T" else 8)  # a wall in the south, two poles
    assert (tmask[-5:-1, 4:7] == 0).all() and (tmask[-5:-2, 14:18] == 1).all()  # the continent, on one side of the fold


@both
def test_both_sides_of_the_fold_compute_the_same(ocean, pivot):
    """Every term at both points of a pair, before lbc_lnk makes them equal: to round-off. Without the sign they are not."""
    trends = ocean(
        fold(pivot), {"namrun": {"nn_itend": 300, "nn_stat": 100}, "namsbc": {"rn_season": 0.0}},
        {"namtrd": {"ln_trd": True, "nn_trd": 300, "ln_trd_r8": True}}, ranks=4,
    ).open("TEST_00000001_00000300_trd.nc", decode_times=False)  # fmt: skip
    vectors = {"U": "utrd", "V": "vtrd"} if pivot == "T" else {"V": "vtrd"}
    for point, prefix in vectors.items():
        for term in ("hpg", "keg", "pvo", "ldf", "drg", "zb20", "tot"):
            values = trends[f"{prefix}_{term}"].values
            here, there = opposite(pivot, point, values)
            assert np.abs(here).max() > 1e-3 * np.abs(values).max(), term
            assert np.abs(here + there).max() < 1e-12 * np.abs(values).max(), term
            assert np.abs(here - there).max() > 1e-3 * np.abs(values).max(), term
    if pivot == "F":
        return
    assert np.abs(trends["utrd_wnd"].values[:, :, -1]).max() < 1e-12 * np.abs(trends["utrd_wnd"].values).max()
    for name in ("htrd_adv", "ttrd_adv", "ttrd_ldf", "ttrd_res"):
        here, there = opposite(pivot, "T", np.nan_to_num(trends[name].values))
        assert np.abs(here - there).max() < 1e-12 * np.abs(here).max()


@both
def test_volume_is_conserved(ocean, pivot):
    """Each pair of cells counted once, layers and tracer content keep their amount to round-off; counted twice they do not."""
    change = {"namrun": {"nn_itend": 2000, "nn_stock": 1000, "nn_stat": 1000}, "namsbc": {"rn_trelax": 0.0}}
    run = ocean(fold(pivot), change, ranks=2)
    first, last = run.restart(1000), run.restart(2000)
    wet = run.open("mesh_mask.nc")["tmask"].values[0] > 0
    once = wet.copy()
    if pivot == "T":
        once[-1, 12:] = False

    def drift(cells):
        amounts = [
            [ds["e3t_n"].values[k][cells].sum() for k in (0, 1)] + [(ds["e3t_n"].values[0] * ds["tn"].values)[cells].sum()]
            for ds in (first, last)
        ]  # fmt: skip
        return np.abs(np.divide(*amounts) - 1.0)

    assert drift(once).max() < 1e-12
    assert np.abs(last["e3t_n"].values[0] - first["e3t_n"].values[0])[once].max() > 1.0
    if pivot == "T":
        assert drift(wet).max() > 1e-8


@both
def test_rest_stays_rest(ocean, pivot):
    rest = {"namsbc": {"cn_wind": "none"}, "namusr_def": {"rn_pert": 0.0}}
    end = ocean(fold(pivot), rest, ranks=4).restart(END)
    assert np.all(end["un"] == 0.0) and np.all(end["vn"] == 0.0)
    assert np.all(end["e3t_n"][0] == 500.0) and np.all(end["e3t_n"][1] == 750.0)


@pytest.mark.parametrize(
    ("change", "ranks", "words"),
    [
        ({"namusr_def": {"nn_nx": 21}}, 2, ["even", "nn_nx", "namelist_cfg line"]),
        ({"namusr_def": {"nn_nx": 14}}, 1, ["16 cells", "nn_nx"]),
        ({"namusr_def": {"cn_bnd": "fold_t"}}, 1, ["fold_t", "closed, cyclic_ew, fold_T, fold_F", "cn_bnd"]),
        ({"nammpp": {"jpni": 1, "jpnj": 4}}, 4, ["more ranks than fit", "at least 2 x 4", "is 33"]),
    ],
)
def test_refused_in_words(ocean, change, ranks, words):
    got = message(ocean(fold("T"), change, ok=False, ranks=ranks, timeout=20))
    for word in words:
        assert word in got, got


def test_the_shipped_basin(ocean):
    """namelists/tripolar, 3000 steps: an eastward current, in 32 bits too."""
    text = (ROOT / "namelists" / "tripolar" / "namelist_cfg").read_text()
    text = text.replace("'TRIPOLAR'", "'TEST'").replace("nn_itend  = 9720", "nn_itend  = 3000")
    run = ocean(text=text, ranks=4, variant="single")
    assert run.restart(3000)["un"].values[0, 10:40].mean() > 1e-3 and run.stat[:, 3].max() < 1.0
