"""A side that dies or gets stuck ends the whole job within the time-out, with a message where anybody is left to write."""

import pytest

from coupler.ending import read_end
from tests.failure.test_bad_input import assert_refused

NML, NET = "namelist_cfg", "laplacian.py"
SHORT = (NML, "&namcpl", "&namcpl\n rn_timeout = 2.")
RUN = '    t, wet = inputs["t"], inputs["tmask"]'


@pytest.fixture
def host_with(compile_host, repo):
    """The example host with one line of its time loop replaced."""

    def build(line):
        source = (repo / "coupler/fortran/example_host.f90").read_text()
        call = "      call cpl_snd(it, kt, t)\n"
        assert call in source
        return compile_host(source.replace(call, line + call))

    return build


def test_a_network_that_never_returns(host, host_run):
    done = host_run(host, [SHORT, (NET, RUN, "    import time\n\n    time.sleep(99)\n" + RUN)])
    assert_refused(done, host_run.folder, "network 'laplacian' (step 1, i=", "did not return within rn_timeout = 2 s")


def test_a_coupler_that_is_killed(host, host_run):
    done = host_run(host, [SHORT, (NET, RUN, "    import os\n\n    os.kill(os.getpid(), 9)\n" + RUN)])
    assert done.rc != 0 and done.seconds < 12


def test_an_ocean_rank_that_stops(host_with, host_run):
    done = host_run(host_with("      if (kt == 3 .and. irank == 1) stop 3\n"), [SHORT])
    assert done.rc != 0 and done.seconds < 12


def test_an_ocean_that_is_stuck(host_with, host_run):
    done = host_run(host_with("      if (kt == 3 .and. irank == 1) call execute_command_line('sleep 30')\n"), [SHORT])
    assert_refused(done, host_run.folder, "rn_timeout = 2", "step 3", seconds=15)


def test_an_ocean_that_ends_early_ends_well(host_with, host_run):
    done = host_run(host_with("      if (kt == 4) exit\n"), [SHORT])
    assert done.rc == 0, done.text
    assert read_end(host_run.folder)["coupler"]["kt"] == 3


def test_a_field_sent_twice(host_with, host_run):
    done = host_run(host_with("      call cpl_snd(it, kt, t)\n"), [SHORT])
    assert_refused(done, host_run.folder, "cpl_snd: field t is sent twice (step 1)")


def test_an_array_with_its_halo(host_with, host_run):
    done = host_run(host_with("      call cpl_snd(it, kt, t(2:,:,:))\n"), [SHORT])
    assert_refused(done, host_run.folder, "field t has the shape (9,6,2), declared (10,6,2)", "interior alone")


def test_an_ocean_that_runs_on(host_with, host_run):
    """A step more than it told cpl_define."""
    done = host_run(host_with("      if (kt == 8) call cpl_snd(it, kt + 1, t)\n"), [SHORT])
    assert_refused(done, host_run.folder, "field t beyond the last step given to cpl_define, 8 (step 9)")
