"""Files of a centre's archive: found, joined over ranks, dated; their variables by the names that NEMO gives them."""

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cftime
import netCDF4
import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import names, ranks
from models.data.windows import Clock, Source

# asminc.F90 of NEMO 4: variables of assim_background_increments.nc and of assim_background_state_DI.nc
INCREMENTS = {
    "u": ("bckinu",), "v": ("bckinv",), "t": ("bckint",), "s": ("bckins",), "ssh": ("bckineta",),
    "h": ("bckinthk", "bckine3t"),
}  # fmt: skip
BACKGROUND = {
    "u": ("un", "ub"), "v": ("vn", "vb"), "t": ("tn", "tb"), "s": ("sn", "sb"), "ssh": ("sshn", "sshb"),
    "h": ("e3t_n", "e3t_b", *names.FIELDS["e3t"].names),
}  # fmt: skip
DATES = ("time", "z_inc_dateb", "z_inc_datef")
STAMP = "rdastp"
SCALARS = (*DATES, STAMP)  # read apart: a scalar `time` beside a dimension of that name is no legal data set for xarray
EPOCH = "seconds since 1900-01-01 00:00:00"


def overrides(entries: Iterable[str], where: str) -> dict[str, str]:
    """'name=variable' of cn_names, name a field or NAME_inc. HaloclineError for one that cannot be read."""
    allowed = (*INCREMENTS, *(f"{name}_inc" for name in INCREMENTS))
    found = {}
    for entry in entries:
        name, _, variable = (part.strip() for part in entry.partition("="))
        if name not in allowed or not variable:
            raise HaloclineError(
                f"cannot use '{entry}' as a name of a variable.\n  {where}. Write 'name=variable', name one of "
                f"{', '.join(allowed)}."
            )
        found[name] = variable
    return found


def found(patterns: Sequence[str], where: str) -> list[list[Path]]:
    """Files of the patterns, those of one output's ranks together. HaloclineError when a pattern finds none."""
    files: set[Path] = set()
    for pattern in patterns:
        matches = {Path(file) for file in glob.glob(pattern, recursive=True) if file.endswith(".nc")}
        if not matches:
            raise HaloclineError(
                f"no NetCDF file matches '{pattern}'.\n  {where}. It counts from {Path.cwd()}: "
                "correct it, or start the command elsewhere."
            )
        files |= matches
    return ranks.grouped(sorted(files))


def calendar(groups: Sequence[Sequence[Path]], given: str) -> tuple[str, bool]:
    """The calendar: `given`, or what the first file that names one says; and whether it is only assumed ('standard').

    It is looked for in the attribute `calendar` of the dates, of time_counter, and of the file.
    """
    if given:
        return given, False
    for group in groups:
        with _file(group[0]) as file:
            said = [
                getattr(file.variables[name], "calendar", None)
                for name in (*SCALARS, "time_counter")
                if name in file.variables
            ]
            said.append(getattr(file, "calendar", None))
        for text in said:
            if text:
                return names.CALENDARS.get(str(text).lower(), str(text).lower()), False
    return "standard", True


def increments(groups: Sequence[Sequence[Path]], clock: Clock) -> list[Source]:
    """Each file of increments with its dates. HaloclineError for one without dates, or with dates that are none."""
    sources = []
    for group in groups:
        path = group[0]
        with _file(path) as file:
            missing = [name for name in DATES if name not in file.variables]
            if missing:
                raise HaloclineError(
                    f"{path} has no {', '.join(missing)}: it is no file of increments.\n"
                    f"  It has {', '.join(file.variables)}. Narrow cn_increments (&namarchive)."
                )
            time, begin, end = (_stamp(file[name], path, clock) for name in DATES)
        sources.append(Source(tuple(group), time, begin, end))
    return sources


