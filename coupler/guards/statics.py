"""What a network was made for, once, at the start: maps of this grid, the year of this calendar, values that are possible."""

from collections.abc import Mapping

import numpy as np

from coupler.contract import Contract, InputSpec
from coupler.errors import HaloclineError

PLACES = ("mig", "mjg")  # global column and row of a cell, from 1: where a network looks up maps of its own

# Mean length of the year [days] of the CF calendars.
YEAR_DAYS = {
    "standard": 365.2425, "gregorian": 365.2425, "proleptic_gregorian": 365.2425, "julian": 365.25,
    "noleap": 365.0, "365_day": 365.0, "all_leap": 366.0, "366_day": 366.0, "360_day": 360.0,
}  # fmt: skip
SAME_YEAR = (
    1.0  # [days]; every calendar counts from 1 January, so that years this near differ by a day of phase at most
)


def grid_problem(network: str, contract: Contract, fields: Mapping[str, str], nx: int, ny: int) -> str:
    """A sentence where maps inside the network are of another grid than the ocean's, nx x ny; else ''.

    fields: input -> field of the ocean. A map is looked up by column and row; the valid range of these inputs, (1, nx) and
    (1, ny), is its size. One without a range is taken to know what it does.
    """
    made, found = [], []
    for spec in contract.inputs:
        name = fields[spec.name].partition("_")[0]
        if name in PLACES and spec.valid_range is not None:
            made.append((spec.name, spec.valid_range))
            found.append((1.0, float((nx, ny)[PLACES.index(name)])))
    if [pair for _, pair in made] == found:
        return ""
    sizes = " x ".join(f"{pair[1]:g}" for _, pair in made)
    names = ", ".join(f"'{name}'" for name, _ in made)
    return (
        f"network '{network}' was made for a grid of {sizes}: it holds maps that are looked up by column and row (valid range of "
        f"{names}). The ocean's grid is {nx} x {ny}. Use a network that was made on this grid, or one without maps."
    )


def year_problem(network: str, contract: Contract, calendar: str) -> str:
    """A sentence where the network's climatology is of another year than that of the ocean's CF calendar; else ''.

    The climatology is looked up by the day of the year: a year of 360 days in a calendar of 365 ends 5 days too early, with a
    jump at its end. One without harmonics is the same on every day, and a calendar that is not known is none of ours.
    """
    made, year = contract.climatology, YEAR_DAYS.get(calendar.lower())
    if made is None or not made.harmonics or year is None or abs(made.year_days - year) <= SAME_YEAR:
        return ""
    return (
        f"network '{network}' holds a climatology of a year of {made.year_days:g} days, looked up by the day of the year; the "
        f"ocean's calendar '{calendar}' has a year of {year:g} days. Run the ocean with the training data's calendar, or train "
        "the network on data of this calendar; one without harmonics (nn_harmonics = 0) fits every calendar."
    )


def check_range(network: str, spec: InputSpec, values: np.ndarray, mask: np.ndarray | None) -> None:
    """Raises HaloclineError where a static input leaves the valid range of the contract on this rank.

    values: (k, nj, ni) without halo; mask: 0 on land, broadcasts to it; None: no land. Cells that hold the fill value are of
    no ocean rank, and left out; a number that is not finite is outside.
    """
    if spec.valid_range is None:
        return
    kind = values.dtype.type
    low, high = (kind(bound) for bound in spec.valid_range)
    outside = ~((values >= low) & (values <= high))
    if mask is not None:
        outside &= np.broadcast_to(mask != 0, values.shape)
    if not isinstance(spec.fill, str):
        outside &= values != kind(spec.fill)
    if not outside.any():
        return
    wrong = values[outside]
    raise HaloclineError(
        f"static input '{spec.name}' of network '{network}' is {wrong[0]:g} {spec.units} in {wrong.size} of {values.size} cells of "
        f"this rank; its contract allows {low:g} to {high:g}. The network was made for another grid, or the field is another "
        "one: compare both (`halocline inspect`), and connect the right field with cn_inputs."
    )
