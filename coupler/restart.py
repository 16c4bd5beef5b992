"""What a lagged coupling must remember: answers that are computed and not yet used, for the next run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.grid import Box
from coupler.handshake import Handshake
from coupler.io import read_fields, write_fields
from coupler.settings import Settings
from coupler.transport.base import Transport


def first_answers(settings: Settings, shake: Handshake, plans: Sequence[Plan], boxes: Mapping[int, Box]) -> None:
    """Fill the stacks of lagged exchanges with what the ocean uses at its first step: zero, or the coupler's restart.

    Raises HaloclineError when a restart is asked for and does not fit the run.
    """
    groups = {group.cn_name: group for group in settings.namexc}
    for plan in plans:
        plan.stack[...] = 0.0
        group = groups[plan.exchange.name]
        if group.cn_first == "zero":
            continue
        path = Path(settings.namcpl.cn_rst_in)
        if not settings.namcpl.cn_rst_in:
            raise HaloclineError(
                f"exchange '{group.cn_name}' begins from a restart, and cn_rst_in names none.\n  {group.where('cn_first')}. "
                "Set cn_rst_in in &namcpl, or cn_first = 'zero'."
            )
        fields, attributes = read_fields(path)
        if int(attributes.get("kt", -1)) != shake.time.nn_it000:
            raise HaloclineError(
                f"the restart {path} holds answers for step {attributes.get('kt')}, the run begins at step "
                f"{shake.time.nn_it000}.\n  {settings.namcpl.where('cn_rst_in')}. Give the file of the step before."
            )
        for field in plan.exchange.fields:
            value = fields.get(field.name)
            part, box = shake.grids[field.grid - 1], boxes[field.grid]
            want = (field.levels, part.ny, part.nx)
            if value is None or value.shape != want:
                got = "is not there" if value is None else f"has the shape {value.shape}"
                raise HaloclineError(f"the restart {path}: field '{field.name}' {got}, needed is {want}.")
            plan.views[field.name][...] = value[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni]


def last_answers(shake: Handshake, plans: Sequence[Plan], transport: Transport, boxes: Mapping[int, Box]) -> None:
    """Write the answers that the ocean did not use yet to halocline_<last step>_restart.nc. Collective over the coupler."""
    if not plans:
        return
    mine = [
        (name, boxes[plan.exchange.grid].j0, boxes[plan.exchange.grid].i0, view.copy())
        for plan in plans
        for name, view in plan.views.items()
    ]
    gathered = transport.gather(mine)
    if gathered is None:
        return
    last = shake.time.nn_itend
    fields = [field for plan in plans for field in plan.exchange.fields]
    path = Path(f"halocline_{last:08d}_restart.nc")
    shapes = [(part.ny, part.nx) for part in shake.grids]
    write_fields(path, shapes, fields, [piece for pieces in gathered for piece in pieces], {"kt": last + 1})
