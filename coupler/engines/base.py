"""What every engine has in common: finding, pinning and loading artefacts, reading contracts without running them."""

import difflib
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from coupler.artefacts.protobuf import entries, messages
from coupler.contract import KEY, Contract, OutputSpec
from coupler.errors import HaloclineError

SUFFIX = {".onnx": "onnx", ".pt2": "exported", ".pt": "torchscript", ".py": "python"}
ENGINES = ("auto", *SUFFIX.values(), "null")


class Engine(Protocol):
    """What runs an artefact.

    `device` is where it runs ('cpu', 'cuda:0', 'tensorrt:0'), `sha256` the hash of its file ('' without one),
    `description` one line for the user, `notes` sentences that the user must see once, at start.
    """

    name: str
    contract: Contract
    threads: int
    device: str
    sha256: str
    description: str
    notes: tuple[str, ...]

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        noise: Mapping[str, np.ndarray] | None = None,
        scalars: Mapping[str, float] | None = None,
    ) -> dict[str, np.ndarray]:
        """Inputs and noise (k, nj + 2r, ni + 2r), C order, in the contract's dtype; returns outputs (k, nj, ni).

        Outputs have the contract's dtype; they may be views in another order than C, and are the caller's until the
        next call. HaloclineError if an array is missing, or has another shape, type or order; nothing is cast or
        broadcast.
        """
        ...


