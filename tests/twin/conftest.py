"""The ocean and its twin from one namelist."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.ocean import read_switches
from models.data.ocean_restart import Restart, read_restart
from models.twin.run import Twin
from tests.ocean.conftest import ocean  # noqa: F401  a fixture

STEPS = 100


@dataclass
class Both:
    """The restarts of the ocean and of the twin after the same steps."""

    ocean: Restart
    twin: Restart

    def error(self) -> float:
        """Largest difference of any field, relative to its largest value."""
        return max(
            float(np.abs(self.twin.fields[name] - values).max() / np.abs(values).max())
            for name, values in self.ocean.fields.items()
            if np.abs(values).max() > 0
        )


@pytest.fixture
def both(ocean, tmp_path):  # noqa: F811  the fixture
    """A function that runs `steps` steps from rest in Fortran and in torch."""

    def run(*changes, steps=STEPS, dtype=torch.float64, spoil=None) -> Both:
        done = ocean({"namrun": {"nn_itend": steps}}, *changes)
        twin = Twin(read_switches(done.rundir), dtype)
        if spoil is not None:
            spoil(twin)
        return Both(read_restart(done.rundir / f"TEST_{steps:08d}_restart.nc"), last(twin, steps))

    return run


def last(twin, steps, state=None, first=1, **kwargs) -> Restart:
    """The twin's restart after `steps` steps."""
    begin = state is None
    with torch.no_grad():
        state = twin.after(twin.rest() if begin else state, first, steps, forward=begin, **kwargs)
    return twin.restart(state, first + steps - 1)


def small(folder: Path, **groups) -> Twin:
    """The twin of the small basin that tests/ocean uses."""
    from tests.ocean.conftest import write_namelist

    write_namelist(folder / "namelist_cfg", groups)
    return Twin(read_switches(folder))
