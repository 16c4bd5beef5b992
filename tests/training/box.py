"""A box of 12 x 12 cells of the reference ocean that lacks a drag: networks learn it beside the ocean, and survive its end."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import torch
import xarray as xr
from rich.console import Console

from models.data import ocean, store
from models.rollout import log
from models.training import checkpoint, fit
from tests.assimilation.small import TIME
from tests.conftest import end_session
from tests.data.tiny import over, text

WINDOW, STEPS, SPINUP, RECORDS = 86400.0, 27, 30, 45
DRAG, LACKED = 2e-8, 2e-6  # s-1 in both layers of the ocean, and what it lacks
MODEL = {
    "namrun": {"cn_exp": "ROLL", "nn_stat": 0, "nn_write": 0},
    "namusr_def": {"nn_nx": 12, "nn_ny": 12, "rn_dx": 40000.0, "rn_pert": 20.0},
    "namdom": {"rn_dt": 3200.0},
    "namdrg": {"rn_drg": [DRAG, DRAG]},
}
STATE = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello", "sst": "sosstsst"}
COUPLED = {
    "namrun": {"ln_cpl": True},
    "namcpl": {"nn_wire": 64, "rn_timeout": 60.0},
    "namnet": {"cn_name": "closure", "cn_artefact": "none.onnx"},
}
EXCHANGES = [
    {"cn_name": "geometry", "cn_dir": "to_coupler", "cn_fields": ["tmask", "umask", "vmask"], "ln_static": True},
    {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v", "h"], "rn_period": 9600.0},
    {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"], "rn_period": 9600.0},
]
TRAIN = {
    "namsplit": {"rn_train": 0.7, "rn_val": 0.15, "rn_test": 0.15, "rn_gap": 2.0},
    "namtrain": {
        "cn_name": "drag", "nn_width": 8, "nn_kernels": [3, 1], "nn_threads": 1, "rn_clip_grad": 1.0, "cn_formats": ["onnx"],
    },
    "namrollout": {"rn_window": WINDOW},
}  # fmt: skip

# What each mode learns the drag with.
ROLLOUT = {
    "namtrain": {"cn_mode": "rollout_nograd", "nn_batch": 8, "rn_lr": 1e-2, "rn_noise": 0.0},
    "namrollout": {"nn_windows": 40, "nn_buffer": 60, "nn_steps": 8, "nn_swap": 4, "rn_clip": 0.0},
}
ADJOINT = {
    "namtrain": {"cn_mode": "adjoint_approx", "rn_lr": 2e-2},
    "namrollout": {"nn_windows": 24, "nn_swap": 2},
    "namadjoint": {"rn_damp": 43200.0},
}
EMULATOR = {
    "namtrain": {"cn_mode": "emulator", "rn_lr": 2e-2},
    "namrollout": {"nn_windows": 24, "nn_swap": 2},
    "namadjoint": {"rn_damp": 0.0},
    "namemulator": {
        "nn_width": 16, "nn_kernels": [3, 3, 3], "nn_windows": 16, "nn_steps": 400, "nn_batch": 16, "rn_lr": 1e-2, "nn_refit": 4,
    },
}  # fmt: skip


def write_truth(folder):
    """Daily states of the ocean with the drag, after a spin-up, as `halocline coarsen` writes them; du, dv: the drag."""
    changes = {
        "namrun": {"nn_itend": STEPS * (SPINUP + RECORDS), "nn_write": STEPS},
        "namdia": {"ln_mean": False, "ln_dia_r8": True},
        "namdrg": {"rn_drg": [DRAG + LACKED, DRAG + LACKED]},
    }
    ocean.run(ocean.executable("double"), folder, text(over(MODEL, changes)))
    with (
        xr.open_dataset(next(folder.glob("*inst.nc")), decode_times=False) as file,
        xr.open_dataset(folder / "mesh_mask.nc", decode_times=False) as mesh,
    ):
        states = {name: np.nan_to_num(file[called].values)[SPINUP:] for name, called in STATE.items()}
        static = {
            f"{point}mask": (("k", "y", "x"), mesh[f"{point}mask"].values.reshape(2, 14, 14).astype("f4"), {})
            for point in "tuvf"
        }
        static |= {
            name: (("y", "x"), mesh[name].values.reshape(14, 14).astype("f4"), {})
            for name in ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f")
        }
    wet = {"u": "umask", "v": "vmask", "h": "tmask"}
    states = {
        name: values * (static[wet[name]][1] if name in wet else static["tmask"][1][0])
        for name, values in states.items()
    }
    states |= {"du": -LACKED * states["u"], "dv": -LACKED * states["v"]}
    with store.Writer(folder / "truth.zarr", TIME, static, {}) as writer:
        writer.append(WINDOW * np.arange(SPINUP + 1, SPINUP + RECORDS + 1), states)
    return folder / "truth.zarr"


def configured(folder, truth, *layers, **changes):
    """A CFG that trains beside the ocean that it describes itself. layers: of groups, the mode first; changes: groups over them."""
    folder.mkdir(parents=True, exist_ok=True)
    here = {
        "namtrain": {"cn_data": str(truth)},
        "namrollout": {"cn_ocean": str(folder), "cn_exe": str(ocean.executable("double"))},
    }
    groups = {}
    for layer in (MODEL, COUPLED, TRAIN, here, *layers, changes):
        groups = over(groups, layer)
    exchanges = "".join(text({"namexc": exchange}) for exchange in EXCHANGES)
    (folder / "namelist_cfg").write_text(text(groups) + exchanges)
    return folder


def trained(folder, truth, *layers, **changes):
    """The lines of a training's log, and its folder."""
    out = go_on(configured(folder / "cfg", truth, *layers, **changes), folder / "out")
    return log.read(out), out


