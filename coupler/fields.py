"""Fields as the ocean declares them in the handshake."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Field(BaseModel):
    """A named array on a grid point, with units and levels; `id` is the client's number for it, `grid` counts from 1."""

    model_config = ConfigDict(frozen=True)
    id: int
    name: str
    units: str
    point: Literal["T", "U", "V", "F", "W"]
    levels: int
    grid: int = 1
    direction: Literal["out", "in"]

    def __str__(self) -> str:
        """Name, point, levels and units in one phrase."""
        return f"{self.name} [{self.units}] at {self.point}, {self.levels} level{'s' if self.levels > 1 else ''}"


def by_name(fields: list[Field], direction: str) -> Mapping[str, Field]:
    """Fields of one direction: 'out' (the ocean sends) or 'in' (the ocean receives)."""
    return {field.name: field for field in fields if field.direction == direction}
