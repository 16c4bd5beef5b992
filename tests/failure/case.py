"""The job that fails: the small reference ocean with a lagged network, restarts of both sides every eight of 24 steps."""

from tests.consistency.conftest import OCEAN, merged, namelist_text

LAST, STOCK = 24, 8
NETWORK = '''"""Friction of the currents. What is to happen at a step stands in `faults.py` beside it, if that is there."""
from pathlib import Path

import numpy as np

UV = [{"name": n, "point": n.upper(), "units": "m s-1", "vector_pair": "vu"["uv".index(n)]} for n in "uv"]
CONTRACT = {
    "name": "friction", "version": "1", "family": "test", "license": "MIT", "radius": 1, "dtype": "f8",
    "decomposition": "bitwise", "inputs": UV,
    "outputs": [{**f, "name": "d" + f["name"], "units": "m s-2", "vector_pair": "d" + f["vector_pair"]} for f in UV],
}
calls = 0


def run(inputs):
    global calls
    calls += 1
    faults = Path("faults.py")
    if faults.exists():
        exec(faults.read_text(), {"call": calls})
    made = {}
    for n in "uv":
        x = inputs[n]
        made["d" + n] = 1e-6 * (
            x[:, 1:-1, 2:] + x[:, 1:-1, :-2] + x[:, 2:, 1:-1] + x[:, :-2, 1:-1] - 4 * x[:, 1:-1, 1:-1]
        )
    return made
'''
GROUPS = merged(
    OCEAN,
    {
        "namrun": {"nn_itend": LAST, "nn_stat": 1, "nn_stock": STOCK, "nn_write": 4, "ln_cpl": True},
        "namcpl": {"rn_timeout": 4.0, "rn_timeout_start": 40.0, "cn_python_allow": "friction.py"},
        "namexc": [
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v"]},
            {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"], "nn_lag": 1, "cn_first": "zero"},
        ],
        "namnet": {"cn_name": "friction", "cn_artefact": "friction.py"},
        "namdiag": {"rn_diag": 9600.0},
    },
)


def ocean_restart(kt):
    """Name of the ocean's restart after step kt."""
    return f"TEST_{kt:08d}_restart.nc"


def our_restart(kt):
    """Name of the coupler's."""
    return f"halocline_{kt:08d}_restart.nc"


def write_case(folder, *changes, after=0):
    """namelist_cfg and the network; after: continue from the restarts of that step, which lie in the folder."""
    rest = {}
    if after:
        exchanges = [{**group, "cn_first": "restart"} if group.get("nn_lag") else group for group in GROUPS["namexc"]]
        rest = {
            "namrun": {"nn_it000": after + 1, "ln_rstart": True, "cn_ocerst_in": ocean_restart(after)},
            "namcpl": {"cn_rst_in": our_restart(after)},
            "namexc": exchanges,
        }
    (folder / "namelist_cfg").write_text(namelist_text(merged(GROUPS, rest, *changes)))
    (folder / "friction.py").write_text(NETWORK)
