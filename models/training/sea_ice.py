"""Trains the family `sea_ice` on increments of concentrations, and scores it against their climatology on years it never saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from coupler.contract import Contract
from coupler.errors import HaloclineError
from models import export
from models.data.statistics import Statistics
from models.families.sea_ice import SeaIce, contract
from models.settings import NamSplit, NamTrain
from models.training.sea_ice_samples import Samples, collect, statistics, years
from models.training.trainer import calm, threads


@dataclass(frozen=True)
class Trained:
    """A network with what it needs to be run and written. explained: parts of the variance (about zero) of the increments on the
    test years, 'total' and by category from 1, by the network and by the climatology of the training years.
    """

    network: SeaIce
    samples: Samples
    statistics: Statistics
    train: NamTrain
    explained: Mapping[str, Mapping[str, float]]

    def correction(self, fields: Mapping[str, np.ndarray]) -> np.ndarray:
        """Increments per window (K, ny, nx) of a background by name, (k, ny, nx) or (ny, nx)."""
        blocks = [field if field.ndim == 3 else field[None] for field in (fields[n] for n in self.train.cn_inputs)]
        x = torch.from_numpy(np.concatenate(blocks, dtype=np.float32))[None]
        with torch.inference_mode():
            return self.network(self.samples.padding(x))[0].numpy()

    def contract(self) -> Contract:
        """The contract of the artefact."""
        facts = {
            "sha256": self.samples.digest,
            "samples": f"{len(self.samples.train)} to train, {len(self.samples.test)} to test",
            "code": f"halocline {version('halocline')}",
            "seed": str(self.train.nn_seed),
            "epochs": str(self.train.nn_epochs),
        }
        facts |= {f"explained_{who}": f"{parts['total']:.3f} of the variance" for who, parts in self.explained.items()}
        return contract(self.network, self.train, self.statistics, self.samples.window, facts)

    def write(self, folder: Path) -> list[Path]:
        """The artefact in the formats of cn_formats; radius and decomposition measured, see models.export.write."""
        document = self.contract()
        return export.write(lambda _: (self.network, document), folder, ["f4"], self.train.cn_formats)


class Stages(lightning.LightningModule):
    """Both stages at once, each towards its own target in units of its rms; stage B's errors do not move stage A."""

    def __init__(self, network: SeaIce, samples: Samples, train: NamTrain, steps: int) -> None:
        super().__init__()
        self.network, self.padding, self.switches, self.steps = network, samples.padding, train, steps
        self.weight: Tensor
        self.register_buffer("weight", samples.wet.float() / samples.wet.sum(), persistent=False)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """The sum of both mean square errors over wet cells."""
        inputs, target = batch
        change, raw = self.network.stages(self.padding(inputs))
        total_error = (change - target.sum(dim=1, keepdim=True)) / self.network.rms_total
        error = (raw - target) / self.network.rms
        loss = ((total_error.square().mean(1) + error.square().mean(1)) * self.weight).sum(dim=(1, 2)).mean()
        if not torch.isfinite(loss):
            raise HaloclineError(
                f"the loss is {float(loss)} in epoch {self.current_epoch + 1}: the training diverged.\n"
                f"  {self.switches.where('rn_lr')}. Lower rn_lr."
            )
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW under one cycle to rn_lr and back to zero."""
        train = self.switches
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=train.rn_lr, weight_decay=train.rn_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, train.rn_lr, total_steps=self.steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def fit(data: xr.Dataset, train: NamTrain, parts: NamSplit) -> Trained:
    """The network of `train` fitted to `data`, cut into whole years by nn_train, nn_val, nn_test of `parts` (nn_val: a gap).

    HaloclineError for a data set that lacks something, for too few years, and for a training that diverges.
    """
    index = years(data, parts)
    numbers = statistics(data, index["train"], train)
    with torch.random.fork_rng():
        torch.manual_seed(train.nn_seed)
        network = SeaIce(train, data.sizes["k"], numbers)
    samples = collect(data, train, network, index)
    loader = DataLoader(
        TensorDataset(samples.inputs[samples.train], samples.target[samples.train]),
        batch_size=train.nn_batch,
        shuffle=True,
        drop_last=len(samples.train) > train.nn_batch,
        generator=torch.Generator().manual_seed(train.nn_seed),
    )
    with threads(train), calm():
        trainer = lightning.Trainer(
            accelerator="cpu" if train.cn_device == "cpu" else "gpu",
            devices=1,
            max_epochs=train.nn_epochs,
            gradient_clip_val=train.rn_clip_grad or None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Stages(network, samples, train, train.nn_epochs * len(loader)), loader)
        network.eval().cpu()
        samples.padding.cpu()
        return Trained(network, samples, numbers, train, explained(network, samples, train.nn_harmonics))


def climatology(samples: Samples, harmonics: int, days: np.ndarray) -> np.ndarray:
    """Increments (n, K, ny, nx) that the season alone gives on `days`: mean and harmonics, least squares over the training."""
    wave = 2 * np.pi / samples.year_days

    def basis(day: np.ndarray) -> np.ndarray:
        turns = [f(n * wave * day) for n in range(1, harmonics + 1) for f in (np.cos, np.sin)]
        return np.stack([np.ones_like(day), *turns], axis=1)

    target = samples.target[samples.train].numpy()
    coefficients = np.linalg.lstsq(basis(samples.day[samples.train]), target.reshape(len(target), -1), rcond=None)[0]
    return (basis(days) @ coefficients).reshape(-1, *target.shape[1:])


def explained(network: SeaIce, samples: Samples, harmonics: int) -> dict[str, dict[str, float]]:
    """1 - <(p - y)^2> / <y^2> over the test years and wet cells: 'total' and '1' .. 'K', by 'network' and 'climatology'."""
    wet, y = samples.wet.numpy(), samples.target[samples.test].numpy()
    with torch.inference_mode():
        made = [network(samples.padding(x)) for x in samples.inputs[samples.test].split(32)]
    parts = {
        "network": torch.cat(made).numpy(),
        "climatology": climatology(samples, harmonics, samples.day[samples.test]),
    }

    def part(p: np.ndarray, y: np.ndarray) -> float:
        return float(1 - ((p - y)[..., wet] ** 2).sum() / max((y[..., wet] ** 2).sum(), 1e-30))

    return {
        who: {"total": part(p.sum(1), y.sum(1))} | {str(k + 1): part(p[:, k], y[:, k]) for k in range(y.shape[1])}
        for who, p in parts.items()
    }
