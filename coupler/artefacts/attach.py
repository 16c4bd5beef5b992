"""A contract into a user's own network: checked against measurements, completed by them, written beside the original."""

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from coupler.artefacts.onnx_file import crop_outputs, metadata, refuse_external_data, tensors, with_metadata
from coupler.artefacts.radius import acts_everywhere, engine_reach
from coupler.contract import KEY, SCHEMA, Contract, upgraded
from coupler.engines.bare import bare_graph
from coupler.engines.base import Engine, load_engine
from coupler.engines.selftest import sample, self_test, with_stored
from coupler.engines.tensors import Tensors
from coupler.errors import HaloclineError

SUFFIXES = (".onnx", ".pt2", ".pt")
SIDE = 151  # cells: of the block whose crop is measured, so that a radius up to 75 is seen
SHAPE = (2, 5, 6)  # (k, nj, ni) of the stored outputs
TOLERANCE = {"f8": 1e-12, "f4": 1e-5}
_SCALAR_RANGES = {"kt": [1.0, 1000.0], "seconds_of_day": [0.0, 86400.0], "day_of_year": [1.0, 366.0]}


def attach(
    path: Path,
    document: Path,
    out: Path | None = None,
    crop: int = 0,
    replace: bool = False,
    console: Console | None = None,
) -> Path:
    """Write `path` with the contract of the JSON file `document` inside to `out`; returns that path.

    `document` may leave out radius [cells], decomposition and the self-test: they are measured, by running the network (a
    torch file is trusted). What it states must be what is measured. `crop` cuts so many cells from every side of the
    outputs of an ONNX graph that pads itself. `replace`: overwrite `out`, and a contract that is inside.
    HaloclineError for every disagreement, for a file that holds a contract already, and for an `out` that exists.
    """
    console = console or Console()
    if path.suffix not in SUFFIXES:
        raise HaloclineError(
            f"{path}: a contract can be attached to {', '.join(SUFFIXES)}. A Python file states its own: a dict CONTRACT."
        )
    out = out or path.with_name(f"{path.stem}.halocline{path.suffix}")
    if out.suffix != path.suffix:
        raise HaloclineError(
            f"{out}: the suffix tells the engine, so it must stay '{path.suffix}'. Choose another name."
        )
    if not out.parent.is_dir():
        raise HaloclineError(
            f"there is no folder {out.parent} for {out.name}. Make it, or choose another name with --out."
        )
    if out.exists() and not replace:
        raise HaloclineError(f"{out} exists already. Choose another name with --out, or give --replace.")
    data, wanted = _read(path), _document(document)
    if has_contract(data, path) and not replace:
        raise HaloclineError(f"{path}: a contract is inside already (`halocline inspect {path}`). Give --replace.")
    if path.suffix == ".onnx":
        refuse_external_data(data, path)
    if crop:
        if path.suffix != ".onnx":
            raise HaloclineError(f"{path}: --crop rewrites ONNX graphs only. Crop in the code, and export it again.")
        data = crop_outputs(data, crop, path)
        wanted = {**wanted, "edges": "not exact"}
    contract = measured(data, path, wanted, str(document))
    try:
        out.write_bytes(packed(data, contract, path))
    except OSError as error:
        raise HaloclineError(f"cannot write {out}: {error.strerror}. Choose another place with --out.") from None
    for line in (
        f"radius {contract.radius} cells, {contract.decomposition}, edges {contract.edges}",
        f"written: {out}, {out.stat().st_size} bytes. Look at it: halocline inspect --verify {out}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return out


def packed(data: bytes, contract: Contract, path: Path) -> bytes:
    """The file's bytes with the contract inside: metadata_props of ONNX, extra/halocline.json of torch's archives."""
    if path.suffix == ".onnx":
        return with_metadata(data, KEY, contract.to_json())
    # Appended at the end, so that no other member moves: torch aligns the weights. Fixed date: equal input, equal bytes.
    raw = io.BytesIO(data if not has_contract(data, path) else _without_contract(data))
    with zipfile.ZipFile(raw, "a") as archive:
        folder = archive.namelist()[0].split("/", 1)[0]
        entry = zipfile.ZipInfo(f"{folder}/extra/{KEY}.json", (1980, 1, 1, 0, 0, 0))
        archive.writestr(entry, contract.to_json())
    return raw.getvalue()


def has_contract(data: bytes, path: Path) -> bool:
    """Whether the file holds a contract, valid or not; HaloclineError if it is no such file."""
    try:
        if path.suffix == ".onnx":
            return metadata(data, KEY) is not None
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith(f"extra/{KEY}.json") for name in archive.namelist())
    except zipfile.BadZipFile:
        raise HaloclineError(f"{path}: not a file of torch, or a damaged one. Copy it again.") from None
    except HaloclineError as error:
        raise HaloclineError(f"{path}: {error}") from None


