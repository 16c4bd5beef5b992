"""ONNX artefacts with onnxruntime, on the CPU or with the CUDA or TensorRT provider."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from coupler.contract import Contract
from coupler.engines.arrays import Arrays, check_inputs
from coupler.engines.base import contract_in_onnx
from coupler.engines.devices import PROVIDERS, onnx_device, split
from coupler.engines.failures import load_failed, run_failed
from coupler.engines.precision import check_precision, error_note
from coupler.engines.selftest import sample
from coupler.engines.tensors import Specs, Tensors, channels
from coupler.errors import HaloclineError

_TYPE = {"f4": "tensor(float)", "f8": "tensor(double)"}
_PRECISIONS = {"cpu": (), "cuda": ("tf32",), "tensorrt": ("tf32", "bf16", "fp16")}
_RANK = {"batch": 4, "channel": 4, "axis": 5, "vector": 2}
_LEVELS_AT = {"batch": 1, "channel": 1, "axis": 1, "vector": 1}
_PLANE_AT = {"batch": (2, 3), "channel": (2, 3), "axis": (3, 4), "vector": (0,)}


class OnnxEngine:
    """One session, one thread by default; the contract is read from metadata_props."""

    name = "onnx"

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
        """HaloclineError if the file is damaged, has no contract, or its graph is not what the contract says."""
        self.contract = contract_in_onnx(data, path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.threads, self.precision = threads, precision
        self.device, chosen = onnx_device(device, local_rank, ort)
        kind, index = split(self.device)
        check_precision(precision, self.contract, _PRECISIONS[kind], f"onnxruntime on {self.device}")
        if kind == "tensorrt" and not precision:
            raise HaloclineError(
                f"{path}: TensorRT computes in tf32 at best, never in {self.contract.dtype}. Set cn_precision = 'tf32', 'bf16' or "
                "'fp16' for a float32 network, or cn_device = 'cuda'."
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # ocean ranks share the cores
        # The pattern is one more block, as large as all tensors: GZ21 on 182 x 149 takes 58 MB with it and 50 without, at the
        # same speed; graphs of many small nodes are 8 % faster with it.
        options.enable_mem_pattern = not self.contract.stacked
        options.log_severity_level = 3
        self._library = f"onnxruntime {ort.__version__}"
        try:
            self._session = ort.InferenceSession(data, options, providers=providers(kind, index, precision))
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise load_failed(self.contract, self._library, self.device, path, error) from None
        if (
            PROVIDERS[kind] not in self._session.get_providers()
        ):  # onnxruntime itself falls back, with a line in its log
            raise HaloclineError(
                f"{path}: cn_device = '{device}', but onnxruntime fell back to {', '.join(self._session.get_providers())}: its "
                f"{PROVIDERS[kind]} did not start. Check the versions of CUDA and cuDNN that it needs (onnxruntime.ai, 'CUDA "
                "Execution Provider'), or set cn_device to 'cpu' or 'auto'."
            )
        self._check_graph(path)
        self._tensors = Tensors(self.contract)
        scalars = self.contract.scalars
        stack = next((node.name for node in self._session.get_inputs() if node.name not in scalars), "")
        self._feeds = self._tensors.names(stack)
        stacked = self.contract.stacked
        self._names = (
            [n.name for n in self._session.get_outputs()] if stacked else [o.name for o in self.contract.outputs]
        )
        self._bound = Bound(self._session, self._feeds, self._names, "cuda", index) if kind != "cpu" else None
        self.notes = (*notes, *chosen)
        if precision:
            plain = OnnxEngine(data, path, threads)
            self.notes += (
                error_note(self.contract, precision, lambda case: self.run(*case), lambda case: plain.run(*case)),
            )
        self.description = (
            f"{path.name}: {self._library} on {self.device}, {precision or self.contract.dtype}, {threads} thread(s)"
        )

    def run(
        self, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """See Engine.run."""
        shape = check_inputs(self.contract, inputs, noise, scalars)
        tensors = self._tensors.pack(inputs, noise, scalars)
        try:
            if self._bound is not None:
                results = self._bound.run(tensors)
            else:
                # I/O binding, bound anew or kept, gains nothing on the CPU (13 inputs of 54 x 54: 0.33 ms either way).
                results = self._session.run(self._names, dict(zip(self._feeds, tensors, strict=True)))
        except Exception as error:
            raise run_failed(self.contract, self._library, self.device, shape, error) from None
        return self._tensors.unpack(results, shape)

    def release(self) -> None:
        """Give back memory that calls on other shapes left behind: onnxruntime's arena keeps the largest of each."""
        if self._bound is not None:
            return
        inputs, noise, scalars = sample(self.contract, (1, 1, 1))
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        tensors = self._tensors.pack(inputs, noise, scalars)
        self._session.run(self._names, dict(zip(self._feeds, tensors, strict=True)), options)
        self._tensors = Tensors(self.contract)

    def _check_graph(self, path: Path) -> None:
        contract = self.contract
        roles: tuple[tuple[str, Sequence[Any], Specs, Sequence[str]], ...] = (
            ("input", self._session.get_inputs(), (*contract.inputs, *contract.noise), contract.scalars),
            ("output", self._session.get_outputs(), contract.outputs, ()),
        )
        for role, nodes, specs, extra in roles:
            problem = _compare(nodes, specs, extra, contract)
            if problem:
                raise HaloclineError(
                    f"{path}: the graph is not what its contract says: {role} {problem}. Export the network again."
                )


