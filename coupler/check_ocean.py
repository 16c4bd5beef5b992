"""The other side of a configuration: what the ocean says of itself, or what &namcpl states where it says nothing."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupler.artefacts.page import contract_of
from coupler.check_layout import cores
from coupler.contract import Contract, InputSpec, OutputSpec
from coupler.engines.base import find_artefact
from coupler.errors import HaloclineError
from coupler.grid import BOUNDARIES, Grid, decompose
from coupler.handshake import PROTOCOL, Handshake
from coupler.increments import as_tendency
from coupler.launch import ENVIRONMENT
from coupler.links import Link, read_links
from coupler.namcouple import ask
from coupler.preflight import check_coupled
from coupler.programs import executable
from coupler.settings import NamNet, Settings

STATED = ("nn_nx", "nn_ny", "nn_nz", "rn_Dt", "nn_steps", "cn_boundary")
REFERENCE = "gyre"  # the model name of fortran_stub
PER_CORE = (
    8  # ranks per core that are started to ask; for more the ocean is asked on one rank and its subdomains are assumed
)
POINT = re.compile(r"(?:([tuvf])mask|e[12]([tuvf])|gphi([tuvf])|glam([tuvf])|ff_([tuvf]))(?:_\d+)?")


@dataclass(frozen=True)
class Ocean:
    """The handshake that a start would bring. `described`: by the ocean itself; `program`: None where there is none."""

    shake: Handshake
    described: bool
    program: Path | None
    notes: list[str]


def meet(settings: Settings, folder: Path, named: Path | None, over_oasis: bool, ranks: int) -> Ocean:
    """Ask the ocean in the run folder `folder` on `ranks` ranks.

    named: the executable of the command line. An ocean that is not the reference ocean may be absent, or say nothing; then
    &namcpl has to state what it is. HaloclineError where neither does.
    """
    try:
        program = executable(named, settings.namcpl.cn_exe, settings.path.resolve().parent, over_oasis)
    except HaloclineError as error:
        return _stated(settings, ranks, str(error))
    environment = {key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()}
    alone = ranks > PER_CORE * cores()
    try:
        shake, notes = ask(program, folder, environment, 1 if alone else ranks)
    except HaloclineError as error:
        if named is None and not settings.namcpl.cn_exe:
            raise  # the reference ocean says why
        return _stated(settings, ranks, str(error), program)
    if shake.model == REFERENCE and settings.namexc:
        check_coupled(settings)
    if alone:
        shake = _spread(shake, ranks)
        notes.append(f"{ranks} ocean ranks are too many to ask here: their subdomains are assumed, not the ocean's own")
    return Ocean(shake, True, program, notes)


def _spread(shake: Handshake, ranks: int) -> Handshake:
    """The handshake of one rank with the coupler's own decomposition in place of the ocean's."""
    grids = [part.model_copy(update={"domains": _domains(part.grid, ranks)}) for part in shake.grids]
    return shake.model_copy(update={"grids": grids, "declared": [shake.declared[0]] * ranks})


def _domains(grid: Grid, ranks: int) -> list[tuple[int, int, int, int]]:
    try:
        return [(box.i0, box.j0, box.ni, box.nj) for box in decompose(grid, ranks)]
    except HaloclineError as error:
        raise HaloclineError(str(error).replace("coupler ranks", "ocean ranks")) from None


def _stated(settings: Settings, ranks: int, why: str, program: Path | None = None) -> Ocean:
    """A handshake made of &namcpl and of the contracts; `why` the ocean says nothing. HaloclineError where &namcpl lacks any."""
    cpl = settings.namcpl
    lacking = [key for key in STATED if not getattr(cpl, key)]
    if lacking:
        raise HaloclineError(
            f"{why}\n  Nor does the namelist say what the ocean is: &namcpl lacks {', '.join(lacking)} ({cpl.where()}). Name an "
            "executable that is linked with the client (--ocean, cn_exe), or state them."
        )
    if cpl.cn_boundary not in BOUNDARIES:
        raise HaloclineError(
            f"cn_boundary = '{cpl.cn_boundary}' is not known. Allowed: {', '.join(BOUNDARIES)}.\n  {cpl.where('cn_boundary')}."
        )
    contracts = _contracts(settings)
    fields: list[dict[str, Any]] = []
    for exchange in settings.namexc:
        inward = exchange.cn_dir == "to_coupler"
        for name in exchange.cn_fields:
            known = _field(name, inward, contracts, cpl.nn_nz, exchange.ln_static)
            fields.append({"id": len(fields) + 1, "name": name, "direction": "out" if inward else "in", **known})
    grid = Grid(cpl.nn_nx, cpl.nn_ny, cpl.cn_boundary)
    levels = {contract.time_level for _, contract in contracts}
    shake = Handshake.model_validate(
        {
            "protocol": PROTOCOL,
            "transport": cpl.cn_transport,
            "model": cpl.cn_model or "ocean",
            "time": {
                "rn_Dt": cpl.rn_Dt, "nn_it000": 1, "nn_itend": cpl.nn_steps, "date0": 10101, "calendar": "360_day",
                "level": levels.pop() if len(levels) == 1 else "now",
            },
            "fields": fields,
            "declared": [len(fields)] * ranks,
            "grids": [
                {"name": "", "nx": grid.nx, "ny": grid.ny, "boundary": grid.boundary, "domains": _domains(grid, ranks)}
            ],
        }
    )  # fmt: skip
    note = (
        "grid, step and length are those of &namcpl; units, points and levels of the fields are what the networks want, and the "
        f"ocean's subdomains are assumed: the start compares them with the ocean. It was not asked: {why.splitlines()[0]}"
    )
    return Ocean(shake, False, program, [note])


def _contracts(settings: Settings) -> list[tuple[NamNet, Contract]]:
    """Contracts that can be read; the others are refused when the networks are loaded."""
    found = []
    for group in settings.namnet:
        try:
            path = find_artefact(group.cn_artefact, [settings.path.resolve().parent, Path.cwd()])
            found.append((group, contract_of(path)))
        except HaloclineError:
            continue
    return found


def _field(
    name: str, inward: bool, contracts: list[tuple[NamNet, Contract]], nz: int, static: bool
) -> Mapping[str, Any]:
    """Units, point and levels of a field as the network that reads or makes it wants them."""
    for group, contract in contracts:
        links = read_links(group, "cn_inputs" if inward else "cn_outputs")
        specs: list[InputSpec | OutputSpec] = (
            [*contract.inputs] if inward else [as_tendency(spec, contract) for spec in contract.outputs]
        )
        for spec in specs:
            link = links.get(spec.name, Link(spec.name))
            if link.field == name:
                whole = link.levels is not None or spec.levels == "all"
                return {"units": spec.units, "point": spec.point, "levels": nz if whole else spec.levels}
    hit = POINT.fullmatch(name)
    point = next((letter.upper() for letter in hit.groups() if letter), "T") if hit else "T"
    return {"units": "1", "point": point, "levels": 1 if static else nz}
