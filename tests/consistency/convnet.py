"""A convolutional network of radius 10 on three levels of u and v, as an ONNX artefact with random weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coupler.contract import KEY, Contract

KERNELS = (5, 5, 3, 3, 3, 3, 3, 3)  # radii 2 + 2 + 6 x 1 = 10
WIDTH, LEVELS = 6, 3


def contract():
    common = {"units": "m s-1", "levels": LEVELS, "level_axis": "channel"}
    return Contract.from_dict(
        {
            "name": "convnet", "version": "1", "family": "test", "license": "MIT", "radius": 10, "dtype": "f4",
            "decomposition": "bitwise",
            "inputs": [
                {"name": "u", "point": "U", "vector_pair": "v", **common},
                {"name": "v", "point": "V", "vector_pair": "u", **common},
            ],
            "outputs": [{"name": f"d{n}", "units": "m s-2", "point": n.upper(), "levels": LEVELS} for n in "uv"],
        }
    )  # fmt: skip


def write(path):
    """Eight valid convolutions with ReLU between, 2 LEVELS channels in and out; outputs of order 1e-7 m s-2."""
    rng = np.random.default_rng(10)
    nodes, weights, name, channels = [], [], "x", 2 * LEVELS
    for n, size in enumerate(KERNELS):
        last = n == len(KERNELS) - 1
        out = 2 * LEVELS if last else WIDTH
        scale = 1e-7 if last else 1.0
        kernel = rng.normal(size=(out, channels, size, size)) * scale / np.sqrt(channels * size * size)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{n}"))
        bias = rng.normal(size=out) * 0.1 * scale
        weights.append(numpy_helper.from_array(bias.astype(np.float32), f"b{n}"))
        result = "y" if last else f"c{n}"
        nodes.append(helper.make_node("Conv", [name, f"w{n}", f"b{n}"], [result]))
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"r{n}"]))
        name, channels = f"r{n}", out
    shapes = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2 * LEVELS, f"{n}j", f"{n}i"]) for n in "xy"]
    graph = helper.make_graph(nodes, "convnet", shapes[:1], shapes[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, contract().to_json()
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
