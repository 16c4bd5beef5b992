"""Export: a family's network to artefacts (ONNX, torch.export, TorchScript), the contract inside, measured before it is written."""

import importlib
import inspect
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import torch
import torch.fx.experimental._config as tracing
from torch import Tensor
from torch.export import Dim, ExportedProgram

from coupler.artefacts.radius import block_case, measure_radius
from coupler.contract import KEY, Contract, SelfTest
from coupler.engines.base import Engine
from coupler.engines.exported import ExportedEngine
from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import sample_inputs, sample_scalars, self_test, with_stored
from coupler.engines.tensors import Tensors
from coupler.engines.torchscript import TorchScriptEngine
from coupler.errors import HaloclineError
from models.families.trainable import FAMILIES, INCREMENTS
from models.onnx_tidy import name_axes, tidy
from models.weights import read_weights

DTYPES = ("f8", "f4")
KNOWN = ("gz21", "zb20")  # from published weights, in closed form; the trained ones are FAMILIES
FORMATS = ("onnx", "pt2")  # what is written unless asked
ALL_FORMATS = (*FORMATS, "pt")
NO_F8 = {"Conv", "AveragePool", "Softplus", "Erf"}  # operators that onnxruntime has on the CPU in float32 only


def export(
    family: str, out: Path, dtypes: Sequence[str] = DTYPES, formats: Sequence[str] = FORMATS, **coefficients: float
) -> list[Path]:
    """Write `family`_`dtype`.`format` of a network in closed form into the folder `out`; see `write`.

    HaloclineError for a family or coefficient that does not exist, or a family whose weights come from a file.
    """
    module = _family(family)
    if hasattr(module, "WEIGHTS"):
        raise HaloclineError(f"family '{family}' needs trained weights. Use `halocline import {family} FILE`.")
    known = list(inspect.signature(module.network).parameters)
    for name in coefficients:
        if name not in known:
            raise HaloclineError(
                f"family '{family}' has no coefficient '{name}'. Allowed: {', '.join(known) or 'none'}."
            )
    return write(
        lambda dtype: (module.network(**coefficients), module.contract(dtype, **coefficients)), out, dtypes, formats
    )


def import_weights(
    family: str, path: Path, out: Path, dtypes: Sequence[str] = ("f4",), formats: Sequence[str] = FORMATS
) -> tuple[list[Path], bool]:
    """As `export`, for a family whose weights lie in `path`; also whether they are the published ones (sha256).

    HaloclineError if the family takes no weights, or names every entry in which the file differs from what it needs.
    """
    module = _family(family)
    if not hasattr(module, "WEIGHTS"):
        raise HaloclineError(f"family '{family}' has no weights. Use `halocline export {family}`.")
    weights, digest = read_weights(path, family, module.WEIGHTS)
    files = write(lambda dtype: (module.network(weights), module.contract(dtype, digest)), out, dtypes, formats)
    return files, digest == module.PUBLISHED


def write(
    build: Callable[[str], tuple[torch.nn.Module, Contract]], out: Path, dtypes: Sequence[str], formats: Sequence[str]
) -> list[Path]:
    """Write what `build(dtype)` gives into the folder `out`; returns the files, each loaded and self-tested.

    The radius is measured and must be the contract's; the decomposition is measured per format. Equal inputs and
    library versions give equal bytes. HaloclineError names what is not allowed, or what the measurement found.
    """
    for what, got, allowed in (("dtype", dtypes, DTYPES), ("format", formats, ALL_FORMATS)):
        for value in got:
            if value not in allowed:
                raise HaloclineError(f"{what} '{value}' is not known. Allowed: {', '.join(allowed)}.")
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for dtype in dtypes:
        network, contract = build(dtype)
        network = network.to(torch.float64 if dtype == "f8" else torch.float32).eval()
        _check_radius(network, contract)
        contract = with_stored(contract, call(network, contract, sample_inputs(contract, _test(contract).shape)))
        program = trace(network, contract)
        for kind in formats:
            path = out / f"{contract.family}_{dtype}.{kind}"
            path.write_bytes(_measured(network, program, contract, kind, path))
            files.append(path)
    return files


