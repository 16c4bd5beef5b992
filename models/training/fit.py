"""`halocline train`: from the namelist to a folder with weights, learning curve, scores and artefacts."""

import os
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import lightning
import torch
import xarray as xr
from rich.console import Console

from coupler.errors import HaloclineError
from coupler.settings import config_file
from models.console import console as open_console
from models.data import store
from models.data.increment import ATTRIBUTE, open_increments
from models.families import increment
from models.rollout import adjoint, loop
from models.settings import NamAdjoint, NamEmulator, NamOnline, NamRollout, NamSplit, NamTrain, load
from models.training import artefact, checkpoint, cost, results
from models.training.folder import run_folder
from models.training.history import replace
from models.training.loader import SampleData
from models.training.modes import BESIDE, along, beside, windowed
from models.training.module import Fit
from models.training.online import check
from models.training.samples import TARGETS
from models.training.setup import Setup, prepare
from models.training.trainer import run_epochs

KIND = f"a training (no {checkpoint.LAST}, no namelist_cfg with &namtrain)"
FREE = ("cn_device", "nn_threads", "cn_log", "cn_formats", "cn_out", "cn_data")  # may change when a training goes on


def fit(
    cfg: Path,
    rundir: Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
    seed: int | None = None,
) -> Path:
    """Train the network of CFG and write its artefacts; returns the run folder. seed: in place of nn_seed, see `seeded`.

    A training that was interrupted goes on from its last epoch, with the same weights in the end. Under torchrun every rank
    calls this. HaloclineError for mistakes in namelist and data, and for a training that diverges.
    """
    console = console or open_console()
    train, parts = settings(cfg)
    if seed is not None:
        train, rundir = seeded(train, seed), rundir or Path("runs") / f"{train.cn_name}_s{seed}"
    first = int(os.environ.get("RANK", "0")) == 0
    folder = run_folder(cfg, rundir, overwrite and first, KIND, checkpoint.LAST, "namtrain")
    data = read(train)
    setup = prepare(train, parts, data)
    if train.cn_mode == "online":
        setup = along(setup, parts, (load(cfg, NamOnline) or [NamOnline()])[0], data)
    if train.cn_mode in BESIDE:
        setup = beside(setup, (load(cfg, NamRollout) or [NamRollout()])[0])
    if train.cn_mode in adjoint.MODES:
        setup = replace_fields(setup, adjoint=(load(cfg, NamAdjoint) or [NamAdjoint()])[0])
    if train.cn_mode == "emulator":
        setup = replace_fields(setup, emulator=(load(cfg, NamEmulator) or [NamEmulator()])[0])
    recipe = _recipe(setup, parts)
    last = folder / checkpoint.LAST
    if last.exists():
        checkpoint.check_recipe(last, recipe)
    if first:
        artefact.place(train, folder)  # a mistake is told before the training
        results.describe(setup, recipe, console)
        replace(folder / "namelist_cfg", config_file(cfg).read_bytes())
    with cost.measured(folder):
        _train(setup, folder, recipe, console)
    if first:
        best = train.nn_patience > 0 and (folder / checkpoint.BEST).exists()
        if (fitted := setup.network.fitted) is not None:
            fitted.load_state_dict(checkpoint.weights(folder / (checkpoint.BEST if best else checkpoint.LAST)))
        results.finish(setup, folder, recipe, console)
    return folder


def settings(cfg: Path) -> tuple[NamTrain, NamSplit]:
    """&namtrain and &namsplit of CFG. HaloclineError without &namtrain, and for switches that do not go together."""
    if not (groups := load(cfg, NamTrain)):
        raise HaloclineError(f"{config_file(cfg)} has no group &namtrain. Add it: it names data, network and recipe.")
    train, parts = groups[0], (load(cfg, NamSplit) or [NamSplit()])[0]
    if "/" in train.cn_name:
        raise HaloclineError(
            f"cn_name = '{train.cn_name}' is no name of a file.\n  {train.where('cn_name')}. Leave '/' out."
        )
    if train.cn_family == "sea_ice":
        raise HaloclineError(
            "cn_family = 'sea_ice' is trained from Python: models.training.sea_ice.fit, see docs/pages/sea_ice.md.\n"
            f"  {train.where('cn_family')}."
        )
    if (train.cn_loss == "nll") != (train.cn_family == "gz21"):
        raise HaloclineError(
            f"cn_loss = '{train.cn_loss}' and cn_family = '{train.cn_family}' do not go together: gz21 returns mean and 1/std "
            f"and needs 'nll', the others 'mse' or 'huber'.\n  {train.where('cn_loss')}."
        )
    if "mom6" in train.cn_formats and train.cn_family != "stress_ann":
        raise HaloclineError(
            f"the format 'mom6' is for cn_family = 'stress_ann', got '{train.cn_family}'.\n  {train.where('cn_formats')}."
        )
    increment.check(train)
    if train.cn_mode == "online":
        check(train, (load(cfg, NamOnline) or [NamOnline()])[0])
    if train.cn_mode in adjoint.MODES:
        adjoint.check(train, (load(cfg, NamRollout) or [NamRollout()])[0], (load(cfg, NamAdjoint) or [NamAdjoint()])[0])
    if train.cn_mode in ("online", *adjoint.MODES) and "rn_noise" not in train.model_fields_set:
        train = train.model_copy(update={"rn_noise": 0.0})  # the default belongs to the fit to single states
    for name in train.cn_formats:
        if name not in artefact.FORMATS:
            raise HaloclineError(
                f"format '{name}' is not known. Allowed: {', '.join(artefact.FORMATS)}.\n  {train.where('cn_formats')}."
            )
    return train, parts