class Bound:
    """Tensors on the device, kept per shape: inputs are copied in once, outputs back once."""

    def __init__(self, session: Any, feeds: Sequence[str], names: Sequence[str], device: str, index: int) -> None:
        """feeds, names: inputs and outputs of the graph in the order of `run`; device, index: where its tensors lie."""
        self._session, self._feeds, self._names, self._device, self._index = session, feeds, names, device, index
        self._kept: dict[tuple, tuple[Any, list[Any]]] = {}

    def run(self, tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Results on the host."""
        key = tuple(tensor.shape for tensor in tensors)
        if key not in self._kept:
            if len(self._kept) == 4:  # a run uses one to four shapes; device memory is dear
                self._kept.clear()
            values = [ort.OrtValue.ortvalue_from_numpy(t, self._device, self._index) for t in tensors]
            binding = self._session.io_binding()
            for name, value in zip(self._feeds, values, strict=True):
                binding.bind_ortvalue_input(name, value)
            for name in self._names:
                binding.bind_output(name, self._device, self._index)
            self._kept[key] = binding, values
        else:
            for value, tensor in zip(self._kept[key][1], tensors, strict=True):
                value.update_inplace(tensor)
        binding = self._kept[key][0]
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()


def providers(kind: str, index: int, precision: str) -> list[Any]:
    """Providers of onnxruntime for a device; float32 stays float32, although tf32 is the CUDA provider's own default."""
    cuda = (
        PROVIDERS["cuda"],
        {
            "device_id": str(index),
            "use_tf32": str(int(precision == "tf32")),
            "arena_extend_strategy": "kSameAsRequested",
        },
    )
    cpu = PROVIDERS["cpu"]  # shapes and sizes are computed there; large operators are not, where the GPU has them
    if kind == "cpu":
        return [cpu]
    if kind == "cuda":
        return [cuda, cpu]
    switches = {"device_id": str(index)}
    if precision != "tf32":
        switches[f"trt_{precision}_enable"] = "True"
    return [(PROVIDERS["tensorrt"], switches), cuda, cpu]


def _compare(
    nodes: Sequence[Any],
    specs: Specs,
    scalars: Sequence[str],
    contract: Contract,
) -> str | None:
    """What differs, as the end of a sentence: names, type, rank, levels, and sizes that are fixed."""
    fields = [node for node in nodes if node.name not in scalars]
    axis = contract.level_axis
    if missing := sorted(set(scalars) - {node.name for node in nodes}):
        return f"names {sorted(node.name for node in nodes)}, contract has the scalar(s) {missing}"
    if contract.stacked:
        if len(fields) != 1:
            return f"tensors {[node.name for node in fields]}, one tensor of all channels needed"
        count = len(specs) if axis in ("batch", "axis") else channels(specs)
        wanted: list[tuple[Any, int, int, int | str]] = [(fields[0], _RANK[axis], _LEVELS_AT[axis], count)]
        plane = _PLANE_AT[axis]
    else:
        if sorted(node.name for node in fields) != sorted(spec.name for spec in specs):
            return f"names {sorted(node.name for node in fields)}, contract {sorted(spec.name for spec in specs)}"
        byname = {node.name: node for node in fields}
        wanted, plane = [(byname[spec.name], 3, 0, spec.levels) for spec in specs], (1, 2)
    for node in nodes:
        if node.type != _TYPE[contract.dtype]:
            return f"'{node.name}' is {node.type}, contract {contract.dtype}"
    for node, rank, at, levels in wanted:
        if len(node.shape) != rank:
            return f"'{node.name}' has rank {len(node.shape)}, needed {rank}"
        size = node.shape[at]
        if isinstance(size, int) and size != levels:
            return f"'{node.name}' has {size} level(s) or channel(s), contract {levels}"
        if fixed := [node.shape[axis] for axis in plane if isinstance(node.shape[axis], int)]:
            return f"'{node.name}' has fixed sizes {fixed} along j or i, but blocks have many sizes; make these axes dynamic"
    return None