def load_engine(
    path: Path | str | None,
    engine: str = "auto",
    *,
    threads: int = 1,
    sha256: str | None = None,
    trust: bool = False,
    python_allow: Sequence[str] = (),
    outputs: Sequence[OutputSpec] = (),
    dtype: str = "f8",
    device: str = "cpu",
    precision: str = "",
    maxmem: float = 0.0,
    local_rank: int = 0,
    verify: bool = True,
) -> Engine:
    """Load an artefact; 'auto' chooses by suffix (.onnx, .pt2, .pt, .py).

    sha256: refuse any other file; absent: a note holds the line to paste, and torch files (.pt2, .pt), which hold code,
    need `trust`. The bytes that are hashed are the bytes that run. python_allow: names or paths of the .py files that
    may run. outputs, dtype: for engine 'null', which needs no file. device, local_rank: see devices.py; precision: see
    precision.py; maxmem: memory of one call [MB], kept by tiling; 0: no limit. verify: run once on a small block, so that a
    graph that is not what its contract says is refused here. HaloclineError where anything is not as promised.
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
    data, notes = _pinned(path, sha256, kind in ("exported", "torchscript") and not trust)
    loaded: Engine
    if kind == "onnx":
        from coupler.engines.onnx import OnnxEngine

        loaded = OnnxEngine(data, path, threads, notes, device=device, precision=precision, local_rank=local_rank)
    elif kind == "exported":
        from coupler.engines.exported import ExportedEngine

        loaded = ExportedEngine(data, path, threads, notes, device=device, precision=precision, local_rank=local_rank)
    elif kind == "torchscript":
        from coupler.engines.torchscript import TorchScriptEngine

        loaded = TorchScriptEngine(
            data, path, threads, notes, device=device, precision=precision, local_rank=local_rank
        )
    else:
        from coupler.engines.python import PythonEngine

        loaded = PythonEngine(data, path, threads, notes, python_allow, device=device, precision=precision)
    if verify and kind != "python":  # a Python file may count its calls
        from coupler.engines.selftest import first_run

        first_run(loaded)
    if maxmem > 0:
        from coupler.engines.tiled import TiledEngine

        loaded = TiledEngine(loaded, maxmem)
    return loaded


def find_artefact(name: str | Path, search: Sequence[Path] = ()) -> Path:
    """The file of that path or name in `search` (the namelist's folder, then the current one), then among the shipped artefacts."""
    places = [Path(place) for place in search]
    if (zoo := _zoo()) is not None:
        places += [zoo, *sorted(place for place in zoo.iterdir() if place.is_dir())]
    for place in [Path(), *places] if Path(name).is_absolute() else places:
        if (place / name).is_file():
            return (place / name).resolve()
    known = sorted({f.name for place in places if place.is_dir() for f in place.iterdir() if f.suffix in SUFFIX})
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Found there: {', '.join(known) or 'no artefact'}."
    raise HaloclineError(
        f"artefact '{name}' was not found. Searched: {', '.join(map(str, dict.fromkeys(places))) or 'nowhere'}. {hint} "
        "A file of your own goes beside the namelist, or into the run folder: `halocline run ... --link FILE`."
    )


def read_contract(path: Path | str) -> Contract:
    """The contract of a .onnx, .pt2 or .pt file; nothing of the file is run. HaloclineError if there is none."""
    path = Path(path)
    kind = SUFFIX.get(path.suffix)
    if kind == "python":
        raise HaloclineError(
            f"{path}: the contract of a Python file cannot be read without running the file. Look for CONTRACT in it."
        )
    if kind is None:
        raise HaloclineError(f"{path}: the suffix tells no kind of artefact. Allowed: .onnx, .pt2, .pt.")
    data = _read(path)
    return contract_in_onnx(data, path) if kind == "onnx" else contract_in_zip(data, path)


def contract_in_zip(data: bytes, path: Path) -> Contract:
    """The contract of torch.export, AOTInductor and TorchScript archives: the member ROOT/extra/halocline.json."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if min((info.header_offset for info in archive.infolist()), default=0):
                raise zipfile.BadZipFile  # cut short: what was found is an archive inside this one
            names = [name for name in archive.namelist() if name.endswith(f"extra/{KEY}.json")]
            text = archive.read(names[0]) if names else None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError):
        raise HaloclineError(
            f"{path}: not an archive that torch.export or torch.jit wrote, or a damaged one (a bare pickle is never "
            "loaded). Copy it again and compare its sha256, or export the network again."
        ) from None
    if text is None:
        raise HaloclineError(
            f"{path}: no contract inside (no 'extra/{KEY}.json'). Export the network with `halocline export`, or add one: "
            "`halocline attach FILE contract.json`."
        )
    return Contract.from_json(text, str(path))


def contract_in_onnx(data: bytes, path: Path) -> Contract:
    """The contract in the metadata_props of an ONNX file, read without onnx and onnxruntime."""
    try:
        # onnx.proto: ModelProto.metadata_props is field 14, of StringStringEntryProto { key = 1; value = 2; }
        pairs = [{e.number: e.value for e in entries(message)} for message in messages(data, 14)]
    except HaloclineError as error:
        raise HaloclineError(f"{path}: {error}") from None
    found = [pair[2] for pair in pairs if pair.get(1) == KEY.encode() and isinstance(pair.get(2), bytes)]
    if not found:
        raise HaloclineError(
            f"{path}: no contract inside (metadata_props has no '{KEY}'). Export the network with `halocline export`, or "
            "add one: `halocline attach FILE contract.json`."
        )
    return Contract.from_json(bytes(found[0]), str(path))


def _zoo() -> Path | None:
    # Beside this package first: a run directory may hold a models.py that hides the package of that name.
    beside = Path(__file__).resolve().parents[2] / "models" / "zoo"
    if beside.is_dir():
        return beside
    spec = importlib.util.find_spec("models")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(root) / "zoo" for root in roots if (Path(root) / "zoo").is_dir()), None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HaloclineError(f"artefact {path} cannot be read: {error.strerror}. Check the path.") from None


def _pinned(path: Path, sha256: str | None, must: bool) -> tuple[bytes, tuple[str, ...]]:
    """The file and what to tell the user; `must`: refuse a file that is not pinned."""
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 and sha256.strip().lower() != found:
        raise HaloclineError(
            f"artefact {path} is another file than the namelist names: sha256 {found}, wanted {sha256}. "
            "Restore the file, or set cn_sha256 to the new value if the change is meant."
        )
    if sha256:
        return data, ()
    if must:
        raise HaloclineError(
            f"artefact {path} is a torch file, which holds code, and is not pinned. If it is yours, paste into &namnet: "
            f"cn_sha256 = '{found}', or set ln_trust = .true. to load whatever lies there."
        )
    return data, (f"artefact {path.name} is not pinned. To pin it, paste into &namnet: cn_sha256 = '{found}'",)
