"""torch.export artefacts (.pt2). torch is imported when one is loaded, and never before."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coupler.contract import KEY, Contract
from coupler.engines.base import check_inputs, check_outputs
from coupler.engines.onnx import from_channels, to_channels
from coupler.errors import HaloclineError


class ExportedEngine:
    """Runs the exported program eagerly, op by op, deterministic, on the CPU."""

    name = "exported"

    def __init__(self, data: bytes, path: Path, threads: int = 1, notes: tuple[str, ...] = ()) -> None:
        """HaloclineError without torch, or if the file is damaged or has no contract. Sets torch's thread number."""
        self.contract = _contract(data, path)
        try:
            import torch
        except ImportError:
            raise HaloclineError(
                f"{path}: a .pt2 artefact needs torch, which is not installed: `pip install halocline[train]`, "
                "or use the .onnx artefact of the same network."
            ) from None
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            program = torch.export.load(io.BytesIO(data))
            module = program.module(check_guards=False)  # run() checks the shapes
        except Exception as error:
            raise HaloclineError(
                f"{path}: torch {torch.__version__} cannot load this file ({type(error).__name__}: {str(error)[:200]}). "
                "Export the network again with this version."
            ) from None
        self._torch, self._module = torch, module
        self.threads, self.notes = threads, notes
        self.description = f"{path.name}: torch {torch.__version__} on CPU, {self.contract.dtype}, {threads} thread(s)"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Engine.run. Inputs and outputs share memory with torch: no copies."""
        shape = check_inputs(self.contract, inputs)
        torch = self._torch
        if self.contract.channels:
            tensors = [torch.from_numpy(to_channels(self.contract, inputs))]
        else:
            tensors = [torch.from_numpy(inputs[spec.name]) for spec in self.contract.inputs]
        try:
            with torch.inference_mode():
                results = self._module(*tensors)
        except Exception as error:
            raise HaloclineError(
                f"network '{self.contract.name}': torch failed on a block of {shape}: {str(error)[:200]}."
            ) from None
        results = results if isinstance(results, (tuple, list)) else (results,)
        arrays = [result.contiguous().numpy() for result in results]
        if self.contract.channels:
            outputs = from_channels(self.contract, arrays[0])
        else:
            outputs = dict(zip((out.name for out in self.contract.outputs), arrays, strict=False))
        check_outputs(self.contract, outputs, shape)
        return outputs


def _contract(data: bytes, path: Path) -> Contract:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith(f"extra/{KEY}.json")]
            text = archive.read(names[0]) if names else None
    except zipfile.BadZipFile:
        raise HaloclineError(
            f"{path}: not a torch.export file, or a damaged one. Copy it again and compare its sha256."
        ) from None
    if text is None:
        raise HaloclineError(
            f"{path}: no contract inside (no '{KEY}.json'). Export the network with `halocline export`."
        )
    return Contract.from_json(text, str(path))
