"""One small convolutional network in every kind of file, and graphs that multiply, for the tests of the engines."""

import io
import zipfile

import numpy as np
import torch
import torch.fx.experimental._config as tracing
from onnx import TensorProto, helper, numpy_helper
from torch.export import Dim

from coupler.contract import Contract
from coupler.engines.selftest import sample_inputs, with_stored

RULE = {"range": [-1.0, 1.0]}


def contract(dtype="f4", radius=2, **changes):
    """u, v to du, dv, all levels, stacked (k, 2, J, I)."""
    return Contract.from_dict(
        {
            "name": "conv", "version": "1", "family": "test", "license": "MIT", "radius": radius, "dtype": dtype,
            "decomposition": "bitwise", "tensors": "stacked",
            "inputs": [{"name": n, "units": "m s-1", "point": "T"} for n in "uv"],
            "outputs": [{"name": f"d{n}", "units": "m s-2", "point": "T"} for n in "uv"],
            "self_test": {"shape": [2, 3, 4], "inputs": dict.fromkeys("uv", RULE), "tolerance": 1e-5},
        } | changes
    )  # fmt: skip


class Conv(torch.nn.Module):
    """(k, 2, J, I) to (k, 2, J - 4, I - 4), with `width` channels between."""

    def __init__(self, width=4, padding=0):
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.Conv2d(2, width, 3, padding=padding)
        self.last = torch.nn.Conv2d(width, 2, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


def complete(network, document):
    """The contract with the stored outputs of the network."""
    inputs = sample_inputs(document, document.self_test.shape)
    with torch.inference_mode():
        result = network(torch.from_numpy(np.stack([inputs["u"], inputs["v"]], 1))).numpy()
    return with_stored(document, {"du": result[:, 0], "dv": result[:, 1]})


def traced(network, dtype=torch.float32):
    planes = {0: Dim("k", min=1), 2: Dim("J", min=5), 3: Dim("I", min=5)}
    with tracing.patch(backed_size_oblivious=True):
        return torch.export.export(network, (torch.zeros(2, 2, 9, 10, dtype=dtype),), dynamic_shapes=(planes,))


def with_member(data, document, name="extra/halocline.json"):
    """A torch archive with the contract as one more member."""
    raw = io.BytesIO(data)
    with zipfile.ZipFile(raw, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{root}/{name}", document.to_json())
    return raw.getvalue()


def packed(model, document):
    entry = model.metadata_props.add()
    entry.key, entry.value = "halocline", document.to_json()
    return model.SerializeToString()


def graph(nodes, inputs, outputs, weights=None, dtype=TensorProto.FLOAT):
    """An ONNX model; inputs and outputs are {name: shape}."""
    infos = [
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in part.items()]
        for part in (inputs, outputs)
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    model = helper.make_model(helper.make_graph(nodes, "g", *infos, constants), ir_version=10)
    model.opset_import[0].version = 17
    return model


def conv_onnx(network, pads=0, dtype=np.float32):
    """The ONNX graph of a Conv."""
    weights = {n.replace(".", "_"): p.detach().numpy().astype(dtype) for n, p in network.named_parameters()}
    nodes = [
        helper.make_node("Conv", ["x", "first_weight", "first_bias"], ["a"], pads=[pads] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "last_weight", "last_bias"], ["y"]),
    ]
    kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    return graph(nodes, {"x": ["k", 2, "J", "I"]}, {"y": ["k", 2, "nj", "ni"]}, weights, kind)


CALLABLE = """
import numpy as np
CONTRACT = {contract!r}
W = {weights!r}
def conv(x, weight, bias):
    weight, bias = np.array(weight, "f4"), np.array(bias, "f4")
    nj, ni = x.shape[2] - 2, x.shape[3] - 2
    y = sum(np.einsum("oc,kcji->koji", weight[:, :, j, i], x[:, :, j:j+nj, i:i+ni]) for j in range(3) for i in range(3))
    return y + bias[:, None, None]
def run(inputs):
    x = np.stack([inputs["u"], inputs["v"]], 1)
    y = conv(np.maximum(conv(x, W["first.weight"], W["first.bias"]), 0), W["last.weight"], W["last.bias"])
    return {{"du": np.ascontiguousarray(y[:, 0]), "dv": np.ascontiguousarray(y[:, 1])}}
"""


def write(kind, path, network=None, document=None):
    """The network as a file of `kind`: onnx, pt2, pt, py, aoti."""
    network = (network or Conv()).eval()
    document = document or complete(network, contract())
    if kind == "onnx":
        data = packed(conv_onnx(network), document)
    elif kind == "pt2":
        raw = io.BytesIO()
        torch.export.save(traced(network), raw, extra_files={"halocline.json": document.to_json()})
        data = raw.getvalue()
    elif kind == "pt":
        raw = io.BytesIO()
        module = torch.jit.trace(network, torch.zeros(2, 2, 9, 10))
        torch.jit.save(module, raw, _extra_files={"halocline.json": document.to_json()})
        data = raw.getvalue()
    elif kind == "aoti":
        package = torch._inductor.aoti_compile_and_package(
            traced(network), package_path=str(path), inductor_configs={"aot_inductor.check_lowerbound": False}
        )
        with open(package, "rb") as file:
            data = with_member(file.read(), document)
    else:
        weights = {name: p.detach().numpy().tolist() for name, p in network.named_parameters()}
        text = CALLABLE.format(contract=document.model_dump(mode="json", exclude_none=True), weights=weights)
        data = text.encode()
    path.write_bytes(data)
    return path


def loaded(data, **kwargs):
    """An OnnxEngine of bytes."""
    from pathlib import Path

    from coupler.engines.onnx import OnnxEngine

    return OnnxEngine(data if isinstance(data, bytes) else data.SerializeToString(), Path("net.onnx"), **kwargs)


def fields(names="uv", shape=(2, 12, 15), dtype="f4", seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name in names}
