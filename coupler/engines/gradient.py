"""The reach of a torch network by its gradient: where d output at the centre / d input is not zero."""

from collections.abc import Callable

import numpy as np

from coupler.contract import Contract
from coupler.engines.bare import torch_module
from coupler.engines.selftest import Sample
from coupler.engines.tensors import Tensors


def gradient_reach(data: bytes, contract: Contract, case: Callable[[int], Sample], trials: int = 4) -> int | None:
    """Largest distance [cells] between the central output cell and an input cell that it depends on.

    `data` is a torch.export (.pt2) or TorchScript (.pt) file that the user trusts; `case(seed)` gives padded inputs and
    noise (k, J, I), and scalars. The output's channels are summed with different weights, so that they cannot cancel;
    several cases, since masks and rectifiers switch parts of the network off. None for a network that keeps no gradient:
    AOTInductor packages are compiled without one, and columns have no neighbours.
    """
    import torch

    module, differentiable = torch_module(data)
    if not differentiable or contract.level_axis == "vector":
        return None
    tensors = Tensors(contract)
    farthest = 0
    for seed in range(trials):
        given = [torch.from_numpy(np.array(array)) for array in tensors.pack(*case(seed))]
        planar = [tensor.requires_grad_() for tensor in given if tensor.ndim > 1]
        results = module(*given)
        total = torch.zeros(())
        for result in results if isinstance(results, (tuple, list)) else (results,):
            j, i = (n // 2 for n in result.shape[-2:])
            crop = (planar[0].shape[-2] - result.shape[-2]) // 2
            cell = result[..., j, i].flatten()
            total = total + (cell * torch.linspace(0.7, 1.3, cell.numel(), dtype=cell.dtype)).sum()
        if not total.requires_grad:
            return None
        for gradient in torch.autograd.grad(total, planar, allow_unused=True):
            if gradient is not None:
                jj, ii = np.nonzero((gradient.numpy() != 0).reshape(-1, *gradient.shape[-2:]).any(0))
                far = np.maximum(abs(jj - crop - j), abs(ii - crop - i))
                farthest = max(farthest, int(far.max(initial=0)))
    return farthest
