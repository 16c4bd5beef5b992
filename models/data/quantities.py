"""Increments (per window) and tendencies (per second): two types that never mix by accident."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, NoReturn, Self

from coupler.errors import HaloclineError
from coupler.units import per_second, unit_factor

# name -> (units of the state and of its increment, point)
FIELDS = {
    "u": ("m s-1", "U"), "v": ("m s-1", "V"), "h": ("m", "T"), "sst": ("degC", "T"),
    "t": ("degC", "T"), "s": ("1e-3", "T"), "ssh": ("m", "T"),
}  # fmt: skip
KELVIN = {"K": "degC", "degree_C": "degC", "degrees_C": "degC"}  # a difference of temperatures has no offset


class UnitsError(HaloclineError, TypeError):
    """Quantities per window and per second, or of other units, points or windows, were mixed."""


@dataclass(frozen=True, eq=False)
class _Quantity:
    """Values with a meaning: sums only with its like, products only with numbers, arrays only through `.values`."""

    values: Any
    __array_ufunc__ = None  # numpy then leaves every operation to this class
    kind: ClassVar[str]

    def __add__(self, other: object) -> Self:
        return self._joined(other, "+", lambda a, b: a + b)

    def __sub__(self, other: object) -> Self:
        return self._joined(other, "-", lambda a, b: a - b)

    def __radd__(self, other: object) -> NoReturn:
        raise self._mixed("+", other)

    def __rsub__(self, other: object) -> NoReturn:
        raise self._mixed("-", other)

    def __neg__(self) -> Self:
        return replace(self, values=-self.values)

    def __mul__(self, other: object) -> Self:
        return replace(self, values=self.values * self._number(other, "*"))

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Self:
        return replace(self, values=self.values / self._number(other, "/"))

    def __rtruediv__(self, other: object) -> NoReturn:
        raise self._mixed("/", other)

    def __eq__(self, other: object) -> Any:
        return self._compared(other, "==", lambda a, b: a == b)

    def __ne__(self, other: object) -> Any:
        return self._compared(other, "!=", lambda a, b: a != b)

    def __lt__(self, other: object) -> Any:
        return self._compared(other, "<", lambda a, b: a < b)

    def __le__(self, other: object) -> Any:
        return self._compared(other, "<=", lambda a, b: a <= b)

    def __gt__(self, other: object) -> Any:
        return self._compared(other, ">", lambda a, b: a > b)

    def __ge__(self, other: object) -> Any:
        return self._compared(other, ">=", lambda a, b: a >= b)

    __hash__ = None  # type: ignore[assignment]

    def __float__(self) -> NoReturn:
        raise self._bare("a number")

    def __int__(self) -> NoReturn:
        raise self._bare("a number")

    def __bool__(self) -> NoReturn:
        raise self._bare("true or false")

    def __len__(self) -> NoReturn:
        raise self._bare("a sequence")

    def __iter__(self) -> NoReturn:
        raise self._bare("a sequence")

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise self._bare("an array")

    def label(self) -> str:
        """What it is, in words."""
        facts = ", ".join(f"{name} {getattr(self, name)}" for name in self._same() if name != "name")
        return f"the {self.kind} of {getattr(self, 'name', '?')} ({facts})"

    def _like(self, other: Any) -> bool:
        return all(getattr(self, name) == getattr(other, name) for name in self._same())

    def _same(self) -> tuple[str, ...]:
        return ("name", "units", "point")

    def _joined(self, other: object, sign: str, function: Callable[[Any, Any], Any]) -> Self:
        return replace(self, values=self._compared(other, sign, function))

    def _compared(self, other: object, sign: str, function: Callable[[Any, Any], Any]) -> Any:
        if type(other) is not type(self) or not self._like(other):
            raise self._mixed(sign, other)
        return function(self.values, other.values)

    def _number(self, other: object, sign: str) -> float:
        if isinstance(other, bool) or not isinstance(other, Real):
            raise self._mixed(sign, other)
        return float(other)

    def _mixed(self, sign: str, other: object) -> UnitsError:
        right = other.label() if isinstance(other, _Quantity) else f"a {type(other).__name__}"
        return UnitsError(
            f"{self.label()} and {right} do not go together in '{sign}'.\n  + - and comparisons take the same kind, name, "
            "units, point and window, * and / a number. Convert with .tendency() or .over(window); plain arrays: .values."
        )

    def _bare(self, what: str) -> UnitsError:
        return UnitsError(
            f"{self.label()} is not {what}: its units would be lost.\n  Take .values where that is meant."
        )


@dataclass(frozen=True, eq=False)
class Tendency(_Quantity):
    """A rate of change: values per second (array, or lazy xarray), e.g. units 'm s-2' of u at point 'U'."""

    units: str
    name: str
    point: str
    kind: ClassVar[str] = "tendency"

    def __post_init__(self) -> None:
        _refuse_wrapped(self.values)
        if self.name in FIELDS:
            check_units(self.name, self.units, per_second(FIELDS[self.name][0]), "a tendency")

    def over(self, window: float) -> "Increment":
        """What it adds up to in `window` [s]. HaloclineError for a window that is no positive number."""
        window = checked_window(window, f"'{self.name}'")
        units = FIELDS[self.name][0] if self.name in FIELDS else _over_second(self.units)
        return Increment(self.values * window, window, units, self.name, self.point)


@dataclass(frozen=True, eq=False)
class Increment(_Quantity):
    """Analysis minus background: values per `window` [s] (array, or lazy xarray), in the units of the state itself."""

    window: float
    units: str
    name: str
    point: str
    kind: ClassVar[str] = "increment"

    def __post_init__(self) -> None:
        _refuse_wrapped(self.values)
        checked_window(self.window, f"'{self.name}'")
        if self.name in FIELDS:
            check_units(self.name, self.units, FIELDS[self.name][0], "an increment")

    @classmethod
    def of(cls, name: str, values: Any, window: float) -> "Increment":
        """The increment of a field of FIELDS, in its units. HaloclineError for another name, or a wrong window."""
        if name not in FIELDS:
            raise HaloclineError(f"'{name}' is no field with increments; there are {', '.join(FIELDS)}.")
        return cls(values, window, *FIELDS[name][:1], name, FIELDS[name][1])

    def tendency(self) -> Tendency:
        """The constant rate [per second] that gives this increment in one window."""
        return Tendency(self.values / self.window, per_second(self.units), self.name, self.point)

    def _same(self) -> tuple[str, ...]:
        return ("name", "units", "point", "window")


def checked_window(window: object, what: str) -> float:
    """A window in seconds. HaloclineError when it is no positive, finite number."""
    if isinstance(window, bool) or not isinstance(window, Real) or not 0 < float(window) < math.inf:
        raise HaloclineError(
            f"the window of {what} is {window!r}, it must be a positive number of seconds.\n"
            "  Without it an increment cannot be told from a tendency; write it with the increments."
        )
    return float(window)


def _over_second(units: str) -> str:
    """The inverse of `per_second`: 'm s-2' gives 'm s-1', 'degC s-1' gives 'degC', 's-1' gives '1'."""
    found = re.fullmatch(r"(.*?)\s*\bs-(\d)", units)
    if found is None:
        return f"{units} s"
    power = int(found[2]) - 1
    return f"{found[1]} s-{power}".strip() if power else found[1] or "1"


def _refuse_wrapped(values: object) -> None:
    if isinstance(values, _Quantity):
        raise UnitsError(f"{values.label()} cannot be the values of another quantity.\n  Convert it, or take .values.")


def check_units(name: str, units: str, wanted: str, what: str) -> None:
    """UnitsError unless `units` are `wanted`; what: 'an increment' or 'a tendency' of field `name`."""
    units = " ".join(KELVIN.get(factor, factor) for factor in units.split())
    if units == wanted:
        return
    try:
        same = unit_factor(units, wanted) == 1.0
        other = per_second(wanted) if what == "an increment" else FIELDS[name][0]
        swapped = unit_factor(units, other) == 1.0
    except HaloclineError:
        same = swapped = False
    if same:
        return
    hint = "That is an amount per window." if what == "a tendency" else "That is a rate, per second."
    raise UnitsError(
        f"{what} of {name} has the units '{wanted}', not '{units}'.\n  {hint + ' ' if swapped else ''}"
        "An increment is per window, in the units of the state; a tendency is per second. Convert the values, never the text."
    )