def call(network: torch.nn.Module, contract: Contract, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network in eager torch, arrays in, arrays out, by the contract's names."""
    radius, (k, nj, ni) = contract.radius, inputs[contract.inputs[0].name].shape
    with torch.inference_mode():
        results = network(*_tensors(contract, inputs))
    arrays = [result.numpy() for result in ([results] if contract.stacked else results)]
    return Tensors(contract).unpack(arrays, (k, nj - 2 * radius, ni - 2 * radius))


def _tensors(contract: Contract, inputs: Mapping[str, np.ndarray]) -> tuple[Tensor, ...]:
    """The graph's tensors, scalars those of the self-test."""
    return tuple(map(torch.from_numpy, Tensors(contract).pack(inputs, scalars=sample_scalars(contract))))


def _example(contract: Contract) -> tuple[Tensor, ...]:
    return _tensors(contract, sample_inputs(contract, _test(contract).shape))


def trace(network: torch.nn.Module, contract: Contract) -> ExportedProgram:
    """torch.export with dynamic k, J, I; without stack traces, example inputs and other traces of this machine."""
    smallest = 2 * contract.radius + 1
    if contract.stacked:
        shapes: tuple = ({0: Dim("k", min=1), 2: Dim("J", min=smallest), 3: Dim("I", min=smallest)},)
    else:
        plane = {1: Dim("J", min=smallest), 2: Dim("I", min=smallest)}
        shapes = tuple(({0: Dim("k", min=1)} | plane) if spec.levels == "all" else plane for spec in contract.inputs)
    shapes += (None,) * len(contract.scalars)  # (1,) each
    # backed_size_oblivious: a graph that also accepts one level and blocks of one row, which torch would exclude.
    with tracing.patch(backed_size_oblivious=True), _quiet():
        program = torch.export.export(network, _example(contract), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node"):
            node.meta.pop(key, None)
    return program


def onnx_graph(program: ExportedProgram, contract: Contract) -> onnx.ModelProto:
    """The tidied ONNX graph, without a contract."""
    if contract.stacked:
        names: tuple[list[str], list[str]] = ["inputs", *contract.scalars], ["outputs"]
        axes: tuple[tuple[str, ...], tuple[str, ...]] = ("k", "c", "J", "I"), ("k", "c", "nj", "ni")
    else:
        names = [*(spec.name for spec in contract.inputs), *contract.scalars], [spec.name for spec in contract.outputs]
        axes = ("k", "J", "I"), ("k", "nj", "ni")
    with _quiet():
        exported = torch.onnx.export(
            program,
            _example(contract),
            input_names=names[0],
            output_names=names[1],
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    if exported is None:
        raise HaloclineError(f"family '{contract.family}': torch made no ONNX graph. Export to pt2 instead.")
    model = tidy(exported.model_proto)
    lacking = sorted({node.op_type for node in model.graph.node} & NO_F8)
    if contract.dtype == "f8" and lacking:
        raise HaloclineError(
            f"family '{contract.family}': onnxruntime has no float64 {' or '.join(lacking)} on the CPU. Export it with dtype f4, "
            "or to pt2."
        )
    name_axes(model, *axes, fixed=contract.scalars)
    return model


def pack_onnx(model: onnx.ModelProto, contract: Contract) -> bytes:
    """The ONNX file as bytes, with `contract` as its only metadata."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, contract.to_json()
    return model.SerializeToString(deterministic=True)


def pt2_archive(program: ExportedProgram) -> dict[str, bytes]:
    """The members of the torch.export archive, without example inputs."""
    program._example_inputs = None
    raw = io.BytesIO()
    with _quiet():
        torch.export.save(program, raw, extra_files={f"{KEY}.json": ""})
    with zipfile.ZipFile(raw) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack_pt2(members: Mapping[str, bytes], contract: Contract) -> bytes:
    """The torch.export file as bytes: the contract inside, compressed (40 times smaller), fixed dates."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            content = contract.to_json() if name.endswith(f"extra/{KEY}.json") else data
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return packed.getvalue()


def pack_pt(network: torch.nn.Module, contract: Contract) -> bytes:
    """The TorchScript file as bytes: traced, the contract inside, without debug files (they name this machine's folders)."""
    raw, packed = io.BytesIO(), io.BytesIO()
    with _quiet(), torch.inference_mode():
        script = torch.jit.trace(network, _example(contract), check_trace=False)
        torch.jit.save(script, raw, _extra_files={f"{KEY}.json": contract.to_json()})
    with zipfile.ZipFile(raw) as archive, zipfile.ZipFile(packed, "w") as clean:
        for name in archive.namelist():
            if not name.endswith(".debug_pkl"):
                clean.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), archive.read(name), zipfile.ZIP_STORED)
    return packed.getvalue()


def _measured(network: torch.nn.Module, program: ExportedProgram, contract: Contract, kind: str, path: Path) -> bytes:
    if kind == "onnx":
        pack = partial(pack_onnx, onnx_graph(program, contract))
    elif kind == "pt":
        pack = partial(pack_pt, network)
    else:
        pack = partial(pack_pt2, pt2_archive(program))
    found = self_test(_load(pack(contract), kind, path))
    data = pack(contract.model_copy(update={"decomposition": found}))
    if self_test(_load(data, kind, path)) != found:
        raise HaloclineError(f"{path}: two self-tests of one network differ. It is not deterministic: not exported.")
    return data


def _load(data: bytes, kind: str, path: Path) -> Engine:
    engines: dict[str, Callable[[bytes, Path], Engine]]
    engines = {"onnx": OnnxEngine, "pt2": ExportedEngine, "pt": TorchScriptEngine}
    return engines[kind](data, path)


def _check_radius(network: torch.nn.Module, contract: Contract) -> None:
    crop, reach = measure_radius(
        lambda fields: call(network, contract, fields), lambda seed: block_case(contract, seed)[0]
    )
    if not crop == reach == contract.radius:
        raise HaloclineError(
            f"family '{contract.family}': the network crops {crop} cells on each side and reaches {reach}, its contract "
            f"says radius {contract.radius}. All three must agree: correct the contract, or the network's padding."
        )


def _test(contract: Contract) -> SelfTest:
    if contract.self_test is None:
        raise HaloclineError(f"family '{contract.family}': its contract has no self_test. State the test's inputs.")
    return contract.self_test


def _family(name: str) -> ModuleType:
    if name not in KNOWN and name in (*FAMILIES, *INCREMENTS):
        raise HaloclineError(
            f"family '{name}' is trained. Use `halocline train CFG` with cn_family = '{name}' in &namtrain."
        )
    if name not in KNOWN:
        raise HaloclineError(f"family '{name}' is not known. Allowed: {', '.join(KNOWN)}.")
    return importlib.import_module(f"models.families.{name}")


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporter warns about absent torchvision and about its own deprecations.
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
