"""TorchScript artefacts (.pt), which torch has deprecated; kept for the networks that exist."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coupler.engines.torchbase import TorchEngine, check_order


class TorchScriptEngine(TorchEngine):
    """Runs a scripted or traced module; its optimising executor is off, which would recompile for every new shape."""

    name = "torchscript"
    what = "TorchScript"
    precisions = ("tf32",)  # autocast does nothing to a loaded module: measured, no bit differs

    def _load(self, data: bytes, path: Path) -> Callable[..., Any]:
        torch = self._torch
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(io.BytesIO(data), map_location=self.device).eval()
        check_order(self.contract, [a.name for a in module.forward.schema.arguments if a.name != "self"], path)
        if not self._on_gpu:
            module = module.to(memory_format=torch.channels_last)

        def call(*tensors: Any) -> Any:
            with torch.jit.optimized_execution(False):
                return module(*tensors)

        return call

    def _more_notes(self) -> tuple[str, ...]:
        return (
            "TorchScript is deprecated by torch and may not load in a later version: export the network to .onnx or .pt2",
        )
