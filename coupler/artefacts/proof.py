"""The proof of an artefact: what its contract says, measured again. Loads and runs the network."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from coupler.artefacts.radius import block_case, engine_reach
from coupler.contract import Contract
from coupler.engines.base import Engine, load_engine
from coupler.engines.selftest import sample, self_test
from coupler.errors import HaloclineError
from coupler.units import normalise_units, unit_factor

# Units of ocean standard names; a second entry where CF and its users differ. Source: CF standard name table, v86.
STANDARD_UNITS: Mapping[str, tuple[str, ...]] = {
    "sea_water_x_velocity": ("m s-1",),
    "sea_water_y_velocity": ("m s-1",),
    "eastward_sea_water_velocity": ("m s-1",),
    "northward_sea_water_velocity": ("m s-1",),
    "upward_sea_water_velocity": ("m s-1",),
    "sea_water_potential_temperature": ("K", "degC"),
    "sea_water_conservative_temperature": ("K", "degC"),
    "sea_water_temperature": ("K", "degC"),
    "sea_surface_temperature": ("K", "degC"),
    "sea_water_practical_salinity": ("1", "psu"),
    "sea_water_salinity": ("g kg-1", "psu"),
    "sea_water_absolute_salinity": ("g kg-1",),
    "sea_surface_salinity": ("g kg-1", "psu"),
    "sea_water_density": ("kg m-3",),
    "sea_water_potential_density": ("kg m-3",),
    "sea_water_pressure": ("Pa",),
    "sea_surface_height_above_geoid": ("m",),
    "sea_surface_height_above_mean_sea_level": ("m",),
    "cell_thickness": ("m",),
    "cell_area": ("m2",),
    "depth": ("m",),
    "sea_floor_depth_below_geoid": ("m",),
    "ocean_mixed_layer_thickness": ("m",),
    "ocean_relative_vorticity": ("s-1",),
    "square_of_brunt_vaisala_frequency_in_sea_water": ("s-2",),
    "coriolis_parameter": ("s-1",),
    "surface_downward_x_stress": ("Pa",),
    "surface_downward_y_stress": ("Pa",),
    "surface_downward_heat_flux_in_sea_water": ("W m-2",),
    "water_flux_into_sea_water": ("kg m-2 s-1",),
    "latitude": ("degree",),
    "longitude": ("degree",),
    "sea_ice_area_fraction": ("1",),
    "sea_binary_mask": ("1",),
    "land_binary_mask": ("1",),
}


@dataclass(frozen=True)
class Check:
    """One thing that was checked: `found` is a sentence with numbers."""

    what: str
    ok: bool
    found: str


def prove(path: Path, python_allow: Sequence[str] = ()) -> Iterator[Check]:
    """The checks of an artefact, as they are made: file, units, crop, radius, self-test, decomposition, bounds.

    A torch file is trusted (its code runs); a Python file must be in `python_allow`. Never raises for a bad artefact: what
    cannot be loaded is a failed check.
    """
    try:
        engine = load_engine(path, trust=True, python_allow=python_allow)
    except HaloclineError as error:
        yield Check("load", False, str(error))
        return
    contract = engine.contract
    yield Check("load", True, engine.description)
    yield from check_units(contract)
    try:
        yield from _radius(engine, path)
        yield from _self_test(engine)
    except HaloclineError as error:
        yield Check("run", False, str(error))


def check_units(contract: Contract) -> Iterator[Check]:
    """Units against standard names, vector pairs, masks and what the outputs are for."""
    problems, compared, unknown = [], 0, []
    specs = {spec.name: spec for spec in contract.inputs}
    for spec in contract.inputs:
        wanted = STANDARD_UNITS.get(spec.standard_name)
        if wanted:
            compared += 1
            if all(unit_factor(spec.units, units) is None for units in wanted):
                problems.append(
                    f"input '{spec.name}' is in '{spec.units}', its standard_name '{spec.standard_name}' is measured in "
                    f"'{wanted[0]}'. Correct one of them in the contract."
                )
        elif spec.standard_name:
            near = difflib.get_close_matches(spec.standard_name, STANDARD_UNITS, n=1, cutoff=0.9)
            unknown.append(f"'{spec.standard_name}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
    for fields in (contract.inputs, contract.outputs):
        known = {field.name: field for field in fields}
        for field in fields:
            pair = known.get(field.vector_pair or "")
            if pair is not None and normalise_units(pair.units) != normalise_units(field.units):
                problems.append(
                    f"'{field.name}' is in '{field.units}', the other component '{pair.name}' in '{pair.units}'. "
                    "Components of one vector need the same units."
                )
    for out in contract.outputs:
        if out.mask and normalise_units(specs[out.mask].units) != normalise_units("1"):
            problems.append(f"mask '{out.mask}' is in '{specs[out.mask].units}'. A mask has units '1'.")
        if out.kind == "tendency" and dict(normalise_units(out.units)[1]).get("s", 0) >= 0:
            if out.name not in contract.partners:
                problems.append(
                    f"output '{out.name}' is a tendency in '{out.units}', without s-1. Correct kind or units."
                )
        if out.inv_std:
            partner = next(other for other in contract.outputs if other.name == out.inv_std)
            if unit_factor(f"{out.units} {partner.units}", "1") != 1:
                problems.append(
                    f"output '{partner.name}' is in '{partner.units}', not 1/({out.units}) of '{out.name}'."
                )
    total = len(contract.inputs) + len(contract.outputs)
    words = f"{total} fields in known units, {compared} compared with their standard_name"
    not_compared = f"; not in our table: {', '.join(unknown)}" if unknown else ""
    yield from (Check("units", False, problem) for problem in problems)
    if not problems:
        yield Check("units", True, words + not_compared)


def _radius(engine: Engine, path: Path) -> Iterator[Check]:
    contract = engine.contract
    if contract.self_test is None:
        yield Check("radius", False, "not measured: no self_test says what inputs to use. Add one: `halocline attach`.")
        return
    crop, reaches = engine_reach(engine)
    ways = {"perturbation": max(reaches.values(), default=0)}
    if engine.name in ("exported", "torchscript"):
        from coupler.engines.gradient import gradient_reach

        found = gradient_reach(path.read_bytes(), contract, partial(block_case, contract))
        if found is not None:
            ways["gradient"] = found
    yield Check(
        "crop", crop == contract.radius, f"the graph crops {crop} on each side, the contract says {contract.radius}"
    )
    reach = max(ways.values())
    words = f"an input acts {', '.join(f'{cells} by {way}' for way, cells in ways.items())}, allowed {contract.radius}"
    if reach > crop:
        farthest = [name for name, cells in reaches.items() if cells == max(reaches.values())]
        words += (
            f"; farthest: {', '.join(farthest)}. The graph pads inside, or has a global operation: export it without"
        )
    elif reach < crop:
        words += f". A graph that crops {reach} would need less halo"
    yield Check("radius", reach <= crop == contract.radius, words)


def _self_test(engine: Engine) -> Iterator[Check]:
    contract = engine.contract
    test = contract.self_test
    if test is None:
        yield Check("self-test", False, "none is stored. Add one: `halocline attach`.")
        return
    outputs = {name: np.array(field) for name, field in engine.run(*sample(contract)).items()}
    bad = {name: int((~np.isfinite(field)).sum()) for name, field in outputs.items()}
    if any(bad.values()):
        yield Check(
            "finite", False, ", ".join(f"{count} values of '{name}' are not" for name, count in bad.items() if count)
        )
    else:
        yield Check("finite", True, f"{sum(field.size for field in outputs.values())} values of the self-test")
    for out in contract.outputs:
        if out.bounds:
            low, high = (float(f(outputs[out.name])) for f in (np.min, np.max))
            inside = out.bounds[0] <= low and high <= out.bounds[1]
            words = (
                f"'{out.name}' is {low:.3g} .. {high:.3g} {out.units}, allowed {out.bounds[0]:g} .. {out.bounds[1]:g}"
            )
            yield Check("bounds", inside, words)
    try:
        found = self_test(engine)
    except HaloclineError as error:
        yield Check("self-test", False, str(error))
        return
    yield Check("self-test", True, f"stored outputs reproduced within {test.tolerance:g}, whole and cut")
    promised = contract.decomposition
    yield Check(
        "decomposition",
        found == promised or promised == "round-off",
        f"cut and whole fields agree: {found}; the contract promises {promised}",
    )
