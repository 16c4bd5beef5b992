"""A truth and a coarse model small enough for tests: 24 x 24 cells of 20 km, years of a second, and 12 x 12 cells of 40 km."""

from pathlib import Path

import f90nml
import numpy as np
import xarray as xr

Groups = dict[str, dict]

FINE: Groups = {
    "namrun": {"cn_exp": "TINY", "nn_stat": 0},
    "namusr_def": {"nn_nx": 24, "nn_ny": 24, "rn_dx": 20000.0, "rn_pert": 5.0},
    "namdom": {"rn_dt": 1600.0},
    "namdyn_ldf": {"rn_cs4": 0.06},
    "namsbc": {"rn_tau0": 0.05},
}
COARSE: Groups = {
    "namcoarsen": {"nn_factor": 2, "rn_sigma": 20000.0},
    "namrun": {"cn_exp": "GYRE"},
    "namusr_def": {"nn_nx": 12, "nn_ny": 12, "rn_dx": 40000.0},
    "namdom": {"rn_dt": 3200.0},
    "namdyn_ldf": {"rn_cs4": 0.02},
    "namsbc": {"rn_tau0": 0.05},
}
TRAIN = {"cn_name": "train", "nn_years": 2, "nn_spinup": 1, "nn_seed": 1, "ln_burst": True, "rn_every": 864000.0}
SCORE = {"cn_name": "a", "nn_years": 1, "nn_spinup": 1, "nn_seed": 2, "rn_every": 864000.0}


def over(groups: Groups, changes: Groups) -> Groups:
    """The groups with changes laid over them."""
    result = {name: dict(group) for name, group in groups.items()}
    for name, group in changes.items():
        result[name] = result.get(name, {}) | group
    return result


def text(groups: Groups) -> str:
    return str(f90nml.Namelist(groups)) + "\n"


def truth_cfg(folder: Path, *members: dict, **changes: dict) -> Path:
    """A CFG of `halocline truth` with these members (default: TRAIN)."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [text({"namtruth": member}) for member in members or (TRAIN,)]
    (folder / "namelist_cfg").write_text("".join(parts) + text(over(FINE, changes)))
    return folder


def coarsen_cfg(folder: Path, **changes: dict) -> Path:
    """A CFG of `halocline coarsen`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "namelist_cfg").write_text(text(over(COARSE, changes)))
    return folder


def copied(folder: Path, to: Path) -> Path:
    """A truth folder again, its files as links that a test may replace."""
    for path in folder.rglob("*"):
        if path.is_file() and "work" not in path.parts:
            target = to / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    return to


def changed(path: Path, change) -> None:
    """Put change(data set) in the place of a NetCDF file; a link's target stays."""
    with xr.open_dataset(path, decode_times=False) as data:
        data = change(data.load())
    path.unlink()
    data.to_netcdf(path)


def assert_same_data(one: xr.Dataset, two: xr.Dataset) -> None:
    """Every variable has the same bits."""
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        a, b = one[name].values, two[name].values
        assert a.shape == b.shape and a.tobytes() == b.tobytes(), f"{name} differs in {np.sum(a != b)} values"
