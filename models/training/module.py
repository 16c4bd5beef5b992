"""The fit of one network: what Lightning calls at each step."""

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.settings import NamTrain
from models.training.augment import Turn
from models.training.loader import Batch
from models.training.losses import Loss
from models.training.optimizer import adamw
from models.training.padding import Padding


class View(torch.nn.Module):
    """The ocean as a batch sees it: its padding and its loss, turned by an element of symmetry or not."""

    def __init__(self, padding: Padding, loss: Loss, turn: Turn | None = None) -> None:
        super().__init__()
        self.padding, self.loss, self.turn = padding, loss, turn

    def forward(self, network: torch.nn.Module, batch: Batch) -> Tensor:
        """The loss of each sample (n,)."""
        inputs, target = batch.inputs, batch.target
        if self.turn is not None:
            inputs, target = self.turn(inputs, target)
        return self.loss(network(self.padding(inputs)), target)


class Fit(lightning.LightningModule):
    """AdamW under a cosine from rn_lr to zero, one step per batch; validation without noise.

    network: (n, c + m, J, I) to (n, o, ny, nx), physical units; views: the first one is the ocean as it is; steps: of the
    whole training; recipe: plain values that a checkpoint must share with the training that goes on from it.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        views: Sequence[View],
        train: NamTrain,
        steps: int,
        recipe: dict[str, Any],
    ) -> None:
        super().__init__()
        self.network, self.views = network, torch.nn.ModuleList(views)
        self.padding, self.loss = views[0].padding, views[0].loss
        self.switches, self.steps, self.recipe = train, steps, recipe
        self.sums: list[Tensor] = []
        self.seen = torch.zeros(2, dtype=torch.float64)  # loss and count of the epoch's samples so far

    def on_train_epoch_start(self) -> None:
        """Begin the sums of the epoch."""
        self.seen = torch.zeros(2, dtype=torch.float64, device=self.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """States (n, c, ny, nx) without padding to the network's outputs (n, o, ny, nx)."""
        return self.network(self.padding(inputs))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Sum over this rank's samples over the size of the whole batch, times the ranks that DDP takes the mean of."""
        losses = self.views[batch.view](self.network, batch)
        total = losses.detach().sum()
        if not torch.isfinite(total):
            sample = int(batch.index[~torch.isfinite(losses)][0])
            raise HaloclineError(
                f"the loss is {float(total)} in epoch {self.current_epoch + 1}, first at sample {sample + 1} of the data set "
                f"(counted from 1).\n  {self.switches.where('rn_lr')}. The training diverged: lower rn_lr, or set "
                "rn_clip_grad = 1. It goes on from the last epoch only with the same switches; add --overwrite to begin anew."
            )
        self.seen = self.seen + torch.stack((total.double(), total.new_tensor(len(losses)).double()))
        return losses.sum() * (self.trainer.world_size / batch.whole)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Collect sums over samples: loss, count, squared errors and squared targets."""
        if not len(batch.index):
            return
        prediction = self(batch.inputs)
        outputs = batch.target.shape[1]
        wet = self.loss.weight > 0
        error = torch.where(wet, prediction[:, :outputs] - batch.target, 0.0) / self.loss.rms
        target = torch.where(wet, batch.target, 0.0) / self.loss.rms
        squares = [part.double().square().sum(dim=(0, 2, 3)) for part in (error, target)]
        losses = self.loss(prediction, batch.target).double().sum()
        self.sums.append(torch.cat((torch.stack((losses, losses.new_tensor(len(batch.index)))), *squares)))

    def on_validation_epoch_end(self) -> None:
        """The epoch's loss, val_loss, and val_r2: the mean over outputs and levels of R2 about zero; over all ranks."""
        outputs = len(self.loss.rms)
        mine = torch.stack(self.sums).sum(dim=0) if self.sums else self.seen.new_zeros(2 + 2 * outputs)
        self.sums = []
        loss, count, val_loss, val_count, *squares = self.trainer.strategy.reduce(
            torch.cat((self.seen, mine)), reduce_op="sum"
        )
        if not torch.isfinite(val_loss):
            raise HaloclineError(
                f"the validation loss is {float(val_loss)} after epoch {self.current_epoch + 1}: the training diverged.\n"
                f"  {self.switches.where('rn_lr')}. Lower rn_lr, or set rn_clip_grad = 1."
            )
        r2 = (1 - torch.stack(squares[:outputs]) / torch.stack(squares[outputs:])).mean()
        values = {"loss": loss / count, "val_loss": val_loss / val_count, "val_r2": r2}
        self.log_dict({name: value.float() for name, value in values.items()}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW under a cosine, see `adamw`."""
        return adamw(self.network, self.switches, self.steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The recipe goes with the weights."""
        checkpoint["recipe"] = self.recipe
