"""What the engines that run on torch share. torch is imported when one is loaded, and never before."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from coupler.engines.arrays import Arrays, check_inputs
from coupler.engines.base import contract_in_zip
from coupler.engines.devices import torch_device
from coupler.engines.failures import load_failed, run_failed
from coupler.engines.precision import check_precision, error_note
from coupler.engines.selftest import Sample
from coupler.engines.tensors import Tensors
from coupler.errors import HaloclineError


class TorchEngine:
    """Runs a torch module: arrays in, arrays out.

    Stacked 4-D tensors are packed in channels_last on the CPU: oneDNN's order, with no copy between. The bits of a block
    are those of the whole where every convolution takes the same kernel: see exported.py; TorchScript cannot promise it.
    """

    name = "torch"
    what = "torch"
    precisions: tuple[str, ...] = ("tf32", "bf16", "fp16")
    layouts = True

    def __init__(
        self,
        data: bytes,
        path: Path,
        threads: int = 1,
        notes: tuple[str, ...] = (),
        *,
        device: str = "cpu",
        precision: str = "",
        local_rank: int = 0,
    ) -> None:
        """HaloclineError without torch, or if the file is damaged, has no contract or is not what the contract says."""
        self.contract = contract_in_zip(data, path)
        torch = self._torch = _torch(path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.threads, self.precision = threads, precision
        self.device, chosen = torch_device(device, local_rank, torch)
        self._on_gpu = self.device != "cpu"
        if self._on_gpu:  # deterministic cuBLAS; read when the GPU is first used
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        self._own_threads()
        library = self.library = f"torch {torch.__version__}"
        try:
            with never_pickle():
                self._module = self._load(data, path)
        except HaloclineError:
            raise
        except Exception as error:
            raise load_failed(self.contract, library, self.device, path, error) from None
        # bf16 runs on every CPU; float16 convolutions exist on few, tf32 on none.
        allowed = self.precisions if self._on_gpu else tuple(p for p in self.precisions if p == "bf16")
        check_precision(precision, self.contract, allowed, f"{self.what} on {self.device}")
        self._tensors = Tensors(self.contract, self._empty, channels_last=self.layouts and not self._on_gpu)
        self.notes = (*notes, *chosen, *self._more_notes())
        if precision:
            self.notes += (error_note(self.contract, precision, self._case(precision), self._case("")),)
        self.description = (
            f"{path.name}: {library} ({self.what}) on {self.device}, {precision or self.contract.dtype}, "
            f"{threads} thread(s)"
        )

    def run(
        self, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """See Engine.run. On the CPU named arrays share memory with torch: no copies."""
        shape = check_inputs(self.contract, inputs, noise, scalars)
        try:
            results = self._compute(inputs, noise, scalars, self.precision)
        except Exception as error:
            raise run_failed(self.contract, self.library, self.device, shape, error) from None
        return self._tensors.unpack(results, shape)

    def _compute(
        self, inputs: Arrays, noise: Arrays | None, scalars: Mapping[str, float] | None, precision: str
    ) -> list[np.ndarray]:
        try:
            return self._call(self._tensors.pack(inputs, noise, scalars), precision)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error) or not self._tensors.channels_last:
                raise
        self._tensors = Tensors(self.contract, self._empty)  # the graph has a `view`, which wants NCHW
        return self._call(self._tensors.pack(inputs, noise, scalars), precision)

    def _load(self, data: bytes, path: Path) -> Callable[..., Any]:
        """The callable that maps the graph's tensors to its results."""
        raise NotImplementedError

    def _more_notes(self) -> tuple[str, ...]:
        return ()

    def _call(self, arrays: Sequence[np.ndarray], precision: str) -> list[np.ndarray]:
        torch = self._torch
        tensors = [torch.from_numpy(array) for array in arrays]
        if self._on_gpu:
            tensors = [tensor.to(self.device, non_blocking=True) for tensor in tensors]
        return [result.cpu().numpy() for result in self._apply(tensors, precision)]

    def run_tensors(self, tensors: Sequence[Any]) -> list[Any]:
        """The graph on tensors that lie on `device`, in the order and layout of `Tensors.pack`; results stay there.

        On a GPU the work is only queued. Nothing is checked.
        """
        return self._apply(tensors, self.precision)

    @property
    def channels_last(self) -> bool:
        """True where stacked 4-D tensors are (n, J, I, c) in memory."""
        return self._tensors.channels_last

    def _apply(self, tensors: Sequence[Any], precision: str) -> list[Any]:
        self._own_threads()
        with self._torch.inference_mode(), self._arithmetic(precision):
            results = self._module(*tensors)
            results = results if isinstance(results, (tuple, list)) else (results,)
            return [result.float() if precision in ("bf16", "fp16") else result for result in results]

    def _arithmetic(self, precision: str) -> AbstractContextManager:
        """float32 as asked: torch's own default on a GPU is tf32 for convolutions."""
        torch = self._torch
        if self._on_gpu:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        if precision not in ("bf16", "fp16"):
            return nullcontext()
        kind = torch.bfloat16 if precision == "bf16" else torch.float16
        return torch.autocast(self.device.partition(":")[0], kind)

    def _own_threads(self) -> None:
        # The number belongs to the process: a network loaded later may have set another.
        if self._torch.get_num_threads() != self.threads:
            self._torch.set_num_threads(self.threads)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if not self._on_gpu:
            return np.empty(shape, dtype)
        kind = self._torch.float32 if dtype == np.float32 else self._torch.float64
        return self._torch.empty(shape, dtype=kind, pin_memory=True).numpy()

    def _case(self, precision: str) -> Callable[[Sample], dict[str, np.ndarray]]:
        def run(case: Sample) -> dict[str, np.ndarray]:
            shape = check_inputs(self.contract, *case)
            return self._tensors.unpack(self._compute(*case, precision), shape)

        return run


def check_order(contract: Any, names: Sequence[str], path: Path) -> None:
    """The graph's arguments against the contract: their number, and their order where it has the contract's names."""
    tensors = Tensors(contract).names(names[0] if names else "")
    if len(names) != len(tensors) or (set(names) == set(tensors) and list(names) != tensors):
        raise HaloclineError(
            f"{path}: the graph is not what its contract says: it takes {list(names)}, contract {tensors} (inputs, noise, "
            "scalars, in this order). Export the network again."
        )


def _torch(path: Path) -> ModuleType:
    try:
        import torch
    except ImportError:
        raise HaloclineError(
            f"{path}: a {path.suffix or 'torch'} artefact needs torch, which is not installed: "
            "`pip install halocline[train]`, or use the .onnx artefact of the same network."
        ) from None
    return torch


@contextmanager
def never_pickle() -> Iterator[None]:
    """Forbid what torch.export.load does with a member that is not plain tensors: a full unpickling."""
    key = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before
