"""`halocline train`: from the namelist to a folder with weights, learning curve, scores and artefacts."""

import os
import shutil
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import lightning
import torch
import xarray as xr
from rich.console import Console

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import config_file
from models.console import console as open_console
from models.data import statistics, store
from models.data.increment import ATTRIBUTE, open_increments
from models.data.statistics import Statistics
from models.families import increment, trainable
from models.families.trainable import Trainable
from models.rollout import adjoint, loop
from models.settings import NamAdjoint, NamEmulator, NamOnline, NamRollout, NamSplit, NamTrain, load
from models.training import artefact, augment, checkpoint, cost, increments, results
from models.training.anchor import SAMPLES, Anchor
from models.training.history import replace
from models.training.increments import Seasons
from models.training.loader import SampleData
from models.training.losses import Loss, tail_mean
from models.training.module import Fit, View
from models.training.online import OnlineFit, check, ocean_of
from models.training.padding import Padding
from models.training.perturb import Amplification, Perturbation
from models.training.samples import TARGETS, Samples, collect
from models.training.trainer import calm, threads, trainer_of
from models.training.windows import LAST_EPOCH, WindowData, Windows, length
from models.twin.closure import NetworkClosure

BESIDE = ("rollout_nograd", "emulator", "adjoint_approx")  # modes in which the ocean runs
FREE = ("cn_device", "nn_threads", "cn_log", "cn_formats", "cn_out", "cn_data")  # may change when a training goes on


