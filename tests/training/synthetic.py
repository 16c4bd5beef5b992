"""Small data sets of the layout of `halocline coarsen`, whose target a small network learns in seconds."""

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from models.data import store
from models.settings import NamSplit, NamTrain

EVERY = 432000.0
NAMELIST = """
&namsplit
   rn_train = 0.6, rn_val = 0.2, rn_test = 0.2, rn_gap = 5.
/
&namtrain
   cn_name = 'tiny', cn_data = '{data}', nn_width = 8, nn_kernels = 3, 3, nn_epochs = {epochs}, nn_batch = 4
   nn_threads = 1, rn_noise = 0.05
   {more}
/
"""


def dataset(states=60, ny=12, nx=14, levels=2, seed=0, sign=1.0):
    """A closed basin with a rim of land; du = sign 2e-6 times the Laplacian of u where it is wet, dv likewise.

    Neighbours under land count as zero: the wall is felt.
    """
    rng = np.random.default_rng(seed)
    tmask = np.zeros((levels, ny, nx), np.float32)
    tmask[:, 1:-1, 1:-1] = 1
    tmask[:, 4:6, 5:7] = 0  # an island
    umask, vmask = tmask.copy(), tmask.copy()
    umask[..., :-1] *= tmask[..., 1:]
    vmask[..., :-1, :] *= tmask[..., 1:, :]
    umask[..., -1], vmask[..., -1, :] = 0, 0

    def smooth(scale):
        return scale * gaussian_filter(rng.standard_normal((states, levels, ny, nx)), (0, 0, 1, 1)).astype(np.float32)

    u, v = smooth(0.3) * umask, smooth(0.3) * vmask
    h = (500 + 250 * np.arange(levels)[:, None, None] + smooth(100)) * tmask
    data = xr.Dataset(
        {
            "time": (
                "time",
                EVERY * np.arange(1.0, states + 1),
                {"units": "seconds since 2000-01-01", "calendar": "360_day"},
            ),
            **{name: (("time", "k", "y", "x"), value) for name, value in (("u", u), ("v", v), ("h", h))},
            "sst": (("time", "y", "x"), (15 + smooth(3)[:, 0]) * tmask[0]),
            **{name: (("k", "y", "x"), mask) for name, mask in (("tmask", tmask), ("umask", umask), ("vmask", vmask))},
            "fmask": (("k", "y", "x"), umask * vmask),
            **{
                name: (("y", "x"), np.full((ny, nx), 4e4, np.float32))
                for name in ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v")
            },
            **{name: (("y", "x"), np.full((ny, nx), 4e4, np.float32)) for name in ("e1f", "e2f")},
            "ff_t": (("y", "x"), np.full((ny, nx), 7e-5, np.float32)),
        },
        attrs={"halocline_format": store.FORMAT, "provenance": "{}"},
    )
    for name, field, mask in (("du", u, umask), ("dv", v, vmask)):
        data[name] = (("time", "k", "y", "x"), (sign * 2e-6 * laplacian(field) * mask).astype(np.float32))
        data[f"{name}_adv"] = data[name] * 0.5
    return data


def laplacian(field):
    """Five points, the neighbours beyond the edge zero."""
    padded = np.pad(field, [(0, 0), (0, 0), (1, 1), (1, 1)])
    return sum(np.roll(padded, shift, axis)[..., 1:-1, 1:-1] for shift in (1, -1) for axis in (2, 3)) - 4 * field


def write(data, path):
    """As the zarr group that `halocline coarsen` leaves."""
    data.to_zarr(path, mode="w", consolidated=False)
    return path


def configuration(folder, data, epochs=2, more=""):
    """A folder with a namelist_cfg that trains on `data` (a path)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "namelist_cfg").write_text(NAMELIST.format(data=data, epochs=epochs, more=more), encoding="utf-8")
    return folder


def switches(**changes):
    """&namtrain and &namsplit of the tests."""
    common = {"nn_width": 8, "nn_kernels": [3, 3], "nn_epochs": 2, "nn_batch": 4, "nn_threads": 1, "rn_noise": 0.05}
    train = NamTrain(**{**common, **{key: value for key, value in changes.items() if key in NamTrain.model_fields}})
    parts = {"rn_train": 0.6, "rn_val": 0.2, "rn_test": 0.2, "rn_gap": 5.0}
    parts |= {key: value for key, value in changes.items() if key in NamSplit.model_fields}
    return train, NamSplit(**parts)
