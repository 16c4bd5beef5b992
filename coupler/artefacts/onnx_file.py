"""An ONNX file as bytes: its metadata, its tensors, where its weights lie, and outputs cut by a few cells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coupler.artefacts.protobuf import entries, messages, text_entry
from coupler.errors import HaloclineError

# Numbers of fields in onnx.proto (IR version 3 and later): ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_TYPES = {1: "f4", 11: "f8"}
Tensor = tuple[str, str, tuple[int | str, ...]]  # name, type, shape


def metadata(data: bytes, key: str) -> bytes | None:
    """metadata_props[key]; None if there is none."""
    for entry in messages(data, _MODEL_METADATA):
        if next(messages(entry, 1), b"") == key.encode():
            return next(messages(entry, 2), b"")
    return None


def with_metadata(data: bytes, key: str, text: str | None) -> bytes:
    """The file with metadata_props[key] = text, in place of any that is there; None takes it out. Nothing else changes."""
    kept, place = [], 0
    for entry in entries(data):
        if entry.number == _MODEL_METADATA and isinstance(entry.value, bytes):
            if next(messages(entry.value, 1), b"") == key.encode():
                kept.append(data[place : entry.start])
                place = entry.stop
    kept.append(data[place:])
    if text is not None:
        kept.append(text_entry(_MODEL_METADATA, key.encode(), text.encode()))
    return b"".join(kept)


def refuse_external_data(data: bytes, path: Path) -> None:
    """HaloclineError if weights lie in a file beside: neither the hash nor the contract would guard them."""
    for graph in messages(data, _MODEL_GRAPH):
        for tensor in _weights(graph):
            if any(True for _ in messages(tensor, _TENSOR_EXTERNAL)):
                name = next(messages(tensor, _TENSOR_NAME), b"?").decode(errors="replace")
                raise HaloclineError(
                    f"{path}: the weights '{name}' lie in another file (ONNX external data), which a hash of this one does "
                    "not guard. Merge them: python -c \"import onnx; onnx.save(onnx.load('IN.onnx'), 'OUT.onnx')\"."
                )


def tensors(data: bytes, path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of the graph; dynamic sizes are names."""
    for graph in messages(data, _MODEL_GRAPH):
        weights = {next(messages(tensor, _TENSOR_NAME), b"") for tensor in messages(graph, _GRAPH_INITIALIZER)}
        inputs = [v for v in messages(graph, _GRAPH_INPUT) if next(messages(v, 1), b"") not in weights]
        return [_tensor(v) for v in inputs], [_tensor(v) for v in messages(graph, _GRAPH_OUTPUT)]
    raise HaloclineError(f"{path}: no graph inside. It is no ONNX model: copy it again.")


def crop_outputs(data: bytes, cells: int, path: Path) -> bytes:
    """The graph with `cells` cut from every side of the last two axes of each output.

    HaloclineError without the onnx package, or for a graph older than opset 10, where Slice took no inputs.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise HaloclineError(
            "--crop rewrites the graph with onnx, which is not installed: `pip install onnx`."
        ) from None
    import numpy as np

    model = onnx.load_from_string(data)
    opset = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    if opset < 10:
        raise HaloclineError(f"{path}: --crop needs opset 10 or later, the graph is of opset {opset}. Export it again.")
    graph = model.graph
    for name, numbers in (("from", [cells, cells]), ("to", [-cells, -cells]), ("axes", [-2, -1])):
        graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), f"halocline/{name}"))
    for output in graph.output:
        inner = f"halocline/{output.name}"
        _rename(graph, output.name, inner)
        limits = [f"halocline/{name}" for name in ("from", "to", "axes")]
        graph.node.append(onnx.helper.make_node("Slice", [inner, *limits], [output.name]))
        for dim, name in zip(output.type.tensor_type.shape.dim[-2:], ("nj", "ni"), strict=False):
            if dim.HasField("dim_value"):
                dim.dim_value -= 2 * cells
            else:
                dim.dim_param = name
    return model.SerializeToString(deterministic=True)


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for n, name in enumerate(names):
                if name == old:
                    names[n] = new


def _weights(graph: bytes) -> Iterator[bytes]:
    yield from messages(graph, _GRAPH_INITIALIZER)
    for node in messages(graph, _GRAPH_NODE):
        for attribute in messages(node, _NODE_ATTRIBUTE):
            for number in _ATTRIBUTE_TENSORS:
                yield from messages(attribute, number)
            for number in _ATTRIBUTE_GRAPHS:
                for inner in messages(attribute, number):
                    yield from _weights(inner)


def _tensor(value: bytes) -> Tensor:
    # ValueInfoProto: 1 name, 2 TypeProto: 1 tensor: 1 type, 2 shape: 1 dim: 1 size, 2 name.
    name = next(messages(value, 1), b"").decode(errors="replace")
    kind, shape = "?", []
    for described in messages(value, 2):
        for tensor in messages(described, 1):
            for entry in entries(tensor):
                if entry.number == 1 and isinstance(entry.value, int):
                    kind = _TYPES.get(entry.value, f"type {entry.value}")
            for dims in messages(tensor, 2):
                for dim in messages(dims, 1):
                    shape.append(_size(dim))
    return name, kind, tuple(shape)


def _size(dim: bytes) -> int | str:
    for entry in entries(dim):
        if entry.number == 1 and isinstance(entry.value, int):
            return entry.value
        if entry.number == 2 and isinstance(entry.value, bytes):
            return entry.value.decode(errors="replace")
    return "?"
