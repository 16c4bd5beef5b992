"""The gradient along trajectories of the real ocean: its own states forwards, a propagator's Jacobian backwards."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from coupler.errors import HaloclineError
from models.rollout import trajectory
from models.rollout.propagator import Propagator
from models.rollout.trajectory import Calls
from models.rollout.weights import Weights, Window
from models.settings import NamAdjoint, NamRollout, NamTrain
from models.training.anchor import SAMPLES, Anchor
from models.training.trajectory_loss import TrajectoryLoss

if TYPE_CHECKING:
    from models.training.setup import Setup

MODES = ("adjoint_approx", "emulator")
FIELDS = ("u", "v", "h")  # what the loss compares
OFFLINE = ("rn_spectral", "rn_tails", "ln_damp", "nn_batch", "nn_epochs", "nn_patience")  # of the fit to single states
PERTURBED = ("rn_noise", "rn_amplify")  # those of them that rn_offline brings back
NUDGED = ("rn_correct", "rn_clip", "nn_buffer", "nn_steps", "rn_offline")  # switches of 'rollout_nograd'
SAME = 1e-3  # largest rms difference of an answer from the recorded one, in its rms; rounding gives 1e-6
NOTHING = 1e-30  # (m s-2)^2: of a network that says nothing yet
KEPT = 256  # calls of a batch whose graph is kept as it is (2 MB each with 24 channels of 50 x 50 cells)


def check(train: NamTrain, rollout: NamRollout, adjoint: NamAdjoint) -> None:
    """HaloclineError for switches that a training along the ocean's trajectories does not obey."""
    mode = f"cn_mode = '{train.cn_mode}'"
    offline = OFFLINE if adjoint.rn_offline else (*OFFLINE, *PERTURBED)
    for group, names in ((train, offline), (rollout, NUDGED)):
        for name in names:
            if name in group.model_fields_set and getattr(group, name):
                raise HaloclineError(
                    f"{name} = {getattr(group, name)} is a switch of another cn_mode; {mode} does not obey it.\n"
                    f"  {group.where(name)}. Leave it out. &namadjoint has the weights of the loss; in &namrollout nn_swap is "
                    "the batch, nn_windows the length."
                )
    if train.cn_loss != "mse":
        raise HaloclineError(
            f"{mode} trains by the squared error of states; cn_loss = '{train.cn_loss}' does not fit.\n"
            f"  {train.where('cn_loss')}. Leave it out."
        )
    if train.cn_symmetry == "augment":
        raise HaloclineError(
            f"cn_symmetry = 'augment' turns the basin; the ocean of {mode} stands still.\n"
            f"  {train.where('cn_symmetry')}. Use 'none' or 'group'."
        )
    if lacking := [name for name in FIELDS if name not in train.cn_inputs]:
        raise HaloclineError(
            f"the states of {mode} are what the network reads, and their loss needs u, v and h; cn_inputs lacks "
            f"'{lacking[0]}'.\n  {train.where('cn_inputs')}. Add it."
        )
    if not (adjoint.rn_state or adjoint.rn_energy or adjoint.rn_spectra):
        raise HaloclineError(
            f"rn_state, rn_energy and rn_spectra are all 0: no loss is left.\n  {adjoint.where('rn_state')}. Give one a weight."
        )
    for name in ("rn_damp", "rn_radius"):
        if getattr(adjoint, name) and train.cn_mode == "emulator":
            raise HaloclineError(
                f"{name} = {getattr(adjoint, name):g} is for cn_mode = 'adjoint_approx'; the emulator says what stays of a state.\n"
                f"  {adjoint.where(name)}. Leave it out."
            )


