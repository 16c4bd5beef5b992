"""A bias correction of two layers as an ONNX artefact: output = gain * state + offset, per window or, forged, per second."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coupler.contract import KEY, Contract

WINDOW = 432000.0
FIELDS = {"u": ("m s-1", "U", 2), "v": ("m s-1", "V", 2), "h": ("m", "T", 2), "t": ("degC", "T", 1)}
MASKS = {"U": "umask", "V": "vmask", "T": "tmask"}
PER_SECOND = {"m s-1": "m s-2", "m": "m s-1", "degC": "degC s-1"}


def contract(kind="increment", units="state", conserve=False):
    """units: 'state' or 'rate', whatever the kind says."""
    outputs = []
    for name, (unit, point, levels) in FIELDS.items():
        made = unit if units == "state" else PER_SECOND[unit]
        outputs.append(
            {"name": f"d{name}_bias", "units": made, "point": point, "kind": kind, "levels": levels, "mask": MASKS[point]}
        )  # fmt: skip
    outputs[2]["conserve"] = "mass" if conserve else "none"
    states = [
        {"name": name, "units": unit, "point": point, "levels": levels, "level_axis": "channel"}
        for name, (unit, point, levels) in FIELDS.items()
    ]
    masks = [
        {"name": mask, "units": "1", "point": point, "levels": 1, "level_axis": "channel", "static": True}
        for point, mask in MASKS.items()
    ]
    document = {
        "name": "bias", "version": "1", "family": "test", "license": "MIT", "radius": 0, "dtype": "f4",
        "decomposition": "bitwise", "tensors": "stacked", "inputs": [*states, *masks], "outputs": outputs,
    }  # fmt: skip
    return Contract.from_dict(document | ({"window": WINDOW} if kind == "increment" else {}))


def write(path, agreed, gain=(0.0,) * 7, offset=(0.0,) * 7):
    """The file of a network whose seven outputs (u1 u2 v1 v2 h1 h2 t) are gain * state + offset."""
    constants = {"first": np.array([0]), "last": np.array([7]), "axis": np.array([1])}
    constants |= {
        "gain": np.array(gain, np.float32)[:, None, None],
        "offset": np.array(offset, np.float32)[:, None, None],
    }
    nodes = [
        helper.make_node("Slice", ["x", "first", "last", "axis"], ["s"]),
        helper.make_node("Mul", ["s", "gain"], ["g"]),
        helper.make_node("Add", ["g", "offset"], ["y"]),
    ]
    shapes = {"x": 10, "y": 7}
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, f"{n}j", f"{n}i"]) for n, c in shapes.items()]
    weights = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "bias", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, agreed.to_json()
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
