"""A network as a Python callable, loaded by file path and only where the namelist allows it."""

import hashlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from coupler.contract import Contract
from coupler.engines.arrays import Arrays, check_inputs, check_outputs
from coupler.engines.precision import check_precision
from coupler.errors import HaloclineError


class PythonEngine:
    """Runs `run(inputs: dict) -> dict` of a file that also holds a dict CONTRACT.

    Where the contract has noise or scalars, it is `run(inputs, noise, scalars)`.
    """

    name = "python"

    def __init__(
        self,
        data: bytes,
        path: Path,
        threads: int = 1,
        notes: tuple[str, ...] = (),
        allow: Sequence[str] = (),
        *,
        device: str = "cpu",
        precision: str = "",
    ) -> None:
        """Execute the file's bytes as they were hashed; HaloclineError if `allow` does not list its name or path."""
        if not any(entry == path.name or Path(entry).resolve() == path.resolve() for entry in allow):
            raise HaloclineError(
                f"{path}: this Python file is not allowed to run; allowed: {', '.join(allow) or 'none'}. "
                f"Read it, then list '{path.name}' in the namelist."
            )
        # Not imported: neither sys.path nor __pycache__ decides what runs. Registered, since dataclasses look there.
        module = ModuleType(f"halocline_callable_{path.stem}")
        module.__file__ = str(path)
        sys.modules[module.__name__] = module
        try:
            exec(compile(data, str(path), "exec"), module.__dict__)
        except Exception as error:
            raise HaloclineError(f"{path}: the file does not load: {_last_line(error)}. Correct it.") from error
        document, call = getattr(module, "CONTRACT", None), getattr(module, "run", None)
        if not isinstance(document, Mapping) or not callable(call):
            raise HaloclineError(f"{path}: needs a dict CONTRACT and a function run(inputs: dict) -> dict. Add them.")
        self.contract = Contract.from_dict(document, str(path))
        if device not in ("cpu", "auto"):
            raise HaloclineError(
                f"{path}: cn_device = '{device}', but a Python file gets arrays on the CPU and itself decides where it computes. "
                "Leave cn_device out."
            )
        check_precision(precision, self.contract, (), "a Python file")
        self.threads, self.notes, self.device = threads, notes, "cpu"
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.description = f"{path.name}: Python callable on cpu, {self.contract.dtype}"
        self._path, self._call = path, call

    def run(
        self, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """See Engine.run; an exception of the callable becomes a HaloclineError with its line."""
        shape = check_inputs(self.contract, inputs, noise, scalars)
        more = (dict(noise or {}), dict(scalars or {})) if self.contract.noise or self.contract.scalars else ()
        try:
            outputs = self._call(dict(inputs), *more)
        except HaloclineError:
            raise
        except Exception as error:
            raise HaloclineError(f"{self._path}: run() failed: {_last_line(error)}. Correct it.") from error
        if not isinstance(outputs, dict):
            raise HaloclineError(f"{self._path}: run() returned {type(outputs).__name__}, not a dict of arrays.")
        check_outputs(self.contract, outputs, shape)
        return outputs


def _last_line(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else "?")
    return f"{type(error).__name__}: {error} (line {line})"
