"""Which pyoasis a script gets: the genuine one of OASIS3-MCT 4 or 5 where it is installed, else this one."""

import importlib
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

from coupler.oasis.exceptions import PyOasisException

NEEDED = ("Component", "OrangePartition", "Var", "OASIS")


def python_path() -> Path:
    """The folder to put on PYTHONPATH so that `import pyoasis` gives this binding."""
    return Path(__file__).resolve().parent / "provider"


def why_not(folder: Path) -> str:
    """Why the package `pyoasis` in `folder` is not the one of OASIS3-MCT; empty where it is."""
    if all((folder / name).is_file() for name in ("component.py", "partition.py", "var.py")):
        return ""
    return (
        f"the Python package 'pyoasis' in {folder} is not OASIS3-MCT's: it has no component.py, partition.py and var.py. "
        "PyPI's package of that name is a tool for ionosphere data; the genuine one ships only with the sources of OASIS3-MCT 4 "
        "and 5. It is not used: the binding of Halocline (coupler.oasis) takes its place. `pip uninstall pyoasis` removes it."
    )


def find_pyoasis() -> ModuleType:
    """The genuine pyoasis where it can be imported, else coupler.oasis.

    Another package of that name is left alone, with a warning that says why. Raises PyOasisException where a genuine one is
    installed but does not start.
    """
    import coupler.oasis

    spec = importlib.util.find_spec("pyoasis")
    if spec is None or spec.origin is None:
        return coupler.oasis
    folder = Path(spec.origin).resolve().parent
    if folder == python_path() / "pyoasis":
        return coupler.oasis
    reason = why_not(folder)
    if reason:
        warnings.warn(reason, stacklevel=2)
        return coupler.oasis
    try:
        module = importlib.import_module("pyoasis")
    except Exception as error:
        raise PyOasisException(
            f"the genuine pyoasis in {folder} cannot be imported: {type(error).__name__}: {error}. Load the environment of its "
            "OASIS3-MCT (LD_LIBRARY_PATH), or take it off PYTHONPATH to use the binding of Halocline."
        ) from error
    lacking = [name for name in NEEDED if not hasattr(module, name)]
    if lacking:
        raise PyOasisException(
            f"the pyoasis in {folder} has no {', '.join(lacking)}: it is older than OASIS3-MCT 5. Update it, or take it off "
            "PYTHONPATH to use the binding of Halocline."
        )
    return module
