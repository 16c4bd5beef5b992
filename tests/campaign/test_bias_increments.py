"""Increments of a campaign: their namelists, what a second training is made from, and when they are made again."""

import json
from dataclasses import replace

import f90nml
import numpy as np
import pytest

from coupler.errors import HaloclineError
from coupler.io import DiagnosticsField, create_diagnostics
from models.campaign import bias_increments, bias_rows, bias_training, runs
from models.campaign.matrix import Row
from models.data import increment, store
from tests.campaign.bias_network import contract, write

WINDOWS, CALLS, CELLS = 4, 5, 6
UNITS = {"du_bias": "m s-2", "dv_bias": "m s-2", "dh_bias": "m s-1", "dt_bias": "degC s-1"}


@pytest.fixture
def network(tmp_path):
    return write(tmp_path / "bias.onnx", contract(conserve=True))


def static():
    """Masks of a basin with a rim of land."""
    wet = np.zeros((2, CELLS, CELLS))
    wet[:, 1:-1, 1:-1] = 1
    return {mask: (("k", "y", "x"), wet, {}) for mask in ("tmask", "umask", "vmask")}


def data_set(path, values, windows=WINDOWS):
    """Increments that are `values` everywhere wet, on a background of rest."""
    shapes = dict.fromkeys(("u", "v", "h"), (windows, 2, CELLS, CELLS)) | {"sst": (windows, CELLS, CELLS)}
    times = 432000.0 * np.arange(1, windows + 1)
    wet = static()["tmask"][1]
    writer = increment.writer(path, {"units": "seconds since 0001-01-01"}, static(), {}, 432000.0, "insert")
    with writer:
        writer.add(
            times,
            {name: np.zeros(shape) for name, shape in shapes.items()},
            {
                name: increment.Increment.of(name, values * (wet if len(shape) == 4 else wet[0]) * np.ones(shape), 432000.0)
                for name, shape in shapes.items()
            },
        )  # fmt: skip
    return path


def diagnosed(path, days, value=lambda day: 1e-6):
    """What a network added: one value a day, on land too."""
    fields = [DiagnosticsField(name, units, "T", 1 if name == "dt_bias" else 2) for name, units in UNITS.items()]
    with create_diagnostics(path, (CELLS, CELLS), fields, "0001-01-01", "360_day") as file:
        for day in range(days):
            file.record(1 + 27 * day, 86400 * day)
            for field in fields:
                levels = (field.levels,) if field.levels > 1 else ()
                file.put(field.name, np.full((*levels, CELLS, CELLS), value(day)))
    return path


