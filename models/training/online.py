"""The fit along trajectories: the twin steps on from a true state with the network in it, its states are compared with truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.data.ocean import read_switches
from models.settings import NamOnline, NamTrain
from models.training.anchor import Anchor
from models.training.optimizer import adamw
from models.training.trajectory_loss import TrajectoryLoss
from models.training.windows import FIELDS, Window
from models.twin.closure import NetworkClosure
from models.twin.run import Twin
from models.twin.state import Level, State

OFFLINE = ("rn_spectral", "rn_tails", "ln_damp")  # switches of the fit to single states
PERTURBED = ("rn_noise", "rn_amplify")  # those of them that rn_offline brings back
INPUTS = ("u", "v", "h", "ff_t")


def check(train: NamTrain, online: NamOnline) -> None:
    """HaloclineError for switches that a training along trajectories does not obey."""
    if train.cn_target == "increment" or train.cn_loss != "mse":
        raise HaloclineError(
            f"cn_mode = 'online' trains closures of momentum that return tendencies, by the squared error of states; cn_target = "
            f"'{train.cn_target}', cn_loss = '{train.cn_loss}' do not fit.\n  {train.where('cn_mode')}. Train them offline."
        )
    for name in (*OFFLINE, *(() if online.rn_offline else PERTURBED)):
        if name in train.model_fields_set and getattr(train, name):
            raise HaloclineError(
                f"{name} = {getattr(train, name)} is a switch of the fit to single states; cn_mode = 'online' does not obey it.\n"
                f"  {train.where(name)}. Leave it out; &namonline has rn_start_noise, rn_energy and rn_spectra, and "
                "rn_offline, with which rn_noise and rn_amplify hold."
            )
    if train.cn_symmetry == "augment":
        raise HaloclineError(
            "cn_symmetry = 'augment' turns the basin; the ocean of cn_mode = 'online' stands still.\n"
            f"  {train.where('cn_symmetry')}. Use 'none' or 'group'."
        )
    if other := [name for name in train.cn_inputs if name not in INPUTS]:
        raise HaloclineError(
            f"cn_inputs names '{other[0]}': windows follow {', '.join(FIELDS)}, the tracer is passive and not stepped.\n"
            f"  {train.where('cn_inputs')}. Allowed: {', '.join(INPUTS)}."
        )
    if online.nn_cut % online.nn_every:
        raise HaloclineError(
            f"nn_cut = {online.nn_cut} is no multiple of nn_every = {online.nn_every}: the gradient is cut where the network is "
            f"called.\n  {online.where('nn_cut')}. Set it to {online.nn_cut // online.nn_every * online.nn_every}."
        )
    if not (online.rn_state or online.rn_energy or online.rn_spectra):
        raise HaloclineError(
            f"rn_state, rn_energy and rn_spectra are all 0: no loss is left.\n  {online.where('rn_state')}. Give one a weight."
        )


def ocean_of(online: NamOnline, compiled: bool, device: torch.device | str = "cpu") -> Twin:
    """The twin of cn_ocean in single precision, without its passive tracer.

    HaloclineError without cn_ocean, for switches that the twin does not have, and for forcing that depends on the date, since
    windows of a batch begin at different dates.
    """
    if not online.cn_ocean:
        raise HaloclineError(
            f"cn_mode = 'online' needs an ocean to step: cn_ocean is empty.\n  {online.where('cn_ocean')}. "
            "Name the configuration that the network will run in, namelists/gyre_closure for example."
        )
    try:
        switches = read_switches(Path(online.cn_ocean))
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {online.where('cn_ocean')}.") from None
    twin = Twin(switches, torch.float32, device, compiled)
    if twin.physics.rn_season:
        raise HaloclineError(
            f"rn_season = {twin.physics.rn_season:g}: windows of one batch begin at different times of the year, their forcing "
            f"would differ.\n  {switches.where('namsbc', 'rn_season')}. Set it to 0 for cn_mode = 'online'."
        )
    twin.physics = replace(twin.physics, ln_tra=False)
    return twin


class OnlineFit(lightning.LightningModule):
    """AdamW under a cosine, one step per batch of windows; the gradient passes the steps of the twin.

    closure: the network in the twin; change (c,): error of persistence over a record, the unit of the states' error; steps: of
    the whole training; span: steps of the ocean between two records; recipe: as in Fit; anchor: single states beside the windows.
    """

    def __init__(
        self,
        closure: NetworkClosure,
        twin: Twin,
        change: Tensor,
        train: NamTrain,
        online: NamOnline,
        steps: int,
        span: int,
        recipe: dict[str, Any],
        anchor: Anchor | None = None,
    ) -> None:
        super().__init__()
        self.anchor, self.anchored = anchor, None if anchor is None else anchor.view
        self.network, self.closure, self.twin = closure.network, closure, twin
        self.switches, self.online, self.steps, self.span, self.recipe = train, online, steps, span, recipe
        basin = twin.basin
        levels = basin.levels
        wet = torch.cat([mask.at().expand(levels, -1, -1) for mask in (basin.umask, basin.vmask, basin.tmask)])
        self.loss = TrajectoryLoss(online, change, wet, levels)
        self.depth: Tensor
        self.register_buffer("depth", torch.tensor(basin.depth)[:, None, None], persistent=False)
        self.sums: list[Tensor] = []
        self.seen = torch.zeros(2, dtype=torch.float64)

    def level(self, record: Tensor) -> Level:
        """A record (n, c, ny, nx) as a time level of the twin, land at rest."""
        u, v, h = record.split(self.twin.basin.levels, dim=1)
        wet = self.twin.basin.tmask.at() > 0
        return Level(u, v, torch.where(wet, h, self.depth.to(h)), torch.zeros_like(u[:, :1]))

    def forecasts(self, first: Tensor, records: int) -> list[Tensor]:
        """States (n, c, ny, nx) after 1, 2, ... records, from a first state (n, c, ny, nx)."""
        level = self.level(first)
        if torch.is_grad_enabled():  # all steps then look alike to the compiler
            level = Level(level.u.requires_grad_(), level.v.requires_grad_(), level.h.requires_grad_(), level.t)
        state, found, cut = State(level, level), [], self.online.nn_cut
        stops = {self.span * (n + 1) for n in range(records)} | set(range(cut, self.span * records, cut) if cut else ())
        done = 0
        for stop in sorted(stops):
            state = self.twin.window(
                state, 1 + done, stop - done, self.closure, self.online.nn_every, forward=done == 0
            )
            done = stop
            if done % self.span == 0:
                found.append(torch.cat([state.now.u, state.now.v, state.now.h], dim=1))
            if cut and done % cut == 0:
                state = state.detach()
        return found

    def losses(self, forecast: Tensor, truth: Tensor) -> Tensor:
        """Of each member (n,): the weighted sum of the errors of states, energies and spectra."""
        return self.loss(forecast, truth)

    def on_fit_start(self) -> None:
        """The twin goes where the network is."""
        self.twin = self.twin.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Begin the sums of the epoch."""
        self.seen = torch.zeros(2, dtype=torch.float64, device=self.device)

    def training_step(self, batch: Window, number: int) -> Tensor:
        """Mean over the records of the window, and rn_offline times that of single states; over ranks as in Fit."""
        records = batch.records.shape[1] - 1
        found = self.forecasts(batch.records[:, 0], records)
        losses = sum(self.losses(x, batch.records[:, n + 1]) for n, x in enumerate(found)) / records
        total = losses.detach().sum()
        if not torch.isfinite(total):
            sample = int(batch.index[~torch.isfinite(losses)][0])
            raise HaloclineError(
                f"the loss is {float(total)} in epoch {self.current_epoch + 1}, first in the window that begins with record "
                f"{sample + 1} (counted from 1): the ocean with the network blew up.\n  {self.switches.where('rn_lr')}. Lower "
                "rn_lr, set rn_clip_grad = 1, begin from a network that was trained offline (cn_start), or lower nn_window or "
                "rn_start_noise."
            )
        self.seen = self.seen + torch.stack((total.double(), total.new_tensor(len(losses)).double()))
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        mean = losses.sum() * (ranks / batch.whole)
        if self.anchor is None:
            return mean
        return mean + self.online.rn_offline * ranks * self.anchor(
            self.network, self.current_epoch, number, rank, ranks
        )

    def validation_step(self, batch: Window, _: int) -> None:
        """Sums over windows: loss, count, squared error of the last state, and of persistence."""
        if not len(batch.index):
            return
        records = batch.records.shape[1] - 1
        found = self.forecasts(batch.records[:, 0], records)
        losses = sum(self.losses(x, batch.records[:, n + 1]) for n, x in enumerate(found)) / records
        truth = batch.records[:, -1]
        errors = [self.loss.squared(x, truth).sum() for x in (found[-1], batch.records[:, 0])]
        self.sums.append(torch.stack([losses.sum(), losses.new_tensor(len(losses)), *errors]).double())

    def on_validation_epoch_end(self) -> None:
        """The epoch's loss, val_loss, and val_r2: 1 less the squared error at the window's end over that of persistence."""
        mine = torch.stack(self.sums).sum(dim=0) if self.sums else self.seen.new_zeros(4)
        self.sums = []
        loss, count, val_loss, val_count, error, still = self.trainer.strategy.reduce(
            torch.cat((self.seen, mine)), reduce_op="sum"
        )
        if not torch.isfinite(val_loss):
            raise HaloclineError(
                f"the validation loss is {float(val_loss)} after epoch {self.current_epoch + 1}: the ocean with the network blew "
                f"up within nn_window = {self.online.nn_window} steps.\n  {self.switches.where('rn_lr')}. Lower rn_lr, or begin "
                "from a network that was trained offline (cn_start)."
            )
        values = {"loss": loss / count, "val_loss": val_loss / val_count, "val_r2": 1 - error / still}
        self.log_dict({name: value.float() for name, value in values.items()}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW under a cosine, see `adamw`."""
        return adamw(self.network, self.switches, self.steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The recipe goes with the weights."""
        checkpoint["recipe"] = self.recipe
