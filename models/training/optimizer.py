"""The optimiser of a training and the course of its rate, as Lightning takes them."""

import math
from typing import Any

import torch

from models.settings import NamTrain


def adamw(network: torch.nn.Module, train: NamTrain, steps: int) -> dict[str, Any]:
    """AdamW with rn_decay, and the rate rn_lr (1 + cos(pi step / steps)) / 2; steps: of the whole training."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=train.rn_lr, weight_decay=train.rn_decay)
    cosine = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}
