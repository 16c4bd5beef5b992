"""Batches: which samples make a step, and which of them a rank sees."""

from collections.abc import Iterator
from typing import NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from coupler.errors import HaloclineError
from models.settings import NamTrain
from models.training.perturb import Perturbation, generator
from models.training.samples import Samples

ORDER, NOISE, VIEW = 1, 2, 3  # random streams of a seed


class Batch(NamedTuple):
    """Inputs (n, c, ny, nx), targets (n, o, ny, nx), samples (n,), size of the batch over all ranks, and its view."""

    inputs: Tensor
    target: Tensor
    index: Tensor
    whole: int
    view: int


class Key(NamedTuple):
    """A batch to draw: epoch, this rank's samples, size over all ranks, view."""

    epoch: int
    samples: list[int]
    whole: int
    view: int


class Order(Sampler[Key]):
    """Batches of a part; together the ranks see what one rank would see. A view is one of `views` ways to turn a batch.

    Shuffled anew in each epoch by (seed, epoch); the last samples that fill no batch wait for another epoch. Without
    shuffling all samples come, in their order.
    """

    def __init__(
        self,
        samples: np.ndarray,
        batch: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        ranks: int = 1,
        views: int = 1,
    ) -> None:
        self.samples, self.batch, self.seed, self.shuffle = samples, batch, seed, shuffle
        self.rank, self.ranks, self.views, self.epoch = rank, ranks, views, 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer calls it before each pass, also after a restart."""
        self.epoch = epoch

    def __len__(self) -> int:
        n = len(self.samples)
        return n // self.batch if self.shuffle else -(-n // self.batch)

    def __iter__(self) -> Iterator[Key]:
        samples, views = self.samples, torch.zeros(len(self), dtype=torch.int64)
        if self.shuffle:
            stream = generator(ORDER, self.seed, self.epoch)
            samples = samples[torch.randperm(len(samples), generator=stream).numpy()]
            views = torch.randint(self.views, (len(self),), generator=generator(VIEW, self.seed, self.epoch))
        for step in range(len(self)):
            whole = samples[step * self.batch : (step + 1) * self.batch]
            yield Key(self.epoch, whole[self.rank :: self.ranks].tolist(), len(whole), int(views[step]))


class Drawn(Dataset):
    """Batches of samples, perturbed where `perturb` is given; the noise of a sample belongs to (seed, epoch, sample)."""

    def __init__(self, samples: Samples, seed: int, perturb: Perturbation | None) -> None:
        self.samples, self.seed, self.perturb = samples, seed, perturb

    def __getitem__(self, key: Key) -> Batch:
        index = torch.tensor(key.samples, dtype=torch.int64)
        inputs, target = self.samples.inputs[index], self.samples.target[index]
        if self.perturb is not None:
            streams = [generator(NOISE, self.seed, key.epoch, sample) for sample in key.samples]
            inputs, target = self.perturb(inputs, target, streams)
        return Batch(inputs, target, index, key.whole, key.view)


class SampleData(lightning.LightningDataModule):
    """Training and validation batches of all ranks; `views`: ways to turn a batch of the training."""

    def __init__(self, samples: Samples, train: NamTrain, perturb: Perturbation | None, views: int = 1) -> None:
        super().__init__()
        if len(samples.train) < train.nn_batch:
            raise HaloclineError(
                f"nn_batch is {train.nn_batch}, the training part has {len(samples.train)} samples.\n"
                f"  {train.where('nn_batch')}. Use a smaller batch, or a longer truth."
            )
        if not len(samples.val):
            raise HaloclineError("rn_val is 0 (&namsplit): a training needs states to validate with. Set it to 0.1.")
        self.samples, self.switches, self.perturb, self.views = samples, train, perturb, views

    def train_dataloader(self) -> DataLoader:
        """Shuffled, perturbed."""
        return self._loader(self.samples.train, True, self.perturb)

    def val_dataloader(self) -> DataLoader:
        """In order, as they are."""
        return self._loader(self.samples.val, False, None)

    def _loader(self, part: np.ndarray, shuffle: bool, perturb: Perturbation | None) -> DataLoader:
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        switches = self.switches
        if switches.nn_batch % ranks:
            raise HaloclineError(
                f"nn_batch is {switches.nn_batch}, it must be a multiple of the {ranks} ranks.\n"
                f"  {switches.where('nn_batch')}. It counts the samples of a step over all ranks."
            )
        order = Order(part, switches.nn_batch, switches.nn_seed, shuffle, rank, ranks, self.views)
        return DataLoader(Drawn(self.samples, switches.nn_seed, perturb), batch_size=None, sampler=order)
