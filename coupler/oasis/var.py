"""A coupled field: put and get between the user's array and the packed points of OASIS."""

import weakref
from typing import Any

import numpy as np

from coupler.oasis import component
from coupler.oasis.clock import Coupling
from coupler.oasis.dialect import check_field_name
from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.library import Library
from coupler.oasis.parameters import OASIS, OasisParameters
from coupler.oasis.partition import Partition

SMALL_GRID = 5000  # points per level; see choose_form
MOVED = (OASIS.RECVD, OASIS.RECVOUT, OASIS.FROMREST, OASIS.FROMRESTOUT, OASIS.INPUT)


def level_names(name: str, bundle_size: int) -> list[str]:
    """Names of the levels of a bundle in a namcouple that couples them one by one: T_001, T_002, ..."""
    return [f"{name}_{level + 1:03d}" for level in range(bundle_size)]


def choose_form(points: int, levels: int) -> str:
    """`packed` (one coupled field) or `levels` (one per level) for a bundle; points: of the whole grid, per level.

    Measured (tests/oasis/measure_bundles.py, 31 levels, 2 ranks to 1): levels take 0.3 to 0.4 of the time of packed at 435 000
    points, 0.6 at 12 000, as long at 2 000 to 5 000, and 5 times as long at 100, where each call's 5 us count.
    """
    return "levels" if levels > 1 and points >= SMALL_GRID else "packed"


