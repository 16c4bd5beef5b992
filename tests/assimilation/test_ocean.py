"""`halocline assimilate` with the reference ocean: its own run as truth, the same ocean with less heat, that ocean corrected."""

import io

import numpy as np
import pytest
import typer
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner

from coupler.namelist import read_groups
from models.assimilation import experiment
from models.assimilation.commands import assimilate
from models.campaign.forecast import start_state
from models.campaign.runs import START
from models.data import increment, ocean, store
from tests.assimilation.small import TIME
from tests.consistency.networks import field, network
from tests.data.tiny import over, text

WINDOW, STEPS, RECORDS = 432000.0, 135, 8
MODEL = {
    "namrun": {"cn_exp": "TWIN", "nn_stat": 0},
    "namusr_def": {"nn_nx": 12, "nn_ny": 12, "rn_dx": 40000.0, "rn_pert": 5.0},
    "namdom": {"rn_dt": 3200.0},
    "namsbc": {"rn_tau0": 0.05},
}
COLD = {"namsbc": {"rn_tau0": 0.05, "rn_tstar_s": 23.0, "rn_tstar_n": 3.0}}  # 2 degrees less to be restored to
HEAT = 2.0 / 8640000.0  # degC s-1 that this ocean lacks
STATE = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello", "sst": "sosstsst"}

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(assimilate)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """States of the ocean's own run from rest, every 5 days, as a data set."""
    folder = tmp_path_factory.mktemp("truth")
    run = {"nn_itend": STEPS * RECORDS, "nn_write": STEPS}
    groups = over(MODEL, {"namrun": run, "namdia": {"ln_mean": False, "ln_dia_r8": True}})
    ocean.run(ocean.executable("double"), folder, text(groups))
    with (
        xr.open_dataset(next(folder.glob("*inst.nc")), decode_times=False) as file,
        xr.open_dataset(folder / "mesh_mask.nc", decode_times=False) as mesh,
    ):
        states = {name: np.nan_to_num(file[called].values) for name, called in STATE.items()}
        static = {
            f"{point}mask": (("k", "y", "x"), mesh[f"{point}mask"].values.reshape(2, 14, 14).astype("f4"), {})
            for point in "tuvf"
        }
        static |= {
            name: (("y", "x"), mesh[name].values.reshape(14, 14).astype("f4"), {})
            for name in ("e1t", "e2t", "e1u", "e2v", "e1f", "e2f")
        }
    static |= {
        "gred": (("k",), np.array([0.008, 0.008], "f4"), {}),
        "h_rest": (("k",), np.array([500.0, 750.0], "f4"), {}),
    }
    wet = {"u": "umask", "v": "vmask", "h": "tmask"}
    states = {
        name: values * (static[wet[name]][1] if name in wet else static["tmask"][1][0])
        for name, values in states.items()
    }
    with store.Writer(folder / "truth.zarr", TIME, static, {}) as writer:
        writer.append(WINDOW * np.arange(1, RECORDS + 1), states)
    return folder / "truth.zarr"


def cycled(tmp_path, truth, *changes, files=None, **given):
    """The data set of a twin with this truth."""
    folder = tmp_path / "cfg"
    folder.mkdir(exist_ok=True)
    groups = over(MODEL, {"namassim": {"cn_truth": str(truth), "rn_window": WINDOW} | given})
    for change in changes:
        groups = over(groups, change)
    (folder / "namelist_cfg").write_text(text(groups))
    for name, source in (files or {}).items():
        (folder / name).write_text(source)
    path = experiment.run(
        folder, tmp_path / "run", None, ocean.executable("double"), 1, None, True, Console(file=io.StringIO())
    )
    return increment.open_increments(path)


def rms(data, name):
    values = data.increment(name).values.values
    return float(np.sqrt(np.mean(values**2)))


