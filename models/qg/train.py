"""`halocline qg train`: from the namelist and the truth to a folder with weights and a learning curve."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler.errors import HaloclineError
from coupler.settings import config_file
from models.console import console as open_console
from models.qg import truth
from models.qg.network import Network, fresh
from models.qg.records import RecordData, Records
from models.qg.trajectory import TrajectoryFit
from models.settings import NamOnline, NamQg, NamTrain, load
from models.training import checkpoint
from models.training.history import replace as write
from models.training.trainer import run_epochs

MODES = ("offline", "online")
COST = "cost.json"
USED = {  # the other switches of these groups belong to the ocean's trainings
    NamTrain: (
        "cn_name cn_mode nn_width nn_kernels nn_seed nn_epochs nn_batch rn_lr rn_decay rn_clip_grad rn_ema nn_threads cn_device "
        "cn_log"
    ).split(),
    NamOnline: "cn_start nn_window nn_window_min nn_grow nn_cut rn_state rn_energy rn_spectra rn_start_noise".split(),
}
FREE = ("cn_name", "cn_device", "nn_threads", "cn_log")  # may change when a training goes on


@dataclass(frozen=True)
class Plan:
    """One training: its switches, and the folder that all runs of the namelist share."""

    group: NamQg
    train: NamTrain
    online: NamOnline
    out: Path

    @property
    def adjoint(self) -> str:
        """'full' or 'approx'; a fit to single states has none."""
        return self.group.cn_adjoint

    @property
    def label(self) -> str:
        """The kind of training: offline, full or approx."""
        return "offline" if self.train.cn_mode == "offline" else self.adjoint

    @property
    def folder(self) -> Path:
        """OUT/KIND_sSEED."""
        return self.out / f"{self.label}_s{self.train.nn_seed}"


def plan(
    cfg: Path,
    out: Path | None = None,
    mode: str | None = None,
    adjoint: str | None = None,
    seed: int | None = None,
) -> Plan:
    """The training of CFG; mode, adjoint and seed in place of cn_mode, cn_adjoint and nn_seed. HaloclineError for mistakes."""
    group = truth.settings(cfg)
    if not (trains := load(cfg, NamTrain)):
        raise HaloclineError(
            f"{config_file(cfg)} has no group &namtrain. Add it: it gives network, seed and optimiser."
        )
    train, online = trains[0], (load(cfg, NamOnline) or [NamOnline()])[0]
    for switches in (train, online):
        for name in sorted(switches.model_fields_set - set(USED[type(switches)])):
            raise HaloclineError(
                f"{name} is a switch of the ocean's trainings; one in the two-layer model (&namqg) does not obey it.\n"
                f"  {switches.where(name)}. Leave it out. Allowed: {', '.join(USED[type(switches)])}."
            )
    if (mode or train.cn_mode) not in MODES:
        raise HaloclineError(
            f"cn_mode = '{mode or train.cn_mode}': the two-layer model trains 'offline' or 'online'.\n  {train.where('cn_mode')}."
        )
    if adjoint not in (None, "full", "approx"):
        raise HaloclineError(f"--adjoint {adjoint}. Allowed: full, approx.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or train.cn_device != "cpu":
        raise HaloclineError("a training in the two-layer model (&namqg) runs in one process, cn_device = 'cpu'.")
    if any(kernel % 2 == 0 for kernel in train.nn_kernels):
        raise HaloclineError(f"nn_kernels = {train.nn_kernels}: sizes must be odd.\n  {train.where('nn_kernels')}.")
    if not (online.rn_state or online.rn_energy or online.rn_spectra):
        raise HaloclineError(
            f"rn_state, rn_energy and rn_spectra are all 0: no loss is left.\n  {online.where('rn_state')}. Give one a weight."
        )
    changes: dict[str, Any] = {"rn_noise": 0.0} if seed is None else {"rn_noise": 0.0, "nn_seed": seed}
    if mode == "offline" and train.cn_mode == "online":
        changes |= {"cn_mode": mode, "nn_epochs": group.nn_offline_epochs, "rn_lr": group.rn_offline_lr}
    elif mode is not None:
        changes["cn_mode"] = mode
    group = group.model_copy(update={"cn_adjoint": adjoint}) if adjoint else group
    return Plan(group, train.model_copy(update=changes), online, place(cfg, out))


def place(cfg: Path, out: Path | None) -> Path:
    """The folder that truth and trainings of a namelist share."""
    return out or Path("runs") / config_file(cfg).resolve().parent.name


def fit(todo: Plan, cfg: Path, overwrite: bool = False, console: Console | None = None) -> Path:
    """Run the training, or what is left of it; returns its folder, with last.ckpt, history.csv, learning.png.

    One that was interrupted goes on from its last whole epoch, with the same weights in the end. HaloclineError for mistakes in
    namelist and data, and for a training that diverges.
    """
    console = console or open_console()
    records = Records(truth.read(todo.group, todo.out), todo.group)
    module, data = parts(todo, records)
    folder, last = _folder(todo.folder, overwrite), todo.folder / checkpoint.LAST
    if last.exists():
        checkpoint.check_recipe(last, module.recipe)
    weights = sum(weight.numel() for weight in module.network.parameters())
    console.print(
        f"{todo.train.cn_name} {todo.folder.name}: {weights} weights, {todo.train.nn_epochs} epochs of {data.steps} steps of "
        f"{todo.train.nn_batch} windows",
        highlight=False,
    )
    write(folder / "namelist_cfg", config_file(cfg).read_bytes())
    begun = time.process_time()
    run_epochs(module, data, todo.train, folder, console)
    spent = {"core_seconds": core_seconds(folder) + time.process_time() - begun}
    write(folder / COST, json.dumps(spent).encode())
    return folder


def parts(todo: Plan, records: Records) -> tuple[TrajectoryFit, RecordData]:
    """What is fitted, and to which windows."""
    model = truth.coarse_model(todo.group)
    scale, rms, change = records.scales(model)
    online = todo.online if todo.train.cn_mode == "online" else None
    data = RecordData(records, todo.train, online, todo.group.nn_apart)
    network = fresh(todo.train, scale, rms)
    if online is not None and online.cn_start:
        _begin_from(network, Path(online.cn_start.replace("{seed}", str(todo.train.nn_seed))), online)
    steps = todo.train.nn_epochs * data.steps
    return TrajectoryFit(network, model, change, todo.train, online, todo.adjoint, steps, _recipe(todo, records)), data


def trained(todo: Plan, records: Records) -> Network:
    """The network of a training that has ended. HaloclineError where there is none."""
    last = todo.folder / checkpoint.LAST
    if not last.is_file():
        raise HaloclineError(f"there is no {last}. Train it first: halocline qg train.")
    scale, rms, _ = records.scales(truth.coarse_model(todo.group))
    network = fresh(todo.train, scale, rms)
    network.load_state_dict(checkpoint.weights(last))
    return network.eval()


def core_seconds(folder: Path) -> float:
    """What a training has taken of a core's time, in all calls that were not killed."""
    path = folder / COST
    return float(json.loads(path.read_text(encoding="utf-8"))["core_seconds"]) if path.is_file() else 0.0


