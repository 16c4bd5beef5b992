"""Increments of one analysis, NEMO's way: direct insertion and incremental update, their bits, their sums, what they conserve."""

import shutil

import numpy as np
import pytest
import xarray as xr

from .conftest import same_bits

END = 60
DT = 2400.0
SHAPE = (2, 15, 19)  # layers, rows, columns: SMALL with its rim of land
LAYOUTS = [(2, 2, 1), (3, 1, 3), (4, 2, 2)]
ALL = {"ln_trainc": True, "ln_dyninc": True, "ln_thkinc": True}
INSERT = {"nam_asminc": ALL | {"ln_asmdin": True, "nitdin": 30}}
HAT = {"nam_asminc": ALL | {"ln_asmiau": True, "niaufn": 1, "nitiaustr": 5, "nitiaufin": 40}}
FLAT = {"nam_asminc": HAT["nam_asminc"] | {"niaufn": 0}}
# Nothing but increments: no forcing, friction, rotation or pressure, so that every field keeps what is added to it.
INERT = {
    "namusr_def": {"rn_pert": 0.0, "rn_gred": [1e-26, 1e-26], "rn_f0": 0.0, "rn_beta": 0.0},
    "namsbc": {"cn_wind": "none", "rn_trelax": 0.0},
    "namdrg": {"rn_drg": [0.0, 0.0]},
    "namtra": {"rn_aht": 0.0},
    "namdyn_ldf": {"ln_dynldf": False},
    "namzb20": {"ln_zb20": False},
}


