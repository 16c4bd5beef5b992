"""Which field is which input or output of a network, and which of its levels: the entries of cn_inputs and cn_outputs."""

import re
from dataclasses import dataclass

import numpy as np

from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.settings import NamNet


@dataclass(frozen=True)
class Link:
    """The field that is an input or output, and which of its levels (first and last, from 1; None: all)."""

    field: str
    levels: tuple[int, int] | None = None

    def cut(self, view: np.ndarray) -> np.ndarray:
        """The levels of a view (k, J, I)."""
        return view if self.levels is None else view[self.levels[0] - 1 : self.levels[1]]

    def selected(self, field: Field) -> Field:
        """The field with as many levels as are used, for the comparison with a contract."""
        if self.levels is None:
            return field
        first, last = self.levels
        if not 1 <= first <= last <= field.levels:
            raise HaloclineError(
                f"levels {first} to {last} of field '{field.name}' do not exist; it has {field.levels}."
            )
        return field.model_copy(update={"levels": last - first + 1})

    def __str__(self) -> str:
        """As the namelist writes it."""
        return self.field if self.levels is None else f"{self.field}({self.levels[0]}:{self.levels[1]})"


def read_links(group: NamNet, key: str) -> dict[str, Link]:
    """Entries 'name=field', 'name=field(k)', 'name=field(first:last)' as a mapping; a bare name stands for itself.

    In cn_inputs a field may be 'network.output'. Raises HaloclineError for an entry of another form.
    """
    result = {}
    for entry in getattr(group, key):
        found = re.fullmatch(r"\s*(\w+)\s*(?:=\s*(\w+(?:\.\w+)?)\s*(?:\(\s*(\d+)\s*(?::\s*(\d+)\s*)?\))?)?\s*", entry)
        if found is None:
            raise HaloclineError(
                f"{key} of network '{group.cn_name}' has the entry '{entry}'. Write 'name=field', 'name=field(1)' or "
                "'name=field(1:5)'."
            )
        name, field, first, last = found.groups()
        result[name] = Link(field or name, (int(first), int(last or first)) if first else None)
    return result


def read_products(group: NamNet, key: str) -> dict[str, list[str]]:
    """Entries 'output=a*b*c' as output -> factors. Raises HaloclineError for another form."""
    result = {}
    for entry in getattr(group, key):
        name, equal, product = entry.partition("=")
        factors = [factor.strip() for factor in product.split("*")]
        if not equal or not name.strip() or not all(factor.isidentifier() for factor in factors):
            raise HaloclineError(
                f"{key} of network '{group.cn_name}' has the entry '{entry}'. Write 'output=field', or 'output=e1u*e2u' for a "
                f"product.\n  {group.where(key)}."
            )
        result[name.strip()] = factors
    return result
