"""The coarse truth as trainings see it: windows of records, drawn by epoch and seed."""

import math

import lightning
import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coupler.errors import HaloclineError
from models.qg.coarse import residual
from models.qg.model import Model
from models.settings import NamOnline, NamQg, NamTrain
from models.training.loader import NOISE, Key, Order
from models.training.perturb import generator
from models.training.windows import LAST_EPOCH, Window, length

SAMPLES = 512  # states that the scales are taken from


class Records:
    """q (member, time, 2, m, m) [s-1], 32-bit, and which members are for what."""

    def __init__(self, data: xr.Dataset, group: NamQg) -> None:
        self.q = torch.from_numpy(np.ascontiguousarray(data["q"].values, np.float32))
        self.digest = str(data.attrs["digest"])
        members = torch.arange(len(self.q)).split([group.nn_train, group.nn_val, group.nn_test])
        self.train, self.val, self.test = ([int(m) for m in part] for part in members)

    def starts(self, members: list[int], window: int, apart: int) -> np.ndarray:
        """First records, member * records + time, of windows of `window` steps that lie whole in a member."""
        count = self.q.shape[1]
        return np.concatenate([m * count + np.arange(0, count - window, apart) for m in members])

    def window(self, starts: Tensor, window: int) -> Tensor:
        """Records (n, window + 1, 2, m, m)."""
        return self.q.flatten(0, 1)[starts[:, None] + torch.arange(window + 1)]

    def scales(self, model: Model) -> tuple[Tensor, Tensor, Tensor]:
        """Of each layer (2,): standard deviation of q [s-1], rms of the residual [s-2], rms change of q over a step [s-1]."""
        starts = self.starts(self.train, 1, 1)
        chosen = torch.from_numpy(starts[:: max(1, len(starts) // SAMPLES)])
        now, following = self.window(chosen, 1).unbind(dim=1)
        lacking = residual(model, now, following)
        return tuple(x.double().square().mean(dim=(0, 2, 3)).sqrt() for x in (now, lacking, following - now))


class Drawn(Dataset):
    """Windows of an epoch's length, of one step for a training to single states; `noise` (2,) on their first state [s-1]."""

    def __init__(
        self, records: Records, online: NamOnline | None, seed: int, noise: Tensor | None, whole: bool
    ) -> None:
        """whole: windows of nn_window steps in every epoch."""
        self.records, self.online, self.seed, self.noise, self.whole = records, online, seed, noise, whole

    def __getitem__(self, key: Key) -> Window:
        steps = 1 if self.online is None else length(self.online, 1, LAST_EPOCH if self.whole else key.epoch)
        index = torch.tensor(key.samples, dtype=torch.int64)
        records = self.records.window(index, steps)
        if self.noise is not None:
            for n, sample in enumerate(key.samples):
                stream = generator(NOISE, self.seed, key.epoch, sample)
                records[n, 0] += self.noise[:, None, None] * torch.randn(records.shape[2:], generator=stream)
        return Window(records, index, key.whole)


class RecordData(lightning.LightningDataModule):
    """Training and validation windows; online: None for the fit to single states."""

    def __init__(self, records: Records, train: NamTrain, online: NamOnline | None, apart: int) -> None:
        """HaloclineError when a part has too few windows."""
        super().__init__()
        self.records, self.switches, self.online = records, train, online
        self.window = 1 if online is None else online.nn_window
        if self.window >= records.q.shape[1]:
            raise HaloclineError(
                f"the truth has {records.q.shape[1]} records of each member, no window of {self.window} steps fits in.\n"
                "  Shorten nn_window (&namonline), or make a longer truth (rn_days of &namqg)."
            )
        self.train = records.starts(records.train, self.window, apart)
        self.val = records.starts(records.val, self.window, max(apart, self.window))
        if len(self.train) < train.nn_batch:
            raise HaloclineError(
                f"nn_batch is {train.nn_batch}, there are {len(self.train)} training windows of {self.window} steps.\n"
                f"  {train.where('nn_batch')}. Use a smaller batch, a smaller nn_apart, or a longer truth."
            )

    @property
    def steps(self) -> int:
        """Of the optimiser in an epoch."""
        return len(self.train) // self.switches.nn_batch

    def train_dataloader(self) -> DataLoader:
        """Shuffled; the window grows with the epoch."""
        noise = None
        if self.online is not None and self.online.rn_start_noise:
            q = self.records.q[self.records.train]
            noise = self.online.rn_start_noise * q.double().square().mean(dim=(0, 1, 3, 4)).sqrt().float()
        return self._loader(self.train, True, noise)

    def val_dataloader(self) -> DataLoader:
        """In order, of the longest window."""
        return self._loader(self.val, False, None)

    def _loader(self, starts: np.ndarray, shuffle: bool, noise: Tensor | None) -> DataLoader:
        order = Order(starts, self.switches.nn_batch, self.switches.nn_seed, shuffle)
        drawn = Drawn(self.records, self.online, self.switches.nn_seed, noise, whole=not shuffle)
        return DataLoader(drawn, batch_size=None, sampler=order)


def evenly(records: Records, members: list[int], count: int, window: int) -> Tensor:
    """First records (count,) spread evenly over members, windows whole. HaloclineError when a member is too short."""
    room, each = records.q.shape[1] - window, math.ceil(count / len(members))
    if room < 1:
        raise HaloclineError(
            f"a member of the truth has {records.q.shape[1]} records, a rollout of {window} steps needs one more than that.\n"
            "  Shorten nn_rollout, or make a longer truth (rn_days of &namqg)."
        )
    places = torch.linspace(0, room - 1, each).long()
    return torch.cat([member * records.q.shape[1] + places for member in members])[:count]
