"""Windows: stretches of a data set's records along which a closure is trained, batch by batch."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import lightning
import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coupler.errors import HaloclineError
from models.data import climatology, splits
from models.settings import NamOnline, NamSplit, NamTrain
from models.training.loader import NOISE, Key, Order
from models.training.perturb import generator
from models.twin.run import Twin

LAST_EPOCH = 10**6  # by then a window has its full length
FIELDS = ("u", "v", "h")  # what the windows follow; the tracer of the reference ocean is passive
MASKS = {"u": "umask", "v": "vmask", "h": "tmask"}


class Window(NamedTuple):
    """Records (n, r + 1, c, ny, nx) of u, v, h: the state that a window begins with and those it should pass; n of the batch."""

    records: Tensor
    index: Tensor
    whole: int


class Windows:
    """The records of all data sets, joined, and where windows may begin.

    records (n, c, ny, nx), 0 under land; wet (c, ny, nx); steps: of the ocean between two records; following (n,): the number of
    records that follow without a gap, within the same part of the same data set. train, val, test: indices of records.
    """

    def __init__(self, data: Mapping[str, xr.Dataset], parts: NamSplit, online: NamOnline, twin: Twin) -> None:
        """HaloclineError for records that are no whole number of steps apart, too few, or not of the twin's basin."""
        if parts.cn_hold_region:
            raise HaloclineError(
                "a training along trajectories sees the whole basin: no region can be held out of it.\n"
                f"  {parts.where('cn_hold_region')}. Leave it out, or train offline."
            )
        blocks: list[np.ndarray] = []
        cuts: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
        following: list[np.ndarray] = []
        self.steps = offset = 0
        self.where = online.where("cn_windows")
        kept, _ = splits.datasets(parts, list(data))
        for source in kept:
            one = data[source]
            _check_basin(source, one, twin, online)
            times = np.asarray(one["time"].values, float)
            steps = _steps(source, times, twin.physics.rn_dt, online)
            if self.steps and steps != self.steps:
                raise HaloclineError(
                    f"data set {source} has {steps} steps between records, the first one {self.steps}.\n"
                    f"  {online.where('cn_windows')}. Windows of one training share their records' distance."
                )
            self.steps = steps
            calendar = one["time"].attrs.get("calendar")
            year = climatology.year_days(str(calendar)) if calendar else None
            fields = [np.where(one[MASKS[key]].values != 0, one[key].values, 0.0) for key in FIELDS]
            blocks.append(np.concatenate(fields, axis=1).astype(np.float32))
            if not np.isfinite(blocks[-1]).all():
                raise HaloclineError(
                    f"data set {source} has values that are not finite in the ocean, first in record "
                    f"{int(np.argmin(np.isfinite(blocks[-1]).all(axis=(1, 2, 3)))) + 1} (counted from 1).\n"
                    f"  {online.where('cn_windows')}. Make it again from a whole run."
                )
            series = blocks[-1][:, -1].reshape(len(times), -1)
            cut = splits.split(times, parts, series[:, series.any(axis=0)][:, ::40], year)
            last = np.zeros(len(times), int)
            for name, indices in cuts.items():
                inside = getattr(cut, name)
                last[inside] = inside[-1] - inside if len(inside) else 0
                indices.append(inside + offset)
            following.append(last)
            offset += len(times)
        self.records = torch.from_numpy(np.concatenate(blocks))
        self.wet = torch.from_numpy(np.concatenate([data[kept[0]][MASKS[key]].values != 0 for key in FIELDS]))
        self.train, self.val, self.test = (np.concatenate(cuts[part]) for part in ("train", "val", "test"))
        self.following = np.concatenate(following)

    @property
    def digest(self) -> str:
        """sha256 of the records and of where they were cut."""
        sums = hashlib.sha256(self.records.numpy().tobytes())
        for part in (self.train, self.val, self.test):
            sums.update(part.astype("<i8").tobytes())
        return sums.hexdigest()

    def starts(self, part: np.ndarray, records: int) -> np.ndarray:
        """Records of a part after which `records` more follow."""
        return part[self.following[part] >= records]

    def change(self) -> Tensor:
        """Rms change of each channel (c,) over one record of the training part, wet points: the error of persistence."""
        starts = torch.from_numpy(self.starts(self.train, 1))
        change = self.records[starts + 1] - self.records[starts]
        found = ((change.double() ** 2).sum(dim=(0, 2, 3)) / (self.wet.sum(dim=(1, 2)) * len(starts))).sqrt().float()
        if not (found > 0).all():
            still = int((found <= 0).nonzero()[0])
            levels = len(found) // len(FIELDS)
            raise HaloclineError(
                f"{FIELDS[still // levels]} of layer {still % levels + 1} does not change from record to record: there is no "
                f"trajectory to follow.\n  {self.where}. Look at the data set; an ocean at rest?"
            )
        return found

    def spread(self) -> Tensor:
        """Standard deviation in time of each channel (c,) of the training part, rms over wet points."""
        variance = self.records[torch.from_numpy(self.train)].double().var(dim=0, correction=0)
        return (torch.where(self.wet, variance, 0.0).sum(dim=(1, 2)) / self.wet.sum(dim=(1, 2))).sqrt().float()