class Var:
    """A field `name` on `partition`, inout OASIS.OUT or OASIS.IN, with `bundle_size` levels.

    A bundle travels packed, as one field over an index space of bundle_size * (global size) points, level after level; or
    level by level, where the namcouple lists NAME_001, NAME_002, ... instead of NAME. Nothing is sent for a name that the
    namcouple does not hold (is_active is then False).

    fill: value of points that no rank of the other side sends, 0.0 unless changed; after enddef, `unsent` (local_size,) tells
    which these are. Raises PyOasisException for a wrong direction, a name of over 128 letters or a name defined twice.
    """

    def __init__(self, name: str, partition: Partition, inout: OasisParameters, bundle_size: int = 1) -> None:
        if inout not in (OASIS.OUT, OASIS.IN):
            raise PyOasisException(f"variable '{name}': direction {inout!r}; allowed are OASIS.OUT and OASIS.IN.")
        if bundle_size < 1:
            raise PyOasisException(
                f"variable '{name}': bundle_size {bundle_size}; it is the number of levels, at least 1."
            )
        check_field_name(name, f"variable '{name[:20]}'")
        self._name, self.bundle_size, self.direction, self.partition = (
            name,
            bundle_size,
            OasisParameters(inout),
            partition,
        )
        self.fill = 0.0
        self.unsent = np.zeros(partition.local_size, bool)
        self.couplings: list[Coupling] = []
        self.ids: list[int] = []
        self._missing: np.ndarray | None = None
        self._buffer: np.ndarray | None = None
        self._component = weakref.proxy(component.current(f"Var('{name}')"))
        self._id = self._component.definitions.add(self)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def is_active(self) -> bool:
        """True where the namcouple couples this name."""
        return self._id != -1

    @property
    def cpl_freqs(self) -> list[int]:
        """Periods of its couplings [s]; after enddef."""
        return [coupling.period for coupling in self.couplings]

    @property
    def unsent_count(self) -> int:
        """Points of this rank that nobody sends."""
        return int(np.count_nonzero(self.unsent))

    def put(self, time: int, field: Any, fracwgt: Any = None, write_restart: bool = False) -> OasisParameters:
        """Send a field at `time` [s]; returns at once off the coupling times (OASIS.OK).

        field: (local_size,) or any shape of that size; with a bundle the last axis is the level. Axes before it are
        flattened in Fortran order.
        """
        if fracwgt is not None or write_restart:
            raise PyOasisException(
                f"'{self._name}': fracwgt and write_restart exist from OASIS3-MCT 5 on, not in the library found here."
            )
        values = self._values(field)
        library, due = self._ready(time, OASIS.OUT)
        if not due:
            return OASIS.OK
        order = self.partition.layout.first
        if order is None and values.dtype == np.float64 and values.flags.c_contiguous:
            packed = values
        else:
            packed = self._buffer_of(self.partition.layout.packed)
            packed[...] = values if order is None else values[:, order]
        info = self._transfer(library.put, time, packed)
        self._component.clock.done(time, self.couplings)
        return info

    def get(self, time: int, field: Any) -> OasisParameters:
        """Receive into `field` at `time` [s]; it is left alone off the coupling times (OASIS.OK). Shape as in put."""
        values = self._values(field, writable=True)
        library, due = self._ready(time, OASIS.IN)
        if not due:
            return OASIS.OK
        order = self.partition.layout.order
        direct = order is None and values.dtype == np.float64 and values.flags.c_contiguous
        packed = values if direct else self._buffer_of(self.partition.layout.packed)
        info = self._transfer(library.get, time, packed)
        if info in MOVED:
            if not direct:
                values[...] = packed if order is None else packed[:, order]
            if self._missing is not None:
                values[:, self._missing] = self.fill
            if field.size and not np.shares_memory(values, field):
                field[...] = values.T.reshape(field.shape, order="F")
        self._component.clock.done(time, self.couplings)
        return info

    def put_inquire(self, time: int) -> OasisParameters:
        """What a put at `time` would do."""
        library, due = self._ready(time, OASIS.OUT)
        step = int(time) // self._component.clock.unit
        return OasisParameters(library.put_inquire(self.ids[0], step)) if due else OASIS.OK

    def require_sent(self, wet: Any) -> None:
        """Refuse points that nobody sends where `wet` (local_size,) is true; call it after enddef."""
        bad = self.unsent & np.asarray(wet, bool).ravel(order="F")
        if bad.any():
            raise PyOasisException(
                f"'{self._name}': {int(bad.sum())} wet point(s) of this rank are sent by no rank of the other side, the first is "
                f"local point {int(bad.argmax())}. Its decomposition does not cover the ocean."
            )

    def covered(self, senders: np.ndarray) -> int:
        """Take the number of senders of each packed point (points,); returns how many points have several."""
        layout = self.partition.layout
        senders = senders if layout.order is None else senders[layout.order]
        self.unsent = senders == 0
        self._missing = np.flatnonzero(self.unsent) if self.unsent.any() else None
        return int(np.count_nonzero(senders > 1))

    def _ready(self, time: int, direction: OasisParameters) -> tuple[Library, bool]:
        """The library, and whether something travels at `time`."""
        if self.direction != direction:
            raise PyOasisException(
                f"'{self._name}' was defined as OASIS.{self.direction.name[6:]}; it cannot do the opposite."
            )
        if not self.is_active:
            raise PyOasisException(
                f"'{self._name}' is not in {self._component.namcouple.where}, so nothing can be exchanged. Test is_active "
                "first, or add the field."
            )
        if not self.ids:
            raise PyOasisException(f"'{self._name}': call enddef() of the component before put and get.")
        due = self._component.clock.check(time, self._name, self.couplings)
        every_call = self._component.clock.unit == 1 and not self._component.instant
        return self._component.library, due or every_call

    def _transfer(self, call: Any, time: int, packed: np.ndarray) -> OasisParameters:
        """Put or get the levels together or one by one."""
        self._component.ending.forget_exit_code()
        step = int(time) // self._component.clock.unit
        if len(self.ids) == 1:
            return OasisParameters(call(self.ids[0], step, packed))
        infos = [call(number, step, level) for number, level in zip(self.ids, packed, strict=True)]
        return OasisParameters(infos[-1])

    def _buffer_of(self, points: int) -> np.ndarray:
        """Room for (bundle_size, points) doubles, kept between calls."""
        if self._buffer is None:
            self._buffer = np.empty((self.bundle_size, points))
        return self._buffer

    def _values(self, field: Any, writable: bool = False) -> np.ndarray:
        """The user's field as (bundle_size, local_size); a view unless its axes are in C order."""
        array = field if isinstance(field, np.ndarray) else None if writable else np.asarray(field)
        size, levels = self.partition.local_size, self.bundle_size
        if array is None or array.dtype.kind != "f" or (writable and not array.flags.writeable):
            got = f"{array.dtype} array" if array is not None else type(field).__name__
            raise PyOasisException(
                f"'{self._name}': the field is a {got}; a numpy array of floats is needed (pyoasis.asarray)."
            )
        good = array.size == size if levels == 1 else array.shape[-1:] == (levels,) and array.size == size * levels
        if not good:
            shape = f"({size},)" if levels == 1 else f"({size}, {levels})"
            raise PyOasisException(
                f"'{self._name}': the field has shape {array.shape}; the partition has {size} points here"
                f"{f' and the bundle {levels} levels' if levels > 1 else ''}, so {shape} is needed, or a shape that flattens to it."
            )
        return array.reshape((size, levels), order="F").T

    def __str__(self) -> str:
        return f"Var {self._name!r} ({self.direction.name[6:]}, {self.bundle_size} level(s)) on {self.partition}"
