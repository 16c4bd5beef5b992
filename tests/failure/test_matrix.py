"""The failure matrix: every row ends as it says, and leaves what a new run needs."""

import json

import netCDF4
import pytest

from coupler.ending import read_end
from coupler.io import read_output
from tests.failure.case import LAST, STOCK, ocean_restart, our_restart
from tests.failure.matrix import ROWS
from tests.ocean.conftest import nudged, same_bits


def cases():
    for row in ROWS:
        for transport in row.transports:
            marks = () if row.quick == transport else pytest.mark.slow
            yield pytest.param(row, transport, id=f"{row.name} over {transport}", marks=marks)


@pytest.fixture(scope="session")
def whole(job):
    """The run that nothing happened to."""
    done = job()
    assert done.rc == 0, done.text
    return done.folder


def assert_whole(folder):
    """Every file under a final name can be read to its end."""
    for path in folder.glob("*.nc"):
        if path.is_symlink():  # given to the run, not made by it
            continue
        with netCDF4.Dataset(path) as file:
            for variable in file.variables.values():
                variable[...]
    for path in folder.glob("*.json"):
        json.loads(path.read_text())


def assert_goes_on(job, whole, folder, kt, transport):
    """A run continued from the restarts of step kt has the bits of the run that was never interrupted."""
    done = job(transport=transport, after=kt, link=[folder / ocean_restart(kt), folder / our_restart(kt)])
    assert done.rc == 0, done.text
    same_bits(read_output(whole / ocean_restart(LAST)), read_output(done.folder / ocean_restart(LAST)))


def last_pair(folder):
    """The last step of which both sides have left a restart; 0: none."""
    steps = {int(path.name.split("_")[1]) for path in folder.glob("TEST_????????_restart.nc")}
    return max((kt for kt in steps if (folder / our_restart(kt)).exists()), default=0)


@pytest.mark.parametrize(("row", "transport"), list(cases()))
def test_every_failure_ends_as_its_row_says(row, transport, job, whole, request):
    limit = {"namcpl": {"rn_walltime": row.walltime}} if row.walltime else {}
    done = job(
        *row.changes, limit, transport=transport, fault=(row.fault or {}).get(transport, ""), faults=row.faults, after=row.after,
        link=[whole / name(row.after) for name in (ocean_restart, our_restart)] if row.after else (),
        prepare=row.prepare, meanwhile=row.meanwhile, wrap=row.wrap, before=row.before, disk=row.disk,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.startswith("halocline: ")]
    if row.ends == "dies":
        assert done.rc != 0, done.text
        assert len(said) == 1, f"{len(said)} messages:\n{done.text}"
        assert not (done.folder / "halocline.coupler.json").exists()
    else:
        assert done.rc == 0 and not said, done.text
    for word in row.words:
        assert word in done.stderr + done.stdout, f"{word!r} is not in:\n{done.stderr}{done.stdout}\n{done.text}"
    assert "Traceback" not in done.text, done.text
    assert not done.left
    assert_whole(done.folder)
    for kt in row.restarts:
        assert (done.folder / ocean_restart(kt)).exists() and (done.folder / our_restart(kt)).exists()
    kt = max(last_pair(done.folder), row.after)
    assert kt == LAST if row.ends == "goes on" else kt < LAST
    if row.ends == "stops":
        end = read_end(done.folder)["coupler"]
        assert end["stopped"] == kt > max(row.restarts, default=0)
        assert not row.walltime or max(end["total"]) < row.walltime
    if row.after == 0 < kt < LAST and (row.ends == "stops" or "slow" in request.node.keywords):
        assert_goes_on(job, whole, done.folder, kt, transport)
    elif kt > row.after:
        same_bits(read_output(whole / ocean_restart(kt)), read_output(done.folder / ocean_restart(kt)))
        same_bits(read_output(whole / our_restart(kt)), read_output(done.folder / our_restart(kt)))
    assert done.seconds < row.within + 30, f"{done.seconds:.0f} s"  # thirty for the start-up on a machine that is full


def test_a_restart_that_is_off_by_a_bit_is_caught(whole):
    """The broken twin of the comparison."""
    right = read_output(whole / ocean_restart(STOCK))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(right, nudged(right, "un"))