@dataclass(frozen=True)
class Setup:
    """All that a training needs, made from the namelist and the data."""

    train: NamTrain
    samples: Samples
    statistics: Statistics
    network: Trainable
    views: tuple[View, ...]
    perturb: Perturbation | None
    seasons: Seasons | None = None
    online: NamOnline | None = None
    windows: Windows | None = None
    rollout: NamRollout | None = None
    adjoint: NamAdjoint | None = None
    emulator: NamEmulator | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        count = len(self.samples.train)
        if self.windows is not None and self.online is not None:
            count = len(self.windows.starts(self.windows.train, length(self.online, self.windows.steps, LAST_EPOCH)))
        return self.train.nn_epochs * (count // self.train.nn_batch)


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
    folder = _folder(cfg, rundir, overwrite and first)
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


def prepare(train: NamTrain, parts: NamSplit, data: dict[str, xr.Dataset]) -> Setup:
    """Samples, statistics of the training part, the network with its first weights, and what trains it."""
    samples, seasons = collect(data, train, parts), None
    if train.cn_target == "increment":
        samples, seasons = increments.anomalies(samples, {name: open_increments(Path(name)) for name in data}, train)
    numbers = _statistics(data, samples, train)
    if seasons is not None:
        numbers = increments.with_numbers(numbers, samples, seasons)
    network = trainable.build(train, samples.levels, numbers, samples.spacing, seasons.climate if seasons else None)
    rms = torch.tensor([numbers.rms[channel.name][channel.level] for channel in samples.outputs])
    if not (rms > 0).all():
        raise HaloclineError(
            f"the target {samples.outputs[int((rms <= 0).nonzero()[0])]} is zero everywhere in the training part: there is "
            "nothing to learn. Look at the data set (of coarsen: was the truth written with ln_burst = .true.?)."
        )
    mean = tail_mean(samples.target[torch.from_numpy(samples.train)], rms, samples.wet_training, train.rn_tails)
    views = [View(padding_of(network, samples), Loss(train, rms, samples.wet_training, mean))]
    if train.cn_symmetry == "augment":
        for element in augment.elements([spec.name for spec in network.inputs], samples.grid)[1:]:
            moved = augment.landscape(samples, element)
            turn = augment.Turn(samples.channels, samples.outputs, element)
            views.append(View(padding_of(network, moved), Loss(train, rms, moved.wet_training, mean), turn))
    perturb = _perturbation(train, samples, numbers, seasons.climate.window if seasons else 1.0)
    return Setup(train, samples, numbers, network, tuple(views), perturb, seasons)


def along(setup: Setup, parts: NamSplit, online: NamOnline, data: dict[str, xr.Dataset]) -> Setup:
    """The same training along trajectories: windows, and the weights that it begins from."""
    if online.cn_windows:
        data = {name: store.read(Path(name), ()) for name in online.cn_windows}
    windows = Windows(data, parts, online, ocean_of(online, False))
    _begin_from(setup, online.cn_start, online.where("cn_start"))
    return replace_fields(setup, online=online, windows=windows)


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
    return replace_fields(setup, rollout=rollout)


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


def padding_of(network: Trainable, samples: Samples) -> Padding:
    """Padding for the network's inputs. HaloclineError for a static field that the data set lacks."""
    fills = {spec.name: spec.fill for spec in network.inputs}
    static = [spec for spec in network.inputs if spec.static]
    for spec in static:
        if spec.name not in samples.static:
            raise HaloclineError(
                f"the network reads the static field '{spec.name}', the data set has {', '.join(samples.static)}. "
                "Make the data set again, or choose another family."
            )
    order = [spec.name for spec in network.inputs]
    if [spec.static for spec in network.inputs] != sorted(spec.static for spec in network.inputs):
        raise HaloclineError(f"inputs that vary must come before static ones; the network has {', '.join(order)}.")
    return Padding(
        samples.grid,
        network.radius,
        [channel.point for channel in samples.channels],
        samples.wet_inputs,
        [float(fills.get(channel.name, 0.0)) for channel in samples.channels],
        torch.cat([samples.static[spec.name] for spec in static]),
        [spec.point for spec in static],
        [float(spec.fill) for spec in static],
    )


def _statistics(data: dict[str, xr.Dataset], samples: Samples, train: NamTrain) -> Statistics:
    """Of the training part, without regions that are held out."""
    names = [name for name in next(iter(data.values())).data_vars if "time" in next(iter(data.values()))[name].dims]
    joined = xr.concat(
        [one[names].drop_vars("time", errors="ignore") for one in data.values()], dim="time", join="override"
    )
    first = next(iter(data.values()))
    rest = {str(name): first[name] for name in first.data_vars if name not in names}
    held = xr.DataArray(samples.held[0].numpy(), dims=first["tmask"].dims[-2:])
    masks = {mask: rest[mask].where(~held, 0) for mask in trainable.POINTS}
    target = train.cn_target if train.cn_target in statistics.TARGETS else "residual"
    return statistics.of(joined.assign(rest | masks), samples.train, target)


def _perturbation(train: NamTrain, samples: Samples, numbers: Statistics, unit: float) -> Perturbation | None:
    """Unit [s] is the target's unit of time, a second or a window."""
    if not train.rn_noise and not train.rn_amplify:
        return None
    variables = [trainable.VARIABLES.get(channel.name, channel.name) for channel in samples.channels]
    std = [numbers.std[name][channel.level] for name, channel in zip(variables, samples.channels, strict=True)]
    place = {(channel.name, channel.level): number for number, channel in enumerate(samples.channels)}
    driven = [channel.name.removeprefix("d").removesuffix("_bias") for channel in samples.outputs]
    restored = [place.get((name, channel.level), -1) for name, channel in zip(driven, samples.outputs, strict=True)]
    amplify = None
    if train.rn_amplify:
        mean = samples.inputs[torch.from_numpy(samples.train)].mean(0)
        amplify = Amplification(train.rn_amplify, train.rn_amplify_restore / unit, mean)
    return Perturbation(
        train.rn_noise, train.rn_restore / unit, torch.tensor(std), samples.wet_inputs, torch.tensor(restored), amplify
    )


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
    with threads(setup.train), calm():
        trainer = trainer_of(setup.train, folder, console)
        try:
            trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise HaloclineError(
                f"interrupted. The same command goes on from the last whole epoch, in {folder}."
            ) from None


def _parts(
    setup: Setup, fitted: torch.nn.Module, recipe: dict[str, Any]
) -> tuple[lightning.LightningModule, lightning.LightningDataModule]:
    """What is fitted and to which data: single states, or windows."""
    if setup.windows is None or setup.online is None:
        data = SampleData(setup.samples, setup.train, setup.perturb, len(setup.views))
        return Fit(fitted, setup.views, setup.train, setup.steps, recipe), data
    names = list(dict.fromkeys(channel.name for channel in setup.samples.channels))
    closure = NetworkClosure(fitted, setup.views[0].padding, names, setup.samples.levels)
    twin = ocean_of(setup.online, setup.online.ln_compile)
    windows = setup.windows
    train, anchor = setup.train, None
    if setup.online.rn_offline:
        anchor = Anchor(setup.samples, setup.perturb, setup.views[0], train.nn_seed, SAMPLES * train.nn_batch)
    module = OnlineFit(closure, twin, windows.change(), train, setup.online, setup.steps, windows.steps, recipe, anchor)
    return module, WindowData(windows, setup.train, setup.online)


def _folder(cfg: Path, rundir: Path | None, overwrite: bool) -> Path:
    namelist = config_file(cfg)
    folder = (rundir or Path("runs") / namelist.resolve().parent.name).resolve()
    if folder == namelist.resolve().parent:
        raise HaloclineError(f"the run folder {folder} is the configuration itself. Give another one with --rundir.")
    if folder.exists() and any(folder.iterdir()):
        if not _trained(folder):
            raise HaloclineError(
                f"{folder} is no folder of a training (no {checkpoint.LAST}, no namelist_cfg with &namtrain): what is there "
                "would be lost. Give another one with --rundir."
            )
        if overwrite:
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _trained(folder: Path) -> bool:
    """A training has begun here; an ocean's run folder has a namelist_cfg, too."""
    namelist = folder / "namelist_cfg"
    return (folder / checkpoint.LAST).exists() or (
        namelist.is_file() and any(group.name == "namtrain" for group in read_groups(namelist))
    )


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
