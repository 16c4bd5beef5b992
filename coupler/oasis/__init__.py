"""The API of pyoasis (OASIS3-MCT 5) over Debian's OASIS3-MCT: `import coupler.oasis as pyoasis`.

Importing it does nothing; MPI starts with the first use of Component, Var or Grid. The genuine package sets sys.excepthook
when it is imported, this one when a Component is made.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coupler.oasis.component import Component as Component
    from coupler.oasis.exceptions import OasisException as OasisException
    from coupler.oasis.exceptions import PyOasisException as PyOasisException
    from coupler.oasis.functions import asarray as asarray
    from coupler.oasis.functions import check_types as check_types
    from coupler.oasis.functions import get_debug as get_debug
    from coupler.oasis.functions import oasis_abort as oasis_abort
    from coupler.oasis.functions import pyoasis_abort as pyoasis_abort
    from coupler.oasis.functions import set_debug as set_debug
    from coupler.oasis.genuine import find_pyoasis as find_pyoasis
    from coupler.oasis.genuine import python_path as python_path
    from coupler.oasis.grid import Grid as Grid
    from coupler.oasis.parameters import OASIS as OASIS
    from coupler.oasis.parameters import OasisParameters as OasisParameters
    from coupler.oasis.partition import ApplePartition as ApplePartition
    from coupler.oasis.partition import BoxPartition as BoxPartition
    from coupler.oasis.partition import CubePartition as CubePartition
    from coupler.oasis.partition import OrangePartition as OrangePartition
    from coupler.oasis.partition import Partition as Partition
    from coupler.oasis.partition import PointsPartition as PointsPartition
    from coupler.oasis.partition import SerialPartition as SerialPartition
    from coupler.oasis.var import Var as Var

_MODULES = {
    "component": ("Component",),
    "exceptions": ("OasisException", "PyOasisException"),
    "functions": ("asarray", "check_types", "get_debug", "oasis_abort", "pyoasis_abort", "set_debug"),
    "genuine": ("find_pyoasis", "python_path"),
    "grid": ("Grid",),
    "parameters": ("OASIS", "OasisParameters"),
    "partition": (
        "ApplePartition",
        "BoxPartition",
        "CubePartition",
        "OrangePartition",
        "Partition",
        "PointsPartition",
        "SerialPartition",
    ),
    "var": ("Var",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = tuple(sorted(_HOME))


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
