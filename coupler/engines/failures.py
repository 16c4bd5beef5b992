"""What the exceptions of onnxruntime and torch mean, in words."""

import re

from coupler.contract import Contract
from coupler.errors import HaloclineError

_MEMORY = re.compile(r"bad.?alloc|out of memory|failed to allocate|can't allocate|not enough memory", re.IGNORECASE)
_NO_KERNEL = re.compile(r"could not find an implementation for (\w+)|\"(\w+)\" not implemented for", re.IGNORECASE)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most 200 characters."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def run_failed(
    contract: Contract, library: str, device: str, shape: tuple[int, int, int], error: BaseException
) -> HaloclineError:
    """The error of a network that failed on a block whose output is `shape` (k, nj, ni)."""
    what = f"network '{contract.name}': {library}"
    if is_memory(error):
        return HaloclineError(
            f"{what} is out of memory on {device} for a block of {shape} with a radius of {contract.radius}. Set rn_maxmem "
            "[MB] in its &namnet, which cuts the block into tiles, or use more coupler ranks."
        )
    if (op := missing_op(error)) is not None:
        return HaloclineError(f"{what} has no {op} for {contract.dtype} on {device}. {_other(contract)}")
    return HaloclineError(
        f"{what} failed on {device} on a block of {shape}: {first_line(error)}. If its message names a shape, the graph has "
        "fixed sizes: export it with dynamic axes (`halocline export` does)."
    )


def load_failed(contract: Contract, library: str, device: str, path: object, error: BaseException) -> HaloclineError:
    """The error of a file that a library cannot load."""
    if is_memory(error):
        return HaloclineError(
            f"{path}: {library} is out of memory on {device} while it loads this file. Use a device with more memory, or fewer "
            "networks."
        )
    if (op := missing_op(error)) is not None:
        return HaloclineError(f"{path}: {library} has no {op} for {contract.dtype} on {device}. {_other(contract)}")
    return HaloclineError(
        f"{path}: {library} cannot load this file ({first_line(error)}). It is damaged, or made for another version: copy it "
        "again and compare its sha256, or export the network again."
    )


def is_memory(error: BaseException) -> bool:
    """True for MemoryError, torch's OutOfMemoryError, and what C++ libraries say when an allocation fails."""
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or bool(_MEMORY.search(str(error)))


def missing_op(error: BaseException) -> str | None:
    """The operator that the library lacks in this type, if that is what went wrong."""
    found = _NO_KERNEL.search(str(error))
    return next(name for name in found.groups() if name) if found else None


def _other(contract: Contract) -> str:
    if contract.dtype == "f8":
        return "Export the network as float32 (dtype f4), or run its .pt2 file."
    return "Run the .pt2 file of the same network, or leave cn_precision out."