@pytest.fixture(scope="module")
def perfect(truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("perfect")
    return cycled(folder, truth), folder / "run"


@pytest.fixture(scope="module")
def cold(truth, tmp_path_factory):
    return cycled(tmp_path_factory.mktemp("cold"), truth, COLD)


def test_a_perfect_model_has_no_increments_and_a_cold_one_lacks_heat(perfect, cold):
    """What a window lacks is the missing restoring times its length, everywhere."""
    assert rms(perfect[0], "sst") < 0.01 * HEAT * WINDOW and rms(perfect[0], "h") < 0.05
    heat = cold.increment("sst").values.values[:, 1:-1, 1:-1]
    np.testing.assert_allclose(heat, HEAT * WINDOW, rtol=0.1)
    np.testing.assert_allclose(rms(cold, "h"), rms(perfect[0], "h"), rtol=0.01)


def test_insertion_in_a_running_ocean_is_a_restart_from_the_truth(truth, perfect, tmp_path):
    """The background of a window is a run of the ocean from the true state one window before."""
    data = store.read(truth)
    start_state(data, 3, tmp_path / START)
    run = {"nn_itend": STEPS, "ln_rstart": True, "nn_rstctl": 0, "cn_ocerst_in": START}
    ocean.run(ocean.executable("double"), tmp_path, text(over(MODEL, {"namrun": run})))
    with xr.open_dataset(tmp_path / f"TWIN_{STEPS:08d}_restart.nc", decode_times=False) as file:
        wanted = file.load()
    backgrounds = perfect[0].data.isel(time=3).load()
    at = np.s_[..., 1:-1, 1:-1]
    for name, called, size in (("u", "un", 1e-3), ("h", "e3t_n", 1.0), ("sst", "tn", 1.0)):
        found, hoped = backgrounds[name].values[at], wanted[called].values[at]
        np.testing.assert_allclose(found, hoped, atol=1e-4 * size)
        other = perfect[0].data[name].isel(time=4).values[at]
        with pytest.raises(AssertionError):  # the twin: a window later
            np.testing.assert_allclose(other, hoped, atol=1e-4 * size)


def test_incremental_update_reaches_the_ocean_too(truth, cold, tmp_path):
    """Spread over the next window, an increment is whole at its end: each background is then as near as after insertion."""
    data = cycled(tmp_path, truth, COLD, cn_update="flat", cn_fields=["t"])
    heat = data.increment("sst").values.values[:, 1:-1, 1:-1]
    np.testing.assert_allclose(heat[0], cold.increment("sst").values.values[0, 1:-1, 1:-1], atol=1e-4)
    free = cycled(tmp_path, truth, COLD, cn_method="cycle", rn_gain=1e-9, cn_fields=["t"])
    assert abs(heat[-1].mean()) < 0.5 * abs(free.increment("sst").values.values[-1, 1:-1, 1:-1].mean()) / 1e-9


# ---------------------------------------------------------------------------------------------------------------------
# Again, with the corrected ocean


def correction(heat):
    """A network that heats everywhere alike [degC s-1]."""
    return network(
        "heater",
        [field("t", "T", "degC", levels=1)],
        [field("dt_bias", "T", "degC s-1", levels=1)],
        [f'return {{"dt_bias": {heat!r} + 0 * inner(inputs["t"])}}'],
    )


COUPLED = {
    "namrun": {"ln_cpl": True},
    "namcpl": {"nn_wire": 64, "rn_timeout": 30.0, "cn_python_allow": "heater.py"},
    "namnet": {"cn_name": "heater", "cn_artefact": "heater.py", "cn_engine": "python"},
}

EXCHANGES = [
    {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["t"], "rn_period": 86400.0},
    {"cn_name": "bias", "cn_dir": "to_ocean", "cn_fields": ["dt_bias"], "rn_period": 86400.0},
]


def recycled(tmp_path, truth, heat):
    folder = tmp_path / "cfg"
    folder.mkdir()
    groups = over(over(over(MODEL, COLD), COUPLED), {"namassim": {"cn_truth": str(truth), "rn_window": WINDOW}})
    exchanges = "".join(text({"namexc": exchange}) for exchange in EXCHANGES)
    (folder / "namelist_cfg").write_text(text(groups) + exchanges)
    (folder / "heater.py").write_text(correction(heat))
    result = CliRunner().invoke(
        app, [str(folder), "--rundir", str(tmp_path / "run"), "--ocean", str(ocean.executable("double"))]
    )
    assert result.exit_code == 0, result.output + str(result.exception)
    return increment.open_increments(tmp_path / "run" / "increments.zarr"), result.output


def test_a_correction_from_increments_takes_them_away(truth, cold, tmp_path):
    data, printed = recycled(tmp_path, truth, HEAT)
    assert rms(data, "sst") < 0.1 * rms(cold, "sst")
    assert "coupler" in printed and "network heater" in data.data.attrs["provenance"]


@pytest.mark.parametrize(
    "heat", [-HEAT, pytest.param(2 * HEAT, marks=pytest.mark.slow)], ids=["wrong sign", "twice as much"]
)
def test_a_wrong_correction_does_not(truth, cold, tmp_path, heat):
    data, _ = recycled(tmp_path, truth, heat)
    with pytest.raises(AssertionError):
        assert rms(data, "sst") < 0.1 * rms(cold, "sst")


def test_a_blown_up_ocean_is_named(truth, tmp_path):
    folder = tmp_path / "cfg"
    folder.mkdir()
    broken = over(MODEL, {"namassim": {"cn_truth": str(truth)}, "namsbc": {"rn_tau0": 500.0}})
    (folder / "namelist_cfg").write_text(text(broken))
    result = CliRunner().invoke(
        app, [str(folder), "--rundir", str(tmp_path / "run"), "--ocean", str(ocean.executable("double"))]
    )
    assert result.exit_code != 0
    assert "exit code" in str(result.exception) and "kt" in str(result.exception), str(result.exception)
    assert not list((tmp_path / "run").glob("increments.zarr*")) and read_groups(tmp_path / "run" / "namelist_cfg")
