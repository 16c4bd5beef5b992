"""What the modes with an ocean add to a setup: windows or the ocean's switches, and the weights that they begin from."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from coupler.errors import HaloclineError
from models.data import store
from models.settings import NamOnline, NamRollout, NamSplit
from models.training import checkpoint
from models.training.anchor import SAMPLES, Anchor
from models.training.online import OnlineFit, ocean_of
from models.training.setup import Setup
from models.training.windows import WindowData, Windows
from models.twin.closure import NetworkClosure

BESIDE = ("rollout_nograd", "emulator", "adjoint_approx")  # modes in which the ocean runs


def along(setup: Setup, parts: NamSplit, online: NamOnline, data: dict[str, xr.Dataset]) -> Setup:
    """The same training along trajectories: windows, and the weights that it begins from."""
    if online.cn_windows:
        try:
            data = {name: store.read(Path(name), ()) for name in online.cn_windows}
        except HaloclineError as error:
            raise HaloclineError(f"{error}\n  {online.where('cn_windows')}.") from None
    windows = Windows(data, parts, online, ocean_of(online, False))
    _begin_from(setup, online.cn_start, online.where("cn_start"))
    return replace(setup, online=online, windows=windows)


def windowed(setup: Setup, fitted: torch.nn.Module, recipe: dict[str, Any]) -> tuple[OnlineFit, WindowData]:
    """What is fitted along trajectories, and to which windows: of a setup from `along`. recipe: as in models.training.module."""
    train, online, windows = setup.train, setup.online, setup.windows
    assert online is not None and windows is not None  # set by `along`
    names = list(dict.fromkeys(channel.name for channel in setup.samples.channels))
    closure = NetworkClosure(fitted, setup.views[0].padding, names, setup.samples.levels)
    twin, anchor = ocean_of(online, online.ln_compile), None
    if online.rn_offline:
        anchor = Anchor(setup.samples, setup.perturb, setup.views[0], train.nn_seed, SAMPLES * train.nn_batch)
    module = OnlineFit(closure, twin, windows.change(), train, online, setup.steps, windows.steps, recipe, anchor)
    return module, WindowData(windows, train, online)


def beside(setup: Setup, rollout: NamRollout) -> Setup:
    """The same training beside the running ocean, and the weights that it begins from."""
    if setup.train.cn_target == "increment" or setup.train.cn_loss == "nll":
        raise HaloclineError(
            f"cn_mode = '{setup.train.cn_mode}' trains closures of momentum that return tendencies; cn_target = "
            f"'{setup.train.cn_target}', cn_loss = '{setup.train.cn_loss}' do not.\n  {setup.train.where('cn_mode')}. Train them "
            "offline."
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise HaloclineError(
            f"cn_mode = '{setup.train.cn_mode}' runs in one process beside the ocean, without torchrun."
        )
    _begin_from(setup, rollout.cn_start, rollout.where("cn_start"))
    return replace(setup, rollout=rollout)


def _begin_from(setup: Setup, folder: str, where: str) -> None:
    """The weights of an earlier training, '{seed}' in its folder's name stands for nn_seed; none where the name is empty.

    where: the switch that names it. HaloclineError for a folder without weights, or with those of another network.
    """
    fitted = setup.network.fitted
    if not folder or fitted is None:
        return
    start = Path(folder.replace("{seed}", str(setup.train.nn_seed))) / checkpoint.LAST
    if not start.is_file():
        raise HaloclineError(f"there is no {start} to begin from.\n  {where}. Train it first.")
    try:
        fitted.load_state_dict(checkpoint.weights(start))
    except RuntimeError:
        raise HaloclineError(
            f"{start} holds another network: its arrays are not those of cn_family = '{setup.train.cn_family}' with this "
            f"&namtrain.\n  {where}. Use the same family, inputs, widths and kernels in both."
        ) from None