def _begin_from(network: Network, folder: Path, online: NamOnline) -> None:
    start = folder / checkpoint.LAST
    if not start.is_file():
        raise HaloclineError(
            f"there is no {start} to begin from.\n  {online.where('cn_start')}. Make it: halocline qg train CFG --mode offline."
        )
    try:
        network.load_state_dict(checkpoint.weights(start))
    except RuntimeError:
        raise HaloclineError(
            f"{start} holds another network.\n  {online.where('cn_start')}. Use the same widths and kernels in both."
        ) from None


def _recipe(todo: Plan, records: Records) -> dict[str, Any]:
    """Switches and data that decide the weights, as plain values."""
    switches = {key: getattr(todo.train, key) for key in USED[NamTrain] if key not in FREE}
    along = {key: getattr(todo.online, key) for key in USED[NamOnline]}
    along = along | {"cn_adjoint": todo.adjoint} if todo.train.cn_mode == "online" else {}
    return {**switches, **along, "nn_apart": todo.group.nn_apart, "data": records.digest}


def _folder(folder: Path, overwrite: bool) -> Path:
    """An empty folder, or that of a training of this kind."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / checkpoint.LAST).exists() and not (folder / "namelist_cfg").exists():
            raise HaloclineError(
                f"{folder} is no folder of a training: what is there would be lost. Give another --out."
            )
        if overwrite and (folder / checkpoint.LAST).exists():
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
