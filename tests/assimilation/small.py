"""A truth of 6 x 5 cells whose states are known in closed form, and an ocean that only speaks the protocol of the files."""

import sys
from pathlib import Path

import numpy as np

from models.data import store
from models.data.background import State
from tests.data.tiny import Groups, over, text

NY, NX, LEVELS = 5, 6, 2
REST = (500.0, 750.0)
GRED = (0.008, 0.008)
DX, STEP, WINDOW = 40000.0, 3200.0, 432000.0
FIRST = 360 * 86400.0 + 5 * 86400.0  # 0002-01-06
TIME = {"units": "seconds since 0001-01-01 00:00:00", "calendar": "360_day", "standard_name": "time"}
DRIFT = {"u": 0.01, "v": -0.02, "h": 1.5, "t": 0.25}  # what the ocean of `fake_ocean.py` adds in a window: its error
SIZE = {"u": 0.01, "v": 0.01, "h": 1.0, "t": 0.1}  # of differences; thickness has 32 bits: 3e-5 m

GROUPS: Groups = {
    "namassim": {"rn_window": WINDOW, "cn_fields": ["u", "v", "h", "t"]},
    "namrun": {"cn_exp": "FAKE", "nn_write": 0, "nn_stat": 0},
    "namusr_def": {"nn_nx": NX, "nn_ny": NY, "rn_dx": DX},
    "namdom": {"rn_dt": STEP},
}


def masks() -> State:
    """1 on wet points: a closed basin with its rim of land."""
    wet = np.zeros((LEVELS, NY + 2, NX + 2))
    wet[:, 1:-1, 1:-1] = 1.0
    umask, vmask = wet.copy(), wet.copy()
    umask[:, :, -2] = 0.0
    vmask[:, -2] = 0.0
    return {"u": umask, "v": vmask, "h": wet, "t": wet[:1]}


def state(record: int) -> State:
    """The truth of a record: smooth fields that turn with time; volumes stay."""
    j, i = np.indices((NY + 2, NX + 2))
    wave = np.sin(2 * np.pi * (i - 0.5) / NX + 0.7 * record) * np.cos(np.pi * (j - 0.5) / NY)
    wave -= (wave * masks()["t"][0]).sum() / masks()["t"].sum()
    fields = {
        "u": 0.1 * np.stack([wave, 0.3 * wave]),
        "v": 0.1 * np.stack([0.5 * wave, wave]),
        "h": np.stack([REST[0] + 20 * wave, REST[1] - 10 * wave]),
        "t": (15.0 + wave)[None],
    }
    return {name: values * masks()[name] for name, values in fields.items()}


def write_truth(path: Path, records: int = 6, every: float = WINDOW, first: float = FIRST, **changes: float) -> Path:
    """A data set of `records` states; changes: of dx."""
    wet = masks()
    dx = changes.get("dx", DX)
    static = {
        name: (("k", "y", "x"), wet[key].astype("f4"), {})
        for name, key in (("tmask", "h"), ("umask", "u"), ("vmask", "v"), ("fmask", "h"))
    }
    static |= {name: (("y", "x"), np.full((NY + 2, NX + 2), dx, "f4"), {}) for name in ("e1t", "e2t", "e1u", "e2v")}
    static |= {name: (("y", "x"), np.full((NY + 2, NX + 2), dx, "f4"), {}) for name in ("e1f", "e2f")}
    static |= {"gred": (("k",), np.array(GRED, "f4"), {}), "h_rest": (("k",), np.array(REST, "f4"), {})}
    states = [state(record) for record in range(records)]
    fields = {name: np.stack([one[name] for one in states]) for name in "uvh"}
    fields["sst"] = np.stack([one["t"][0] for one in states])
    with store.Writer(path, TIME, static, {"sha256": {"truth": "0" * 64}}) as writer:
        writer.append(first + every * np.arange(records), fields)
    return path


def cfg(folder: Path, truth: Path, **changes: dict) -> Path:
    """A CFG of `halocline assimilate`."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = over(GROUPS, {"namassim": {"cn_truth": str(truth)}})
    (folder / "namelist_cfg").write_text(text(over(groups, changes)))
    return folder


def fake_ocean(folder: Path, **faults: float) -> Path:
    """An executable that runs tests/assimilation/fake_ocean.py with faults: die, shift, slow (see there)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "fake_ocean"
    script = Path(__file__).with_name("fake_ocean.py")
    words = " ".join(f"{name}={value}" for name, value in faults.items())
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" {words}\n')
    path.chmod(0o755)
    return path
