"""Units as strings: parsed, compared, never converted."""

import math
import re
from fractions import Fraction

from coupler.errors import HaloclineError

Units = tuple[float, tuple[tuple[str, int], ...]]

# Units. A product of known names with integer powers, canonical as (factor to SI, sorted base powers). Offsets are not
# modelled: degC and K differ by an offset and are different bases, so they never compare equal.
_BASE: dict[str, tuple[Fraction, dict[str, int]]] = {
    "1": (Fraction(1), {}),
    "m": (Fraction(1), {"m": 1}),
    "s": (Fraction(1), {"s": 1}),
    "kg": (Fraction(1), {"kg": 1}),
    "g": (Fraction(1, 1000), {"kg": 1}),
    "K": (Fraction(1), {"K": 1}),
    "degC": (Fraction(1), {"degC": 1}),
    "rad": (Fraction(1), {}),
    "degree": (Fraction(math.pi / 180), {}),
    "mol": (Fraction(1), {"mol": 1}),
    "psu": (Fraction(1), {"psu": 1}),
    "min": (Fraction(60), {"s": 1}),
    "h": (Fraction(3600), {"s": 1}),
    "day": (Fraction(86400), {"s": 1}),
    "N": (Fraction(1), {"kg": 1, "m": 1, "s": -2}),
    "Pa": (Fraction(1), {"kg": 1, "m": -1, "s": -2}),
    "J": (Fraction(1), {"kg": 1, "m": 2, "s": -2}),
    "W": (Fraction(1), {"kg": 1, "m": 2, "s": -3}),
    "Hz": (Fraction(1), {"s": -1}),
}
_ALIAS = {
    "metre": "m", "meter": "m", "metres": "m", "meters": "m", "sec": "s", "second": "s", "seconds": "s", "hour": "h",
    "hours": "h", "hr": "h", "days": "day", "d": "day", "kelvin": "K", "degK": "K", "celsius": "degC", "deg_C": "degC",
    "degrees_celsius": "degC", "degree_C": "degC", "degrees": "degree", "PSU": "psu", "percent": "%",
}  # fmt: skip
_BASE["%"] = (Fraction(1, 100), {})
_PREFIX = {"n": -9, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9}
_PREFIXED = ("m", "s", "g", "K", "mol", "N", "Pa", "J", "W", "Hz")
_TOKEN = re.compile(r"([A-Za-z_%]+|1)(?:(?:\^|\*\*)?([+-]?\d{1,2}))?")


def normalise_units(text: str) -> Units:
    """Canonical form (factor to SI, ((base, power), ...)) of 'm s-1', 'm/s', 'cm.s^-1', 'm2 s-2', '1', 'degC', ...

    After a '/', every factor up to the next '/' is divided by its first one only, as in udunits: 'm/s kg' is m s-1 kg.
    HaloclineError where a unit is not known.
    """
    factor, powers = _parse(text)
    return float(factor), tuple(sorted((base, power) for base, power in powers.items() if power))


def unit_factor(a: str, b: str) -> float | None:
    """Factor f with value_in_b = f value_in_a ('cm s-1' to 'm s-1': 0.01); None for different quantities."""
    (fa, pa), (fb, pb) = _parse(a), _parse(b)
    same = {k: v for k, v in pa.items() if v} == {k: v for k, v in pb.items() if v}
    return float(fa / fb) if same else None


def per_second(units: str) -> str:
    """Units of something divided by seconds: 'm' to 'm s-1', 'm s-1' to 'm s-2', '1' to 's-1'. Parsed by nobody."""
    found = re.fullmatch(r"(.*?)\s*\bs(?:\^|\*\*)?-(\d)", units)
    if found and "/" not in units:
        return f"{found[1]} s-{int(found[2]) + 1}".strip()
    return "s-1" if units.strip() == "1" else f"{units} s-1"


def _parse(text: str) -> tuple[Fraction, dict[str, int]]:
    problem = HaloclineError(
        f"units '{text}' are not understood. Write factors with powers, as in 'm s-1', 'm/s', 'kg m-3', '1'; "
        f"known: {', '.join(_BASE)} and prefixes {', '.join(_PREFIX)}."
    )
    rest = text.strip()
    if not rest:
        raise problem
    factor, sign = Fraction(1), 1
    powers: dict[str, int] = {}
    while rest:
        found = _TOKEN.match(rest)
        base = _lookup(found[1]) if found else None
        if found is None or base is None:
            raise problem
        power = sign * int(found[2] or 1)
        factor *= base[0] ** power
        for name, p in base[1].items():
            powers[name] = powers.get(name, 0) + p * power
        after = rest[found.end() :]
        separator = re.match(r"\s*([/.*·]|(?=\S)(?<=\s)|$)\s*", after)
        if separator is None or (separator[1] and separator.end() == len(after)):
            raise problem
        sign = -1 if separator[1] == "/" else 1
        rest = after[separator.end() :]
    return factor, powers


def _lookup(name: str) -> tuple[Fraction, dict[str, int]] | None:
    name = _ALIAS.get(name, name)
    if name in _BASE:
        return _BASE[name]
    if name[:1] in _PREFIX and name[1:] in _PREFIXED:
        factor, powers = _BASE[name[1:]]
        return factor * Fraction(10) ** _PREFIX[name[0]], powers
    return None
