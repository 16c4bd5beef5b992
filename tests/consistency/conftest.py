"""Coupled runs of the reference ocean: a small basin in motion, any layout, everything in 64 bits."""

import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import f90nml
import numpy as np
import pytest
import xarray as xr

from coupler import namcouple, settings
from tests.ocean.conftest import executable, nudged, same_bits

SPINUP = 400  # steps from rest: every term is far from zero, no layer near its limit
KAPPA = 1.6e8
STATIC = ["e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f", "tmask", "fmask"]

OCEAN = {
    "namrun": {"cn_exp": "TEST", "nn_itend": SPINUP, "nn_stat": 100},
    "namusr_def": {"nn_nx": 17, "nn_ny": 13, "rn_dx": 40000.0, "rn_pert": 5.0},
    "namdom": {"rn_dt": 2400.0},
    "namsbc": {"rn_tau0": 0.3},
    "namdyn_ldf": {"rn_cs4": 0.02},
}
CYCLIC = {"namusr_def": {"ln_cyclic": True}, "namsbc": {"cn_wind": "channel"}}
BOUNDARIES = {"closed": {}, "cyclic_ew": CYCLIC} | {
    fold: {"namusr_def": {"cn_bnd": fold, "nn_nx": 18}, "namsbc": {"cn_wind": "channel"}}
    for fold in ("fold_T", "fold_F")
}


def coupling(artefact="zb20_f8.onnx", wire=64, period=0.0, active=True, engine="auto"):
    """Our four groups for Zanna-Bolton 2020, with every step written to halocline_diag.nc."""
    return {
        "namcpl": {"nn_wire": wire, "ln_active": active, "rn_timeout": 30.0, "cn_python_allow": "broken.py"},
        "namexc": [
            {"cn_name": "geometry", "cn_dir": "to_coupler", "ln_static": True, "cn_fields": STATIC},
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v", "h"]},
            {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"], "rn_period": period},
        ],
        "namnet": {"cn_name": "zb20", "cn_artefact": artefact, "cn_engine": engine},
        "namdiag": {"rn_diag": 2400.0},
    }


def merged(*changes):
    groups = {}
    for change in changes:
        for name, group in change.items():
            groups[name] = group if isinstance(group, list) else {**groups.get(name, {}), **group}
    return groups


def namelist_text(groups):
    """Fortran text; a list of groups is a repeated group."""
    text = io.StringIO()
    for name, group in groups.items():
        for one in group if isinstance(group, list) else [group]:
            f90nml.Namelist({name: one}).write(text)
    return text.getvalue()


@dataclass
class Coupled:
    """What a coupled run left behind."""

    folder: Path
    text: str

    def diagnostics(self) -> xr.Dataset:
        return self.open("halocline_diag.nc")

    def restart(self, kt: int) -> xr.Dataset:
        return self.open(f"TEST_{kt:08d}_restart.nc")

    def open(self, name: str) -> xr.Dataset:
        with xr.open_dataset(self.folder / name, decode_times=False) as dataset:
            return dataset.load()


@pytest.fixture(scope="session")
def coupled_run(mpirun, tmp_path_factory):
    """coupled_run(*changes, ocean=1, coupler=1, variant, link, script, ok) -> Coupled.

    coupler=0 runs the ocean alone; script replaces `halocline couple` (a broken variant of it); linked names the executable.
    """

    def launch(*changes, ocean=1, coupler=1, variant="double", link=(), script=None, ok=True, linked=None):
        folder = tmp_path_factory.mktemp("run")
        (folder / "namelist_cfg").write_text(namelist_text(merged(OCEAN, *changes)))
        for path in link:
            shutil.copy(path, folder / path.name)
        exe = executable(variant)
        if coupler and settings.load(folder).namcpl.cn_transport == "oasis" and linked is None:
            exe = exe.with_name("gyre_oasis.exe")
            shake = namcouple.describe(exe, folder, {})
            namcouple.write(settings.load(folder), shake, folder / "namcouple")
        if linked is not None:
            exe = exe.with_name(linked)
        args = ["-np", ocean, exe]
        if coupler:
            couple = ["halocline", "couple", "."] if script is None else [sys.executable, script]
            args += [":", "-np", coupler, *couple]
        done = mpirun(args, np=None, cwd=folder, timeout=90)
        assert (done.rc == 0) == ok, done.text
        return Coupled(folder, done.text)

    return launch


@pytest.fixture(scope="session")
def spun_up(coupled_run):
    """spun_up(boundary, variant) -> restart file after SPINUP steps, ocean alone."""
    known = {}

    def get(boundary="closed", variant="double"):
        if (boundary, variant) not in known:
            run = coupled_run(BOUNDARIES[boundary], ocean=1, coupler=0, variant=variant)
            known[boundary, variant] = run.folder / f"TEST_{SPINUP:08d}_restart.nc"
        return known[boundary, variant]

    return get


@pytest.fixture(scope="session")
def zb20_run(coupled_run, spun_up):
    """Coupled steps from the spun-up state: zb20_run(steps=6, boundary, ocean, coupler, changes, ...)."""

    def run(*changes, steps=6, boundary="closed", variant="double", link=(), **layout):
        restart = spun_up(boundary, variant)
        start = {
            "namrun": {"nn_it000": SPINUP + 1, "nn_itend": SPINUP + steps, "ln_rstart": True, "cn_ocerst_in": restart.name,
                       "ln_cpl": layout.get("coupler", 1) > 0},
        }  # fmt: skip
        coupled = coupling() if layout.get("coupler", 1) else {}
        return coupled_run(
            BOUNDARIES[boundary], start, coupled, *changes, variant=variant, link=(restart, *link), **layout
        )

    return run


def largest(*fields) -> float:
    return max(float(np.abs(field).max()) for field in fields)


__all__ = ["BOUNDARIES", "KAPPA", "SPINUP", "Coupled", "coupling", "largest", "nudged", "same_bits"]
