"""An ocean that stops before the step that it announced, or goes on beyond it: the example host over both transports."""

import pytest

from coupler.ending import read_end
from tests.failure.matrix import BOTH

# What the host does before it sends -> what `halocline run` says
LEAVES = {
    "goes on beyond": ("if (kt == nsteps) call cpl_snd(it, kt + 1, t)", ("beyond the last step given to cpl_define, 8 (step 9)",)),
    "stops without a word": ("if (kt == 4) stop", ("of the ocean", "without MPI_Finalize")),
    "has a rank that stops": ("if (kt == 4 .and. irank == 1) stop 3", ("rank 1 of the ocean", "exit code 3")),
}  # fmt: skip


def assert_dies(done, *words):
    assert done.rc != 0, done.text
    assert done.stderr.count("halocline: ") == 1 and "Traceback" not in done.text, done.text
    for word in words:
        assert word in done.stderr, f"{word!r} is not in:\n{done.stderr}\n{done.text}"
    assert not done.left
    assert not read_end(done.folder).get("coupler")
    assert done.seconds < 40


@pytest.mark.parametrize(
    ("way", "transport"),
    [
        pytest.param(way, name, marks=() if (way, name) == ("goes on beyond", "mpi") else pytest.mark.slow)
        for way in LEAVES
        for name in BOTH
    ],
)
def test_an_ocean_that_leaves_its_announcement(job, way, transport):
    line, words = LEAVES[way]
    assert_dies(job(host=line, transport=transport), *words)


def test_an_ocean_that_ends_early_after_saying_so(job):
    """cpl_finalize before the announced step: over MPI the coupler ends with it."""
    done = job(host="if (kt == 4) exit")
    assert done.rc == 0, done.text
    assert read_end(done.folder)["coupler"]["kt"] == 3


@pytest.mark.slow
def test_over_oasis_a_run_has_its_length(job):
    """The broken twin of the one before: OASIS waits for all exchanges of the namcouple, and nothing may end as if it were well."""
    assert_dies(job(host="if (kt == 4) exit", transport="oasis"), "the model ends early", "step 3")
