"""How exchanged fields are described in the diagnostics files, by the CF conventions."""

from collections.abc import Mapping, Sequence

import numpy as np

from coupler.exchange import Plan
from coupler.fields import Field
from coupler.io import DiagnosticsField
from coupler.network import Network
from coupler.units import unit_factor

POINTS = {"T": "t", "U": "u", "V": "v", "F": "f", "W": "t"}
# On a sphere, and on a plane: NEMO's names of longitude and latitude hold distances there.
LONGITUDE = {True: ("longitude", "degrees_east"), False: ("projection_x_coordinate", "")}
LATITUDE = {True: ("latitude", "degrees_north"), False: ("projection_y_coordinate", "")}


def coordinates(fields: Sequence[Field], received: Mapping[str, Plan]) -> dict[str, DiagnosticsField]:
    """The static fields glamt, gphit, glamu, ... that travel, for the points of `fields`, by name."""
    found = {}
    for point in sorted({POINTS[field.point] for field in fields}):
        for stem, kinds in (("glam", LONGITUDE), ("gphi", LATITUDE)):
            name = f"{stem}{point}"
            plan = received.get(name)
            if plan is None or not plan.exchange.static or plan.exchange.grid != fields[0].grid:
                continue
            given = next(field for field in plan.exchange.fields if field.name == name)
            sphere = _angle(given.units)
            standard, units = kinds[sphere]
            words = standard.replace("_", " ")
            more = {"standard_name": standard}
            found[name] = DiagnosticsField(
                name, units or given.units, given.point, 1, f"{words} of {point.upper()} points", more
            )
    return found


def described(
    field: Field, networks: Sequence[Network], lag: int, methods: str, known: Mapping[str, DiagnosticsField]
) -> DiagnosticsField:
    """A field that travels, as a variable. lag: of its exchange; methods: cell_methods; known: from `coordinates`."""
    makers = [net.name for net in networks if net.switches.cn_role == "active" and field.name in net.made]
    later = ", used one coupling period later" if lag else ""
    words = (
        f"{field.name} from network '{makers[0]}', after its guards{later}"
        if makers
        else f"{field.name} of the ocean, as received"
    )
    standard = {
        spec.standard_name
        for net in networks
        for spec in net.engine.contract.inputs
        if net.inputs[spec.name].field == field.name and spec.standard_name
    }
    more = {"standard_name": standard.pop() if len(standard) == 1 else "", "cell_methods": methods}
    return DiagnosticsField(field.name, field.units, field.point, field.levels, words, {**more, **at(field, known)})


def at(field: Field, known: Mapping[str, DiagnosticsField]) -> dict[str, str]:
    """The attribute that names the coordinates of a field, empty where none travels."""
    point = POINTS[field.point]
    return {"coordinates": " ".join(name for name in (f"gphi{point}", f"glam{point}") if name in known)}


def interior(plan: Plan, name: str, nj: int, ni: int) -> np.ndarray:
    """A field (levels, nj, ni) without its halo, as it is now."""
    halo = plan.exchange.halo
    return plan.views[name][:, halo : halo + nj, halo : halo + ni]


def _angle(units: str) -> bool:
    """True for degrees, in any spelling of CF."""
    return units.startswith("degree") or unit_factor(units, "degree") is not None
