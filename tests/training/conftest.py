"""What the tests of a folder share: made once in a process."""

import pytest

from tests.training import box, through


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    """The data set of the box whose ocean has the drag (box.py)."""
    return box.write_truth(tmp_path_factory.mktemp("truth"))


@pytest.fixture(scope="session")
def twin_place(tmp_path_factory):
    """An ocean, its data, and what trains a network through its twin (through.py)."""
    return through.Place.made(tmp_path_factory.mktemp("online"))
