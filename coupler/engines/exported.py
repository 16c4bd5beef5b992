"""torch.export artefacts and AOTInductor packages, both .pt2."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from coupler.engines.devices import split
from coupler.engines.torchbase import TorchEngine, check_order
from coupler.errors import HaloclineError


class ExportedEngine(TorchEngine):
    """Runs an exported program eagerly, op by op, or an AOTInductor package as it was compiled; deterministic."""

    name = "exported"
    what = "torch.export"

    def _load(self, data: bytes, path: Path) -> Callable[..., Any]:
        compiled_for = _compiled_for(data)
        return self._program(data, path) if compiled_for is None else self._package(data, path, compiled_for)

    def _program(self, data: bytes, path: Path) -> Callable[..., Any]:
        torch = self._torch
        program = torch.export.load(io.BytesIO(data))
        if self._on_gpu:
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, self.device)
        check_order(self.contract, list(program.graph_signature.user_inputs), path)
        self._check_types(program, path)
        module = program.module(check_guards=False)  # run() checks the shapes
        if not self._on_gpu:
            module = module.to(memory_format=torch.channels_last)  # 4-D weights, once, not in every call
            if self.contract.dtype == "f4" and not self.precision and torch.backends.mkldnn.is_available():
                _one_kernel(torch, module)
        return module

    def _check_types(self, program: Any, path: Path) -> None:
        wanted = self._torch.float32 if self.contract.dtype == "f4" else self._torch.float64
        names = program.graph_signature.user_inputs
        for node in program.graph.nodes:
            found = node.meta.get("val")
            if node.name in names and hasattr(found, "dtype") and found.dtype != wanted:
                raise HaloclineError(
                    f"{path}: the graph is not what its contract says: input '{node.name}' is {found.dtype}, contract "
                    f"{self.contract.dtype}. Export the network again."
                )

    def _package(self, data: bytes, path: Path, compiled_for: str) -> Callable[..., Any]:
        self.what, self.precisions = "AOTInductor", ()
        self.layouts = False  # strides are compiled in: those of contiguous example inputs
        kind, index = split(self.device)
        if kind != compiled_for:
            raise HaloclineError(
                f"{path}: compiled for '{compiled_for}' by AOTInductor, cn_device = '{self.device}'. Set cn_device = "
                f"'{compiled_for}', or compile the network for '{kind}'."
            )
        # Read at the first call: sizes, strides and types are compared, where compiled code would read past the end.
        os.environ.setdefault("AOTI_RUNTIME_CHECK_INPUTS", "1")
        package = self._torch._inductor.aoti_load_package(io.BytesIO(data), device_index=index if self._on_gpu else -1)
        return package


def _one_kernel(torch: ModuleType, module: Any) -> None:
    """Convolutions by oneDNN whatever their size.

    torch itself takes another kernel for one sample of up to 20480 numbers (ConvParams::use_mkldnn in its Convolution.cpp),
    so that a block differs from the whole: measured 1e-7 to 5e-7 of the largest value in either memory order, and no bit
    once every convolution is oneDNN's. Not with autocast, which knows no mkldnn_convolution.
    """

    def convolve(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = (1,),
        padding: Any = (0,),
        dilation: Any = (1,),
        groups: int = 1,
    ) -> Any:
        n = weight.ndim - 2
        full = [list(size) * n if len(size) == 1 else list(size) for size in (padding, stride, dilation)]
        return torch.mkldnn_convolution(x, weight, bias, *full, groups)

    ops = torch.ops.aten
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in (ops.conv2d.default, ops.conv3d.default):
            node.target = convolve
    module.recompile()


def _compiled_for(data: bytes) -> str | None:
    """The device ('cpu', 'cuda') of an AOTInductor package; None for an exported program."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [name for name in archive.namelist() if "data/aotinductor/" in name]
        found = [json.loads(archive.read(name)) for name in members if name.endswith("_metadata.json")]
    if not members:
        return None
    return next((entry["AOTI_DEVICE_KEY"] for entry in found if "AOTI_DEVICE_KEY" in entry), "cpu")