def measured(data: bytes, path: Path, wanted: Mapping[str, Any], where: str) -> Contract:
    """The contract of `wanted`, completed by radius, decomposition, and the self-test's inputs and outputs.

    HaloclineError where `wanted` states another value than was measured, or the graph can not be run on blocks.
    """
    stated = upgraded(wanted, where)
    test = dict(stated.get("self_test") or {})
    stored = test.pop("outputs", None)
    test.setdefault("shape", SHAPE)
    test.setdefault("tolerance", TOLERANCE.get(stated.get("dtype", ""), 1e-5))
    draft = {"radius": 0, "decomposition": "round-off", **stated, "self_test": None}
    ranges = _ranges(Contract.from_dict(draft, where), dict(test.get("inputs") or {}), where)
    draft["self_test"] = test | {"inputs": ranges}
    contract = Contract.from_dict(draft, where)

    cells = _crop(data, path, contract)
    if "radius" in stated and stated["radius"] != cells:
        raise HaloclineError(
            f"{where}: radius is {stated['radius']}, but the graph of {path} crops {cells} cells on each side. "
            f"Write {cells}, or leave it out."
        )
    contract = contract.model_copy(update={"radius": cells})
    engine = _loaded(data, path, contract)
    reach = max(engine_reach(engine)[1].values(), default=0)
    if reach > cells and acts_everywhere(engine):
        raise HaloclineError(
            f"{path}: an input acts over the whole field, however large: the graph has a global operation (a mean over rows and "
            "columns, attention, batch statistics). It has no radius and depends on how the field is cut; --crop does not help. "
            "Export it without that operation, or let the ocean send its result as a field."
        )
    if reach > cells:
        raise HaloclineError(
            f"{path}: the graph crops {cells} cells on each side, but an input acts over {reach} or more: it pads inside. "
            "Export it without padding ('valid' convolutions), or cut the cells that padding reaches: "
            f"--crop R, R the sum of (kernel - 1) / 2 over its layers (at least {reach})."
        )
    outputs = engine.run(*sample(contract))
    bad = sorted(name for name, field in outputs.items() if not np.isfinite(field).all())
    if bad:
        raise HaloclineError(
            f"{path}: outputs {bad} of the self-test are not finite. Correct self_test.inputs in {where}."
        )
    contract = with_stored(contract, outputs)
    if stored:
        document = contract.model_dump()
        contract = Contract.from_dict(document | {"self_test": document["self_test"] | {"outputs": stored}}, where)
    found = self_test(_loaded(data, path, contract))
    if stated.get("decomposition") == "bitwise" and found != "bitwise":
        raise HaloclineError(f"{where}: decomposition is 'bitwise', measured: '{found}'. Write that, or leave it out.")
    return contract.model_copy(update={"decomposition": stated.get("decomposition", found)})