def seeded(train: NamTrain, seed: int) -> NamTrain:
    """The same recipe from another seed, under the name NAME_sSEED."""
    return train.model_copy(update={"nn_seed": seed, "cn_name": f"{train.cn_name}_s{seed}"})


def read(train: NamTrain) -> dict[str, xr.Dataset]:
    """The data sets of cn_data by name. HaloclineError for one that is not there, or not of the kind of cn_target."""
    found = {}
    for name in train.cn_data:
        if not Path(name).is_dir():
            raise HaloclineError(
                f"there is no data set {name}.\n  {train.where('cn_data')}. Paths count from the folder in which the command "
                "runs; `halocline coarsen` and `halocline assimilate` write data sets."
            )
        try:
            data = store.read(Path(name), ())
            _check_kind(name, data, train.cn_target)
            found[name] = data if train.cn_target != "increment" else _surface_or_all(open_increments(Path(name)).data)
        except HaloclineError as error:
            raise HaloclineError(f"{error}\n  {train.where('cn_data')}.") from None
    return found


def _check_kind(name: str, data: xr.Dataset, target: str) -> None:
    """Increments for cn_target = 'increment', tendencies for the others."""
    per_window, tendencies = ATTRIBUTE in data.attrs, any(key in data for made in TARGETS.values() for key in made)
    if per_window and target != "increment":
        raise HaloclineError(
            f"{name} holds increments, amounts per window; cn_target = '{target}' wants tendencies, which `halocline coarsen` "
            "makes. Train on those, or set cn_target = 'increment' and a family of increments."
        )
    if tendencies and not per_window and target == "increment":
        raise HaloclineError(
            f"{name} holds tendencies, of `halocline coarsen`; cn_target = 'increment' wants increments, which `halocline "
            "assimilate` makes. Train on those, or choose another cn_target and its family."
        )


def _surface_or_all(data: xr.Dataset) -> xr.Dataset:
    """An archive's temperature on all levels stands for that of the first layer, where the data set has no sst."""
    if "sst" in data or "t" not in data:
        return data
    return data.rename({name: f"sst{name[1:]}" for name in ("t", "t_inc") if name in data})


def _train(setup: Setup, folder: Path, recipe: dict[str, Any], console: Console) -> None:
    """Run the epochs that are left."""
    if setup.rollout is not None:
        loop.train(setup, folder, recipe, console)
        return
    last, fitted = folder / checkpoint.LAST, setup.network.fitted
    if fitted is None or (last.exists() and _stopped(checkpoint.read(last))):
        return
    if setup.seasons is not None:
        fitted.to(memory_format=torch.channels_last)  # 0.8 of the time of a step (width 32, one thread)
    module, data = _parts(setup, fitted, recipe)
    run_epochs(module, data, setup.train, folder, console)


def _parts(
    setup: Setup, fitted: torch.nn.Module, recipe: dict[str, Any]
) -> tuple[lightning.LightningModule, lightning.LightningDataModule]:
    """What is fitted and to which data: single states, or windows."""
    if setup.windows is not None:
        return windowed(setup, fitted, recipe)
    data = SampleData(setup.samples, setup.train, setup.perturb, len(setup.views))
    return Fit(fitted, setup.views, setup.train, setup.steps, recipe), data


def _recipe(setup: Setup, parts: NamSplit) -> dict[str, Any]:
    """Switches and data that decide the weights, as plain values."""
    train, online = setup.train, setup.online
    return {
        **{key: value for key, value in train.model_dump().items() if key not in FREE},
        **parts.model_dump(),
        **({key: value for key, value in online.model_dump().items() if key != "ln_compile"} if online else {}),
        **(
            {key: value for key, value in setup.rollout.model_dump().items() if key != "cn_exe"}
            if setup.rollout
            else {}
        ),
        **{
            f"{type(group).__name__.lower()} {key}": value
            for group in (setup.adjoint, setup.emulator)
            if group is not None
            for key, value in group.model_dump().items()
        },
        "data": setup.samples.digest,
        **({"windows": setup.windows.digest} if setup.windows else {}),
    }


def _stopped(state: dict[str, Any]) -> bool:
    """Early stopping has ended this training."""
    return any("EarlyStopping" in key and value["stopped_epoch"] > 0 for key, value in state["callbacks"].items())