def errors(lines):
    """Error at the window's end: of the first version, and of the last quarter of the windows."""
    windows = [line for line in lines if line["event"] == "window"]
    fresh = [line["error"] for line in windows if line["version"] == 0]
    return float(np.mean(fresh)), float(np.mean([line["error"] for line in windows[-len(windows) // 4 :]]))


# ---------------------------------------------------------------------------------------------------------------------
# A training that is ended on its way


def go_on(cfg, out):
    """Train in this process: from the begin, or from what lies in `out`."""
    return fit.fit(cfg, out, console=Console(file=io.StringIO()))


def ended(cfg, out, window, number=signal.SIGKILL):
    """Train in a process of its own, and send it the signal once that window has been logged; what it said (SIGKILL: nothing)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "coupler.cli", "train", str(cfg), "--rundir", out.name], cwd=out.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
    )  # fmt: skip
    until = time.monotonic() + 400
    try:
        while not any(line["window"] >= window for line in log.read(out)):
            assert process.poll() is None, "the training ended before the signal"
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        return process.communicate(timeout=120)[0].decode() if number != signal.SIGKILL else ""
    finally:
        process.kill()
        end_session(process)


def assert_same_training(out, whole, window):
    """It was ended after that window, went on from its last version, and says and holds what `whole` (lines, folder) does, to the
    last bit.
    """
    lines = log.read(out)
    swap = next(line["window"] for line in lines if line["event"] == "version")
    starts = [line["window"] for line in lines if line["event"] == "start"]
    assert len(starts) == 2 and starts[0] == 0 and starts[1] >= (window - 1) // swap * swap and starts[1] % swap == 0
    assert _told(lines) == _told(whole[0]), "another course"
    again, once = (checkpoint.weights(folder / checkpoint.LAST) for folder in (out, whole[1]))
    assert all(torch.equal(again[name], once[name]) for name in once)
    assert (out / "drag.onnx").read_bytes() == (whole[1] / "drag.onnx").read_bytes()


def _told(lines):
    """All but the moment and the starts."""
    return [{key: value for key, value in line.items() if key != "time"} for line in lines if line["event"] != "start"]


def forgetful(out):
    """A copy of a training that was ended, the broken twin: its checkpoint has forgotten what the optimiser had summed up."""
    copy = out.with_name("forgetful")
    shutil.copytree(out, copy, ignore=lambda folder, names: {"ocean"} & set(names))
    document = torch.load(copy / checkpoint.LAST, weights_only=True)
    assert document["rollout"]["optimizer"]["state"]
    document["rollout"]["optimizer"]["state"] = {}
    torch.save(document, copy / checkpoint.LAST)
    return copy
