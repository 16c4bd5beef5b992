"""A recorded run, replayed without an ocean: the same bits, and scores that mean what they say."""

import os
import shutil
import subprocess

import netCDF4
import numpy as np
import pytest

from tests.consistency import networks as nets
from tests.consistency.conftest import SPINUP, coupling

RECORD = {"ln_record": True}
TWICE = '''
"""Zanna-Bolton 2020 with kappa doubled."""
from coupler.engines.base import find_artefact, load_engine

net = load_engine(find_artefact("zb20_f8.onnx"))
CONTRACT = {**net.contract.model_dump(exclude_none=True), "self_test": None}


def run(inputs, *_):
    return {name: 2 * value for name, value in net.run(inputs).items()}
'''
FALLS = (
    TWICE.replace("2 * value", "value")
    .replace("def run(inputs, *_):", "steps = []\n\n\ndef run(inputs, *_):")
    .replace(
        "    return {", '    steps.append(1)\n    if len(steps) > 4:\n        raise ValueError("fell")\n    return {'
    )
)


def recorded(run, *changes, first=None, period=0.0, **layout):
    groups = coupling(period=period)
    if first:
        groups["namexc"][2] |= {"nn_lag": 1, "cn_first": first}
    return run({**groups, "namcpl": {**groups["namcpl"], **RECORD}}, *changes, **layout)


