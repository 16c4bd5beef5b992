"""ONNX artefacts on the CPU with onnxruntime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from coupler.contract import KEY, Contract, InputSpec, OutputSpec
from coupler.engines.base import check_inputs, check_outputs
from coupler.errors import HaloclineError

_TYPE = {"f4": "tensor(float)", "f8": "tensor(double)"}


class OnnxEngine:
    """One session, one thread by default; the contract is read from metadata_props."""

    name = "onnx"

    def __init__(self, data: bytes, path: Path, threads: int = 1, notes: tuple[str, ...] = ()) -> None:
        """HaloclineError if the file is damaged, has no contract, or its graph is not what the contract says."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # ocean ranks share the cores
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise HaloclineError(
                f"{path}: onnxruntime cannot load this file ({_first_line(error)}). It is damaged, or no ONNX file: "
                "copy it again and compare its sha256."
            ) from None
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise HaloclineError(
                f"{path}: no contract inside (metadata_props has no '{KEY}'). Export the network with `halocline export`."
            )
        self.contract = Contract.from_json(text, str(path))
        self.threads, self.notes = threads, notes
        self._check_graph(path)
        self._names = [node.name for node in self._session.get_outputs()]
        self.description = (
            f"{path.name}: onnxruntime {ort.__version__} on CPU, {self.contract.dtype}, {threads} thread(s)"
        )

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Engine.run."""
        shape = check_inputs(self.contract, inputs)
        feed: Mapping[str, np.ndarray] = inputs
        if self.contract.channels:
            feed = {self._session.get_inputs()[0].name: to_channels(self.contract, inputs)}
        try:
            # IOBinding, bound anew or kept, gains nothing at 13 inputs of 54 x 54 (0.33 ms either way, one thread).
            results = self._session.run(self._names, feed)
        except Exception as error:
            raise HaloclineError(
                f"network '{self.contract.name}': onnxruntime failed on a block of {shape}: {_first_line(error)}."
            ) from None
        if self.contract.channels:
            outputs = from_channels(self.contract, results[0])
        else:
            outputs = dict(zip(self._names, results, strict=True))
        check_outputs(self.contract, outputs, shape)
        return outputs

    def _check_graph(self, path: Path) -> None:
        for role, nodes, specs in (
            ("input", self._session.get_inputs(), self.contract.inputs),
            ("output", self._session.get_outputs(), self.contract.outputs),
        ):
            problem = _compare(nodes, specs, self.contract)
            if problem:
                raise HaloclineError(
                    f"{path}: the graph is not what its contract says: {role} {problem}. Export the network again."
                )


def _compare(nodes: Sequence[Any], specs: Sequence[InputSpec | OutputSpec], contract: Contract) -> str | None:
    if contract.channels:
        if len(nodes) != 1:
            return f"tensors {[node.name for node in nodes]}, one tensor of all channels needed"
        shapes: list[tuple[Any, int, int, int | str]] = [(nodes[0], 4, 1, sum(int(spec.levels) for spec in specs))]
    else:
        if sorted(node.name for node in nodes) != sorted(spec.name for spec in specs):
            return f"names {sorted(node.name for node in nodes)}, contract {sorted(spec.name for spec in specs)}"
        byname = {node.name: node for node in nodes}
        shapes = [(byname[spec.name], 3, 0, spec.levels) for spec in specs]
    for node, rank, axis, levels in shapes:
        if node.type != _TYPE[contract.dtype]:
            return f"'{node.name}' is {node.type}, contract {contract.dtype}"
        if len(node.shape) != rank:
            return f"'{node.name}' has rank {len(node.shape)}, needed {rank}"
        size = node.shape[axis]
        if isinstance(size, int) and size != levels:
            return f"'{node.name}' has {size} level(s), contract {levels}"
    return None


def to_channels(contract: Contract, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """One tensor (1, channel, j, i): inputs in the contract's order, then levels."""
    return np.concatenate([inputs[spec.name] for spec in contract.inputs])[None]


def from_channels(contract: Contract, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """Views (k, j, i) of a tensor (1, channel, j, i): outputs in the contract's order, then levels."""
    outputs, start = {}, 0
    for out in contract.outputs:
        stop = start + int(out.levels)
        outputs[out.name] = tensor[0, start:stop]
        start = stop
    if tensor.shape[:2] != (1, start):
        raise HaloclineError(
            f"network '{contract.name}' returned {tensor.shape}, its contract says (1, {start}, nj, ni). Export it again."
        )
    return outputs


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
