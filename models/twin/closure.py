"""A trained network as the closure of the twin: the same padding, fill and masks as in a coupled run."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.training.padding import Padding
from models.twin.state import Level, Tendency


class NetworkClosure(torch.nn.Module):
    """The now level to du, dv [m s-2]: what the coupler would send back.

    network: (n, c + m, J, I) to (n, 2 levels, ny, nx); names: its fields u, v, h, t in the order of its channels. States have
    one member axis in front.
    """

    def __init__(self, network: torch.nn.Module, padding: Padding, names: Sequence[str], levels: int) -> None:
        super().__init__()
        self.network, self.padding, self.names, self.levels = network, padding, tuple(names), levels

    def fields(self, now: Level) -> Tensor:
        """The channels (n, c, ny, nx) that the network reads."""
        return torch.cat([getattr(now, name) for name in self.names], dim=1)

    def forward(self, now: Level) -> Tendency:
        """See the class."""
        x = self.fields(now)
        answer = self.network(self.padding(x.float())).to(x.dtype)
        return Tendency(answer[:, : self.levels], answer[:, self.levels : 2 * self.levels])