def date_of(step: int) -> float:
    """YYYYMMDD.HHMMSS at the end of a step of the first month."""
    day, second = divmod(round(step * DT), 86400)
    return 10101 + day + (second // 3600 * 10000 + second // 60 % 60 * 100 + second % 60) / 1e6


def noise(seed=0, u=0.05, h=5.0, t=0.5) -> dict[str, np.ndarray]:
    """Increments of everything; fill values on land."""
    rng = np.random.default_rng(seed)
    made = {
        "bckinu": u * rng.standard_normal(SHAPE),
        "bckinv": u * rng.standard_normal(SHAPE),
        "bckinthk": h * rng.standard_normal(SHAPE),
        "bckint": t * rng.standard_normal(SHAPE[1:]),
        "bckineta": 0.01 * h * rng.standard_normal(SHAPE[1:]),
    }
    for values in made.values():
        values[..., 0] = 1e20
    return made


def write(folder, fields, begin, end, name="assim_background_increments.nc"):
    """An increments file, written aside and renamed."""
    folder.mkdir(exist_ok=True)
    dims = ("time_counter", "deptht", "y", "x")
    data = {key: (dims if v.ndim == 3 else dims[:1] + dims[2:], v[None]) for key, v in fields.items()}
    data |= {"time": 0.0, "z_inc_dateb": date_of(begin), "z_inc_datef": date_of(end)}
    dataset = xr.Dataset(data)
    dataset.to_netcdf(folder / (name + ".tmp"), encoding={key: {"_FillValue": None} for key in dataset})
    (folder / (name + ".tmp")).rename(folder / name)


@pytest.fixture
def assimilated(ocean, tmp_path):
    """assimilated(*changes, fields, begin, end, name, ...): a run with this increments file in its folder."""

    def run(*changes, fields=None, begin=0, end=30, name="run", **kwargs):
        write(tmp_path / name, noise() if fields is None else fields, begin, end)
        return ocean(*changes, name=name, **kwargs)

    return run


@pytest.mark.parametrize(
    "how", [INSERT, pytest.param(FLAT, marks=pytest.mark.slow), HAT], ids=["insert", "flat", "hat"]
)
def test_any_number_of_ranks(assimilated, how):
    """1, 2 x 1, 1 x 3 and 2 x 2 ranks and the checked build: same bits. Other increments, or none of a field: others."""
    one = assimilated(how, name="one").restart(END)
    for ranks, jpni, jpnj in LAYOUTS:
        layout = {"nammpp": {"jpni": jpni, "jpnj": jpnj}}
        same_bits(one, assimilated(how, layout, ranks=ranks, name=f"r{ranks}").restart(END))
    same_bits(one, assimilated(how, ranks=2, variant="check", name="check").restart(END))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(one, assimilated(how, fields=noise(1), name="other").restart(END))
    for switch in ALL:
        with pytest.raises(AssertionError, match="differs"):
            same_bits(one, assimilated(how, {"nam_asminc": {switch: False}}, name=switch).restart(END))


@pytest.mark.parametrize(
    "edge", ["fold_T", *(pytest.param(e, marks=pytest.mark.slow) for e in ("cyclic_ew", "fold_F"))]
)
def test_any_number_of_ranks_on_other_edges(assimilated, edge):
    """Halos of the increments are filled across cyclic edges and folds, with the sign of vectors there."""
    basin = {"namusr_def": {"cn_bnd": edge, "nn_nx": 18}, "namsbc": {"cn_wind": "channel"}}
    rows = 15 if edge == "cyclic_ew" else 14
    fields = {key: np.resize(v, (*v.shape[:-2], rows, 18)) for key, v in noise(u=0.01, h=2.0).items()}
    one = assimilated(basin, HAT, fields=fields, name="one").restart(END)
    same_bits(one, assimilated(basin, HAT, fields=fields, ranks=4, name="four").restart(END))


def test_insertion_adds_the_increment_and_steps_forward(assimilated, ocean):
    """Inserted at step 30: now is background plus increment; from there on the run is one that starts with this state."""
    run = assimilated(INSERT, {"namrun": {"nn_stock": 31}}, {"nam_asminc": {"ln_bkgwri": True, "nitbkg": 30}})
    begun = ocean({"namrun": {"nn_itend": 30}}, name="begun")
    background = run.open("assim_background_state_DI.nc", decode_times=False, mask_and_scale=False)
    assert background["rdastp"] == date_of(30) and background.attrs["kt"] == 30 and background.attrs["rdt"] == DT
    restart = begun.restart(30)
    pairs = {"un": "bckinu", "vn": "bckinv", "e3t_n": "bckinthk", "tn": "bckint"}
    for name, increment in pairs.items():
        wet = np.s_[..., 1:-2, 1:-2]
        assert np.array_equal(background[name].values[0][wet], restart[name].values[wet])
        restart[name].values[wet] += noise()[increment][wet]
        after = run.restart(31)[{"e3t_n": "e3t_b"}.get(name, name[0] + "b")].values  # a forward step: before = now
        assert np.array_equal(after[wet], restart[name].values[wet])
    for name, mask in {"un": np.s_[..., 1:-1, 1:-2], "vn": np.s_[..., 1:-2, 1:-1]}.items():
        restart[name].values[:] = begun.restart(30)[name].values
        restart[name].values[mask] += noise()[pairs[name]][mask]
    for name in ("e3t_n", "tn"):
        restart[name].values[:] = begun.restart(30)[name].values
        restart[name].values[..., 1:-1, 1:-1] += noise()[pairs[name]][..., 1:-1, 1:-1]
    restart.to_netcdf(begun.rundir / "restart.nc")
    go_on = {"namrun": {"ln_rstart": True, "nn_it000": 31}, "namdom": {"ln_1st_euler": True}}
    same_bits(run.restart(END), ocean(go_on, name="begun").restart(END))
    with pytest.raises(AssertionError, match="differs"):  # leapfrog over the insertion
        same_bits(run.restart(END), ocean(go_on | {"namdom": {"ln_1st_euler": False}}, name="begun").restart(END))


@pytest.mark.parametrize("hat", [0, 1])
@pytest.mark.parametrize("steps", [2, 15, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 36))])
def test_the_weights_sum_to_one(assimilated, hat, steps):
    """An inert ocean ends with the whole increment, and not when the last step of the update is left out."""
    fields = noise(u=1e-17, h=1e-4)
    window = {"nam_asminc": HAT["nam_asminc"] | {"niaufn": hat, "nitiaustr": 5, "nitiaufin": 4 + steps}}
    long = {"namrun": {"nn_itend": 240}}
    state = assimilated(INERT, window, long, fields=fields).restart(240)
    wet = np.s_[..., 1:-2, 1:-2]
    tstar = assimilated(INERT, {"namrun": {"nn_itend": 1}}, name="rest").restart(1)
    for name, increment in {"un": "bckinu", "e3t_n": "bckinthk", "tn": "bckint"}.items():
        got, want = (state[name] - tstar[name]).values[wet], fields[increment][wet]
        np.testing.assert_allclose(got, want, atol=1e-6 * np.abs(want).max())
    if steps > 1:
        lacking = {"nam_asminc": window["nam_asminc"] | {"nitiaufin": 3 + steps, "niaufn": 0}}
        whole = assimilated(INERT, lacking, long, fields=fields, name="lacking").restart(240)["tn"].values
        part = (whole - tstar["tn"].values)[wet] * (steps - 1) / steps
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(part, fields["bckint"][wet], atol=1e-6)


