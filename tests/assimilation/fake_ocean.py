"""An ocean that stays as it is but for a drift in each window: writes backgrounds, waits for increments, inserts them.

Runs in its run folder as the reference ocean does. Faults, as NAME=NUMBER: die=W ends with an error before the background of window
W; shift=N gives N steps too much as the step of a background; hang=1 writes an empty file
'hangs' and no background at all.
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

import cftime
import f90nml
import netCDF4
import numpy as np

DRIFT = {"un": 0.01, "vn": -0.02, "e3t_n": 1.5, "tn": 0.25}
CHANGE = {"un": "bckinu", "vn": "bckinv", "e3t_n": "bckinthk", "tn": "bckint"}


def main() -> None:
    faults = {name: int(number) for name, number in (word.split("=") for word in sys.argv[1:])}
    groups = f90nml.read("namelist_cfg")
    run, asm = groups["namrun"], groups["nam_asminc"]
    step, window = groups["namdom"]["rn_dt"], asm["nn_asmwin"]
    date = run["nn_date0"]
    start = cftime.datetime(date // 10000, date // 100 % 100, date % 100, calendar="360_day")
    with netCDF4.Dataset(run["cn_ocerst_in"]) as file:
        file.set_auto_mask(False)
        state = {name: np.array(file[name][...]) for name in DRIFT}
    wet = state["e3t_n"] > 0
    wet = {"un": wet, "vn": wet, "e3t_n": wet, "tn": wet[0]}
    if faults.get("hang"):
        Path("hangs").touch()
        time.sleep(600)
    for kt in range(window, run["nn_itend"] + 1, window):
        if faults.get("die") == kt // window:
            Path("halocline.abort").write_text("fake: error: layer 1 outcrops\n  step 270.\n")
            sys.exit(3)
        state = {name: values + DRIFT[name] * wet[name] for name, values in state.items()}
        background(state, kt, faults.get("shift", 0), start + timedelta(seconds=kt * step), step)
        if kt < run["nn_itend"]:
            insert(state, Path(f"assim_background_increments_{kt:08d}.nc"), asm["rn_asmwait"])


def background(state: dict, kt: int, shift: int, date: cftime.datetime, step: float) -> None:
    aside = Path("background.part")
    with netCDF4.Dataset(aside, "w") as file:
        file.kt, file.rdt = float(kt + shift), step
        for name, size in zip(("time_counter", "deptht", "y", "x"), (1, *state["un"].shape), strict=True):
            file.createDimension(name, size)
        for name, values in state.items():
            dims = ("time_counter", "deptht", "y", "x") if values.ndim == 3 else ("time_counter", "y", "x")
            file.createVariable(name, "f8", dims)[0] = values
        clock = date.hour * 10000 + date.minute * 100 + date.second
        file.createVariable("rdastp", "f8", ())[...] = date.year * 10000 + date.month * 100 + date.day + clock / 1e6
    aside.rename(f"assim_background_state_DI_{kt:08d}.nc")


def insert(state: dict, path: Path, wait: float) -> None:
    until = time.monotonic() + wait
    while not path.exists():
        if time.monotonic() > until:
            sys.exit(f"fake: no {path}")
        time.sleep(0.002)
    with netCDF4.Dataset(path) as file:
        for name, called in CHANGE.items():
            if called in file.variables:
                state[name] += np.array(file[called][0])


if __name__ == "__main__":
    main()