def replayed(folder, *args, ok=True, record="halocline_record.nc"):
    """`halocline replay` in the folder of the run; returns its text."""
    done = subprocess.run(
        ["halocline", "replay", record, *args], cwd=folder, capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def answers(path, group="tendency"):
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        return {name: file[group][name][...] for name in ("kt", "du", "dv")}


def same(folder, out="halocline_replay.nc"):
    ours, theirs = answers(folder / out), answers(folder / "halocline_record.nc")
    return all(np.array_equal(ours[n].view(np.int64), theirs[n].view(np.int64)) for n in theirs)


CASES = {
    "mpi": ({}, {"ocean": 2, "coupler": 2}),
    "fold": ({}, {"ocean": 4, "coupler": 2, "boundary": "fold_F"}),
    "cyclic": ({}, {"ocean": 1, "coupler": 3, "boundary": "cyclic_ew"}),
    "inactive": ({"namcpl": {"ln_active": False}}, {"ocean": 2}),
    "wire": ({"namcpl": {"nn_wire": 32}, "namnet": {"cn_artefact": "zb20_f4.onnx"}}, {}),
    "oasis": ({"namcpl": {"cn_transport": "oasis"}}, {"ocean": 2, "coupler": 2}),
    "lag": ({}, {"ocean": 2, "coupler": 2, "first": "zero"}),
    "wait": ({}, {"ocean": 2, "coupler": 2, "first": "wait"}),
    "period": ({}, {"ocean": 2, "coupler": 2, "period": 4800.0}),
}

BRIEF = ("mpi", "fold", "oasis", "wait")


@pytest.mark.parametrize(
    "case", [case if case in BRIEF else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_a_replay_gives_the_recorded_bits(zb20_run, case):
    change, layout = CASES[case]
    run = recorded(zb20_run, change, **layout)
    text = replayed(run.folder)
    assert "every one has the recorded bits" in text and "not compared" not in text
    whole = np.int32 if case == "wire" else np.int64
    ours, theirs = (answers(run.folder / f"halocline_{n}.nc") for n in ("replay", "record"))
    assert all(np.array_equal(ours[name].view(whole), theirs[name].view(whole)) for name in ("du", "dv"))
    every = 2 if case == "period" else 1
    assert ours["kt"].tolist() == theirs["kt"].tolist() == list(range(SPINUP + 1, SPINUP + 7, every))


def test_one_file_of_a_cut_recording_is_replayed_as_it_is(zb20_run):
    """Files of two steps; the second replays its own steps, 3 and 4 of the run, with the recorded bits."""
    run = recorded(zb20_run, {"namcpl": {"rn_record": 4800.0}}, ocean=2, coupler=1)
    second = f"halocline_record_{SPINUP + 3:08d}.nc"
    text = replayed(run.folder, record=second)
    assert "one of several recordings of its run" in text and "every one has the recorded bits" in text
    ours, theirs = answers(run.folder / "halocline_replay.nc"), answers(run.folder / second)
    assert ours["kt"].tolist() == theirs["kt"].tolist() == [SPINUP + 3, SPINUP + 4]
    assert np.array_equal(ours["du"].view(np.int64), theirs["du"].view(np.int64))


@pytest.fixture(scope="module")
def record(zb20_run):
    """A recorded run on 2 + 2 ranks, forty steps."""
    return recorded(zb20_run, steps=40, ocean=2, coupler=2)


def test_the_recording_holds_what_travelled(zb20_run):
    """As in the diagnostics file, but for the land, which the recording has as the ocean sent it; the time axis is CF's."""
    groups = coupling()
    groups["namdiag"] = {"rn_diag": 2400.0, "cn_diag": ["u", "v", "h", "du", "dv"]}
    run = recorded(zb20_run, {"namdiag": groups["namdiag"]}, ocean=2, coupler=2)
    seen = run.diagnostics()
    with netCDF4.Dataset(run.folder / "halocline_record.nc") as file:
        for group, names in (("state", "uvh"), ("tendency", ("du", "dv"))):
            for name in names:
                wet = file["geometry"]["tmask"][0] != 0 if name == "h" else np.True_
                values = file[group][name][...]
                assert np.array_equal(np.where(wet, values, 0), np.where(wet, seen[name].values, 0)), name
                assert (seen["h"].values[:, 0, 0, 0] == 1).all() and (file["state"]["h"][:, 0, 0, 0] == 500).all()
        assert file["state"]["kt"][...].tolist() == list(range(SPINUP + 1, SPINUP + 7))
        assert file["state"]["time_counter"].units.startswith("seconds since 0001-01-01 00:00:00")
        assert file["state"]["time_counter"][0] == SPINUP * 2400.0
        assert file["state"]["u"].units == "m s-1" and file["geometry"]["e1t"].shape[0] == 1
        assert not np.array_equal(file["state"]["u"][0], seen["u"].values[1])  # the comparison sees a step's difference


def test_another_network_is_scored(record, tmp_path):
    """Kappa doubled: twice the rms, correlation one, the largest difference the largest recorded number."""
    (tmp_path / "broken.py").write_text(TWICE)
    text = replayed(record.folder, "--artefact", f"zb20={tmp_path / 'broken.py'}", "--out", str(tmp_path / "twice.nc"))
    assert "broken.py in place of zb20_f8.onnx" in text and "recorded bits" not in text
    rows = [row.split("│") for row in text.splitlines() if f"{SPINUP + 1}-{SPINUP + 40}" in row]
    ours, theirs = answers(tmp_path / "twice.nc"), answers(record.folder / "halocline_record.nc")
    for row, name in zip(rows, ("du", "dv"), strict=True):
        cells = [cell.strip() for cell in row]
        assert cells[3] == "40" and cells[4].endswith(" cells") and cells[9:11] == ["2.0000", "1.000000"]
        assert float(cells[5]) == pytest.approx(np.abs(theirs[name]).max(), rel=1e-3)
        assert np.array_equal(ours[name], 2 * theirs[name])


def test_one_bit_of_a_state_is_seen(record, tmp_path):
    """The broken twin of equal bits: a recording in which one velocity differs in its last bit."""
    shutil.copy(record.folder / "halocline_record.nc", tmp_path / "halocline_record.nc")
    with netCDF4.Dataset(tmp_path / "halocline_record.nc", "a") as file:
        u = file["state"]["u"]
        u[3, 0, 7, 8] = np.nextafter(u[3, 0, 7, 8], 1)
    text = replayed(tmp_path)
    assert " cells " in text and "recorded bits" not in text and not same(tmp_path)
    assert "every one has the recorded bits" in replayed(tmp_path, "--steps", f"{SPINUP + 5}:")


def test_steps_and_namelist_may_be_chosen(record, tmp_path):
    text = replayed(record.folder, "--steps", f"{SPINUP + 11}:{SPINUP + 20}", "--out", str(tmp_path / "part.nc"))
    assert "every one has the recorded bits" in text and "the replay begins at step 411, the recording at 401" in text
    assert answers(tmp_path / "part.nc")["kt"].tolist() == list(range(SPINUP + 11, SPINUP + 21))
    halved = (record.folder / "namelist_cfg").read_text().replace("&namnet", "&namnet\n  rn_scale = 0.5")
    (tmp_path / "namelist_cfg").write_text(halved)
    text = replayed(record.folder, "--cfg", str(tmp_path), "--out", str(tmp_path / "half.nc"))
    assert text.count("0.5000") >= 2
    before = sorted(path.name for path in record.folder.iterdir())
    replayed(record.folder, "--out", str(tmp_path / "again.nc"))
    assert sorted(path.name for path in record.folder.iterdir()) == before  # nothing of the run is touched


def test_a_run_that_died_can_be_replayed(zb20_run, tmp_path):
    """The network falls at its fifth step: the part holds five states and four answers."""
    (tmp_path / "broken.py").write_text(FALLS)
    run = recorded(zb20_run, {"namnet": {"cn_artefact": "broken.py"}}, link=(tmp_path / "broken.py",), ok=False)
    missing = replayed(run.folder, ok=False)
    assert "halocline_record.nc.part is there, of a run that did not end: give that name" in missing
    text = replayed(run.folder, "--artefact", "zb20_f8.onnx", record="halocline_record.nc.part")
    assert f"ended at step {SPINUP + 5} of {SPINUP + 1} to {SPINUP + 6}" in text
    assert "du: 1 answers have no recorded counterpart" in text and " cells " not in text.split("max |difference|")[1]
    assert answers(run.folder / "halocline_replay.nc")["kt"].tolist() == list(range(SPINUP + 1, SPINUP + 6))
    fell = replayed(run.folder, ok=False, record="halocline_record.nc.part")  # and the failure itself comes again
    assert "fell" in fell


NEEDS = TWICE.replace(
    '"self_test": None}',
    '"self_test": None}\nCONTRACT["inputs"] = [*CONTRACT["inputs"], {"name": "sst", "units": "K", "point": "T"}]',
)


@pytest.mark.parametrize(
    "args,words",
    [
        (("--steps", "1:3"), "steps 1 to 3 are not in halocline_record.nc, which holds 401 to 440"),
        (("--steps", "x"), "steps 'x' cannot be read. Give FIRST:LAST, e.g. 401:440"),
        (("--artefact", "other=zb20_f8.onnx"), "the run has no network 'other'. It has: zb20"),
        (("--artefact", "needs.py"), "input 'sst' of network"),
        (("--artefact", "needs.py"), "halocline_record.nc holds the fields e1t, e2t"),
        (("--out", "halocline_record.nc"), "the answers would replace the recording"),
        (("--out", "nowhere/x.nc"), "there is no folder nowhere for x.nc"),
    ],
)
def test_what_a_recording_cannot_give_is_said(record, tmp_path, args, words):
    shutil.copy(record.folder / "halocline_record.nc", tmp_path)
    (tmp_path / "needs.py").write_text(NEEDS)
    cfg = (record.folder / "namelist_cfg").read_text().replace("broken.py", "needs.py")
    (tmp_path / "namelist_cfg").write_text(cfg)
    assert words in " ".join(replayed(tmp_path, "--cfg", str(tmp_path), *args, ok=False).split())


def test_a_field_that_was_not_recorded_is_named(record, tmp_path):
    """A namelist that asks for a field that the ocean has and the recording has not."""
    cfg = (record.folder / "namelist_cfg").read_text().replace("'u', 'v', 'h'", "'u', 'v', 'h', 't'")
    (tmp_path / "namelist_cfg").write_text(cfg)
    text = replayed(record.folder, "--cfg", str(tmp_path), ok=False)
    assert "exchange 'state' needs the field(s) t, which halocline_record.nc does not hold" in text
    assert "halocline_record.nc holds the fields e1t, e2t" in text


def test_a_replay_of_noise_and_a_chain(zb20_run, tmp_path):
    """The noise belongs to the cell and the step, and the chain's halos to the grid: one rank repeats what three did."""
    files = nets.write(tmp_path / "nets", filter=nets.FILTER, noisy=nets.NOISY)
    groups = nets.groups(
        {"cn_name": "noisy", "cn_noise": "ar1", "rn_noise_time": 9600.0, "cn_inputs": ["u=filter.uf", "v=filter.vf"]},
        {"cn_name": "filter"},
        cpl={"ln_record": True, "nn_seed": 3},
    )
    run = zb20_run(groups, link=files, ocean=2, coupler=3)
    assert "every one has the recorded bits" in replayed(run.folder)
    assert same(run.folder)
