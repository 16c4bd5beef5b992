"""Checkpoints: written aside and renamed, read without running code, refused where the training is another one."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from coupler.errors import HaloclineError

LAST, BEST = "last.ckpt", "best.ckpt"


class CheckpointFiles(TorchCheckpointIO):
    """torch.save to PATH.part, then a rename: a kill leaves the old file whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See the class; HaloclineError when the disk refuses."""
        part = Path(f"{path}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            torch.save(checkpoint, part)
            os.replace(part, path)
        except (OSError, RuntimeError) as error:  # torch gives a full disk as RuntimeError
            part.unlink(missing_ok=True)
            raise HaloclineError(f"cannot write the checkpoint {path}: {error}. Make room; then run again.") from None


def read(path: Path) -> dict[str, Any]:
    """A checkpoint as tensors and plain values. HaloclineError for a file that holds anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip and runtime errors alike
        raise HaloclineError(
            f"{path} is no checkpoint of a training ({type(error).__name__}). Remove it, or add --overwrite."
        ) from None


def weights(path: Path) -> dict[str, torch.Tensor]:
    """The network's weights in a checkpoint: the averaged ones where rn_ema is set."""
    prefix = "network."
    state = read(path)["state_dict"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def check_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """Refuse to go on from a training with other switches or data: HaloclineError names what differs."""
    found = read(path).get("recipe", {})
    differ = [key for key in recipe if found.get(key) != recipe[key]]
    if differ:
        lines = "\n".join(f"  {key}: {found.get(key)!r} there, {recipe[key]!r} now" for key in differ)
        raise HaloclineError(
            f"{path} belongs to another training:\n{lines}\n"
            "  Give another folder (--rundir, or --out of `halocline qg`), or add --overwrite to begin anew."
        )
