"""What a page cannot show, and why: a report of a damaged run comes, too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from coupler.errors import HaloclineError

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
)  # of half-written files


@dataclass
class Absence:
    """Rows (what, why), in the order in which they were met."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, why: str) -> None:
        """Note one thing, once."""
        row = (what, why.strip())
        if row not in self.rows:
            self.rows.append(row)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """What goes wrong inside leaves `what` out and is noted, in place of ending the report."""
        try:
            yield
        except HaloclineError as error:
            self.add(what, str(error))
        except DAMAGE as error:
            self.add(what, f"a file of the run cannot be understood ({type(error).__name__}: {error}).")
