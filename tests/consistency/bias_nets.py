"""Bias corrections as Python files: increments from the state, from maps of their own, from the season; and ones that go wrong."""

import ast
import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from coupler.artefacts.onnx_file import with_metadata
from tests.consistency.networks import RATES, UV, field, network

NX, NY = 19, 15  # the grid of the tests' basin, with its rim of land
WINDOW = 432000.0  # 5 days
STEP = 2400.0
BIASES = ("du_bias", "dv_bias", "dh_bias", "dt_bias")
MAPS = [
    field("mig", "T", "1", levels=1, static=True, fill=1.0, valid_range=(1.0, float(NX))),
    field("mjg", "T", "1", levels=1, static=True, fill=1.0, valid_range=(1.0, float(NY))),
]
SEASON = f'"scalars": ["day_of_year"], "climatology": {{"harmonics": 1, "year_days": 360}}, "window": {WINDOW},'
LOOK_UP = [
    f"table = np.sin(1.0 + np.arange({NX * NY}.0)).reshape({NY}, {NX})",
    'place = table[inputs["mjg"].astype(int) - 1, inputs["mig"].astype(int) - 1]',
    'w = 2 * np.pi * (scalars["day_of_year"] - 0.5) / 360',
]


def increments(kind="increment", units=("m s-1", "m", "degC"), **more):
    """The four outputs; kind and units may be wrong."""
    h = {"conserve": "mass"} if kind == "increment" else {}
    return [
        field("du_bias", "U", units[0], kind=kind, vector_pair="dv_bias", **more),
        field("dv_bias", "V", units[0], kind=kind, vector_pair="du_bias", **more),
        field("dh_bias", "T", units[1], kind=kind, **h),
        field("dt_bias", "T", units[2], kind=kind, levels=1),
    ]


def bias(outputs=None, extra=SEASON, maps=MAPS, factor=1.0):
    """A state-dependent part of radius 2, a map, and the season; centimetres per second, metres, tenths of a degree."""
    return network(
        "bias",
        [*UV, field("h", "T", "m"), *maps],
        outputs or increments(),
        [
            *LOOK_UP,
            'wide = lambda x: x[:, :-4, 2:-2] + x[:, 4:, 2:-2] + x[:, 2:-2, :-4] + x[:, 2:-2, 4:] - 4 * inner(x, 2)',
            "place = inner(place, 2)",
            f'made = {{f"d{{n}}_bias": {factor} * 0.2 * wide(inputs[n]) for n in "uv"}}',
            'made["dh_bias"] = 0.02 * wide(inputs["h"]) + 1.0 * place',
            'made["dt_bias"] = 0.1 * place * np.cos(w)',
            "return made",
        ],
        radius=2,
        extra=extra,
    )  # fmt: skip


# A climatology alone: what it reads is static, and the day.
MEAN = network(
    "mean",
    MAPS,
    increments()[3:],
    [*LOOK_UP, 'return {"dt_bias": 0.1 * place * np.cos(w)}'],
    radius=0,
    extra=SEASON,
)

CLOSURE = network("closure", UV, RATES, ['return {"d" + n: 1e-6 * laplacian(inputs[n]) for n in "uv"}'])


def groups(networks=("closure", "bias"), often=3, seldom=12, lag=0, restart="", first="zero", record=False, bias=None):
    """Our groups: a closure every `often` steps, a bias correction every `seldom`, each with its own exchange to the ocean."""
    mine = {"cn_name": "bias", "cn_weights": ["dh_bias=e1t*e2t"], **(bias or {})}
    nets = {"closure": {"cn_name": "closure"}, "bias": mine, "mean": {"cn_name": "mean"}}
    into = {"bias": BIASES, "mean": BIASES[3:]}
    slow = next(name for name in networks if name != "closure")
    period = often if "closure" in networks else seldom
    tendency = {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"], "rn_period": often * STEP}
    return {
        "namcpl": {
            "rn_timeout": 30.0, "cn_python_allow": [f"{name}.py" for name in networks], "cn_rst_in": restart,
            "ln_record": record,
        },
        "namexc": [
            {"cn_name": "geometry", "cn_dir": "to_coupler", "ln_static": True,
             "cn_fields": ["tmask", "umask", "vmask", "mig", "mjg", "e1t", "e2t"]},
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v", "h"], "rn_period": period * STEP},
            *([tendency | {"nn_lag": lag, "cn_first": first}] if "closure" in networks else []),
            {"cn_name": "bias", "cn_dir": "to_ocean", "cn_fields": list(into[slow]), "rn_period": seldom * STEP,
             "nn_lag": lag, "cn_first": first},
        ],
        "namnet": [{"cn_artefact": f"{name}.py", **nets[name]} for name in networks],
        "namdiag": {"rn_diag": STEP},
    }  # fmt: skip


def graph_with_maps():
    """The bytes of an ONNX file: dt_bias = map(mjg, mig) cos(season), the map a constant that Gather looks up, in 32 bits."""
    table = (0.1 * np.sin(1.0 + np.arange(NX * NY))).astype("f4")
    constants = {"table": table, "one": np.float32(1), "ni": np.float32(NX), "half": np.float32(0.5),
                 "turn": np.float32(2 * np.pi / 360)}  # fmt: skip
    steps = [
        ("Sub", ["mjg", "one"], "row"), ("Mul", ["row", "ni"], "above"), ("Add", ["above", "mig"], "next"),
        ("Sub", ["next", "one"], "place"), ("Gather", ["table", "index"], "map"), ("Sub", ["day_of_year", "half"], "day"),
        ("Mul", ["day", "turn"], "angle"), ("Cos", ["angle"], "season"), ("Mul", ["map", "season"], "dt_bias"),
    ]  # fmt: skip
    nodes = [helper.make_node(kind, takes, [gives]) for kind, takes, gives in steps]
    nodes.insert(4, helper.make_node("Cast", ["place"], ["index"], to=TensorProto.INT64))
    plane = [1, "J", "I"]
    graph = helper.make_graph(
        nodes,
        "maps",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, plane) for name in ("mig", "mjg")]
        + [helper.make_tensor_value_info("day_of_year", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("dt_bias", TensorProto.FLOAT, plane)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    told = {
        "name": "mean", "version": "1", "family": "test", "license": "MIT", "radius": 0, "dtype": "f4",
        "decomposition": "bitwise", "window": WINDOW, "scalars": ["day_of_year"],
        "climatology": {"harmonics": 1, "year_days": 360.0},
        "inputs": [ast.literal_eval(entry) for entry in MAPS],
        "outputs": [ast.literal_eval(increments()[3])],
    }  # fmt: skip
    return with_metadata(model.SerializeToString(), "halocline", json.dumps(told))