def backgrounds(groups: Sequence[Sequence[Path]], clock: Clock) -> list[Source]:
    """Each record of background: dated by rdastp, else by time_counter. HaloclineError for a file with neither."""
    sources = []
    for group in groups:
        path = group[0]
        with _file(path) as file:
            if STAMP in file.variables:
                times = [_stamp(file[STAMP], path, clock)]
            elif "time_counter" in file.variables and "since" in getattr(file["time_counter"], "units", ""):
                variable = file["time_counter"]
                dates = cftime.num2date(np.ravel(variable[...]), variable.units, clock.calendar)
                times = [float(cftime.date2num(date, clock.units, clock.calendar)) for date in dates]
            else:
                raise HaloclineError(
                    f"{path} does not say when it is: it has no {STAMP}, and no time_counter with units 'seconds since ...'.\n"
                    f"  It has {', '.join(file.variables)}. Narrow cn_background (&namarchive)."
                )
        sources += [Source(tuple(group), time, record=record) for record, time in enumerate(times)]
    return sources


def opened(source: Source) -> xr.Dataset:
    """The file, or those of all ranks as one, lazily. HaloclineError when the file of a rank is missing (DOMAIN_number_total)."""
    return ranks.joined(source.paths, without=SCALARS)


def variable(
    dataset: xr.Dataset, source: Source, name: str, chosen: Mapping[str, str], where: str, change: bool
) -> xr.DataArray:
    """Field `name` of one record, dims (k, y, x) or (y, x), lazily; change: its increment. HaloclineError when it is not there."""
    key = f"{name}_inc" if change else name
    known = (
        INCREMENTS[name] if change else BACKGROUND[name] + (names.FIELDS[name].names if name in names.FIELDS else ())
    )
    wanted = (chosen[key],) if key in chosen else tuple(dict.fromkeys(known))
    present = [one for one in wanted if one in dataset.data_vars]
    if not present:
        raise HaloclineError(
            f"{source.name} holds no {'increment' if change else 'background'} of '{name}'. Looked for: {', '.join(wanted)}; "
            f"found: {', '.join(map(str, dataset.data_vars))}.\n  {where}. Add '{key}=VARIABLE' to cn_names, or leave '{name}' "
            "out of cn_fields."
        )
    values = names.canonical(dataset[present[0]], source.name)
    if "time" in values.dims:
        if change and values.sizes["time"] != 1:
            raise HaloclineError(
                f"{source.name} has {values.sizes['time']} records of increments, one is allowed: split it."
            )
        values = values.isel(time=0 if change else source.record)
    return values


def _file(path: Path) -> netCDF4.Dataset:
    try:
        return netCDF4.Dataset(path)
    except OSError as error:
        raise HaloclineError(f"cannot read {path}: {error}.\n  It must be a NetCDF file that is whole.") from None


def _stamp(number: netCDF4.Variable, path: Path, clock: Clock) -> float:
    """Seconds since the epoch of a date written as yyyymmdd.hhmmss."""
    if number.dtype.itemsize < 8 and number.dtype.kind == "f":
        raise HaloclineError(f"'{number.name}' of {path} is in single precision, which cannot hold yyyymmdd.hhmmss.")
    value = float(np.ravel(np.ma.filled(number[...], np.nan))[0])
    try:
        day = int(value)
        hhmmss = round((value - day) * 1e6)
        date = cftime.datetime(day // 10000, day // 100 % 100, day % 100, calendar=clock.calendar)
        hour, minute, second = hhmmss // 10000, hhmmss // 100 % 100, hhmmss % 100
        if hour > 24 or minute > 59 or second > 59:
            raise ValueError("no time of day")
    except (ValueError, OverflowError) as error:
        raise HaloclineError(
            f"'{number.name}' of {path} is {value!r}, no date yyyymmdd.hhmmss of the calendar {clock.calendar}: {error}.\n"
            "  Set cn_calendar (&namarchive), or leave the file out."
        ) from None
    return float(cftime.date2num(date, clock.units, clock.calendar)) + hour * 3600.0 + minute * 60.0 + second
