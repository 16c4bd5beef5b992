"""The graph of an artefact without its contract: what a contract is measured from."""

import io
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coupler.errors import HaloclineError


def bare_graph(data: bytes, path: Path) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """The graph of a .onnx, .pt2 or .pt file as a function of its tensors, on the CPU. A torch file is trusted.

    HaloclineError where the library cannot load it, or fails on the tensors that are given.
    """
    try:
        call = _onnx(data) if path.suffix == ".onnx" else _torch(data)
    except Exception as error:
        raise HaloclineError(
            f"{path}: cannot be loaded ({_words(error)}). Export it again with this version."
        ) from None

    def run(tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
        try:
            return call(tensors)
        except Exception as error:
            shapes = ", ".join(str(tensor.shape) for tensor in tensors)
            raise HaloclineError(
                f"{path}: the graph fails on tensors {shapes} of {tensors[0].dtype}: {_words(error)}. Compare the contract's "
                "inputs, their order, dtype and `tensors` with the graph; the graph must take blocks of any size."
            ) from None

    return run


def torch_module(data: bytes) -> tuple[Any, bool]:
    """The module of a torch archive, and whether it keeps gradients: an AOTInductor package is compiled without."""
    import torch

    from coupler.engines.torchbase import never_pickle

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
    with never_pickle():
        if any("data/aotinductor/" in name for name in names):
            return torch._inductor.aoti_load_package(io.BytesIO(data)), False
        if any(name.endswith("/constants.pkl") for name in names):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                return torch.jit.load(io.BytesIO(data), map_location="cpu").eval(), True
        return torch.export.load(io.BytesIO(data)).module(check_guards=False), True


def _onnx(data: bytes) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda tensors: session.run(None, dict(zip(names, tensors, strict=True)))


def _torch(data: bytes) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    import torch

    module, _ = torch_module(data)

    def call(tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            results = module(*(torch.from_numpy(tensor) for tensor in tensors))
        return [result.numpy() for result in (results if isinstance(results, (tuple, list)) else (results,))]

    return call


def _words(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
