"""Export: a family's network to artefacts (ONNX, torch.export), the contract inside, measured before it is written."""

import importlib
import inspect
import io
import logging
import pkgutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import torch
import torch.fx.experimental._config as tracing
from torch.export import Dim, ExportedProgram

from coupler.contract import KEY, Contract, SelfTest
from coupler.engines.base import Engine
from coupler.engines.exported import ExportedEngine
from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import sample_inputs, self_test, with_stored
from coupler.errors import HaloclineError
from models import families
from models.onnx_tidy import name_axes, tidy
from models.radius import measure_radius

DTYPES = ("f8", "f4")
FORMATS = ("onnx", "pt2")


def export(
    family: str, out: Path, dtypes: Sequence[str] = DTYPES, formats: Sequence[str] = FORMATS, **coefficients: float
) -> list[Path]:
    """Write `family`_`dtype`.`format` into the folder `out`; returns the files, each loaded and self-tested.

    The radius is measured and must be the contract's; the decomposition is measured per format. Equal inputs and
    library versions give equal bytes. HaloclineError names what is not allowed, or what the measurement found.
    """
    for what, got, allowed in (("dtype", dtypes, DTYPES), ("format", formats, FORMATS)):
        for value in got:
            if value not in allowed:
                raise HaloclineError(f"{what} '{value}' is not known. Allowed: {', '.join(allowed)}.")
    module = _family(family)
    known = list(inspect.signature(module.network).parameters)
    for name in coefficients:
        if name not in known:
            raise HaloclineError(
                f"family '{family}' has no coefficient '{name}'. Allowed: {', '.join(known) or 'none'}."
            )
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for dtype in dtypes:
        network = module.network(**coefficients).to(torch.float64 if dtype == "f8" else torch.float32).eval()
        contract = module.contract(dtype, **coefficients)
        _check_radius(network, contract)
        contract = with_stored(contract, call(network, contract, sample_inputs(contract, _test(contract).shape)))
        program = trace(network, contract)
        for kind in formats:
            path = out / f"{family}_{dtype}.{kind}"
            path.write_bytes(_measured(program, contract, kind, path))
            files.append(path)
    return files


def call(network: torch.nn.Module, contract: Contract, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network in eager torch, arrays in, arrays out, by the contract's names."""
    with torch.inference_mode():
        results = network(*(torch.from_numpy(inputs[spec.name]) for spec in contract.inputs))
    return {spec.name: result.numpy() for spec, result in zip(contract.outputs, results, strict=True)}


def trace(network: torch.nn.Module, contract: Contract) -> ExportedProgram:
    """torch.export with dynamic k, J, I; without stack traces, example inputs and other traces of this machine."""
    inputs = sample_inputs(contract, _test(contract).shape)
    arguments = tuple(torch.from_numpy(inputs[spec.name]) for spec in contract.inputs)
    smallest = 2 * contract.radius + 1
    plane = {1: Dim("J", min=smallest), 2: Dim("I", min=smallest)}
    shapes = tuple(({0: Dim("k", min=1)} | plane) if spec.levels == "all" else plane for spec in contract.inputs)
    # backed_size_oblivious: a graph that also accepts one level and blocks of one row, which torch would exclude.
    with tracing.patch(backed_size_oblivious=True), _quiet():
        program = torch.export.export(network, arguments, dynamic_shapes=shapes)
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node"):
            node.meta.pop(key, None)
    return program


def onnx_graph(program: ExportedProgram, contract: Contract) -> onnx.ModelProto:
    """The tidied ONNX graph, without a contract."""
    inputs = sample_inputs(contract, _test(contract).shape)
    with _quiet():
        exported = torch.onnx.export(
            program,
            tuple(torch.from_numpy(inputs[spec.name]) for spec in contract.inputs),
            input_names=[spec.name for spec in contract.inputs],
            output_names=[spec.name for spec in contract.outputs],
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    if exported is None:
        raise HaloclineError(f"family '{contract.family}': torch made no ONNX graph. Export to pt2 instead.")
    model = tidy(exported.model_proto)
    name_axes(model, ("k", "J", "I"), ("k", "nj", "ni"))
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


def _measured(program: ExportedProgram, contract: Contract, kind: str, path: Path) -> bytes:
    if kind == "onnx":
        pack = partial(pack_onnx, onnx_graph(program, contract))
    else:
        pack = partial(pack_pt2, pt2_archive(program))
    found = self_test(_load(pack(contract), kind, path))
    data = pack(contract.model_copy(update={"decomposition": found}))
    if self_test(_load(data, kind, path)) != found:
        raise HaloclineError(f"{path}: two self-tests of one network differ. It is not deterministic: not exported.")
    return data


def _load(data: bytes, kind: str, path: Path) -> Engine:
    return OnnxEngine(data, path) if kind == "onnx" else ExportedEngine(data, path)


def _check_radius(network: torch.nn.Module, contract: Contract) -> None:
    side = 4 * contract.radius + 9

    def sample(seed: int) -> dict[str, np.ndarray]:
        fields = sample_inputs(contract, (1, side + 2 * seed, side + 2 * seed))
        return {name: np.ascontiguousarray(field[:, -side:, -side:]) for name, field in fields.items()}

    crop, reach = measure_radius(lambda fields: call(network, contract, fields), sample)
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
    known = sorted(entry.name for entry in pkgutil.iter_modules(families.__path__))
    if name not in known:
        raise HaloclineError(f"family '{name}' is not known. Allowed: {', '.join(known)}.")
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
