"""Makes an exported ONNX graph small, fast on small blocks, and free of traces of the machine that made it."""

import numpy as np
import onnx
from onnx import numpy_helper


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Merge chains of slices, drop what is unused, rename values, strip comments; results keep their bits."""
    graph = model.graph
    _inline_constants(graph)
    _merge_slices(graph)
    _drop_unused(graph)
    _rename(graph)
    for thing in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        thing.ClearField("doc_string")
        thing.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("name")
    graph.ClearField("value_info")
    graph.name = "network"
    del model.functions[:]
    used = {node.domain for node in graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    return model


def name_axes(
    model: onnx.ModelProto, axes: tuple[str, ...], cropped: tuple[str, ...], fixed: tuple[str, ...] = ()
) -> None:
    """Names for the dynamic axes of inputs and outputs; fixed sizes stay, and all of the inputs `fixed`."""
    for values, names in ((model.graph.input, axes), (model.graph.output, cropped)):
        for value in (value for value in values if value.name not in fixed):
            for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
                if not dim.HasField("dim_value"):
                    dim.dim_param = name


def _inline_constants(graph: onnx.GraphProto) -> None:
    for node in [n for n in graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]:
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.node.remove(node)


def _merge_slices(graph: onnx.GraphProto) -> None:
    # torch slices one axis at a time: x[:, 1:-1, 1:-1] becomes two copies. A slice of a slice along other axes is one.
    values = {t.name: t for t in graph.initializer}
    names: dict[tuple[int, ...], str] = {}

    def constant(numbers: list[int]) -> str:
        key = tuple(numbers)
        if key not in names:
            names[key] = f"cut/{len(names)}"
            graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), names[key]))
        return names[key]

    known: dict[str, tuple[str, dict[int, tuple[int, int]]]] = {}
    for node in graph.node:
        if node.op_type != "Slice" or any(name not in values for name in node.input[1:]):
            continue
        starts, ends, axes, *steps = (numpy_helper.to_array(values[name]).tolist() for name in node.input[1:])
        if steps and set(steps[0]) != {1}:
            continue
        source, cuts = node.input[0], dict(zip(axes, zip(starts, ends, strict=True), strict=True))
        if source in known and not set(cuts) & set(known[source][1]) and min(*cuts, *known[source][1]) >= 0:
            source, earlier = known[source]
            cuts = {**earlier, **cuts}
        known[node.output[0]] = (source, cuts)
        order = sorted(cuts)
        del node.input[:]
        node.input.extend(
            [source, constant([cuts[a][0] for a in order]), constant([cuts[a][1] for a in order]), constant(order)]
        )


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    weights = sorted((t for t in graph.initializer if t.name in needed), key=lambda t: t.name)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def _rename(graph: onnx.GraphProto) -> None:
    fixed = {value.name for value in (*graph.input, *graph.output)}
    short: dict[str, str] = {}

    def rename(name: str) -> str:
        if not name or name in fixed:
            return name
        return short.setdefault(name, f"_{len(short)}")

    for tensor in graph.initializer:
        tensor.name = rename(tensor.name)
    for node in graph.node:
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