@pytest.mark.parametrize("how", [INSERT, HAT], ids=["insert", "hat"])
def test_volume_grows_by_the_increment(assimilated, ocean, how):
    """The volume of a layer changes by the area sum of its increment, whatever the ocean does meanwhile."""
    begun = ocean({"namrun": {"nn_itend": 1}}, name="begun").restart(1)["e3t_n"].values
    long = {"namrun": {"nn_itend": 400}}
    ended = assimilated(how, long, fields=noise(h=2.0)).restart(400)["e3t_n"].values
    grown = (ended - begun)[:, 1:-1, 1:-1].sum(axis=(1, 2))
    asked = noise(h=2.0)["bckinthk"][:, 1:-1, 1:-1].sum(axis=(1, 2))
    np.testing.assert_allclose(grown, asked, rtol=1e-8)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(grown, asked * DT / (DT + 1), rtol=1e-8)


@pytest.mark.parametrize("how", [INSERT, FLAT], ids=["insert", "flat"])
def test_temperature_is_not_changed_by_thickness(assimilated, how):
    """Increments of thickness and velocity leave uniform T uniform; thickness alone leaves T of a still ocean as it is."""
    thick = {"nam_asminc": {**how["nam_asminc"], "ln_trainc": False}}
    moving = assimilated(thick, {"namsbc": {"rn_tstar_s": 20.0, "rn_tstar_n": 20.0}}, name="moving").restart(END)
    np.testing.assert_allclose(moving["tn"].values[1:-1, 1:-1], 20.0, rtol=1e-12)
    thick["nam_asminc"]["ln_dyninc"] = False
    still = assimilated(INERT, thick, name="still").restart(END)["tn"].values
    rest = assimilated(INERT, {"namrun": {"nn_itend": 1}}, name="rest").restart(1)["tn"].values
    np.testing.assert_allclose(still, rest, rtol=1e-12)
    with pytest.raises(AssertionError):  # water of 0 degC in place of the local one
        np.testing.assert_allclose(rest * 500.0 / (500.0 + 1e-3), rest, rtol=1e-12)


def test_surface_height_becomes_thickness_of_layer_1(assimilated):
    """bckineta raises the surface by itself, layer 2 stays: eta = sum over k of g(k) (h(1)+...+h(k)) / 9.81."""
    switches = {"ln_asmdin": True, "ln_sshinc": True, "ln_bkgwri": True, "nitbkg": 30, "nitdin": 30}
    run = assimilated({"nam_asminc": switches, "namrun": {"nn_itend": 31}})
    background = run.open("assim_background_state_DI.nc", decode_times=False, mask_and_scale=False)
    h = run.restart(31)["e3t_b"].values
    wet = np.s_[..., 1:-1, 1:-1]
    eta = 0.008 * (h[0] + h.sum(axis=0)) / 9.81
    np.testing.assert_allclose((eta - background["sshn"].values[0])[wet], noise()["bckineta"][wet], rtol=0, atol=1e-13)
    assert np.array_equal(h[1][wet], background["e3t_n"].values[0, 1][wet])
    assert not np.array_equal(h[0][wet], background["e3t_n"].values[0, 0][wet])


@pytest.mark.parametrize("how", [FLAT, HAT], ids=["flat", "hat"])
def test_an_update_goes_on_after_a_restart(assimilated, how):
    """Steps 5 to 40, cut after step 20: the second run counts from there, -15 to 20, on other ranks, and has the same bits."""
    whole = assimilated(how, name="whole").restart(END)
    part = assimilated(how, {"namrun": {"nn_itend": 20}}, name="part")
    shutil.copy(part.rundir / "TEST_00000020_restart.nc", part.rundir / "restart.nc")
    go_on = {"namrun": {"ln_rstart": True, "nn_it000": 21}}
    shifted = {"nam_asminc": how["nam_asminc"] | {"nitiaustr": -15, "nitiaufin": 20}}
    same_bits(whole, assimilated(go_on, shifted, ranks=4, name="part").restart(END))
    anew = {"nam_asminc": how["nam_asminc"] | {"nitiaustr": 1, "nitiaufin": 20}}
    with pytest.raises(AssertionError, match="differs"):
        same_bits(whole, assimilated(go_on, anew, name="part").restart(END))


def test_what_is_off_changes_nothing(assimilated, ocean):
    """A background alone, an increment of zero by the update: the bits of the run without. One bit in the increment shows."""
    plain = ocean({}, name="plain").restart(END)
    same_bits(plain, assimilated({"nam_asminc": {"ln_bkgwri": True, "nitbkg": 0}}, name="background").restart(END))
    zero = {key: 0 * v for key, v in noise().items()}
    same_bits(plain, assimilated(HAT, fields=zero, name="zero").restart(END))
    full = assimilated(INSERT, name="full").restart(END)
    fields = noise()
    fields["bckint"] = np.nextafter(fields["bckint"], np.inf)
    with pytest.raises(AssertionError, match="differs"):
        same_bits(full, assimilated(INSERT, fields=fields, name="moved").restart(END))
