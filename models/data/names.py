"""Names that NEMO's writers give to variables and dimensions, and which of them stands in a file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from coupler.errors import HaloclineError


@dataclass(frozen=True)
class Field:
    """A variable: its point on the C grid, whether it has levels, CF attributes of what we write, names in files."""

    point: str
    levels: bool
    standard_name: str
    units: str
    names: tuple[str, ...]


# The name tables: XIOS ids (NEMO 3.6 on), IOIPSL and DRAKKAR (NEMO to 3.6, GLORYS; NEMO 5 without XIOS), CMIP.
FIELDS: dict[str, Field] = {
    "t": Field(
        "T",
        True,
        "sea_water_potential_temperature",
        "degC",
        ("toce", "toce_pot", "toce_con", "votemper", "thetao", "bigthetao", "tn"),
    ),
    "s": Field("T", True, "sea_water_salinity", "1e-3", ("soce", "soce_pra", "soce_abs", "vosaline", "so", "sn")),
    "u": Field("U", True, "sea_water_x_velocity", "m s-1", ("uoce", "vozocrtx", "uo", "un")),
    "v": Field("V", True, "sea_water_y_velocity", "m s-1", ("voce", "vomecrty", "vo", "vn")),
    "ssh": Field("T", False, "sea_surface_height_above_geoid", "m", ("ssh", "sossheig", "zos", "sshn")),
    "e3t": Field("T", True, "cell_thickness", "m", ("e3t", "thkcello", "vovvle3t")),
    "e3u": Field("U", True, "cell_thickness", "m", ("e3u", "vovvle3u")),
    "e3v": Field("V", True, "cell_thickness", "m", ("e3v", "vovvle3v")),
}

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "time": ("time_counter", "time", "t", "time_centered"),
    "k": (
        "deptht",
        "depthu",
        "depthv",
        "depthw",
        "nav_lev",
        "olevel",
        "depth",
        "lev",
        "z",
        "z_c",
        "z_f",
        "k",
    ),
    "y": ("y", "j", "y_c", "y_f", "nj", "y_grid_T", "y_grid_U", "y_grid_V"),
    "x": ("x", "i", "x_c", "x_f", "ni", "x_grid_T", "x_grid_U", "x_grid_V"),
}

# Calendars as IOIPSL writes them, and what CF calls them.
CALENDARS = {"360d": "360_day", "365d": "noleap", "366d": "all_leap", "gregorian": "standard", "leap": "standard"}


def overrides(entries: Iterable[str], where: str) -> dict[str, str]:
    """'name=variable' entries of cn_names as {our name: name in the file}. HaloclineError for one that cannot be read."""
    found: dict[str, str] = {}
    for entry in entries:
        name, _, variable = (part.strip() for part in entry.partition("="))
        if name not in FIELDS or not variable:
            raise HaloclineError(
                f"cannot use '{entry}' as a name of a variable.\n  {where}. Write 'name=variable', with the variable's "
                f"name in the files and name one of {', '.join(FIELDS)}."
            )
        found[name] = variable
    return found


def find(name: str, variables: Iterable[str], chosen: Mapping[str, str]) -> str | None:
    """Which of `variables` is field `name`: the chosen one, else the first of its names; None where there is none."""
    present = list(variables)
    for candidate in (chosen[name],) if name in chosen else FIELDS[name].names:
        if candidate in present:
            return candidate
    return None


def missing(name: str, chosen: Mapping[str, str], found: Sequence[str], place: str, where: str) -> HaloclineError:
    """The error for a variable that no file has: what was looked for, what is there."""
    wanted = chosen[name] if name in chosen else ", ".join(FIELDS[name].names)
    return HaloclineError(
        f"no file of {place} holds '{name}' ({FIELDS[name].standard_name}). Looked for: {wanted}.\n"
        f"  Found: {', '.join(found) or 'no variable'}.\n  {where}. Add '{name}=VARIABLE' to cn_names, or the file."
    )


def canonical(values: xr.DataArray, path: str) -> xr.DataArray:
    """`values` with its dimensions named time, k, y, x, in this order (those that it has).

    HaloclineError for a dimension that is in no table, and for two that mean the same.
    """
    wanted: dict[str, str] = {}
    for dimension in map(str, values.dims):
        ours = next((name for name, known in DIMENSIONS.items() if dimension in known), None)
        if ours is None or ours in wanted.values():
            raise HaloclineError(
                f"variable '{values.name}' of {path} has dimensions ({', '.join(map(str, values.dims))}): "
                f"'{dimension}' is not known, or stands for one that is there already.\n  Rename it (ncrename -d), "
                f"e.g. to one of {', '.join(known[0] for known in DIMENSIONS.values())}."
            )
        wanted[dimension] = ours
    renamed = values.drop_vars(list(values.coords)).rename(wanted)
    return renamed.transpose(*[name for name in DIMENSIONS if name in renamed.dims])
