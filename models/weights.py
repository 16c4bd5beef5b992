"""Published weights: read without running code from the file, and compared with what a family expects."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from coupler.errors import HaloclineError


def read_weights(path: Path, family: str, expected: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Tensor], str]:
    """The state dict in `path` and the file's sha256; `expected` maps every key to its shape.

    HaloclineError says what the file is, or lists every key that is missing, of another shape or type, or not known.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise HaloclineError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen classes for damaged files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise HaloclineError(
            f"{path}: torch reads no weights from it without running code that it may hold ({reason}). "
            f"Needed: a state dict of {family}, as torch.save(network.state_dict(), file) writes it. Copy the file again, "
            "or save the weights alone; pickled networks are never loaded."
        ) from None
    if not isinstance(found, Mapping):
        raise HaloclineError(
            f"{path} holds an object of type {type(found).__name__}, not a state dict (name -> tensor) of {family}. "
            "Save network.state_dict()."
        )
    problems = _differences(found, expected)
    if problems:
        shown = [*problems[:8], *([f"and {len(problems) - 8} more"] if len(problems) > 8 else [])]
        raise HaloclineError(
            f"{path} does not hold the weights of {family}:\n" + "\n".join(f"  {line}" for line in shown) + "\n"
            f"  It has {len(found)} entries, {family} needs {len(expected)}. Give the file of that network."
        )
    return {name: found[name] for name in expected}, digest


def _differences(found: Mapping, expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    lines = [f"'{name}' {_shape(shape)} is missing" for name, shape in expected.items() if name not in found]
    for name, shape in expected.items():
        value = found.get(name)
        if value is None:
            continue
        if not isinstance(value, Tensor):
            lines.append(f"'{name}' is of type {type(value).__name__}, needed a tensor {_shape(shape)}")
        elif tuple(value.shape) != shape:
            lines.append(f"'{name}' is {_shape(tuple(value.shape))}, needed {_shape(shape)}")
        elif value.dtype != torch.float32:
            lines.append(f"'{name}' is {value.dtype}, needed torch.float32; nothing is cast")
        elif not bool(torch.isfinite(value).all()):
            lines.append(f"'{name}' holds values that are not finite")
    return lines + [f"'{name}' is not known" for name in found if name not in expected]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