def _check_basin(source: str, data: xr.Dataset, twin: Twin, online: NamOnline) -> None:
    """A data set that the twin can begin from: the same cells, masks and layers."""
    if missing := [name for name in (*FIELDS, *MASKS.values()) if name not in data]:
        raise HaloclineError(
            f"data set {source} has no {', '.join(missing)}: windows follow u, v and h.\n  {online.where('cn_windows')}. "
            "`halocline coarsen` writes them."
        )
    basin = twin.basin
    found, wanted = data["u"].shape[1:], (basin.levels, basin.nj, basin.ni)
    if found != wanted:
        raise HaloclineError(
            f"data set {source} has the shape {found} (k, j, i), the ocean {twin.switches.path} makes {wanted}.\n"
            f"  {online.where('cn_ocean')}. Name the ocean that the data were coarsened to."
        )
    masks = {"u": basin.umask, "v": basin.vmask, "h": basin.tmask}
    for name, mask in masks.items():
        if ((data[MASKS[name]].values != 0) != (mask.at().cpu().numpy() != 0)).any():
            raise HaloclineError(
                f"{MASKS[name]} of data set {source} is not that of the ocean {twin.switches.path}.\n"
                f"  {online.where('cn_ocean')}. Name the ocean that the data were coarsened to."
            )
    if "e1t" in data and abs(float(data["e1t"].values.mean()) / basin.dx - 1.0) > 1e-3:
        raise HaloclineError(
            f"the cells of data set {source} are {float(data['e1t'].values.mean()):g} m wide, those of the ocean "
            f"{twin.switches.path} {basin.dx:g} m.\n  {online.where('cn_ocean')}. Name the ocean that the data were coarsened to."
        )


def _steps(name: str, times: np.ndarray, step: float, online: NamOnline) -> int:
    """Steps between two records of a data set, the same throughout."""
    if len(times) < 2:
        raise HaloclineError(
            f"data set {name} has {len(times)} records, a window needs two.\n  {online.where('cn_windows')}. Use a longer truth."
        )
    gaps = np.diff(times) / step
    count = round(float(gaps[0]))
    if count < 1 or np.abs(gaps - count).max() > 1e-6 * count:
        raise HaloclineError(
            f"the records of data set {name} are {gaps.min():g} to {gaps.max():g} steps of {step:g} s apart: windows need a whole "
            f"number, the same throughout.\n  {online.where('cn_windows')}. Make the records again without gaps, or set "
            "rn_dt of the ocean so that it divides their distance."
        )
    if count % online.nn_every:
        raise HaloclineError(
            f"the records of data set {name} are {count} steps apart, no multiple of nn_every = {online.nn_every}.\n"
            f"  {online.where('nn_every')}. Windows begin with a call of the network."
        )
    return count


