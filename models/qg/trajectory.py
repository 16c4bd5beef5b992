"""The fit in the two-layer model, to single states or along trajectories, with the full or an approximate adjoint."""

from typing import Any

import lightning
import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.qg.coarse import residual
from models.qg.diagnostics import Diagnostics
from models.qg.model import Closure, Model
from models.qg.network import Network
from models.settings import NamOnline, NamTrain
from models.training.optimizer import adamw
from models.training.windows import Window

FLOOR = 1e-6  # of a spectrum's mean: logarithms stay finite
TRUSTED = 2 / 3  # of the Nyquist wavenumber: the spectrum's range


class Diverged(HaloclineError):
    """A training whose model blew up."""


def step(model: Model, q: Tensor, closure: Closure, adjoint: str) -> Tensor:
    """One step of the model with its closure, x(k+1) = M(x(k), S(x(k))); its derivative is chosen.

    'full': of all of it. 'approx': dM/dx is replaced by the identity and dM/dS by dt; dS/dx is kept. The gradient then passes
    backwards as lambda(k) = (I + dt dS/dx)^T lambda(k+1), and M may be any program. The value is the same. After Yan et al.
    (2025), doi:10.1029/2024MS004857, and Ouala et al. (2024), doi:10.1038/s42005-024-01880-7.
    """
    forcing = closure(q)
    if adjoint == "full":
        return model.step(q, forcing)
    with torch.no_grad():
        forward = model.step(q, forcing)
    return forward + (q - q.detach()) + model.dt * (forcing - forcing.detach())


class TrajectoryFit(lightning.LightningModule):
    """AdamW under a cosine, one step per batch of windows.

    online: None for the fit to single states, whose target is the residual of the coarse model; adjoint: see `step`; change (2,):
    rms change of q over a step [s-1], the unit of the states' error; steps: of the whole training; recipe: as in
    models.training.module.
    """

    def __init__(
        self,
        network: Network,
        model: Model,
        change: Tensor,
        train: NamTrain,
        online: NamOnline | None,
        adjoint: str,
        steps: int,
        recipe: dict[str, Any],
    ) -> None:
        super().__init__()
        self.network, self.model, self.adjoint = network, model, adjoint
        self.diagnostics = Diagnostics(model)
        self.switches, self.online, self.steps, self.recipe = train, online, steps, recipe
        self.span = 1  # steps between two records, for the learning curve
        self.change = change.to(model.dtype)
        self.top = max(1, int(TRUSTED * model.n / 2))
        self.sums: list[Tensor] = []
        self.seen = torch.zeros(2, dtype=torch.float64)

    def forecasts(self, q: Tensor, steps: int) -> list[Tensor]:
        """States (n, 2, m, m) after 1, 2, ... steps."""
        found, cut = [], self.online.nn_cut if self.online is not None else 0
        for n in range(1, steps + 1):
            q = step(self.model, q, self.network, self.adjoint)
            found.append(q)
            if cut and n % cut == 0:
                q = q.detach()
        return found

    def distances(self, forecast: Tensor, truth: Tensor) -> Tensor:
        """Of each state (n,): the weighted sum of the errors of q, of the layers' kinetic energies and of their log-spectra.

        q is compared in the waves that the model's filter leaves alone. The truth was filtered once, the model is at each step:
        with all waves in the loss a closure learns to undo the filter (free runs of both adjoints blew up, eight of eight).
        """
        online, one = self.online or NamOnline(), self.diagnostics
        loss = online.rn_state * (one.free_square(forecast - truth) / self.change**2).mean(dim=1)
        if online.rn_energy:
            ratio = one.kinetic(forecast) / one.kinetic(truth)
            loss = loss + online.rn_energy * (ratio - 1.0).square().mean(dim=1)
        if online.rn_spectra:
            found, wanted = (one.kinetic_spectrum(x)[..., 1 : self.top + 1] for x in (forecast, truth))
            floor = FLOOR * wanted.mean(dim=-1, keepdim=True)
            logs = torch.log10((found + floor) / (wanted + floor))
            loss = loss + online.rn_spectra * logs.square().mean(dim=(1, 2))
        return loss

    def losses(self, records: Tensor) -> tuple[Tensor, Tensor]:
        """Of windows (n, steps + 1, 2, m, m): the loss (n,), and squared error and squared scale (2,) of which val_r2 is made."""
        if self.online is None:
            with torch.no_grad():
                target = residual(self.model, records[:, 0], records[:, 1])
            error = ((self.network(records[:, 0]) - target) / self.network.rms).square()
            scale = (target / self.network.rms).square()
            return error.mean(dim=(1, 2, 3)), torch.stack((error.detach().sum(), scale.sum()))
        steps = records.shape[1] - 1
        found = self.forecasts(records[:, 0], steps)
        losses = torch.stack([self.distances(x, records[:, n + 1]) for n, x in enumerate(found)]).mean(dim=0)
        ends = (self.diagnostics.free_square(x.detach() - records[:, -1]) for x in (found[-1], records[:, 0]))
        return losses, torch.stack([(x / self.change**2).sum() for x in ends])

    def on_train_epoch_start(self) -> None:
        """Begin the sums of the epoch."""
        self.seen = torch.zeros(2, dtype=torch.float64)

    def training_step(self, batch: Window, _: int) -> Tensor:
        """Mean over the batch. Diverged when it is no number."""
        losses, _ = self.losses(batch.records)
        if not torch.isfinite(losses).all():
            raise Diverged(
                f"the loss is no number in epoch {self.current_epoch + 1}: the model with the network blew up.\n"
                f"  {self.switches.where('rn_lr')}. Lower rn_lr, set rn_clip_grad = 1, begin from a network that was trained "
                "offline (cn_start), or shorten nn_window."
            )
        self.seen += torch.stack((losses.detach().double().sum(), torch.tensor(len(losses), dtype=torch.float64)))
        return losses.sum() / batch.whole

    def validation_step(self, batch: Window, _: int) -> None:
        """Sums over windows: loss, count, squared errors, squared scales."""
        losses, squares = self.losses(batch.records)
        self.sums.append(torch.cat((torch.stack((losses.sum(), losses.new_tensor(len(losses)))), squares)).double())

    def on_validation_epoch_end(self) -> None:
        """The epoch's loss, val_loss, and val_r2. Single states: R2 about zero of the residual; windows: 1 less the squared error
        at the end over that of persistence.
        """
        val_loss, count, error, scale = torch.stack(self.sums).sum(dim=0)
        self.sums = []
        if not torch.isfinite(val_loss):
            raise Diverged(
                f"the validation loss is no number after epoch {self.current_epoch + 1}: the model with the network blew up.\n"
                f"  {self.switches.where('rn_lr')}. Lower rn_lr, or begin from a network that was trained offline (cn_start)."
            )
        values = {"loss": self.seen[0] / self.seen[1], "val_loss": val_loss / count, "val_r2": 1 - error / scale}
        self.log_dict({name: value.float() for name, value in values.items()}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW, and the rate rn_lr (1 + cos(pi step / steps)) / 2."""
        return adamw(self.network, self.switches, self.steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The recipe goes with the weights."""
        checkpoint["recipe"] = self.recipe