def test_the_second_target_is_what_is_left_and_what_was_added(tmp_path):
    """Daily tendencies times a day, summed over the window, on top of the residual increment; land stays at zero."""
    left = data_set(tmp_path / "left.zarr", 0.25)
    added = diagnosed(tmp_path / "added.nc", WINDOWS * CALLS, lambda day: 1e-6 * (day // CALLS))
    found = increment.open_increments(bias_increments.total(left, added, tmp_path / "together.zarr"))
    for name in ("u", "h", "sst"):
        values = np.asarray(found.increment(name).values)
        inner, rim = values[..., 1:-1, 1:-1], values[..., 0, :]
        for window in range(WINDOWS):
            assert np.allclose(inner[window], 0.25 + 1e-6 * window * 432000.0)
        assert not rim.any()
    assert found.info["recycled"] and found.window == 432000.0


def test_windows_that_were_dropped_are_dropped_from_both(tmp_path):
    """The run began two windows before the first record: its first ten days belong to none."""
    left = data_set(tmp_path / "left.zarr", 0.0)
    added = diagnosed(tmp_path / "added.nc", (WINDOWS + 2) * CALLS, lambda day: 1e-6 * (day // CALLS))
    found = increment.open_increments(bias_increments.total(left, added, tmp_path / "together.zarr"))
    assert np.asarray(found.increment("h").values)[0, 0, 2, 2] == pytest.approx(2e-6 * 432000.0)
    short = diagnosed(tmp_path / "short.nc", WINDOWS * CALLS - 1)
    with pytest.raises(HaloclineError, match="not of one run"):
        bias_increments.total(left, short, tmp_path / "never.zarr")


def test_rms_is_over_wet_points(tmp_path):
    """By field and level; a mean over land too would be smaller."""
    sizes = bias_increments.rms(data_set(tmp_path / "left.zarr", -0.5))
    assert sizes == pytest.approx(dict.fromkeys(("u1", "u2", "v1", "v2", "h1", "h2", "sst"), 0.5))
    assert sizes["sst"] > 0.5 * ((CELLS - 2) / CELLS)


def test_a_row_couples_one_or_two_networks(tmp_path, network):
    """Alone: state and bias daily. On the closure: its state every third step, temperature and bias daily; hashes of both."""
    path = tmp_path / "namelist_cfg"
    alone = Row("net", "network", "wind", edits=bias_rows.TWINS["wind"].model, bias=network)
    runs.namelist(alone, path)
    text = f90nml.read(path)
    periods = {group["cn_name"]: group.get("rn_period") for group in text["namexc"]}
    assert periods == {"geometry": None, "state": 86400.0, "bias": 86400.0}
    assert text["namnet"]["cn_sha256"] == runs.sha256(network) and text["namnet"]["cn_weights"] == "dh_bias=e1t*e2t"
    assert text["namsbc"]["rn_tau0"] == 0.07
    runs.namelist(replace(alone, artefact=bias_rows.CLOSURE_FILE), path)
    text = f90nml.read(path)
    periods = {group["cn_name"]: group.get("rn_period") for group in text["namexc"]}
    assert periods == {"geometry": None, "state": 9600.0, "tracer": 86400.0, "tendency": 9600.0, "bias": 86400.0}
    assert [group["cn_name"] for group in text["namnet"]] == ["closure", "bias"]
    assert text["namnet"][0]["cn_sha256"] == runs.sha256(bias_rows.CLOSURE_FILE)


def test_nothing_is_kept_that_the_contract_does_not_conserve(tmp_path):
    file = write(tmp_path / "free.onnx", contract(conserve=False))
    runs.namelist(Row("net", "network", bias=file), tmp_path / "namelist_cfg")
    assert not f90nml.read(tmp_path / "namelist_cfg")["namnet"]["cn_weights"]


def test_an_assimilation_has_the_model_of_its_row(tmp_path, network):
    """Wind of the twin, gain of the method, network and the record of what it adds; without a network no coupler."""
    path, truth = tmp_path / "namelist_cfg", tmp_path / "truth.zarr"
    model = Row("assimilation", "assimilation", "wind", edits=bias_rows.TWINS["wind"].model)
    bias_increments.namelist(
        replace(model, bias=network), "cycle", truth, 10, bias_increments.Ensemble(tmp_path / "free", 1.5), path
    )
    text = f90nml.read(path)
    assert text["namassim"]["cn_method"] == "cycle" and text["namassim"]["rn_gain"] == 0.5
    assert text["namassim"]["nn_windows"] == 10 and text["namsbc"]["rn_tau0"] == 0.07
    assert text["namdiag"]["rn_diag"] == 86400.0 and "dh_bias" in text["namdiag"]["cn_diag"]
    bias_increments.namelist(model, "enoi", truth, 0, bias_increments.Ensemble(tmp_path / "free", 1.5), path)
    text = f90nml.read(path)
    assert text["namassim"]["cn_ensemble"] == str(tmp_path / "free") and text["namassim"]["rn_inflate"] == 1.5
    assert "namnet" not in text


def test_increments_are_made_once(tmp_path, monkeypatch, network):
    """The same namelist finds what is there; another network in the model makes them again."""
    calls = []

    def made(words, log, core=None):
        calls.append(words[0])
        data_set(tmp_path / "made" / "increments.zarr", 0.1)

    monkeypatch.setattr(bias_increments, "command", made)
    ocean = tmp_path / "gyre.exe"
    ocean.write_bytes(b"ocean")
    model = Row("assimilation", "assimilation", "asis")
    arguments = (
        "insert",
        tmp_path / "truth.zarr",
        0,
        bias_increments.Ensemble(tmp_path / "free"),
        tmp_path / "made",
        ocean,
    )
    for _ in range(2):
        data = bias_increments.made(model, *arguments)
    assert calls == ["assimilate"] and store.read(data).sizes["time"] == WINDOWS
    bias_increments.made(replace(model, bias=network), *arguments)
    assert calls == ["assimilate"] * 2


def test_a_training_is_repeated_when_its_increments_have_changed(tmp_path, monkeypatch):
    """Recipe and increments decide; the number of threads does not."""
    calls = []
    folder, data = tmp_path / "net", tmp_path / "inc" / "increments.zarr"
    data.parent.mkdir()
    correction = bias_rows.Correction("asis", "insert", False, "network", 2)

    def trained(words, log, core=None):
        calls.append("--overwrite" in words)
        folder.mkdir(exist_ok=True)
        (folder / f"{correction.label}.onnx").write_bytes(b"network")

    monkeypatch.setattr(bias_training, "command", trained)
    origin = data.parent / "made.json"
    for digest, threads in (("first", 1), ("first", 2), ("second", 1)):
        origin.write_text(json.dumps({"namelist": digest}))
        bias_training.trained(bias_rows.TWINS["asis"], correction, data, folder, threads=threads)
    assert calls == [True, True]
    text = f90nml.read(tmp_path / "net.cfg" / "namelist_cfg")["namtrain"]
    assert text["nn_seed"] == 2 and text["cn_name"] == "insert_network_s2" and text["cn_data"] == str(data)
