"""Lightning's trainer as the namelist wants it: device and ranks, callbacks, checkpoints, logs, threads."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console

from coupler.errors import HaloclineError
from models.settings import NamTrain
from models.training import checkpoint
from models.training.history import History


def trainer_of(train: NamTrain, folder: Path, console: Console) -> lightning.Trainer:
    """The trainer of the namelist: device and ranks, callbacks, logs."""
    ranks, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    kind, _, number = train.cn_device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise HaloclineError(
            f"cn_device = '{train.cn_device}'. Allowed: 'cpu', 'cuda', 'cuda:N'.\n  {train.where('cn_device')}."
        )
    if kind == "cuda" and int(number or 0) + local > torch.cuda.device_count():
        raise HaloclineError(
            f"cn_device = '{train.cn_device}': {torch.cuda.device_count()} GPUs are there for {local} ranks.\n"
            f"  {train.where('cn_device')}. Use 'cpu'; the device is never changed silently."
        )
    terminal = console.is_terminal and ranks == 1
    callbacks: list[Callback] = [History(folder, console, plain=not terminal)]
    if terminal:
        callbacks.append(RichProgressBar())
    if train.rn_ema:
        callbacks.append(EMAWeightAveraging(decay=train.rn_ema, use_buffers=False))
    if train.nn_patience:
        callbacks.append(EarlyStopping("val_loss", patience=train.nn_patience, mode="min"))
    for name, monitor in ((checkpoint.BEST, "val_loss"), (checkpoint.LAST, None)):
        callbacks.append(
            ModelCheckpoint(
                folder,
                filename=name.removesuffix(".ckpt"),
                monitor=monitor,
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
        )
    switches: dict[str, Any] = {
        "accelerator": "cpu" if kind == "cpu" else "gpu",
        "devices": local if kind == "cpu" or ranks > 1 else [int(number or 0)],
        "num_nodes": ranks // local,
        "strategy": DDPStrategy(process_group_backend="gloo" if kind == "cpu" else "nccl") if ranks > 1 else "auto",
        "max_epochs": train.nn_epochs,
        "gradient_clip_val": train.rn_clip_grad or None,
        "callbacks": callbacks,
        "plugins": [checkpoint.CheckpointFiles()],
        "logger": TensorBoardLogger(folder, name="tensorboard", version="") if train.cn_log == "tensorboard" else False,
        "deterministic": kind == "cuda",  # what runs on a CPU is so by itself, and faster (no filling of new memory)
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": terminal,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    return lightning.Trainer(**switches)


def run_epochs(
    module: lightning.LightningModule,
    data: lightning.LightningDataModule,
    train: NamTrain,
    folder: Path,
    console: Console,
) -> None:
    """Run the epochs that are left since the last checkpoint in `folder`. HaloclineError after Ctrl-C."""
    last = folder / checkpoint.LAST
    with threads(train), calm():
        trainer = trainer_of(train, folder, console)
        try:
            trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise HaloclineError(
                f"interrupted. The same command goes on from the last whole epoch, in {folder}."
            ) from None


@contextmanager
def threads(train: NamTrain) -> Iterator[None]:
    """nn_threads for torch; 0: the cores that this process may use, shared by the ranks of the machine."""
    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(train.nn_threads or max(1, cores))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def calm() -> Iterator[None]:
    """Without Lightning's advice on workers, loggers and intervals, which does not fit data that lie in memory."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        log.setLevel(level)
