"""What the ocean says of itself at start-up, and the calendar that follows from it.

Client and coupler speak one version of the protocol, PROTOCOL here and cpl_protocol in the client; another is refused at the
start of a run. The number changes when a message changes. A new entry in the handshake does not change it: entries that this
version does not know are ignored, new ones that it could miss have a default.
"""

import datetime
import json
from typing import Literal

import cftime
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as PydanticField

from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.grid import Box, Grid

PROTOCOL = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class GridPart(_Part):
    """One grid of the model: global sizes without halo, the edges, and (i offset, j offset, ni, nj) of every rank."""

    name: str
    nx: int
    ny: int
    boundary: str
    domains: list[tuple[int, int, int, int]]

    @property
    def grid(self) -> Grid:
        """The grid that exchanges live on."""
        return Grid(self.nx, self.ny, self.boundary)

    @property
    def boxes(self) -> list[Box]:
        """Interior of every ocean rank, in rank order."""
        return [Box(*domain) for domain in self.domains]


class TimePart(_Part):
    """Time step [s], first and last step of this run, start of the experiment (yyyymmdd), CF calendar, time level."""

    rn_Dt: float
    nn_it000: int
    nn_itend: int
    date0: int
    calendar: str
    level: Literal["now", "before"]


class Handshake(_Part):
    """The JSON document of the client, also printed by an ocean's `--describe`."""

    protocol: int
    transport: str
    model: str
    time: TimePart
    fields: list[Field]
    declared: list[int]
    grids: list[GridPart] = PydanticField(min_length=1)

    @property
    def grid(self) -> GridPart:
        """The first grid; most models have one."""
        return self.grids[0]

    @property
    def ranks(self) -> int:
        """Ranks of the ocean."""
        return len(self.declared)

    def date(self, kt: int) -> cftime.datetime:
        """Model date at the start of step `kt`; step 1 starts at date0, 00:00."""
        year, month, day = self.time.date0 // 10000, self.time.date0 // 100 % 100, self.time.date0 % 100
        start = cftime.datetime(year, month, day, calendar=self.time.calendar)
        return start + datetime.timedelta(seconds=(kt - 1) * self.time.rn_Dt)


def parse(text: str) -> Handshake:
    """Handshake from the client's JSON.

    Raises HaloclineError for a document of another protocol, or one that this version cannot read.
    """
    version = _protocol(text)
    if version not in (PROTOCOL, None):
        raise HaloclineError(
            f"protocol versions differ: {version} in the client of the ocean, {PROTOCOL} in this coupler. "
            "Compile the client that ships with the installed coupler: `halocline client --path` prints its folder."
        )
    try:
        shake = Handshake.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HaloclineError(
            f"the handshake of the ocean cannot be read: {place}: {first['msg']}, got {first.get('input')!r}. "
            "Compile the client that ships with this coupler (halocline client --path)."
        ) from None
    if len(set(shake.declared)) > 1:
        raise HaloclineError("the ocean's ranks declare different numbers of fields. Call cpl_var alike on every rank.")
    return shake


def _protocol(text: str) -> object:
    """The version in a handshake, read before anything else; None where the text is no handshake."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document.get("protocol") if isinstance(document, dict) else None