def length(online: NamOnline, steps: int, epoch: int) -> int:
    """Records of a window in an epoch, from 0: nn_window_min steps, doubled every nn_grow epochs, up to nn_window."""
    wanted = min(online.nn_window, online.nn_window_min * 2 ** min(epoch // online.nn_grow, 30))
    return max(1, wanted // steps)


class Drawn(Dataset):
    """Windows of an epoch's length; `noise` (c,) is the amplitude of white noise on the first state, where it is wet."""

    def __init__(self, windows: Windows, online: NamOnline, seed: int, noise: Tensor | None, whole: bool) -> None:
        """whole: windows of nn_window steps in every epoch."""
        self.windows, self.online, self.seed, self.noise, self.whole = windows, online, seed, noise, whole

    def __getitem__(self, key: Key) -> Window:
        count = length(self.online, self.windows.steps, LAST_EPOCH if self.whole else key.epoch)
        index = torch.tensor(key.samples, dtype=torch.int64)
        records = self.windows.records[index[:, None] + torch.arange(count + 1)]
        if self.noise is not None:
            scale = self.noise[:, None, None] * self.windows.wet
            for number, sample in enumerate(key.samples):
                stream = generator(NOISE, self.seed, key.epoch, sample)
                records[number, 0] += scale * torch.randn(scale.shape, generator=stream)
        return Window(records, index, key.whole)


class WindowData(lightning.LightningDataModule):
    """Training and validation windows of all ranks."""

    def __init__(self, windows: Windows, train: NamTrain, online: NamOnline) -> None:
        """HaloclineError when a part has too few windows of nn_window steps."""
        super().__init__()
        self.windows, self.switches, self.online = windows, train, online
        if online.nn_window < windows.steps:
            raise HaloclineError(
                f"nn_window = {online.nn_window} steps is shorter than the {windows.steps} steps between two records.\n"
                f"  {online.where('nn_window')}. Set it to {windows.steps} or more, or use records that are closer in time."
            )
        self.longest = length(online, windows.steps, LAST_EPOCH)
        for part, least, why in (
            ("train", train.nn_batch, f"nn_batch = {train.nn_batch} are needed"),
            ("val", 1, "1 is needed"),
        ):
            found = len(windows.starts(getattr(windows, part), self.longest))
            if found < least:
                raise HaloclineError(
                    f"the {part} part has {found} windows of {self.longest * windows.steps} steps, {why}.\n"
                    f"  {train.where('nn_batch') if found > 0 else online.where('nn_window')}. Shorten nn_window, use a longer "
                    f"truth{', or a smaller batch' if found > 0 else ''}."
                )

    def train_dataloader(self) -> DataLoader:
        """Shuffled; the window grows with the epoch, its starts stay those of the longest."""
        noise = self.online.rn_start_noise * self.windows.spread() if self.online.rn_start_noise else None
        return self._loader(self.windows.train, True, noise, whole=False)

    def val_dataloader(self) -> DataLoader:
        """In order, of the longest window; one after the other, without overlap."""
        starts = self.windows.starts(self.windows.val, self.longest)
        return self._loader(starts[:: self.longest], False, None, whole=True)

    def _loader(self, part: np.ndarray, shuffle: bool, noise: Tensor | None, whole: bool) -> DataLoader:
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if self.switches.nn_batch < ranks:
            raise HaloclineError(
                f"nn_batch is {self.switches.nn_batch} for {ranks} ranks: one would have no window.\n"
                f"  {self.switches.where('nn_batch')}. Set it to {ranks} or more, or use fewer ranks."
            )
        starts = self.windows.starts(part, self.longest)
        order = Order(starts, self.switches.nn_batch, self.switches.nn_seed, shuffle, rank, ranks)
        return DataLoader(
            Drawn(self.windows, self.online, self.switches.nn_seed, noise, whole), batch_size=None, sampler=order
        )