class Adjoint(Weights):
    """Weights that follow an approximate gradient of what the ocean itself has run into, one step for each version.

    From call to call of the network N, x and f as recorded, P the propagator:

        x_hat(c + 1) = x(c + 1) + P(x_hat(c), N(x_hat(c))) - stopped P,    x_hat(0) = x(0)

    so that values are those of the ocean, and derivatives those of P and N. The loss looks at x_hat at the window's end.
    """

    def __init__(
        self,
        setup: "Setup",
        adjoint: NamAdjoint,
        calls: Calls,
        change: Mapping[str, np.ndarray],
        propagator: Propagator,
        versions: int,
    ) -> None:
        """change: error of persistence over a window, (levels, 1, 1) by field; versions: of the whole training."""
        super().__init__(setup, versions)
        self.adjoint, self.calls, self.propagator = adjoint, calls, propagator
        channels = [(channel.name, channel.level) for channel in setup.samples.channels]
        levels = [range(len(change[name])) for name in FIELDS]
        self.order = [
            channels.index((name, level)) for name, some in zip(FIELDS, levels, strict=True) for level in some
        ]
        units = torch.from_numpy(np.concatenate([change[name].ravel() for name in FIELDS])).float()
        wet = setup.samples.wet_inputs[self.order].float()
        self.loss = TrajectoryLoss(adjoint, units, wet, len(change["u"]))
        self.batch: list[tuple[Tensor, Tensor, Tensor]] = []
        self.anchor: Anchor | None = None
        if adjoint.rn_offline and setup.rollout is not None:
            count = SAMPLES * setup.rollout.nn_swap
            self.anchor = Anchor(setup.samples, setup.perturb, setup.views[0], setup.train.nn_seed, count)

    def visit(self, window: Window) -> dict[str, float]:
        """Keep the trajectory until the version's windows are complete; its loss.

        HaloclineError for a state that is no number.
        """
        assert window.recording is not None  # the coupler of this mode records
        samples = self.setup.samples
        states, answers = trajectory.read(window.recording, self.calls)
        end, truth = (
            self.inputs(state)
            for state in (window.background, {n: window.background[n] + window.error[n] for n in window.background})
        )
        states = torch.cat([torch.where(samples.wet_inputs, states, 0.0), end[None]])
        self.batch.append((states, torch.where(samples.wet, answers, 0.0), truth))
        loss = float(self.loss(end[None, self.order], truth[None, self.order]))
        if not np.isfinite(loss):
            raise HaloclineError(
                f"the loss is {loss} at the end of window {window.number}: the ocean with the network blew up.\n"
                f"  {self.setup.train.where('rn_lr')}. Lower rn_lr, set rn_clip_grad = 1, or begin from a network that was "
                "trained offline (cn_start)."
            )
        return {"loss": loss}

    def learn(self, version: int) -> dict[str, float]:
        """One step on the windows that `version` ran; norm of the gradient, largest error of an answer, the propagator's numbers.

        HaloclineError where the answers are not those of this version, and for a gradient that is no number.
        """
        states, answers, truth = (torch.stack(part) for part in zip(*self.batch, strict=True))
        self.batch = []
        x, x_next, f = states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1), answers.flatten(0, 1)
        numbers = dict(self.propagator.visited(version, x, f, x_next))
        end, missed = self.end(states, answers)
        apart = float((missed.mean() / answers.square().mean().clamp(min=NOTHING)).sqrt())
        if not apart < SAME:
            raise HaloclineError(
                f"the answers that were recorded differ from those of version {version} by {apart:.2g} of their rms: the ocean "
                "does not get what this network says. Does &namnet scale, ramp or clip it (rn_scale, rn_ramp, rn_clip, "
                "cn_policy)?"
            )
        loss = self.loss(end[:, self.order], truth[:, self.order]).mean()
        if self.anchor is not None:
            loss = loss + self.adjoint.rn_offline * self.anchor(self.network, 0, version)
        norm = self.step(loss)
        if not np.isfinite(norm):
            raise HaloclineError(
                f"the gradient is {norm} after version {version}: the training diverged.\n"
                f"  {self.setup.train.where('rn_lr')}. Shorten nn_cut in &namadjoint, or lower rn_lr."
            )
        return {"gradient": norm, "apart": apart, **numbers}

    def end(self, states: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """The states at the windows' end (n, c, ny, nx), with their graph; squared error of the answers (n,).

        states (n, calls + 1, c, ny, nx) and answers (n, calls, o, ny, nx) as recorded.
        """
        calls = answers.shape[1]
        first = max(0, calls - self.adjoint.nn_cut) if self.adjoint.nn_cut else 0
        whole = len(answers) * (calls - first) <= KEPT
        length = calls - first if whole else round((calls - first) ** 0.5)
        state, missed = states[:, first], torch.zeros(len(answers))
        for begin in range(first, calls, length):
            part = slice(begin, min(begin + length, calls))
            after = states[:, part.start + 1 : part.stop + 1]
            if whole:
                state, error = self._calls(state, after, answers[:, part])
            else:
                state, error = checkpoint(self._calls, state, after, answers[:, part], use_reentrant=False)
            missed = missed + error * ((part.stop - part.start) / (calls - first))
        return state, missed

    def _calls(self, state: Tensor, after: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """From a state over some calls; after: the states that the ocean got to with these answers."""
        missed = torch.zeros(len(answers))
        for recorded, answer in zip(after.unbind(1), answers.unbind(1), strict=True):
            force = torch.where(self.setup.samples.wet, self.network(self.padding(state)), 0.0)
            moved = self.propagator(state, force)
            state = recorded + (moved - moved.detach())
            missed = missed + (force.detach() - answer).square().mean(dim=(1, 2, 3))
        return state, missed / answers.shape[1]

    def release(self) -> None:
        """The ocean runs the last weights, not their mean: the gradient is taken where it runs."""
        self.running.load_state_dict(self.network.state_dict())

    def state(self) -> dict[str, Any]:
        """See Weights."""
        return {**super().state(), "propagator": self.propagator.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """See Weights."""
        super().load(state)
        self.propagator.load_state_dict(state["propagator"])
