"""Values of the ocean's switches as the ocean itself reads and checks them: types, ranges, dates, arrays of layers."""

import cftime

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from models.data.ocean import GROUPS, Switches
from models.twin.files import CALENDARS

LAYERS = 10  # the ocean's limit
KINDS = {bool: "logical", int: "integer", float: "real", str: "text"}

# (group, switch): least value, whether it is allowed itself, what the ocean says.
LEAST = {
    ("namusr_def", "nn_nx"): (2, True, "the basin must be at least 2 cells wide"),
    ("namusr_def", "nn_ny"): (2, True, "the basin must be at least 2 cells long"),
    ("namusr_def", "nn_layers"): (1, True, "a basin has one layer at least"),
    ("namusr_def", "rn_dx"): (0.0, False, "the cell width must be positive"),
    ("namusr_def", "rn_h"): (0.0, False, "each layer needs a positive thickness: give one for each"),
    ("namusr_def", "rn_gred"): (0.0, False, "each layer needs a positive reduced gravity: give one for each"),
    ("namdom", "rn_dt"): (0.0, False, "the time step must be positive"),
    ("namdom", "rn_atfp"): (0.0, True, "the Asselin coefficient must lie in [0, 0.5)"),
    ("namlbc", "rn_shlat"): (0.0, True, "it must lie between 0 (free slip) and 2 (no slip)"),
    ("namdyn_ldf", "rn_cs4"): (0.0, True, "friction coefficients must not be negative"),
    ("namdyn_ldf", "rn_cl4"): (0.0, True, "friction coefficients must not be negative"),
    ("namdyn_ldf", "rn_ahm4"): (0.0, True, "friction coefficients must not be negative"),
    ("namdyn_ldf", "rn_ahmcap"): (0.0, False, "the cap of the friction coefficient must be positive"),
    ("namzb20", "rn_zb_kappa"): (0.0, True, "it must not be negative: it is minus the published coefficient"),
    ("namsbc", "rn_rho0"): (0.0, False, "the density must be positive"),
    ("namdrg", "rn_drg"): (0.0, True, "the drag must not be negative"),
    ("namtra", "rn_aht"): (0.0, True, "the diffusivity must not be negative"),
}
WINDS = ("gyre", "channel", "none")


def check(switches: Switches) -> None:
    """HaloclineError for a value that the ocean would refuse, with its line: of another type, out of range, no date, no number."""
    for group in GROUPS:
        found = switches.given.get(group, {})
        if isinstance(found, list):
            lines = [part.line for part in read_groups(switches.path) if part.name == group]
            raise HaloclineError(
                f"group &{group} stands twice.\n  {switches.path.name} lines {lines[0]} and {lines[1]}. Join the two."
            )
        for name in found:
            _kind(switches, group, name)
    if (count := switches["namusr_def", "nn_layers"]) > LAYERS:
        _stop(switches, "namusr_def", "nn_layers", count, f"the ocean has {LAYERS} layers at most")
    for (group, name), (least, itself, words) in LEAST.items():
        array = isinstance(switches.defaults[group][name], list)
        for value in layers(switches, group, name) if array else [switches[group, name]]:
            if value < least or (value == least and not itself):
                _stop(switches, group, name, value, words)
    if (filtered := switches["namdom", "rn_atfp"]) >= 0.5:
        _stop(switches, "namdom", "rn_atfp", filtered, LEAST["namdom", "rn_atfp"][2])
    if (slip := switches["namlbc", "rn_shlat"]) > 2:
        _stop(switches, "namlbc", "rn_shlat", slip, LEAST["namlbc", "rn_shlat"][2])
    if (wind := switches["namsbc", "cn_wind"]) not in WINDS:
        _stop(switches, "namsbc", "cn_wind", f"'{wind}'", f"allowed: {', '.join(WINDS)}")
    _date(switches)


def layers(switches: Switches, group: str, name: str) -> list[float]:
    """A value for each layer: as Fortran does, those of the namelist are laid over the defaults, from their index on."""
    found, given = switches.given.get(group, {}), switches[group, name]
    first = (found.start_index.get(name) or [1])[0] if name in found else 1
    values = {place: float(value) for place, value in enumerate(switches.defaults[group][name], 1)}
    for place, value in enumerate(given if isinstance(given, list) else [given], first):
        if value is not None:  # an empty place keeps what is there
            values[place] = float(value)
    return [values.get(place, 0.0) for place in range(1, int(switches["namusr_def", "nn_layers"]) + 1)]


def _date(switches: Switches) -> None:
    """HaloclineError for a calendar that does not exist, or a first day that it does not have."""
    leap, start = switches["namrun", "nn_leapy"], switches["namrun", "nn_date0"]
    if leap not in CALENDARS:
        _stop(switches, "namrun", "nn_leapy", leap, "allowed: 0 (365 days), 1 (Gregorian), 30 (360 days)")
    try:
        cftime.datetime(start // 10000, start // 100 % 100, start % 100, calendar=CALENDARS[leap])
        known = start >= 10000
    except ValueError:
        known = False
    if not known:
        words = f"no date of the calendar {CALENDARS[leap]}; write yyyymmdd, from year 1 on"
        _stop(switches, "namrun", "nn_date0", start, words)


def _kind(switches: Switches, group: str, name: str) -> None:
    """A value of the switch's type, as Fortran reads it: a real may be written as an integer, nothing else."""
    default, given = switches.defaults[group][name], switches[group, name]
    array = isinstance(default, list)
    kind = type(default[0]) if array else type(default)
    values = given if isinstance(given, list) else [given]
    for value in values:
        fits = type(value) is kind or (kind is float and type(value) is int) or (array and value is None)
        if not fits or (len(values) > 1 and not array):
            shown = ", ".join(str(part) for part in values)
            _stop(switches, group, name, shown, f"the switch is {'a list of ' if array else 'one '}{KINDS[kind]}")
        if kind is float and value is not None and not abs(float(value)) < float("inf"):
            _stop(switches, group, name, value, "it must be a finite number")


def _stop(switches: Switches, group: str, name: str, value: object, words: str) -> None:
    raise HaloclineError(
        f"{name} = {value}: {words}.\n  {switches.where(group, name)}. namelists/namelist_ref lists every switch of the ocean."
    )
