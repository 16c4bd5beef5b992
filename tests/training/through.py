"""Trainings through the twin of a small ocean whose truth has a friction that it lacks: the network's task."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from rich.console import Console

from models.data import store
from models.data.ocean import read_switches
from models.settings import NamOnline, load
from models.training import checkpoint
from models.training import fit as fitting
from models.training.modes import along, windowed
from models.training.online import OnlineFit
from models.training.setup import prepare
from models.training.windows import WindowData
from models.twin.run import Twin
from models.twin.state import Tendency
from tests.ocean.conftest import write_namelist

STEP, EVERY, SPAN, RECORDS = 2400.0, 3, 6, 48
QUIET = {"namzb20": {"ln_zb20": False}, "namdyn_ldf": {"rn_cl4": 0.0, "rn_ahm4": 0.0}, "namsbc": {"rn_season": 0.0}}
OCEAN = {**QUIET, "namusr_def": {"nn_nx": 11, "nn_ny": 9}, "namdom": {"rn_dt": STEP}}
TRAIN = """
&namsplit rn_train = 0.6, rn_val = 0.2, rn_test = 0.2, rn_gap = 0.5 /
&namtrain
   cn_name = 'tiny', cn_mode = 'online', cn_data = '{data}', nn_width = 4, nn_kernels = 3, 3, nn_epochs = {epochs}
   nn_threads = 1, rn_lr = 3.e-3, cn_formats = {formats} {more}
/
&namonline
   cn_ocean = '{ocean}', nn_every = 3, nn_window_min = 6, nn_window = 12, nn_grow = 1 {online}
/
"""


def friction(now):
    """What the truth has and the ocean lacks: the network's task."""
    return Tendency(-6e-6 * now.u, -6e-6 * now.v)


def dataset(twin: Twin) -> xr.Dataset:
    """A run of the ocean with `friction`, every SPAN steps, in the layout of `halocline coarsen`."""
    basin = twin.basin
    with torch.no_grad():
        state = twin.after(twin.rest(), 1, 240, forward=True)
        levels = []
        for _ in range(RECORDS):
            state = twin.after(state, 1, SPAN, friction)
            levels.append(state.now)
    masks = {"t": basin.tmask, "u": basin.umask, "v": basin.vmask}
    wet = {name: mask.at().numpy().astype(np.float32) for name, mask in masks.items()}
    fields = {name: np.stack([getattr(level, name).numpy() for level in levels]).astype(np.float32) for name in "uvh"}
    fields["h"] *= wet["t"]
    times = STEP * SPAN * np.arange(1.0, RECORDS + 1)
    stacked = {f"{name}mask": (("k", "y", "x"), np.stack([mask] * basin.levels)) for name, mask in wet.items()}
    plane = (basin.nj, basin.ni)
    data = xr.Dataset(
        {
            "time": ("time", times, {"units": "seconds since 2000-01-01", "calendar": "360_day"}),
            **{name: (("time", "k", "y", "x"), value) for name, value in fields.items()},
            "du": (("time", "k", "y", "x"), -6e-6 * fields["u"]),
            "dv": (("time", "k", "y", "x"), -6e-6 * fields["v"]),
            **stacked,
            "fmask": (("k", "y", "x"), stacked["umask"][1] * stacked["vmask"][1]),
            **{f"e{n}{p}": (("y", "x"), np.full(plane, basin.dx, np.float32)) for n in "12" for p in "tuvf"},
            "ff_t": (("y", "x"), np.full(plane, 7e-5, np.float32)),
        },
        attrs={"halocline_format": store.FORMAT, "provenance": "{}"},
    )
    return data


@dataclass(frozen=True)
class Place:
    """A folder with an ocean and its data; configurations and runs come beside them."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Place":
        """With `ocean` and `data.zarr` in the folder."""
        (folder / "ocean").mkdir()
        write_namelist(folder / "ocean" / "namelist_cfg", OCEAN)
        dataset(Twin(read_switches(folder / "ocean"))).to_zarr(folder / "data.zarr", mode="w", consolidated=False)
        return cls(folder)

    def cfg(self, name, epochs=3, more="", online="", formats="''", data="data.zarr", ocean="ocean") -> Path:
        """A configuration in the folder `name`. more, online: switches of &namtrain and &namonline, parted by ';'."""
        (self.folder / name).mkdir(exist_ok=True)
        text = TRAIN.format(
            data=self.folder / data,
            ocean=self.folder / ocean if ocean else "",
            epochs=epochs,
            formats=formats,
            more="".join(
                f", {switch}" for switch in (more if "nn_batch" in more else f"nn_batch=4;{more}").split(";") if switch
            ),
            online="".join(f", {switch}" for switch in online.split(";") if switch),
        )
        (self.folder / name / "namelist_cfg").write_text(text)
        return self.folder / name

    def module(self, cfg: Path) -> tuple[OnlineFit, WindowData]:
        """What a training of `cfg` fits, and to what."""
        train, parts = fitting.settings(cfg)
        data = fitting.read(train)
        setup = along(prepare(train, parts, data), parts, load(cfg, NamOnline)[0], data)
        torch.manual_seed(0)
        for weight in setup.network.parameters():  # the last layer begins at zero
            torch.nn.init.normal_(weight, std=0.2)
        return windowed(setup, setup.network.fitted, {})

    def train(self, cfg: Path, run: str) -> Path:
        """The run folder of a training in this process."""
        return fitting.fit(cfg, self.folder / run, console=Console(quiet=True))


def gradient(module: OnlineFit, loss: torch.Tensor) -> torch.Tensor:
    """Of a loss with respect to all weights, in one vector."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.network.parameters()))])


def batch(data: WindowData, records: int = 2) -> torch.Tensor:
    """Three windows (3, records + 1, c, ny, nx) of the data."""
    starts = torch.tensor([0, 5, 11])
    return data.windows.records[starts[:, None] + torch.arange(records + 1)]


def loss_of(module: OnlineFit, records: torch.Tensor) -> torch.Tensor:
    """Summed over the windows and the records within them."""
    found = module.forecasts(records[:, 0], records.shape[1] - 1)
    return sum(module.losses(x, records[:, n + 1]).sum() for n, x in enumerate(found))


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """Norm of the difference over that of the other."""
    return float((one - other).norm() / other.norm())


def same(one: dict[str, torch.Tensor], run: Path) -> bool:
    """These weights are those of the last checkpoint of a run, bit for bit."""
    other = checkpoint.weights(run / checkpoint.LAST)
    return all(torch.equal(value, other[key]) for key, value in one.items())
