"""A user's own networks: two 3 x 3 convolutions with a rectifier between them, radius 2, without a contract."""

import io
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from coupler.artefacts.onnx_file import metadata, with_metadata
from coupler.contract import KEY


def document(**changes):
    """What a user knows of such a network; the rest is measured."""
    base = {
        "name": "mine", "version": "1", "family": "conv", "license": "MIT", "dtype": "f4",
        "inputs": [{"name": "x", "units": "m s-1", "point": "T", "valid_range": [-1.0, 1.0]}],
        "outputs": [{"name": "y", "units": "m s-2", "point": "T", "bounds": [-10.0, 10.0]}],
    }  # fmt: skip
    return base | changes


def weights():
    draw = np.random.default_rng(3).normal(size=(54,)).astype("f4") / 3
    return draw[:27].reshape(3, 1, 3, 3), draw[27:].reshape(1, 3, 3, 3)


def onnx_net(pads=0, extra=(), sizes=("J", "I")):
    """y(k, J - 4, I - 4) of x(k, J, I); pads=1: as large as x. `extra`: further nodes, from `out` to `y`."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["x4"]),
        helper.make_node("Conv", ["x4", "w1"], ["a"], pads=[pads] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[pads] * 4),
        helper.make_node("Squeeze", ["c", "one"], ["out" if extra else "y"]),
        *extra,
    ]
    first, second = weights()
    constants = {"one": np.array([1], np.int64), "w1": first, "w2": second}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["k", *sizes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["k", *(sizes if pads else ("nj", "ni"))])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return model.SerializeToString()


def torch_net(kind):
    """The same network as the bytes of a .pt2 or .pt file."""
    import torch
    import torch.fx.experimental._config as tracing
    from torch.export import Dim

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (torch.nn.Parameter(torch.from_numpy(w)) for w in weights())

        def forward(self, x):
            hidden = torch.relu(torch.nn.functional.conv2d(x[:, None], self.first))
            return torch.nn.functional.conv2d(hidden, self.second)[:, 0]

    net, example, raw = Net().eval(), torch.zeros(2, 9, 11), io.BytesIO()
    if kind == "pt":
        torch.jit.save(torch.jit.script(net), raw)
        return raw.getvalue()
    sizes = {0: Dim("k", min=1), 1: Dim("J", min=5), 2: Dim("I", min=5)}
    with tracing.patch(backed_size_oblivious=True):
        program = torch.export.export(net, (example,), dynamic_shapes=(sizes,))
    torch.export.save(program, raw)
    return raw.getvalue()


def write(folder, data, changes=None, name="net.onnx"):
    """The files of a user: the network and its document; (path, document path)."""
    net, about = folder / name, folder / "contract.json"
    net.write_bytes(data)
    about.write_text(json.dumps(document(**(changes or {}))))
    return net, about


def with_contract(path, change, out):
    """`out`: the ONNX file `path` with its contract changed by `change(dict)`."""
    data = path.read_bytes()
    stored = json.loads(metadata(data, KEY))
    change(stored)
    out.write_bytes(with_metadata(data, KEY, json.dumps(stored)))
    return out
