"""What every engine has in common: finding, pinning and loading artefacts, checking arrays."""

import difflib
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from coupler.contract import Contract, OutputSpec
from coupler.errors import HaloclineError

SUFFIX = {".onnx": "onnx", ".pt2": "exported", ".py": "python"}
ENGINES = ("auto", *SUFFIX.values(), "null")


class Engine(Protocol):
    """What runs an artefact. `notes` are sentences that the user must see once, at start."""

    name: str
    contract: Contract
    threads: int
    description: str
    notes: tuple[str, ...]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs (k, nj + 2r, ni + 2r), C order, in the contract's dtype; returns outputs (k, nj, ni) alike.

        HaloclineError if an array is missing, or has another shape, type or order; nothing is cast or broadcast.
        """
        ...


def load_engine(
    path: Path | str | None,
    engine: str = "auto",
    *,
    threads: int = 1,
    sha256: str | None = None,
    python_allow: Sequence[str] = (),
    outputs: Sequence[OutputSpec] = (),
    dtype: str = "f8",
) -> Engine:
    """Load an artefact; 'auto' chooses by suffix (.onnx, .pt2, .py).

    sha256: refuse any other file; absent: a note holds the line to paste. The bytes that are hashed are the bytes that
    run. python_allow: names or paths of the .py files that may run. outputs, dtype: for engine 'null', which needs no
    file. HaloclineError where anything is not as promised.
    """
    if engine not in ENGINES:
        raise HaloclineError(f"engine '{engine}' is not known. Allowed: {', '.join(ENGINES)}.")
    if threads < 1:
        raise HaloclineError(f"threads is {threads}. Allowed: 1 or more.")
    if engine == "null":
        from coupler.engines.null import NullEngine

        return NullEngine(outputs, dtype)
    if path is None:
        raise HaloclineError(f"engine '{engine}' needs an artefact file. Name one, or set the engine to 'null'.")
    path = Path(path)
    kind = SUFFIX.get(path.suffix) if engine == "auto" else engine
    if kind is None:
        raise HaloclineError(f"{path}: the suffix tells no engine. Allowed: {', '.join(SUFFIX)}; or name the engine.")
    data, notes = _pinned(path, sha256)
    if kind == "onnx":
        from coupler.engines.onnx import OnnxEngine

        return OnnxEngine(data, path, threads, notes)
    if kind == "exported":
        from coupler.engines.exported import ExportedEngine

        return ExportedEngine(data, path, threads, notes)
    from coupler.engines.python import PythonEngine

    return PythonEngine(data, path, threads, notes, python_allow)


def find_artefact(name: str | Path, search: Sequence[Path] = ()) -> Path:
    """The file of that path or name in `search` (run directory, then CFG), then among the shipped artefacts."""
    places = [Path(place) for place in search]
    if (zoo := _zoo()) is not None:
        places.append(zoo)
    for place in [Path(), *places] if Path(name).is_absolute() else places:
        if (place / name).is_file():
            return (place / name).resolve()
    known = sorted({f.name for place in places if place.is_dir() for f in place.iterdir() if f.suffix in SUFFIX})
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Found there: {', '.join(known) or 'no artefact'}."
    raise HaloclineError(
        f"artefact '{name}' was not found. Searched: {', '.join(map(str, places)) or 'nowhere'}. {hint}"
    )


def _zoo() -> Path | None:
    # Beside this package first: a run directory may hold a models.py that hides the package of that name.
    beside = Path(__file__).resolve().parents[2] / "models" / "zoo"
    if beside.is_dir():
        return beside
    spec = importlib.util.find_spec("models")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(root) / "zoo" for root in roots if (Path(root) / "zoo").is_dir()), None)


def _pinned(path: Path, sha256: str | None) -> tuple[bytes, tuple[str, ...]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HaloclineError(f"artefact {path} cannot be read: {error.strerror}. Check the path.") from None
    found = hashlib.sha256(data).hexdigest()
    if not sha256:
        return data, (f"artefact {path.name} is not pinned. To pin it, paste into &namnet: cn_sha256 = '{found}'",)
    if sha256.strip().lower() != found:
        raise HaloclineError(
            f"artefact {path} is another file than the namelist names: sha256 {found}, wanted {sha256}. "
            "Restore the file, or set cn_sha256 to the new value if the change is meant."
        )
    return data, ()


def check_inputs(contract: Contract, inputs: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """Compare arrays with the contract; returns (k, nj, ni), k the levels of the inputs that have all of them."""
    if len(inputs) != len(contract.inputs) or any(spec.name not in inputs for spec in contract.inputs):
        raise HaloclineError(
            f"network '{contract.name}' got inputs {sorted(inputs)}, needs {sorted(s.name for s in contract.inputs)}. "
            "Pass exactly these."
        )
    dtype, r2 = np.dtype(contract.dtype), 2 * contract.radius
    first = inputs[contract.inputs[0].name]
    plane, k = first.shape[1:], 0
    for spec in contract.inputs:
        array = inputs[spec.name]
        if array.dtype != dtype or not array.flags.c_contiguous or array.ndim != 3 or array.shape[1:] != plane:
            raise HaloclineError(_words(contract, spec.name, array, f"(k, {', '.join(map(str, plane))})"))
        if spec.levels == "all":
            k = k or array.shape[0]
        if array.shape[0] != (k if spec.levels == "all" else spec.levels):
            raise HaloclineError(
                _words(contract, spec.name, array, f"{k if spec.levels == 'all' else spec.levels} levels")
            )
    if k == 0:
        k = max(spec.levels for spec in contract.inputs if spec.levels != "all")
    if len(plane) != 2 or min(plane) <= r2:
        raise HaloclineError(
            f"network '{contract.name}': the inputs are {first.shape}; with a radius of {contract.radius} the last two "
            f"sizes must be over {r2}. Pad the block by the radius on every side."
        )
    return k, plane[0] - r2, plane[1] - r2


def check_outputs(contract: Contract, outputs: Mapping[str, np.ndarray], shape: tuple[int, int, int]) -> None:
    """Compare what a network returned with the contract: names, type and shape (k, nj, ni)."""
    for out in contract.outputs:
        want = (shape[0] if out.levels == "all" else out.levels, *shape[1:])
        got = outputs.get(out.name)
        if got is None or got.shape != want or got.dtype != np.dtype(contract.dtype):
            what = "nothing" if got is None else f"{got.shape} of {got.dtype}"
            raise HaloclineError(
                f"network '{contract.name}' returned {what} for output '{out.name}', its contract says {want} of "
                f"{np.dtype(contract.dtype)} (radius {contract.radius}). A network must not pad: export it again."
            )


def _words(contract: Contract, name: str, array: np.ndarray, want: str) -> str:
    order = "C order" if array.flags.c_contiguous else "not in C order"
    return (
        f"network '{contract.name}': input '{name}' is {array.shape} of {array.dtype}, {order}; needed: {want} of "
        f"{np.dtype(contract.dtype)}, C order. Nothing is cast, copied or broadcast: pass the array as needed."
    )
