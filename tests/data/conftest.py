"""The small NEMO run that the tests of nemo files share."""

import pytest

from tests.data.nemo_run import Run


@pytest.fixture
def run(tmp_path) -> Run:
    """A run written in the old dialect into tmp_path."""
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path)
    return run