def template(path: Path) -> str:
    """A contract document to fill in, from the inputs and outputs of an ONNX graph; '?' stands where only you know."""
    if path.suffix != ".onnx":
        raise HaloclineError(
            f"{path}: only an ONNX graph names its tensors. Start from the schema: `halocline inspect --schema`."
        )
    data = _read(path)
    has_contract(data, path)  # in words, if it is damaged
    inputs, outputs = tensors(data, path)
    for name, kind, shape in (*inputs, *outputs):
        if len(shape) not in (1, 3) or kind not in ("f4", "f8"):
            raise HaloclineError(
                f"{path}: tensor '{name}' is {kind} of {shape}. A template needs fields (k, J, I) in f4 or f8; for one "
                "tensor of all fields, list them as inputs and outputs with tensors: 'stacked'."
            )
    field = {"units": "?", "point": "T"}
    skeleton = {
        "schema_version": SCHEMA, "name": path.stem, "version": "1", "family": "?", "license": "?", "citation": "",
        "inputs": [{"name": n, **field, **_levels(shape), "valid_range": [-1.0, 1.0]} for n, _, shape in inputs if len(shape) == 3],
        "outputs": [{"name": n, **field, **_levels(shape), "kind": "tendency"} for n, _, shape in outputs],
        "scalars": [n for n, _, shape in inputs if len(shape) == 1],
        "dtype": outputs[0][1],
    }  # fmt: skip
    return json.dumps(skeleton, indent=1) + "\n"


def _levels(shape: tuple[int | str, ...]) -> dict[str, int]:
    return {"levels": shape[0]} if isinstance(shape[0], int) else {}


def _crop(data: bytes, path: Path, contract: Contract) -> int:
    """Cells that every output of the graph lacks on each side; 0 for columns."""
    if contract.level_axis == "vector":
        return 0
    side, bare = SIDE, contract.model_copy(update={"radius": 0})
    results = bare_graph(data, path)(Tensors(bare).pack(*sample(bare, (1, side, side + 2))))
    crops = {side + offset - size for result in results for offset, size in zip((0, 2), result.shape[-2:], strict=True)}
    if len(crops) != 1 or min(crops) % 2 or min(crops) < 0:
        raise HaloclineError(
            f"{path}: fields of {side} x {side + 2} cells come out as {[result.shape for result in results]}. Every output "
            "must lack the same number of cells on each side, the radius: export the graph so."
        )
    return crops.pop() // 2


def _ranges(contract: Contract, given: dict[str, Any], where: str) -> dict[str, Any]:
    masks = {out.mask for out in contract.outputs}
    for spec in contract.inputs:
        if spec.name in given:
            continue
        if spec.name in masks:
            given[spec.name] = {"values": [0.0, 1.0, 1.0]}
        elif spec.percentiles or spec.valid_range:
            given[spec.name] = {"range": list(spec.percentiles or spec.valid_range or ())}
        else:
            raise HaloclineError(
                f"{where}: nothing says what values input '{spec.name}' [{spec.units}] takes, and the self-test needs some. "
                f'Add its percentiles or valid_range, or self_test.inputs.{spec.name} = {{"range": [low, high]}}.'
            )
    given.update({noise.name: {"range": [-3.0, 3.0]} for noise in contract.noise if noise.name not in given})
    given.update({name: {"range": _SCALAR_RANGES[name]} for name in contract.scalars if name not in given})
    return given


def _loaded(data: bytes, path: Path, contract: Contract) -> Engine:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(packed(data, contract, path))
        try:
            return load_engine(copy, trust=True, verify=False)
        except HaloclineError as error:
            raise HaloclineError(str(error).replace(str(copy), str(path))) from None


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HaloclineError(f"{path}: not a JSON document ({error}). Correct it.") from None
    if not isinstance(document, dict):
        raise HaloclineError(f"{path}: the contract is {type(document).__name__}, not a JSON object. Correct it.")
    return document


def _without_contract(data: bytes) -> bytes:
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(rewritten, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith(f"extra/{KEY}.json"):
                new.writestr(entry, old.read(entry))
    return rewritten.getvalue()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HaloclineError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
